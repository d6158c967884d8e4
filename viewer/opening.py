"""From the options of play.py to a player, a session and a view."""

from __future__ import annotations

from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium
import numpy as np

import envs
from common.errors import UserError
from viewer.options import Options, hidden_panels
from viewer.playing import players

if TYPE_CHECKING:  # these load pygame and torch; a mistyped option is reported before
    from learning.policy import Policy
    from viewer.playing.attach import LiveAgent
    from viewer.playing.session import Session
    from viewer.view import View


class Player(NamedTuple):
    """Who plays. Without a policy a human plays, or a random policy."""

    policy: Policy | None
    source: Path | None = None  # where it was loaded from
    env_id: str | None = None  # the environment, if the options name one


def open_player(options: Options, stack: ExitStack) -> Player:
    """Return who plays; an attached run is released when ``stack`` is closed."""
    if options.attach is not None:
        return Player(_attached(options, stack))
    if options.learn is not None:
        return _online_learner(options)
    return _trained_agent(options)


def _online_learner(options: Options) -> Player:
    """Return a new agent, which learns in the window."""
    import torch

    from viewer.learning.online_learner import OnlineLearner

    assert options.learn is not None
    torch.set_num_threads(1)
    named = _named_env(options)
    if options.run and (named is None or options.env_id):
        raise UserError(
            f"--learn starts a new agent, and {options.run} is no environment; to let a trained agent learn on, open it"
            " without --learn and press L"
        )
    env_id = named or envs.DEFAULT_ENV
    learner = OnlineLearner.fresh(options.learn, env_id, seed=seed_of(options), env_kwargs=options.env_kwargs)
    learner.learning = True
    return Player(learner, None, env_id)


def _attached(options: Options, stack: ExitStack) -> LiveAgent:
    """Return the player that follows a run in training, until ``stack`` is closed."""
    import torch

    from viewer.playing.attach import LiveAgent, find_run

    assert options.attach is not None
    torch.set_num_threads(1)  # the trainer needs the others
    run = find_run(options.attach, options.runs_dir)
    agent = stack.enter_context(closing(LiveAgent(run)))
    print(f"attached to {run}: {agent.status().text}")
    return agent


def _trained_agent(options: Options) -> Player:
    """Return the agent that the options name, else the newest; with --human only one that they name, for its rules."""
    named = _named_env(options)
    given = Path(options.run) if options.run and (named is None or options.env_id) else options.agent_file
    if options.human and given is None:
        return Player(None, None, named)
    if given is not None or named is None:
        path: Path | None = players.find_agent(given, options.runs_dir)
    else:
        path = players.trained_in(named, options.runs_dir)
    return Player(None if path is None else players.load(path), path, named)


def _named_env(options: Options) -> str | None:
    """Return the environment that the options name, as one or where a run could be named; None: they name none."""
    named = players.named_env(options.run, options.runs_dir)
    if named is not None and options.env_id is not None:
        raise UserError(f"{options.run} and --env-id {options.env_id} are two environments; give one of them")
    return named or (envs.resolve_typed(options.env_id) if options.env_id else None)


def open_session(options: Options, policy: Policy | None, rules: players.Rules) -> Session:
    """Return the session: the environment made, the agent checked against it, the first episode started.

    Without a policy a random one plays, unless a human does.
    """
    from viewer.playing.session import Session

    env = make_env(rules, options.sound or films_sound(options, rules))
    if policy is None and not options.human:
        from agents.policy import RandomPolicy

        print(
            f"no agent has been trained in {rules.env_id} yet, so a random policy plays; "
            f"train one: python train.py {rules.env_id}"
        )
        policy = RandomPolicy(int(env.action_space.n), env.observation_space)  # type: ignore[attr-defined]
    return Session(
        env,
        policy,
        seed=seed_of(options),
        epsilon=epsilon_of(options, policy),
        speed=options.speed,
        action_names=envs.action_names(env),
    )


def films_sound(options: Options, rules: players.Rules) -> bool:
    """Return whether a film is to be made that has the game's sound."""
    kind = ".mp4" if options.record is None else options.record.suffix.lower()
    filmed = (options.record or options.film) is not None
    return filmed and kind == ".mp4" and options.speed == 1.0 and envs.is_atari(rules.env_id)


def make_env(rules: players.Rules, sound: bool = False) -> gymnasium.Env[Any, Any]:
    """Return the environment, with pictures where it can draw them, and with sound where that is asked for."""
    if sound and not envs.is_atari(rules.env_id):
        raise UserError(f"{rules.env_id} makes no sound, only Atari games do; leave --sound out")
    options = {**rules.env_options, **({"sound": True} if sound else {})}
    try:
        return envs.make(rules.env_id, render_mode="rgb_array", **options)
    except UserError:
        # it can't draw itself; its Q values can be watched all the same
        return envs.make(rules.env_id, **options)


def seed_of(options: Options) -> int:
    """Return the seed of the first episode: a random one if none is given."""
    if options.seed is not None:
        return options.seed
    return int(np.random.SeedSequence().generate_state(1)[0]) % 1_000_000


def epsilon_of(options: Options, policy: Policy | None) -> float:
    """Return the share of random actions: as in the policy's evaluation if none is given."""
    return options.epsilon if options.epsilon is not None else getattr(policy, "default_epsilon", 0.0)


def open_view(options: Options, session: Session, rules: players.Rules, source: Path | None = None) -> View:
    """Return all that the window shows, with the panels that the options name, else those of the last time."""
    from viewer import settings
    from viewer.drawing.theme import Theme
    from viewer.panels import PANELS, View
    from viewer.playing.human_control import HumanControl
    from viewer.playing.keys import keys_for

    control = HumanControl(session, keys_for(session.action_names), locked=options.human)
    live: Any = session.policy if options.attach is not None else None
    view = View(session, control, rules.env_id, protocol=rules.label, live=live, source=source)
    view.env_kwargs, view.runs_dir = options.env_kwargs, options.runs_dir
    found = settings.restore(view, [panel.name for panel in PANELS])
    Theme.use(options.theme or found.theme)
    hidden = hidden_panels(options)
    if options.panels is not None and hidden and len(hidden) < len(PANELS):
        wanted = [name.strip() for name in options.panels.split(",")]
        view.asked = [name for name in reversed(wanted) if name]  # the first one named is the last to be left out
    view.hidden = view.hidden if hidden is None else hidden
    return view
