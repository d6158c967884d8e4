"""The one way to an environment: ids are resolved, checked and made here."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import DtypeObservation, FlattenObservation

from common.errors import UserError, unknown
from envs.adapters import WORLDS, WorldEnv

NAMESPACE = "tidepool"
DEFAULT_ENV = f"{NAMESPACE}/Waterworld-v1"
# Ticks of an episode. Waterworld: 30 s at normal speed. RLDemo: the length of the golden recording; its
# published references are means over long runs, so its episodes are long too.
EPISODE_STEPS = {"Waterworld-v0": 1000, "Waterworld-v1": 1000, "RLDemo-v0": 5000}


def register() -> None:
    """Make the worlds known to `gymnasium.make` and `gymnasium.make_vec`."""
    for world in WORLDS:
        gymnasium.register(
            id=f"{NAMESPACE}/{world}",
            entry_point="envs.adapters:WorldEnv",
            vector_entry_point="envs.adapters:WorldVectorEnv",
            max_episode_steps=EPISODE_STEPS[world],
            # Gymnasium's run-time checker would refuse -1, a person's "no key"
            disable_env_checker=True,
            kwargs={"world": world},
        )


def resolve(env_id: str) -> str:
    """Return the registered id that a person means: ``Waterworld-v1`` is ``tidepool/Waterworld-v1``.

    Raises:
        UserError: no such environment; the message names the nearest ones.
    """
    known = gymnasium.registry
    for candidate in (env_id, f"{NAMESPACE}/{env_id}"):
        if candidate in known:
            return candidate
    # plain names win over namespaced ones, late versions over early ones
    by_preference = sorted(known, key=lambda name: ("/" not in name, name))
    bare = {re.sub(r"-v\d+$", "", name.split("/")[-1]): name for name in by_preference}
    if env_id in bare:  # a name without its version
        raise UserError(f"unknown environment '{env_id}'; did you mean {bare[env_id]}?")
    ours = [f"{NAMESPACE}/{world}" for world in WORLDS] + list(WORLDS)
    raise unknown("environment", env_id, [*ours, *known])


def protocol(env_id: str) -> str:
    """Return the name of the protocol under which an episode of this environment is scored."""
    world = env_id.removeprefix(f"{NAMESPACE}/")
    if world in EPISODE_STEPS:
        return f"{world.split('-')[0].lower()}-{EPISODE_STEPS[world]}"
    return "gymnasium-default"


def action_names(env: gymnasium.Env[Any, Any]) -> tuple[str, ...]:
    """Return the name of each action of an environment; numbers where it has no names."""
    if isinstance(env.unwrapped, WorldEnv):
        return env.unwrapped.action_names
    assert isinstance(env.action_space, spaces.Discrete)  # `make` refuses all others
    return tuple(str(action) for action in range(int(env.action_space.n)))


def make(env_id: str, render_mode: str | None = None, **options: Any) -> gymnasium.Env[Any, Any]:
    """Return one environment that gives the same observations as `make_vec`'s.

    Raises:
        UserError: an unknown id, an environment whose packages are missing, or whose actions are not discrete.
    """
    name = resolve(env_id)
    if render_mode is not None:  # not every environment knows the word
        options["render_mode"] = render_mode
    try:
        with _originals_are_not_out_of_date():
            env = gymnasium.make(name, **options)
    except (gymnasium.error.Error, ImportError, TypeError, ValueError) as error:
        raise UserError(f"{name} can't be made: {error}") from None
    return _checked(env, name)


def make_vec(env_id: str, num_envs: int, seed: int | None = None, **options: Any) -> VectorEnv[Any, Any, Any]:
    """Return N environments that never reset themselves; with a seed, already reset with seed + i.

    Observations are flat float32 vectors (N, D). Any Gymnasium id with discrete actions will do.

    Raises:
        UserError: as `make`.
    """
    name = resolve(env_id)
    if num_envs < 1:
        raise UserError(f"--num-envs {num_envs} is out of range; at least 1 is needed")
    if gymnasium.spec(name).vector_entry_point == "envs.adapters:WorldVectorEnv":
        with _originals_are_not_out_of_date():
            envs: VectorEnv[Any, Any, Any] = gymnasium.make_vec(name, num_envs, **options)
    else:
        envs = SyncVectorEnv(
            [lambda: make(name, **options) for _ in range(num_envs)], autoreset_mode=AutoresetMode.DISABLED
        )
    if seed is not None:
        envs.reset(seed=seed)
    return envs


@contextmanager
def _originals_are_not_out_of_date() -> Iterator[None]:
    """Silence Gymnasium's advice to leave a v0 that has a v1: ours is the original, and stays."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*out of date.*", DeprecationWarning)
        yield


def _checked(env: gymnasium.Env[Any, Any], name: str) -> gymnasium.Env[Any, Any]:
    """Return the environment with a flat float32 observation, or refuse it."""
    if not isinstance(env.action_space, spaces.Discrete):
        env.close()
        raise UserError(f"{name} has actions {env.action_space}; only discrete actions can have one Q value each")
    space = env.observation_space
    if not (isinstance(space, spaces.Box) and len(space.shape) == 1):
        env = FlattenObservation(env)  # one-hot for Discrete, concatenation for Tuple and Dict
    if env.observation_space.dtype != np.float32:
        env = DtypeObservation(env, np.float32)
    return env
