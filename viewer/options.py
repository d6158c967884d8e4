"""The options of play.py, and which of them contradict each other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from common.errors import UserError, unknown
from common.settings import Between
from viewer.panel_titles import PANEL_TITLES


@dataclass(frozen=True)
class Options:
    """Who plays where, and what is done with it."""

    # a Path here would make tyro take a mistyped option for it
    run: tyro.conf.Positional[str] = ""
    """A run folder, an agent folder, a demo's JSON file, or an environment; without it the newest run, else the
    agent that ships."""
    agent_file: Path | None = None
    """The same as an option; a bare name is also looked for in pretrained/."""
    env_id: str | None = None
    """Play here instead of in the agent's own environment; without an agent its newest run, else chance plays."""
    attach: str | None = None
    """Watch this run while it trains, with its newest weights; "newest" means the newest run that trains."""
    film: str | None = None
    """Film this run's agents of 0, 1, 10 and 100 % of its training, side by side; into its videos/ if --record does
    not say where."""
    versus: bool = False
    """A split screen: you and the agent, in two worlds of the same seed."""
    learn: str | None = None
    """Let a new agent of this kind (dqn, stream_q, ... or auto) learn in the window, from its first step."""
    human: bool = False
    """You play, in real time, and your full episodes are recorded for compare.py."""
    episodes: Annotated[int | None, Between(1, 10_000)] = None
    """End after so many episodes. With --human 1, else without end."""
    name: str | None = None
    """Your name in the ledger of human scores; your login name if not given."""
    seed: Annotated[int | None, Between(0, 2**32 - 1)] = None
    """Of the first episode; the next ones count up. By chance if not given; the window shows it."""
    epsilon: Annotated[float | None, Between(0.0, 1.0)] = None
    """Share of random actions. As in the agent's evaluation if not given."""
    speed: Annotated[float, Between(0.25, 50.0)] = 1.0
    """1 is real time: 30 ms a tick in the two worlds, 15 steps (60 frames) a second in Atari games."""
    sound: bool = False
    """Let the game be heard (Atari games, at speed 1)."""
    record: Path | None = None
    """Write what the window shows to FILE.mp4, .gif or .png; needs no screen."""
    fps: Annotated[float | None, Between(1, 100)] = None
    """Frames a second of the film: about 33 for mp4, 16.7 for gif if not given."""
    steps: Annotated[int | None, Between(1, 10**9)] = None
    """End after so many steps. Films: 1000 (mp4), 300 (gif), 60 (png) if not given."""
    overwrite: bool = False
    """Let --record replace a file that exists."""
    panels: str | None = None
    """Show these panels only, by name and with commas between, or all, or none. As you left them if not given."""
    runs_dir: Path = Path("runs")
    """Where runs, and the ledger of human scores, are."""


def check(options: Options) -> None:
    """Refuse options that contradict each other, and a film that can't be written, before anything is loaded."""
    given = {"a run": options.run or None, "--agent-file": options.agent_file}
    given |= {"--attach": options.attach, "--film": options.film, "--learn": options.learn}
    several = [name for name, value in given.items() if value is not None]
    if len(several) > 1:
        raise UserError(f"{several[0]} and {several[1]} are two players; give one of them")
    _check_person(options)
    if (options.attach or options.film) is not None and (options.human or options.env_id is not None):
        other = "--human" if options.human else "--env-id"
        raise UserError(f"{several[0]} shows a run's agent where it learns; leave {other} out")
    if options.film is not None and options.episodes is not None:
        raise UserError("--film shows one episode of each agent; leave --episodes out (--steps cuts them short)")
    if options.record is None and options.film is None and (options.fps is not None or options.overwrite):
        raise UserError(f"--{'overwrite' if options.overwrite else 'fps'} belongs to --record FILE")
    if options.sound and (options.record or options.film) is not None:
        raise UserError("films are silent; leave --sound out")
    if options.record is not None:
        check_film(options.record, options)


def _check_person(options: Options) -> None:
    """Refuse what makes no sense where a person plays."""
    mode = "--human" if options.human else "--versus"
    if options.human and options.versus:
        raise UserError("--human is scored alone and --versus is a race; give one of them")
    if options.human and options.learn is not None:
        raise UserError("--human is scored without an agent; leave --learn out")
    if options.human and options.speed != 1.0:
        raise UserError("--human is scored in real time; leave --speed out")
    if (options.human or options.versus) and options.record is not None:
        raise UserError(f"{mode} needs a screen and --record works without one; give one of them (F films the window)")
    if options.versus and (options.film or options.learn) is not None:
        raise UserError(f"--versus and {'--film' if options.film else '--learn'} don't go together; give one of them")


def check_film(path: Path, options: Options) -> None:
    """Refuse a film that can't be written."""
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # some environments open a display to draw a picture
    from viewer.video import record

    record.check(path, options.overwrite)


def hidden_panels(options: Options) -> set[str] | None:
    """Return the names of the panels that are not asked for; None: as they were left.

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
