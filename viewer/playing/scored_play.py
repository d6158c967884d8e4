"""Scored episodes by a person: count down, play in real time, keep the score. No pygame here."""

from __future__ import annotations

import math
from collections.abc import Callable

from viewer.playing.session import Score, Session

COUNTDOWN_SECONDS = 3.0
READY, PLAYING, SUMMARY, DONE = "ready", "playing", "summary", "done"


class ScoredPlay:
    """Takes a person through ``episodes`` episodes.

    Each full episode goes to ``record`` the moment it ends; one that is broken off never does.
    """

    def __init__(self, session: Session, episodes: int, record: Callable[[Score], None]) -> None:
        self.session, self.episodes, self.record = session, episodes, record
        self.finished: list[Score] = []
        session.auto_next = False
        session.speed = 1.0
        self._count_down()

    def _count_down(self) -> None:
        self.phase = READY
        self.left = COUNTDOWN_SECONDS

    @property
    def number(self) -> int:
        """Return which episode this is, from 1."""
        return len(self.finished) + (self.phase in (READY, PLAYING))

    @property
    def countdown(self) -> int | None:
        """Return the number to show before the start: 3, 2, 1; None while playing."""
        return max(1, math.ceil(self.left)) if self.phase == READY else None

    def advance(self, seconds: float, *, limit: int | None = None) -> None:
        """Let real time pass."""
        session = self.session
        if self.phase == READY and not session.paused:
            self.left -= seconds
            if self.left <= 0.0:
                self.phase = PLAYING
        elif self.phase == PLAYING:
            session.advance(seconds, limit=limit)
            if session.finished:
                self.finished.append(session.score)
                self.phase = SUMMARY
                self.record(session.score)

    def confirm(self) -> None:
        """Go on after an episode's summary: to the next countdown, or to the end."""
        if self.phase != SUMMARY:
            return
        if len(self.finished) >= self.episodes:
            self.phase = DONE
        else:
            self.session.next_episode()
            self._count_down()

    def toggle_pause(self) -> None:
        """Pause; going on counts down again, so that a pause gains nobody a calm look at the next move."""
        if self.phase in (SUMMARY, DONE):
            return
        self.session.paused = not self.session.paused
        if not self.session.paused:
            self._count_down()

    def restart(self) -> None:
        """Break the running episode off, unrecorded, and count down to a fresh one with another seed."""
        if self.phase in (READY, PLAYING):
            self.session.paused = False
            self.session.next_episode()
            self._count_down()
