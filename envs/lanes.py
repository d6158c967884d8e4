"""Gymnasium environments one after the other, as a vector environment that costs little beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray


class Lanes(SyncVectorEnv):
    """Gymnasium's `SyncVectorEnv` for observations that are arrays: the same results in less time.

    Nothing is reset behind the caller's back (`AutoresetMode.DISABLED`).
    """

    def __init__(self, makers: Sequence[Callable[[], gymnasium.Env[Any, Any]]]) -> None:
        super().__init__(makers, autoreset_mode=AutoresetMode.DISABLED)

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step all environments; what is returned is the caller's."""
        assert not self._autoreset_envs.any(), "an environment whose episode is over has to be reset first"
        count, space = self.num_envs, self.single_observation_space
        obs = np.empty((count, *space.shape), space.dtype)  # type: ignore[misc]
        reward = np.empty(count)
        terminated, truncated = np.empty((2, count), np.bool_)
        infos: dict[str, Any] = {}
        for i, (env, action) in enumerate(zip(self.envs, actions, strict=True)):
            self._env_obs[i], reward[i], terminated[i], truncated[i], info = env.step(action)
            obs[i] = self._env_obs[i]
            if info:
                infos = self._add_info(infos, info, i)
        self._autoreset_envs = terminated | truncated
        return obs, reward, terminated, truncated, infos
