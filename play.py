"""Watch an agent play or learn, take over, or play a scored episode yourself; films need no screen."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

import envs
from common.cli import parse, run
from common.errors import UserError
from viewer.options import Options, check, check_film, hidden_panels
from viewer.playing import players

if TYPE_CHECKING:  # these load pygame and torch; a mistyped option is said before
    from envs.emulator import Soundtrack
    from learning.policy import Policy
    from viewer.panels import View
    from viewer.playing.attach import LiveAgent
    from viewer.playing.session import Score, Session
    from viewer.playing.speaker import Speaker

NEXT = "compare with the agents: python compare.py"


def main(argv: Sequence[str]) -> int:
    """Play as the command line says; return 0, or 130 when a film was cut short by Ctrl-C."""
    options = parse(Options, argv, prog="play.py", description=__doc__)
    check(options)
    with ExitStack() as stack:
        if options.film is not None:
            return film_training(options, stack)
        agent, source, named = _player(options, stack)
        env_id = envs.resolve(named or (agent.env_id if agent else None) or envs.DEFAULT_ENV)
        rules = players.rules_for(env_id, agent)
        if options.versus:
            return race(options, agent, rules, stack)
        session = open_session(options, None if options.human else agent, rules)
        stack.callback(session.env.close)
        view = open_view(options, session, rules, source)
        if options.human:
            return play_scored(options, view, rules)
        if options.record is not None:
            return film(options, view, rules)
        return watch(options, view, rules)


def _player(options: Options, stack: ExitStack) -> tuple[Policy | None, Path | None, str | None]:
    """Return who plays, if anybody; where it was loaded from; and the environment, if one is named."""
    if options.attach is not None:
        return _attached(options, stack), None, None
    if options.learn is not None:
        return _online_learner(options)
    return _agent(options)


def _online_learner(options: Options) -> tuple[Policy, None, str]:
    """Return a new agent, which learns in the window."""
    import torch

    from viewer.learning.online_learner import OnlineLearner

    assert options.learn is not None
    torch.set_num_threads(1)
    env_id = envs.resolve(options.env_id or envs.DEFAULT_ENV)
    learner = OnlineLearner.fresh(options.learn, env_id, seed=_seed(options))
    learner.learning = True
    return learner, None, env_id


def _attached(options: Options, stack: ExitStack) -> LiveAgent:
    """Return the player that follows a run in training, until the stack is closed."""
    import torch

    from viewer.playing.attach import LiveAgent, find_run

    assert options.attach is not None
    torch.set_num_threads(1)  # the trainer needs the others
    run = find_run(options.attach, options.runs_dir)
    agent = stack.enter_context(closing(LiveAgent(run)))
    print(f"attached to {run}: {agent.status().text}")
    return agent


def _agent(options: Options) -> tuple[Policy | None, Path | None, str | None]:
    """Return the agent that plays, or by whose rules a person does, if any; its place; the environment if named."""
    named = players.named_env(options.run, options.runs_dir)
    if named is not None and options.env_id is not None:
        raise UserError(f"{options.run} and --env-id {options.env_id} are two environments; give one of them")
    given = Path(options.run) if options.run and named is None else options.agent_file
    named = named or (envs.resolve(options.env_id) if options.env_id else None)
    if options.human and given is None:
        return None, None, named
    if given is not None or named is None:
        path: Path | None = players.find_agent(given, options.runs_dir)
    else:
        path = players.trained_in(named, options.runs_dir)
    return (None if path is None else players.load(path)), path, named


def open_session(options: Options, policy: Policy | None, rules: players.Rules) -> Session:
    """Return the session: the environment made, the agent checked against it, the first episode begun.

    Without a policy chance plays, unless a person does.
    """
    from viewer.playing.session import Session

    env = _environment(rules, options.sound)
    if policy is None and not options.human:
        from agents.policy import RandomPolicy

        print(f"no agent was trained in {rules.env_id} yet, so chance plays; train one: python train.py {rules.env_id}")
        policy = RandomPolicy(int(env.action_space.n))  # type: ignore[attr-defined]
    seed = _seed(options)
    epsilon = options.epsilon if options.epsilon is not None else getattr(policy, "default_epsilon", 0.0)
    return Session(env, policy, seed=seed, epsilon=epsilon, speed=options.speed, action_names=envs.action_names(env))


def _environment(rules: players.Rules, sound: bool = False) -> gymnasium.Env[Any, Any]:
    if sound and not envs.is_atari(rules.env_id):
        raise UserError(f"{rules.env_id} makes no sound, only Atari games do; leave --sound out")
    options = {**rules.env_options, **({"sound": True} if sound else {})}
    try:
        return envs.make(rules.env_id, render_mode="rgb_array", **options)
    except UserError:
        # it draws nothing; its Q values can be watched all the same
        return envs.make(rules.env_id, **options)


def _seed(options: Options) -> int:
    if options.seed is not None:
        return options.seed
    return int(np.random.SeedSequence().generate_state(1)[0]) % 1_000_000


def open_view(options: Options, session: Session, rules: players.Rules, source: Path | None = None) -> View:
    """Return all that the window shows, its panels as they were left, or as asked for."""
    from viewer import settings
    from viewer.panels import PANELS, View
    from viewer.playing.human_control import HumanControl
    from viewer.playing.keys import keys_for

    hands = HumanControl(session, keys_for(session.action_names), locked=options.human)
    live: Any = session.policy if options.attach is not None else None
    view = View(session, hands, rules.env_id, protocol=rules.told, live=live, source=source, runs_dir=options.runs_dir)
    settings.recall(view, [panel.name for panel in PANELS])
    hidden = hidden_panels(options)
    view.hidden = view.hidden if hidden is None else hidden
    return view


def show(options: Options, view: View) -> None:
    """Open the window until it is closed, and remember how it was left."""
    from viewer import settings
    from viewer.window import Window

    speaker = _speaker(view)
    window = Window(
        view, max_steps=options.steps, max_episodes=options.episodes, size=settings.load().size, speaker=speaker
    )
    try:
        window.run()
    finally:
        if speaker is not None:
            speaker.close()
        if options.panels is None:
            settings.save(view, window.chosen)


def _speaker(view: View) -> Speaker | None:
    """Return what lets the played game be heard; None if it is mute. Beside an agent it is the person's."""
    track: Soundtrack | None = getattr(view.human_control.session.env.unwrapped, "soundtrack", None)
    if track is None:
        return None
    from envs.emulator import SAMPLE_RATE
    from viewer.playing.speaker import Speaker

    view.muted = False
    return Speaker(track.take, SAMPLE_RATE)


def watch(options: Options, view: View, rules: players.Rules) -> int:
    """Open the window on an agent."""
    session = view.session
    print(_title(session, rules))
    show(options, view)
    if session.results:
        returns = [score.episode_return for score in session.results]
        print(f"{len(returns)} full episodes, mean return {np.mean(returns):.1f}; {NEXT}")
    return 0


def race(options: Options, agent: Policy | None, rules: players.Rules, stack: ExitStack) -> int:
    """Open the window on a person beside the agent, in two worlds of the same seed."""
    from viewer.playing.human_control import HumanControl
    from viewer.playing.keys import keys_for
    from viewer.playing.versus import Versus

    if agent is None:
        raise UserError(f"no agent was trained in {rules.env_id} yet; train one: python train.py {rules.env_id}")
    envs_made = [_environment(rules), _environment(rules, options.sound)]  # the person's is heard
    epsilon = options.epsilon if options.epsilon is not None else getattr(agent, "default_epsilon", 0.0)
    versus = Versus(
        iter(envs_made).__next__,
        agent,
        seed=_seed(options),
        epsilon=epsilon,
        speed=options.speed,
        action_names=envs.action_names(envs_made[0]),
    )
    stack.callback(versus.close)
    view = open_view(options, versus.agent, rules)
    view.versus, view.human_control = versus, HumanControl(versus.human, keys_for(versus.human.action_names))
    print(f"you against {_title(versus.agent, rules)}")
    show(options, view)
    for number, pair in enumerate(versus.results, start=1):
        print(f"episode {number}: you {pair.human.episode_return:g}, the agent {pair.agent.episode_return:g}")
    return 0


def film(options: Options, view: View, rules: players.Rules) -> int:
    """Write what the window would show."""
    from viewer.video import record

    assert options.record is not None
    session = view.session
    print(_title(session, rules))
    try:
        frames = record.record(view, options.record, steps=options.steps, episodes=options.episodes, fps=options.fps)
    except KeyboardInterrupt:
        print(f"stopped at step {session.total_steps:,}; {options.record} is complete up to there")
        return 130
    print(f"{options.record}: {session.total_steps:,} steps, {frames:,} frames, {_size(options.record)}")
    return 0


def film_training(options: Options, stack: ExitStack) -> int:
    """Film a run's agents side by side, as it was at the start, on the way and at the end."""
    from viewer.playing.attach import find_run
    from viewer.video import film

    assert options.film is not None
    run = find_run(options.film, options.runs_dir)
    found, missing = film.takes(run)
    path = options.record or film.default_path(run)
    if options.record is None:
        check_film(path, options)
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


def play_scored(options: Options, view: View, rules: players.Rules) -> int:
    """Let a person play scored episodes; each full one is in the ledger the moment it ends."""
    from viewer.playing import human_scores
    from viewer.playing.scored_play import ScoredPlay

    human_scores.check(options.runs_dir)
    view.scored_play = ScoredPlay(view.session, options.episodes or 1, _recorder(options, rules, view))
    show(replace(options, episodes=None), view)
    for number, score in enumerate(view.scored_play.finished, start=1):
        eaten = f" ({score.apples} apples, {score.poison} poison)" if score.apples is not None else ""
        frames = f" ({score.frames:,} frames)" if score.frames is not None else ""
        print(f"episode {number}: return {score.episode_return:g}{eaten} in {score.steps:,} steps{frames}")
    if view.scored_play.finished:
        print(f"recorded in {options.runs_dir / human_scores.FILE_NAME}; {NEXT}")
    else:
        print("no episode was played to its end, so none was recorded")
    return 0


def _recorder(options: Options, rules: players.Rules, view: View) -> Callable[[Score], None]:
    """Return the function that writes a full episode to the ledger."""
    from viewer.playing import human_scores

    name = options.name or _login()

    def write(score: Score) -> None:
        entry = human_scores.Entry(
            name=name,
            date=human_scores.now(),
            env_id=rules.env_id,
            protocol=rules.protocol,
            seed=score.seed,
            episode_return=score.episode_return,
            episode_length=score.steps,
            apples=score.apples,
            poison=score.poison,
        )
        view.note = f"recorded for {name} in {human_scores.append(options.runs_dir, entry)}"

    return write


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user: some containers
        return "player"


if __name__ == "__main__":
    run(main)
