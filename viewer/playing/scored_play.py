"""Scored episodes by a human player: countdown, play in real time, record the score. No pygame here."""

from __future__ import annotations

import math
from collections.abc import Callable

from viewer.playing.session import Score, Session

COUNTDOWN_SECONDS = 3.0
READY, PLAYING, SUMMARY, DONE = "ready", "playing", "summary", "done"


class ScoredPlay:
    """Leads a human player through ``episodes`` episodes.

    Each full episode is passed to ``record`` when it ends; an interrupted one never is.
    """

    def __init__(self, session: Session, episodes: int, record: Callable[[Score], None]) -> None:
        self.session, self.episodes, self.record = session, episodes, record
        self.finished: list[Score] = []
        session.auto_next = False
        session.speed = 1.0
        self._count_down()

    def _count_down(self) -> None:
        self.phase = READY
        self._seconds_left = COUNTDOWN_SECONDS

    @property
    def number(self) -> int:
        """Return the number of this episode, from 1."""
        return len(self.finished) + (self.phase in (READY, PLAYING))

    @property
    def countdown(self) -> int | None:
        """Return the number to show before the start: 3, 2, 1; None while playing."""
        return max(1, math.ceil(self._seconds_left)) if self.phase == READY else None

    def advance(self, seconds: float, *, limit: int | None = None) -> None:
        """Advance by ``seconds`` of real time."""
        session = self.session
        if self.phase == READY and not session.paused:
            self._seconds_left -= seconds
            if self._seconds_left <= 0.0:
                self.phase = PLAYING
        elif self.phase == PLAYING:
            session.advance(seconds, limit=limit)
            if session.finished:
                self.finished.append(session.score)
                self.phase = SUMMARY
                self.record(session.score)

    def confirm(self) -> None:
        """Continue after an episode's summary: with the next countdown, or to the end."""
        if self.phase != SUMMARY:
            return
        if len(self.finished) >= self.episodes:
            self.phase = DONE
        else:
            self.session.next_episode()
            self._count_down()

    def toggle_pause(self) -> None:
        """Pause or resume; resuming counts down again, so that a pause gives no time to plan the next move."""
        if self.phase in (SUMMARY, DONE):
            return
        self.session.paused = not self.session.paused
        if not self.session.paused:
            self._count_down()

    def restart(self) -> None:
        """Abort the running episode, unrecorded, and count down to a new one with the next seed."""
        if self.phase in (READY, PLAYING):
            self.session.paused = False
            self.session.next_episode()
            self._count_down()
