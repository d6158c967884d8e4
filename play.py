"""Watch an agent play or learn, take over, or play a scored episode yourself; films need no screen."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

import envs
from common.cli import parse, run
from common.errors import UserError
from common.settings import Between
from viewer import players

if TYPE_CHECKING:  # these load pygame and torch; a mistyped option is said before
    from learning.policy import Policy
    from viewer.panels import View
    from viewer.session import Score, Session

NEXT = "compare with the agents: python compare.py"


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
    record: Path | None = None
    """Write what the window shows to FILE.mp4, .gif or .png; needs no screen."""
    fps: Annotated[float | None, Between(1, 100)] = None
    """Frames a second of the film: about 33 for mp4, 16.7 for gif if not given."""
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
    with ExitStack() as stack:
        if options.film is not None:
            return film_training(options, stack)
        agent, named = _attached(options, stack) if options.attach is not None else _agent(options)
        env_id = envs.resolve(named or (agent.env_id if agent else None) or envs.DEFAULT_ENV)
        rules = players.rules_for(env_id, agent)
        session = open_session(options, None if options.human else agent, rules)
        stack.callback(session.env.close)
        if options.human:
            return play_scored(options, session, rules)
        if options.record is not None:
            return film(options, session, rules)
        return watch(options, session, rules)


def _check(options: Options) -> None:
    """Refuse options that contradict each other, and a film that can't be written, before anything is loaded."""
    given = {"a run": options.run or None, "--agent-file": options.agent_file}
    given |= {"--attach": options.attach, "--film": options.film}
    several = [name for name, value in given.items() if value is not None]
    if len(several) > 1:
        raise UserError(f"{several[0]} and {several[1]} are two players; give one of them")
    if (options.attach or options.film) is not None and (options.human or options.env_id is not None):
        other = "--human" if options.human else "--env-id"
        raise UserError(f"{several[0]} shows a run's agent where it learns; leave {other} out")
    if options.human and options.speed != 1.0:
        raise UserError("--human is scored in real time; leave --speed out")
    if options.human and options.record is not None:
        raise UserError("--human needs a screen and --record works without one; give one of them")
    if options.film is not None and options.episodes is not None:
        raise UserError("--film shows one episode of each agent; leave --episodes out (--steps cuts them short)")
    if options.record is None and options.film is None and (options.fps is not None or options.overwrite):
        raise UserError(f"--{'overwrite' if options.overwrite else 'fps'} belongs to --record FILE")
    if options.record is not None:
        _check_film(options.record, options)


def _check_film(path: Path, options: Options) -> None:
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # some environments open a display to draw a picture
    from viewer import record

    record.check(path, options.overwrite)


def _attached(options: Options, stack: ExitStack) -> tuple[Policy, None]:
    """Return the player that follows a run in training, until the stack is closed."""
    import torch

    from viewer.attach import LiveAgent, find_run

    assert options.attach is not None
    torch.set_num_threads(1)  # the trainer needs the others
    run = find_run(options.attach, options.runs_dir)
    agent = stack.enter_context(closing(LiveAgent(run)))
    print(f"attached to {run}: {agent.status().text}")
    return agent, None


def _agent(options: Options) -> tuple[Policy | None, str | None]:
    """Return the agent that plays, or beside whose rules a person does, if any; and the environment if one is named."""
    named = players.named_env(options.run, options.runs_dir)
    if named is not None and options.env_id is not None:
        raise UserError(f"{options.run} and --env-id {options.env_id} are two environments; give one of them")
    given = Path(options.run) if options.run and named is None else options.agent_file
    named = named or (envs.resolve(options.env_id) if options.env_id else None)
    if given is not None:
        return players.load(players.find_agent(given, options.runs_dir)), named
    if options.human:
        return None, named
    path = players.find_agent(None, options.runs_dir) if named is None else players.trained_in(named, options.runs_dir)
    return (None if path is None else players.load(path)), named


def open_session(options: Options, policy: Policy | None, rules: players.Rules) -> Session:
    """Return the session: the environment made, the agent checked against it, the first episode begun.

    Without a policy chance plays, unless a person does.
    """
    from viewer.session import Session

    try:
        env = envs.make(rules.env_id, render_mode="rgb_array", **rules.env_options)
    except UserError:
        env = envs.make(rules.env_id, **rules.env_options)  # it draws nothing; its Q values can be watched all the same
    if policy is None and not options.human:
        from agents.policy import RandomPolicy

        print(f"no agent was trained in {rules.env_id} yet, so chance plays; train one: python train.py {rules.env_id}")
        policy = RandomPolicy(int(env.action_space.n))  # type: ignore[attr-defined]
    seed = _seed(options)
    epsilon = options.epsilon if options.epsilon is not None else getattr(policy, "default_epsilon", 0.0)
    return Session(
        env, policy, seed=seed, epsilon=epsilon, speed=options.speed, action_names=envs.action_names(env)
    )  # fmt: skip


def _seed(options: Options) -> int:
    if options.seed is not None:
        return options.seed
    return int(np.random.SeedSequence().generate_state(1)[0]) % 1_000_000


def _view(session: Session, rules: players.Rules, locked: bool = False) -> View:
    from viewer.hands import Hands
    from viewer.keys import keys_for
    from viewer.panels import View

    hands = Hands(session, keys_for(session.action_names), locked=locked)
    return View(session, hands, rules.env_id, protocol=rules.told)


def watch(options: Options, session: Session, rules: players.Rules) -> int:
    """Open the window on an agent."""
    from viewer.window import Window

    window = Window(_view(session, rules), max_steps=options.steps, max_episodes=options.episodes)
    print(_title(session, rules))
    window.run()
    if session.results:
        returns = [score.episode_return for score in session.results]
        print(f"{len(returns)} full episodes, mean return {np.mean(returns):.1f}; {NEXT}")
    return 0


def film(options: Options, session: Session, rules: players.Rules) -> int:
    """Write what the window would show."""
    from viewer import record

    assert options.record is not None
    print(_title(session, rules))
    try:
        frames = record.record(
            _view(session, rules), options.record, steps=options.steps, episodes=options.episodes, fps=options.fps
        )
    except KeyboardInterrupt:
        print(f"stopped at step {session.total_steps:,}; {options.record} is complete up to there")
        return 130
    print(f"{options.record}: {session.total_steps:,} steps, {frames:,} frames, {_size(options.record)}")
    return 0


def film_training(options: Options, stack: ExitStack) -> int:
    """Film a run's agents side by side, as it was at the start, on the way and at the end."""
    from viewer import film
    from viewer.attach import find_run

    assert options.film is not None
    run = find_run(options.film, options.runs_dir)
    found, missing = film.takes(run)
    path = options.record or film.default_path(run)
    if options.record is None:
        _check_film(path, options)
    agents = [players.load(take.folder) for take in found]
    rules = players.rules_for(agents[-1].env_id or envs.DEFAULT_ENV, agents[-1])
    options = replace(options, seed=_seed(options))
    sessions = [open_session(options, agent, rules) for agent in agents]
    for session in sessions:
        stack.callback(session.env.close)
    print(f"{', '.join(take.title for take in found)} of {run}, seed {options.seed}, epsilon {sessions[0].epsilon:g}")
    if missing:
        print(f"without {', '.join(missing)}: the run is not there yet, or is older than films are")
    frames_per_step = envs.protocol(rules.env_id, rules.protocol).frames_per_step
    reel = film.Reel(found, sessions, rules.env_id, rules.told, frames_per_step)
    try:
        frames = film.make(reel, path, steps=options.steps, fps=options.fps)
    except KeyboardInterrupt:
        print(f"stopped; {path} is complete up to there")
        return 130
    print(f"{path}: {frames:,} frames, {_size(path)}; {reel.told()}")
    return 0


def _title(session: Session, rules: players.Rules) -> str:
    assert session.policy is not None
    where = rules.env_id + (f" ({rules.told})" if rules.told else "")
    return f"{session.policy.name} in {where}, seed {session.seed}, epsilon {session.epsilon:g}"


def _size(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.1f} MB"


def play_scored(options: Options, session: Session, rules: players.Rules) -> int:
    """Let a person play scored episodes; each full one is in the ledger the moment it ends."""
    from viewer import ledger
    from viewer.trial import Trial
    from viewer.window import Window

    ledger.check(options.runs_dir)
    view = _view(session, rules, locked=True)
    view.trial = Trial(session, options.episodes or 1, _recorder(options, rules, view))
    Window(view, max_steps=options.steps).run()
    for number, score in enumerate(view.trial.finished, start=1):
        eaten = f" ({score.apples} apples, {score.poison} poison)" if score.apples is not None else ""
        frames = f" ({score.frames:,} frames)" if score.frames is not None else ""
        print(f"episode {number}: return {score.episode_return:g}{eaten} in {score.steps:,} steps{frames}")
    if view.trial.finished:
        print(f"recorded in {options.runs_dir / ledger.FILE_NAME}; {NEXT}")
    else:
        print("no episode was played to its end, so none was recorded")
    return 0


def _recorder(options: Options, rules: players.Rules, view: View) -> Callable[[Score], None]:
    """Return the function that writes a full episode to the ledger."""
    from viewer import ledger

    name = options.name or _login()

    def write(score: Score) -> None:
        entry = ledger.Entry(
            name=name, date=ledger.now(), env_id=rules.env_id, protocol=rules.protocol, seed=score.seed,
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
