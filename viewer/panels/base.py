"""What a panel is, and what it is given to draw from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from viewer.drawing.canvas import Area, Canvas
from viewer.inspecting.inspector import Looking
from viewer.learning.controls import Wished
from viewer.playing.human_control import Hands
from viewer.playing.scored_play import Trial
from viewer.playing.session import Session
from viewer.playing.versus import Versus

if TYPE_CHECKING:  # a person plays without torch
    from viewer.playing.attach import LiveAgent

NOTICE_SECONDS = 3.0
T = TypeVar("T")

Drag = Callable[[float, float], None]
"""Follows the mouse, in logical pixels, while its button is held."""


@dataclasses.dataclass
class View:
    """All that the window shows: the session and what the person did to the window."""

    session: Session
    hands: Hands
    env_id: str
    protocol: str = ""  # the rules that are played by, where there is a choice
    trial: Trial | None = None  # scored episodes by a person
    versus: Versus | None = None  # a person beside the agent; ``session`` is the agent's then
    live: LiveAgent | None = None  # follows a run that trains in another process
    source: Path | None = None  # where the agent that plays was loaded from
    runs_dir: Path = Path("runs")
    open: bool = True  # the person has not closed the window
    help: bool = False  # the help lies over the window
    note: str = ""  # a line below the summary of a scored episode
    notice: str = ""  # what the last key or click led to, for a few seconds
    muted: bool | None = None  # the game's sound is off; None: it has none
    agent_view: bool = False  # the world without what the agent does not see
    hidden: set[str] = dataclasses.field(default_factory=set)  # names of panels that were put away
    film_asked: bool = False  # a film is to be begun or ended
    filming: str = ""  # the file of the film that is being made
    asked: tuple[str, float] = ("", 0.0)  # what the person has to confirm, and when that was asked
    wished: Wished = dataclasses.field(default_factory=Wished)
    looking: Looking = dataclasses.field(init=False)
    _notice_left: float = 0.0
    _kept: dict[str, tuple[object, Any]] = dataclasses.field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.looking = Looking(self.session)

    def say(self, text: str, seconds: float = NOTICE_SECONDS) -> None:
        """Show a line for a while; an empty one says nothing."""
        self.notice, self._notice_left = text, seconds

    def tick(self, seconds: float) -> None:
        """Let real time pass for what the window says and asks for."""
        self._notice_left -= seconds
        if self._notice_left <= 0.0:
            self.notice = ""
        self.wished.send(self)

    def keep(self, name: str, key: object, make: Callable[[], T]) -> T:
        """Return what ``make`` draws or finds, made anew only when ``key`` is another than the last time.

        Atari has 15 new pictures a second, the window 60 frames.
        """
        found = self._kept.get(name)
        if found is None or found[0] != key:
            found = self._kept[name] = (key, make())
        return found[1]

    @property
    def game(self) -> Session | Versus:
        """Return what time, speed and pause belong to."""
        return self.versus or self.session

    @property
    def agent_name(self) -> str:
        """Return who the agent is; empty without one."""
        return self.session.policy.name if self.session.policy is not None else ""


class Panel:
    """Draws one thing about the session into its area.

    The panels of the registry are stacked from the top, in as many columns as they need; what is left over in a
    column goes to those that stretch. Panels below the world share its width.
    """

    name: ClassVar[str]
    """In the settings, and as an option's value."""
    title: ClassVar[str]
    """In the help."""
    place: ClassVar[Literal["side", "below"]] = "side"
    stretches: ClassVar[bool] = False

    def height(self, view: View) -> float:
        """Return the logical height that the panel wants; 0: there is nothing to show here. Below: 0 or not."""
        raise NotImplementedError

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw into ``area`` and nowhere else."""
        raise NotImplementedError

    def press(self, view: View, area: Area, x: float, y: float) -> Drag | None:
        """Do what a click at a point of ``area`` asks for; return what follows the mouse from there, if anything."""
        return None
