"""The state of the window: what every panel draws and every command changes. No pygame here."""

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
from viewer.playing.tour import Tour
from viewer.playing.versus import Versus

if TYPE_CHECKING:  # a human plays without torch
    from viewer.playing.attach import LiveAgent

NOTICE_SECONDS = 3.0
T = TypeVar("T")


@dataclasses.dataclass
class View:
    """All that the window shows: the session, and what you did to the window."""

    session: Session
    human_control: HumanControl
    env_id: str
    env_kwargs: tuple[str, ...] = ()  # arguments of the environment that were typed
    protocol: str = ""  # the Atari protocol; empty in other environments
    scored_play: ScoredPlay | None = None  # scored episodes by a human player
    versus: Versus | None = None  # a human beside the agent; ``session`` is then the agent's
    live: LiveAgent | None = None  # follows a run in training in another process
    source: Path | None = None  # where the agent was loaded from
    runs_dir: Path = Path("runs")
    open: bool = True  # the window has not been closed
    help: bool = False  # the help covers the window
    note: str = ""  # a line below the summary of a scored episode
    notice: str = ""  # the result of the last key or click, for a few seconds
    muted: bool | None = None  # the game's sound is off; None: it has no sound
    agent_view: bool = False  # draw only what the agent sees
    hidden: set[str] = dataclasses.field(default_factory=set)  # names of hidden panels
    asked: list[str] = dataclasses.field(default_factory=list)  # panels just shown by their keys, the last one last
    film_requested: bool = False  # a film is to be started or stopped
    filming: str = ""  # the file of the film in progress; empty: none
    to_confirm: tuple[str, float] = ("", 0.0)  # the question that you have to confirm, and when it was asked
    tour: Tour | None = None  # hints for beginners; None: none, as in films
    pending: PendingRequests = dataclasses.field(default_factory=PendingRequests)
    inspector: Inspector = dataclasses.field(init=False)
    _notice_left: float = 0.0
    _cache: dict[str, tuple[object, Any]] = dataclasses.field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.inspector = Inspector(self.session)

    def show_notice(self, text: str, seconds: float = NOTICE_SECONDS) -> None:
        """Show a line for a while; an empty one shows nothing."""
        self.notice, self._notice_left = text, seconds

    def tick(self, seconds: float) -> None:
        """Let real time pass for the notice, and send pending requests to an attached run."""
        self._notice_left -= seconds
        if self._notice_left <= 0.0:
            self.notice = ""
        if self.tour is not None and not (self.help or self.notice or self.game.paused):
            self.tour.tick(seconds)
        if self.live is not None and (answer := self.pending.send(self.live)):
            self.show_notice(answer)

    def cached(self, name: str, key: object, make: Callable[[], T]) -> T:
        """Return what ``make`` returns, called again only when ``key`` differs from the last time.

        Atari has 15 new pictures a second, the window draws 60 frames.
        """
        entry = self._cache.get(name)
        if entry is None or entry[0] != key:
            entry = self._cache[name] = (key, make())
        return entry[1]

    def forget(self) -> None:
        """Forget all that `cached` keeps: the colours have changed."""
        self._cache.clear()

    @property
    def game(self) -> Session | Versus:
        """Return what speed and pause apply to."""
        return self.versus or self.session

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Return the sessions that are shown."""
        return (self.session,) if self.versus is None else self.versus.both

    def look(self, number: int) -> None:
        """Pause and look at a moment of the timeline, in both worlds if there are two."""
        self.game.paused = True
        ago = self.session.timeline.last - number
        for session in self.sessions:
            session.timeline.to(session.timeline.last - ago)

    @property
    def agent_name(self) -> str:
        """Return the agent's name; empty without an agent."""
        return self.session.policy.name if self.session.policy is not None else ""
