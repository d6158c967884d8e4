"""What a panel is, and what it is given to draw from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ClassVar, Protocol

import pygame

from viewer.canvas import Area, Canvas
from viewer.hands import Hands
from viewer.session import Session
from viewer.trial import Trial


@dataclasses.dataclass
class View:
    """All that the window shows: the session and what the person did to the window."""

    session: Session
    hands: Hands
    env_id: str
    protocol: str = ""  # the rules that are played by, where there is a choice
    trial: Trial | None = None  # scored episodes by a person
    help: bool = False  # the help lies over the window
    note: str = ""  # a line below the summary of a scored episode
    _kept: dict[str, tuple[object, pygame.Surface]] = dataclasses.field(default_factory=dict, repr=False)

    def keep(self, name: str, key: object, make: Callable[[], pygame.Surface]) -> pygame.Surface:
        """Return what ``make`` draws, made anew only when ``key`` is another than the last time.

        Atari has 15 new pictures a second, the window 60 frames.
        """
        found = self._kept.get(name)
        if found is None or found[0] != key:
            found = self._kept[name] = (key, make())
        return found[1]

    @property
    def agent_name(self) -> str:
        """Return who the agent is; empty without one."""
        return self.session.policy.name if self.session.policy is not None else ""


class Panel(Protocol):
    """Draws one thing about the session into its area.

    The side column stacks the panels of the registry from the top; what is left over goes to the
    one that stretches.
    """

    stretches: ClassVar[bool]

    def height(self, view: View) -> float:
        """Return the logical height that the panel wants; 0 leaves it out."""
        ...

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw into ``area`` and nowhere else."""
        ...
