"""Actions that an environment allows, where it says so: they become the last numbers of its observation.

Two ways of saying so are understood: ``info["action_mask"]`` of `reset` and `step` (Gymnasium's Taxi), and a method
``action_masks()`` (sb3-contrib). The mask then goes wherever the observation goes: through the replay, into every
batch, into evaluation and the window. A network takes it off again, and expects nothing of actions that are not
allowed (`learning.heads.allow`), so whoever takes a maximum over actions passes them over.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from common.errors import UserError
from envs.foreign import foreign

KEY, METHOD = "action_mask", "action_masks"
_known: dict[str, bool] = {}  # whether an environment says so in its info: found out once


class MaskedBox(spaces.Box):
    """Observations (D + A,) whose last A numbers are 1 where an action is allowed.

    Attributes:
        plain: the space of the observation without them.
        num_actions: A.
    """

    def __init__(self, plain: spaces.Box, num_actions: int) -> None:
        zeros, ones = np.zeros(num_actions, np.float32), np.ones(num_actions, np.float32)
        super().__init__(np.concatenate([plain.low, zeros]), np.concatenate([plain.high, ones]), dtype=np.float32)
        self.plain, self.num_actions = plain, num_actions


def allowed(space: spaces.Space[Any], obs: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return which actions observations (B, ...) of a space allow, (B, A); None: the space says nothing of it."""
    return obs[:, -space.num_actions :] > 0.5 if isinstance(space, MaskedBox) else None


def idle(space: spaces.Space[Any], obs: NDArray[Any]) -> NDArray[np.int64]:
    """Return the first allowed action for each of some observations, (B,): for whom nothing depends on it."""
    mask = allowed(space, obs)
    return np.zeros(len(obs), np.int64) if mask is None else mask.argmax(1)


class ActionMask(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Appends to each observation, a float32 vector, which actions are allowed; where none is said to be, all are."""

    def __init__(self, env: gymnasium.Env[Any, Any], name: str) -> None:
        super().__init__(env)
        assert isinstance(env.observation_space, spaces.Box)
        assert isinstance(env.action_space, spaces.Discrete)
        self.name, self.num_actions = name, int(env.action_space.n)
        self.observation_space = MaskedBox(env.observation_space, self.num_actions)
        self._by_method = env.has_wrapper_attr(METHOD)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        return self._with_mask(obs, info), info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Play one action."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        return self._with_mask(obs, info), reward, terminated, truncated, info

    def _with_mask(self, obs: NDArray[np.float32], info: dict[str, Any]) -> NDArray[np.float32]:
        where = f"{METHOD}()" if self._by_method else f"info['{KEY}']"
        try:
            said = self.env.get_wrapper_attr(METHOD)() if self._by_method else info.get(KEY)
            mask = np.ones(self.num_actions, np.bool_) if said is None else np.asarray(said, np.float32) != 0
        except Exception as error:  # of the environment's own method, or of what it said
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise self._fault(f"{where} gives no mask ({reason}); --action-mask off ignores it") from error
        if mask.shape != (self.num_actions,):
            raise self._fault(
                f"{where} has shape {mask.shape}; ({self.num_actions},) is needed, a value an action;"
                " --action-mask off ignores it"
            )
        return np.concatenate([obs, mask if mask.any() else ~mask], dtype=np.float32)

    def _fault(self, what: str) -> UserError:
        layer = foreign(self.env)
        return UserError(f"{self.name}: {what}") if layer is None else layer.fault(what)


def masked(env: gymnasium.Env[Any, Any], name: str) -> gymnasium.Env[Any, Any]:
    """Return an environment with its masks in its observations, if it has masks and its observations are vectors."""
    space = env.observation_space
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or not _has_masks(env, name):
        return env
    return ActionMask(env, name)


def _has_masks(env: gymnasium.Env[Any, Any], name: str) -> bool:
    if env.has_wrapper_attr(METHOD):
        return True
    key = f"{name} {env.spec.kwargs if env.spec else ''}"
    if key not in _known:
        try:
            _, info = env.reset(seed=0)  # every use begins with another reset
        except Exception:  # the environment's own fault, which its first use will report
            return False
        _known[key] = KEY in info
    return _known[key]
