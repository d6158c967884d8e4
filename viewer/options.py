"""The options of play.py, and which of them contradict each other."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from common import imports
from common.cli import parse
from common.errors import UserError, unknown
from common.output import HTML, check_output
from common.settings import Between
from viewer.panel_titles import PANEL_TITLES


def shown_default(text: str) -> object:
    """Return the annotation of an option whose default is not a fixed value: ``text`` stands for it in --help."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {text})")


@dataclass(frozen=True)
class PlayerOptions:
    """Who plays, and where."""

    # a Path here would make tyro take a mistyped option for it
    run: Annotated[
        tyro.conf.Positional[str],
        tyro.conf.arg(metavar="[RUN]"),
        shown_default("the newest run, else the pretrained Waterworld agent"),
    ] = ""
    """A run folder, an agent folder, a demo's JSON file, an environment, or hf:OWNER/NAME: an agent on the hub."""
    list: bool = False
    """Print the agents that ship, with their scores."""
    agent_file: Path | None = None
    """The same as an option; a bare name is also looked for in pretrained/."""
    env_id: Annotated[str | None, shown_default("the agent's own")] = None
    """The environment. Without an agent, the newest one trained in it plays, else a random policy."""
    attach: str | None = None
    """Watch this run while it trains, with its newest weights; "newest" means the newest run in training."""
    learn: str | None = None
    """Let a new agent of this kind (dqn, stream_q, ... or auto) learn in the window, from its first step."""
    env_kwargs: tuple[str, ...] = ()
    """KEY=VALUE: arguments of the environment's constructor, as is_slippery=False."""
    imports: imports.Option = ()
    """Import this module of yours first, which registers environments; may be given several times."""
    human: bool = False
    """You play, in real time; your full episodes are recorded for compare.py."""
    versus: bool = False
    """A split screen: you and the agent, in two worlds of the same seed."""
    name: Annotated[str | None, shown_default("your login name")] = None
    """Your name in the human scores."""
    runs_dir: Path = Path("runs")
    """The folder that holds the runs and the human scores."""


@dataclass(frozen=True)
class PlayOptions:
    """How it is played and shown."""

    seed: Annotated[int | None, Between(0, 2**32 - 1), shown_default("random")] = None
    """Seed of the first episode; the next ones count up. The window shows it."""
    epsilon: Annotated[float | None, Between(0.0, 1.0), shown_default("as in the agent's evaluation")] = None
    """Share of random actions, 0 to 1."""
    speed: Annotated[float, Between(0.25, 50.0)] = 1.0
    """1 is real time: 30 ms a step in Waterworld and RLDemo, 15 steps (60 frames) a second in Atari games."""
    episodes: Annotated[int | None, Between(1, 10_000), shown_default("no limit; 1 with --human and in pages")] = None
    """Stop after this many episodes."""
    steps: Annotated[
        int | None, Between(1, 10**9), shown_default("no limit; 1000 for mp4, 300 for gif, 60 for png, 3000 for pages")
    ] = None
    """Stop after this many steps."""
    sound: bool = False
    """Play the game's sound (Atari games, at speed 1); mp4 films have it anyway."""
    panels: Annotated[str | None, shown_default("as in the last window")] = None
    """Panels to show: names separated by commas, or all, or none."""
    theme: Annotated[Literal["light", "dark"] | None, shown_default("as in the last window")] = None
    """Colours of the window."""


@dataclass(frozen=True)
class FilmOptions:
    """Films and pictures, which need no screen."""

    record: Path | None = None
    """Write what the window shows to FILE.mp4, .gif (at most 4 MB) or .png."""
    film: str | None = None
    """Film this run's agents at 0, 1, 10 and 100 % of its training, side by side; into its videos/ without --record."""
    fps: Annotated[float | None, Between(1, 100), shown_default("about 33 for mp4, 16.7 for gif")] = None
    """Frames per second of the film."""
    overwrite: bool = False
    """Let --record and --export-html replace an existing file."""


@dataclass(frozen=True)
class PageOptions:
    """A page for a browser, to send to anybody: one file, which needs no network."""

    export_html: Path | None = None
    """Write FILE.html, in which an agent of our worlds plays and learns; of any other, recorded episodes."""
    recorded: bool = False
    """Let the page show recorded episodes, also in our worlds; --episodes and --steps say how many."""


@dataclass(frozen=True)
class Options(PageOptions, FilmOptions, PlayOptions, PlayerOptions):
    """All options of play.py."""


@dataclass(frozen=True)
class Groups:
    """The options as --help shows them: a group each, with its docstring."""

    player: PlayerOptions = field(default_factory=PlayerOptions)
    play: PlayOptions = field(default_factory=PlayOptions)
    film: FilmOptions = field(default_factory=FilmOptions)
    page: PageOptions = field(default_factory=PageOptions)


def read_command_line(argv: Sequence[str], description: str | None) -> Options:
    """Return the options, checked for contradictions.

    Raises:
        UserError: an unknown option, a value out of range, or options that exclude each other.
        SystemExit: after ``--help``, with code 0.
    """
    groups = parse(Groups, argv, prog="play.py", description=description)
    options = Options(**vars(groups.player), **vars(groups.play), **vars(groups.film), **vars(groups.page))
    check(options)
    return options


def check(options: Options) -> None:
    """Reject options that contradict each other, and a film that can't be written, before anything is loaded."""
    # with --learn the name may be an environment's, which `viewer.opening` finds out
    run = options.run if options.run and options.learn is None else None
    given: dict[str, object] = {"a run": run, "--agent-file": options.agent_file}
    given |= {"--attach": options.attach, "--film": options.film, "--learn": options.learn}
    several = [name for name, value in given.items() if value is not None]
    if options.list and several:
        raise UserError(f"--list prints the agents that ship; leave {several[0]} out")
    if len(several) > 1:
        raise UserError(f"{several[0]} and {several[1]} are two players; give one of them")
    _check_human(options)
    if (options.attach or options.film) is not None and (options.human or options.env_id is not None):
        other = "--human" if options.human else "--env-id"
        raise UserError(f"{several[0]} shows a run's agent in its own environment; leave {other} out")
    if options.film is not None and options.episodes is not None:
        raise UserError("--film shows one episode of each agent; leave --episodes out (--steps cuts them short)")
    files = options.record or options.film or (options.export_html if options.fps is None else None)
    if files is None and (options.fps is not None or options.overwrite):
        raise UserError(f"--{'overwrite' if options.overwrite else 'fps'} belongs to --record FILE")
    if options.sound and options.record is not None and options.record.suffix.lower() != ".mp4":
        raise UserError(f"--record {options.record}: only .mp4 has sound, without --sound too; leave it out")
    _check_page(options)
    if options.record is not None:
        check_film(options.record, options)


def _check_human(options: Options) -> None:
    """Reject options that are incompatible with a human player."""
    mode = "--human" if options.human else "--versus"
    if options.human and options.versus:
        raise UserError("--human is scored alone and --versus is a race; give one of them")
    if options.human and options.learn is not None:
        raise UserError("--human is scored without an agent; leave --learn out")
    if options.human and options.speed != 1.0:
        raise UserError("--human is scored in real time; leave --speed out")
    if (options.human or options.versus) and options.record is not None:
        raise UserError(f"{mode} needs a screen, --record has none; give one of them (in the window, F starts a film)")
    if options.versus and (options.film or options.learn) is not None:
        raise UserError(f"--versus and {'--film' if options.film else '--learn'} don't go together; give one of them")


def _check_page(options: Options) -> None:
    """Reject options that don't go with a page, and a page that can't be written."""
    if options.export_html is None:
        if options.recorded:
            raise UserError("--recorded belongs to --export-html FILE.html")
        return
    others: dict[str, object] = {"--human": options.human, "--versus": options.versus, "--learn": options.learn}
    others |= {"--attach": options.attach, "--film": options.film, "--record": options.record, "--sound": options.sound}
    given = [name for name, value in others.items() if value]
    if given:
        raise UserError(f"--export-html and {given[0]} don't go together; give one of them")
    check_output("--export-html", options.export_html, HTML, options.overwrite)


def check_film(path: Path, options: Options) -> None:
    """Reject a film that can't be written."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # some environments open a display to render
    from viewer.video import record

    record.check(path, options.overwrite)


def hidden_panels(options: Options) -> set[str] | None:
    """Return the names of the panels that --panels leaves out; None: it was not given.

    Raises:
        UserError: there is no such panel.
    """
    if options.panels is None:
        return None
    known = list(PANEL_TITLES)
    if options.panels in ("all", "none"):
        return set() if options.panels == "all" else set(known)
    wanted = [name.strip() for name in options.panels.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise unknown("panel", name, [*known, "all", "none"])
    return set(known) - set(wanted)
