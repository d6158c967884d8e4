"""Environments whose observations are numbers of states: what is learnt there needs no generalisation."""

from __future__ import annotations

from gymnasium import spaces

from envs.factory import is_atari, is_world, keywords, make


def is_tabular(env_id: str, env_kwargs: tuple[str, ...] = ()) -> bool:
    """Whether a resolved id is an environment's whose observation is the number of a state, or several such numbers."""
    if is_atari(env_id) or is_world(env_id):
        return False
    env = make(env_id, **keywords(env_kwargs))
    try:
        return _numbers(env.unwrapped.observation_space)
    finally:
        env.close()


def _numbers(space: spaces.Space) -> bool:  # type: ignore[type-arg]
    if isinstance(space, spaces.Tuple):
        return bool(space.spaces) and all(_numbers(part) for part in space.spaces)
    return isinstance(space, spaces.Discrete)
