"""The one way to an environment: ids are resolved, checked and made here."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from gymnasium.wrappers import DtypeObservation, FlattenObservation

from common.errors import UserError, unknown
from envs import atari, masks, protocols, rldemo, waterworld  # noqa: F401, the worlds register themselves
from envs.cartpole import CartPoles
from envs.lanes import Lanes
from envs.protocols import Protocol
from envs.world_env import WorldEnv

NAMESPACE = "tidepool"
DEFAULT_ENV = f"{NAMESPACE}/Waterworld-v1"
# Ticks of an episode. Waterworld: 30 s at normal speed. RLDemo: the length of the golden recording; its
# published references are means over long runs, so its episodes are long too.
EPISODE_STEPS = {"Waterworld-v0": 1000, "Waterworld-v1": 1000, "RLDemo-v0": 5000}
# Between these the discounted returns of good and bad swimmers lie, for discounts up to 0.98.
CARTPOLE = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"
RETURNS = {"Waterworld-v0": (-4.0, 8.0), "Waterworld-v1": (-4.0, 8.0)}


def register() -> None:
    """Make the worlds and the Atari games known to Gymnasium."""
    for world in EPISODE_STEPS:
        gymnasium.register(
            id=f"{NAMESPACE}/{world}",
            entry_point="envs.world_env:WorldEnv",
            vector_entry_point="envs.worlds:WorldVectorEnv",
            max_episode_steps=EPISODE_STEPS[world],
            # Gymnasium's run-time checker would reject -1, a human player's "no key"
            disable_env_checker=True,
            kwargs={"world": world},
        )
    atari.register()


def resolve(env_id: str) -> str:
    """Return the registered id that is meant: ``Waterworld-v1`` is ``tidepool/Waterworld-v1``.

    Raises:
        UserError: no such environment; the message names the nearest ones.
    """
    known = gymnasium.registry
    if env_id.startswith(f"{atari.NAMESPACE}/") and not atari.games():
        raise UserError(f"{env_id} needs the Atari emulator: pip install ale-py")
    for candidate in (env_id, f"{NAMESPACE}/{env_id}", f"{atari.NAMESPACE}/{env_id}"):
        if candidate in known and not _old_atari(candidate):
            return candidate
    # plain names win over namespaced ones, late versions over early ones
    by_preference = sorted((name for name in known if not _old_atari(name)), key=lambda name: ("/" not in name, name))
    bare = {_bare(name).lower(): name for name in by_preference}
    meant = re.sub(r"noframeskip|deterministic", "", _bare(env_id).lower())
    if meant in bare:  # a name without its version, or with an old one
        raise UserError(f"unknown environment '{env_id}'; did you mean {bare[meant]}?")
    ours = [f"{NAMESPACE}/{world}" for world in EPISODE_STEPS] + list(EPISODE_STEPS)
    raise unknown("environment", env_id, [*ours, *by_preference])


def _bare(env_id: str) -> str:
    """Return an id without namespace and version."""
    return re.sub(r"-v\d+$", "", env_id.split("/")[-1])


def _old_atari(env_id: str) -> bool:
    """Whether this is one of the ids of before 2021 (``PongNoFrameskip-v4``), whose rules are other ones."""
    spec = gymnasium.registry[env_id]
    return str(spec.entry_point).startswith("ale_py") and spec.namespace is None


def is_atari(env_id: str) -> bool:
    """Whether a resolved id is an Atari game's."""
    return env_id.startswith(f"{atari.NAMESPACE}/")


def is_world(env_id: str) -> bool:
    """Whether a resolved id is one of this project's worlds."""
    return env_id.removeprefix(f"{NAMESPACE}/") in EPISODE_STEPS


def returns(env_id: str) -> tuple[float, float] | None:
    """Return what discounted returns lie between, where that is known."""
    return RETURNS.get(env_id.removeprefix(f"{NAMESPACE}/"))


def protocol(env_id: str, name: str = protocols.DEFAULT) -> Protocol:
    """Return the rules under which an episode is played and evaluated.

    Raises:
        UserError: the environment has no protocol of that name.
    """
    if is_atari(env_id):
        return protocols.atari(name)
    world = env_id.removeprefix(f"{NAMESPACE}/")
    if world in EPISODE_STEPS:
        own = f"{world.split('-')[0].lower()}-{EPISODE_STEPS[world]}"
        return protocols.only_default(name, env_id, Protocol(own, "this project"))
    return protocols.only_default(name, env_id, Protocol("gymnasium-default", "the environment's own registration"))


def options(
    env_id: str, name: str = protocols.DEFAULT, evaluation: bool = True, **preprocessing: Any
) -> dict[str, Any]:
    """Return the options with which `make` and `make_vec` follow a protocol.

    ``preprocessing`` (frame_size, frame_stack) is for Atari's frames and ignored elsewhere.
    """
    rules = protocol(env_id, name)
    return {**(rules.evaluation if evaluation else rules.training), **(preprocessing if is_atari(env_id) else {})}


def action_names(env: gymnasium.Env[Any, Any]) -> tuple[str, ...]:
    """Return the name of each action of an environment; numbers where it has no names."""
    if isinstance(env.unwrapped, WorldEnv | atari.Atari):
        return env.unwrapped.action_names
    assert isinstance(env.action_space, spaces.Discrete)  # `make` rejects all others
    return tuple(str(action) for action in range(int(env.action_space.n)))


def make(env_id: str, render_mode: str | None = None, **options: Any) -> gymnasium.Env[Any, Any]:
    """Return one environment that gives the same observations as `make_vec`'s.

    Raises:
        UserError: an unknown id, an environment whose packages are missing, or whose actions are not discrete.
    """
    name = resolve(env_id)
    if is_atari(name):
        return atari.Atari(name, render_mode, **_rules(name, options))
    if render_mode is not None:  # not every environment knows the word
        options["render_mode"] = render_mode
    mask = options.pop("action_mask", True)
    try:
        with _originals_are_not_out_of_date():
            env = gymnasium.make(name, **options)
    except (gymnasium.error.Error, ImportError, TypeError, ValueError) as error:
        raise UserError(f"{name} can't be made: {error}") from None
    env = _checked(env, name)
    return masks.masked(env, name) if mask and not is_world(name) else env


def make_vec(env_id: str, num_envs: int, seed: int | None = None, **options: Any) -> VectorEnv[Any, Any, Any]:
    """Return N environments that never reset themselves; with a seed, already reset with seed + i.

    Observations are flat float32 vectors (N, D), of Atari games stacks of frames (N, 4, 84, 84) uint8.
    Any Gymnasium id with discrete actions will do.

    Raises:
        UserError: as `make`.
    """
    name = resolve(env_id)
    if num_envs < 1:
        raise UserError(f"--num-envs {num_envs} is out of range; at least 1 is needed")
    envs: VectorEnv[Any, Any, Any]
    if is_atari(name):
        envs = atari.AtariVector(name, num_envs, **_rules(name, options))
    elif gymnasium.spec(name).vector_entry_point == "envs.worlds:WorldVectorEnv":
        with _originals_are_not_out_of_date():
            envs = gymnasium.make_vec(name, num_envs, **options)
    elif (spec := gymnasium.spec(name)).entry_point == CARTPOLE and not {*options, *spec.kwargs} - {"action_mask"}:
        assert spec.max_episode_steps is not None
        envs = CartPoles(num_envs, spec.max_episode_steps)
    else:
        # one of them is checked as it plays: the others do the same
        unchecked = {**options, "disable_env_checker": True}
        envs = Lanes([lambda k=k: make(name, **(unchecked if k else options)) for k in range(num_envs)])  # type: ignore[misc]
    if seed is not None:
        envs.reset(seed=seed)
    return envs


def _rules(env_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a game: those given, the rest from the default protocol's evaluation."""
    return {**protocol(env_id).evaluation, **options}


@contextmanager
def _originals_are_not_out_of_date() -> Iterator[None]:
    """Silence Gymnasium's advice to leave a v0 that has a v1: ours is the original, and stays."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*out of date.*", DeprecationWarning)
        yield


def _checked(env: gymnasium.Env[Any, Any], name: str) -> gymnasium.Env[Any, Any]:
    """Return the environment with a flat float32 observation, or reject it."""
    if not isinstance(env.action_space, spaces.Discrete):
        env.close()
        raise UserError(f"{name} has actions {env.action_space}; only discrete actions can have one Q value each")
    space = env.observation_space
    if not (isinstance(space, spaces.Box) and len(space.shape) == 1):
        env = FlattenObservation(env)  # one-hot for Discrete, concatenation for Tuple and Dict
    if env.observation_space.dtype != np.float32:
        env = DtypeObservation(env, np.float32)
    return env
