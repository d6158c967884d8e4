"""All that the window shows: what every panel draws from, and every command changes. No pygame here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from viewer.inspecting.inspector import Inspector
from viewer.playing.human_control import HumanControl
from viewer.playing.pending import PendingRequests
from viewer.playing.scored_play import ScoredPlay
from viewer.playing.session import Session
from viewer.playing.versus import Versus

if TYPE_CHECKING:  # a person plays without torch
    from viewer.playing.attach import LiveAgent

NOTICE_SECONDS = 3.0
T = TypeVar("T")


@dataclasses.dataclass
class View:
    """All that the window shows: the session and what the person did to the window."""

    session: Session
    human_control: HumanControl
    env_id: str
    protocol: str = ""  # the rules that are played by, where there is a choice
    scored_play: ScoredPlay | None = None  # scored episodes by a person
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
    pending: PendingRequests = dataclasses.field(default_factory=PendingRequests)
    inspector: Inspector = dataclasses.field(init=False)
    _notice_left: float = 0.0
    _kept: dict[str, tuple[object, Any]] = dataclasses.field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.inspector = Inspector(self.session)

    def say(self, text: str, seconds: float = NOTICE_SECONDS) -> None:
        """Show a line for a while; an empty one says nothing."""
        self.notice, self._notice_left = text, seconds

    def tick(self, seconds: float) -> None:
        """Let real time pass for what the window says and asks for."""
        self._notice_left -= seconds
        if self._notice_left <= 0.0:
            self.notice = ""
        if self.live is not None and (answer := self.pending.send(self.live)):
            self.say(answer)

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
