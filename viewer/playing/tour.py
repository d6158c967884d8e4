"""Five hints in the first minute, each shown once in a lifetime. No pygame here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from viewer.playing.session import Session

FIRST, EACH, PAUSE = 3.0, 7.0, 4.0  # seconds: before the first hint, that each stays, between two


class Hint(NamedTuple):
    """One hint: its name in the settings, its text, and when it makes sense."""

    name: str
    text: str
    when: Callable[[Session], bool]


def _expects(session: Session) -> bool:
    return session.q_values() is not None


HINTS = (
    Hint("bars", "The bars: how much reward the agent expects after each action. The dark one is best.", _expects),
    Hint("steer", "Press an arrow key to steer. Let go for two seconds, and the agent plays on.", lambda session: True),
    Hint(
        "time", "{pause} pauses. B and N go a step back and on; a click on the timeline goes anywhere.", lambda _: True
    ),
    Hint("truth", "Truth meter: the line was expected, the dots really came. Click its title to read more.", _expects),
    Hint("learn", "L lets the agent learn on, here and now. H shows all keys.", lambda session: True),
)


class Tour:
    """Tells which hint is shown now; every hint has its turn once."""

    def __init__(
        self, session: Session, seen: Iterable[str] = (), without: Iterable[str] = (), pause: str = "Space"
    ) -> None:
        """Show the hints that were not ``seen`` yet, ``without`` those of panels or keys that are not there.

        ``pause``: the key that pauses; where space is a game's fire it is another one.
        """
        skipped = {*seen, *without}
        self._session, self._left = session, [hint for hint in HINTS if hint.name not in skipped]
        self.seen = list(seen)
        self._wait, self._stay = FIRST, 0.0
        self._pause = pause

    @property
    def text(self) -> str:
        """Return the hint of this moment; empty: none."""
        return self._left[0].text.replace("{pause}", self._pause) if self._left and self._stay > 0 else ""

    def tick(self, seconds: float) -> None:
        """Let real time pass."""
        if not self._left:
            return
        if self._stay > 0:
            self._stay -= seconds
            if self._stay <= 0:
                self.dismiss()
            return
        self._wait -= seconds
        if self._wait > 0:
            return
        ready = next((hint for hint in self._left if hint.when(self._session)), None)
        if ready is None:
            self._wait = PAUSE
            return
        self._left.remove(ready)
        self._left.insert(0, ready)
        self.seen.append(ready.name)
        self._stay = EACH

    def dismiss(self) -> None:
        """End the present hint."""
        if self._left and self._left[0].name in self.seen:
            self._left.pop(0)
        self._stay, self._wait = 0.0, PAUSE
