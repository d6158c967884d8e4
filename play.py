"""Watch an agent play, take over, or play a scored episode yourself; `--record` films it without a screen."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

import envs
from common.cli import parse, run
from common.errors import UserError, nearest
from common.settings import Between

if TYPE_CHECKING:  # these load pygame and torch; a mistyped option is said before
    from learning.policy import Policy
    from viewer.panels import View
    from viewer.session import Score, Session

ROOT = Path(__file__).resolve().parent
PRETRAINED = ROOT / "pretrained"
SHIPPED = PRETRAINED / "waterworld"  # the agent that ships
NEXT = "compare with the agents: python compare.py"


@dataclass(frozen=True)
class Options:
    """Who plays where, and what is done with it."""

    # a Path here would make tyro take a mistyped option for it
    run: tyro.conf.Positional[str] = ""
    """A run folder, an agent folder or a demo's JSON file; without it the newest run, else the agent that ships."""
    agent_file: Path | None = None
    """The same as an option; a bare name is also looked for in pretrained/."""
    env_id: str | None = None
    """Play here instead of in the agent's own environment."""
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
    """1 is real time: 30 ms a tick in the two worlds."""
    record: Path | None = None
    """Write what the window shows to FILE.mp4, .gif or .png; needs no screen."""
    fps: Annotated[float | None, Between(1, 100)] = None
    """Frames a second of the film: 33.3 for mp4, 16.7 for gif if not given."""
    steps: Annotated[int | None, Between(1, 10**9)] = None
    """End after so many steps. Films: 1000 (mp4), 300 (gif), 60 (png) if not given."""
    overwrite: bool = False
    """Let --record replace a file that exists."""
    runs_dir: Path = Path("runs")
    """Where runs, and the ledger of human scores, are."""


def main(argv: Sequence[str]) -> int:
    """Play as the command line says; return 0, or 130 when a film was cut short by Ctrl-C."""
    options = parse(Options, argv, prog="play.py", description=__doc__)
    _check(options)
    policy = None if options.human else _load(find_agent(options))
    env_id = envs.resolve(options.env_id or (policy.env_id if policy else _env_of(options)) or envs.DEFAULT_ENV)
    session = open_session(options, policy, env_id)
    try:
        if options.human:
            return play_scored(options, session, env_id)
        if options.record is not None:
            return film(options, session, env_id)
        return watch(options, session, env_id)
    finally:
        session.env.close()


def _check(options: Options) -> None:
    """Refuse options that contradict each other, and a film that can't be written, before anything is loaded."""
    if options.run and options.agent_file is not None:
        raise UserError("a run and --agent-file are two players; give one of them")
    if options.human and options.speed != 1.0:
        raise UserError("--human is scored in real time; leave --speed out")
    if options.human and options.record is not None:
        raise UserError("--human needs a screen and --record works without one; give one of them")
    if options.record is None and (options.fps is not None or options.overwrite):
        raise UserError(f"--{'overwrite' if options.overwrite else 'fps'} belongs to --record FILE")
    if options.record is not None:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # some environments open a display to draw a picture
        from viewer import record

        record.check(options.record, options.overwrite)


def find_agent(options: Options) -> Path:
    """Return where the agent is that the command line means.

    Raises:
        UserError: it is not there; the nearest ones that are there are named.
    """
    given = Path(options.run) if options.run else options.agent_file
    if given is not None:
        for path in (given, options.runs_dir / given, PRETRAINED / given):
            if path.exists():
                return path
        known = [*_names(options.runs_dir), *_names(PRETRAINED)]
        hint = f"did you mean {nearest(given.name, known)}?" if known else "train one: python train.py"
        raise UserError(f"{given}: no such run or agent; {hint}")
    runs = [path.parent.parent for path in options.runs_dir.glob("*/agent/manifest.json")]
    if runs:
        return max(runs, key=_started)
    if (SHIPPED / "agent").exists():
        return SHIPPED
    raise UserError(f"no run in {options.runs_dir} has an agent yet; train one: python train.py")


def _names(folder: Path) -> list[str]:
    """Return the runs, agents and agent files in a folder."""
    if not folder.is_dir():
        return []
    return [path.name for path in folder.iterdir() if path.suffix == ".json" or (path / "config.json").exists()]


def _started(run_folder: Path) -> tuple[str, float]:
    """Return what orders runs by their start: the time in the name, then the folder's own."""
    return run_folder.name.rpartition("__")[2], run_folder.stat().st_mtime


def _load(path: Path) -> Policy:
    import torch

    from agents.loading import load_policy

    torch.set_num_threads(1)  # one observation at a time: more threads only cost
    return load_policy(path)


def _env_of(options: Options) -> str | None:
    """Return the environment of the run that a person wants to play in; None when none was named."""
    if not options.run and options.agent_file is None:
        return None
    return _load(find_agent(options)).env_id


def open_session(options: Options, policy: Policy | None, env_id: str) -> Session:
    """Return the session: the environment made, the agent checked against it, the first episode begun."""
    from viewer.session import Session

    extra = getattr(policy, "env_kwargs", {}) if policy is not None and policy.env_id == env_id else {}
    try:
        env = envs.make(env_id, render_mode="rgb_array", **extra)
    except UserError:
        env = envs.make(env_id, **extra)  # it draws nothing; its Q values can be watched all the same
    seed = options.seed
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0]) % 1_000_000
    epsilon = options.epsilon if options.epsilon is not None else getattr(policy, "default_epsilon", 0.0)
    return Session(
        env, policy, seed=seed, epsilon=epsilon, speed=options.speed, action_names=envs.action_names(env)
    )  # fmt: skip


def _view(session: Session, env_id: str, locked: bool = False) -> View:
    from viewer.hands import Hands, keys_for
    from viewer.panels import View

    return View(session, Hands(session, keys_for(session.action_names), locked=locked), env_id)


def watch(options: Options, session: Session, env_id: str) -> int:
    """Open the window on an agent."""
    from viewer.window import Window

    window = Window(_view(session, env_id), max_steps=options.steps, max_episodes=options.episodes)
    print(_title(session, env_id))
    window.run()
    if session.results:
        returns = [score.episode_return for score in session.results]
        print(f"{len(returns)} full episodes, mean return {np.mean(returns):.1f}; {NEXT}")
    return 0


def film(options: Options, session: Session, env_id: str) -> int:
    """Write what the window would show."""
    from viewer import record

    assert options.record is not None
    print(_title(session, env_id))
    try:
        frames = record.record(
            _view(session, env_id), options.record, steps=options.steps, episodes=options.episodes, fps=options.fps
        )
    except KeyboardInterrupt:
        print(f"stopped at step {session.total_steps:,}; {options.record} is complete up to there")
        return 130
    print(f"{options.record}: {session.total_steps:,} steps, {frames:,} frames, {_size(options.record)}")
    return 0


def _title(session: Session, env_id: str) -> str:
    assert session.policy is not None
    return f"{session.policy.name} in {env_id}, seed {session.seed}, epsilon {session.epsilon:g}"


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


def play_scored(options: Options, session: Session, env_id: str) -> int:
    """Let a person play scored episodes; each full one is in the ledger the moment it ends."""
    from viewer import ledger
    from viewer.trial import Trial
    from viewer.window import Window

    ledger.check(options.runs_dir)
    view = _view(session, env_id, locked=True)
    view.trial = Trial(session, options.episodes or 1, _recorder(options, env_id, view))
    Window(view, max_steps=options.steps).run()
    for number, score in enumerate(view.trial.finished, start=1):
        eaten = f" ({score.apples} apples, {score.poison} poison)" if score.apples is not None else ""
        print(f"episode {number}: return {score.episode_return:g}{eaten} in {score.steps:,} steps")
    if view.trial.finished:
        print(f"recorded in {options.runs_dir / ledger.FILE_NAME}; {NEXT}")
    else:
        print("no episode was played to its end, so none was recorded")
    return 0


def _recorder(options: Options, env_id: str, view: View) -> Callable[[Score], None]:
    """Return the function that writes a full episode to the ledger."""
    from viewer import ledger

    name = options.name or _login()

    def write(score: Score) -> None:
        entry = ledger.Entry(
            name=name, date=ledger.now(), env_id=env_id, protocol=envs.protocol(env_id), seed=score.seed,
            episode_return=score.episode_return, episode_length=score.steps, apples=score.apples,
            poison=score.poison,
        )  # fmt: skip
        view.note = f"recorded for {name} in {ledger.append(options.runs_dir, entry)}"

    return write


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user: some containers
        return "player"


if __name__ == "__main__":
    run(main)
