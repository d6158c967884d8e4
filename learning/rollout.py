"""Rollouts: learning from the newest transitions only, with returns that look many steps ahead."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from common.files import load_arrays, save_arrays
from learning.config import RolloutConfig
from learning.replay import RECORD_BYTES, Batch

SAVED = ("obs", "action", "reward", "discount", "value", "ended", "present")


def q_lambda(
    reward: NDArray[np.float32],
    discount: NDArray[np.float32],
    value: NDArray[np.float32],
    ended: NDArray[np.bool_],
    lam: float,
) -> NDArray[np.float32]:
    """Return Peng's Q(lambda) returns: G = r + discount * ((1 - lam) * V' + lam * G').

    Where an episode ended, and at the rollout's end, G' is V'. lam 0 is one step of Q-learning, 1 the
    whole rollout's return. Peng and Williams 1994; as in Gallici et al. 2024, arXiv:2407.04811.

    Args:
        reward: (T, N).
        discount: (T, N) gamma, 0 where the episode terminated.
        value: (T, N) expectation of the best action in the true next observation.
        ended: (T, N) the episode ended there, terminated or truncated.
        lam: weight of the sampled return over the expectation.
    """
    returns = np.empty_like(reward)
    following = value[-1]  # G of the next step
    for t in range(len(reward) - 1, -1, -1):
        ahead = np.where(ended[t], value[t], (1 - lam) * value[t] + lam * following)
        following = returns[t] = reward[t] + discount[t] * ahead
    return returns


class Rollout:
    """T steps of N environments, turned into returns, learnt from in shuffled minibatches, then discarded."""

    label = "rollout"

    def __init__(
        self,
        config: RolloutConfig,
        space: spaces.Box,
        stack: int,
        rng: np.random.Generator,
        device: str,
        storage: str | None,
        value: Callable[[NDArray[Any]], NDArray[np.float64]],
    ) -> None:
        self.config, self.rng, self.device, self._value = config, rng, device, value
        self.warm_up = 0
        steps, num_envs = config.rollout_steps, config.num_envs
        self.obs = np.zeros((steps, num_envs, *space.shape), space.dtype)
        self.action = np.zeros((steps, num_envs), np.int64)
        self.reward, self.discount, self.value = (np.zeros((steps, num_envs), np.float32) for _ in range(3))
        self.ended = np.zeros((steps, num_envs), np.bool_)
        self.present = np.zeros((num_envs, *space.shape), space.dtype)
        self.filled = 0

    @staticmethod
    def bytes_needed(config: RolloutConfig, space: spaces.Box, stack: int) -> int:
        """Return the memory that a rollout takes, bytes; while it is learnt from it is there twice."""
        assert space.dtype is not None
        record = int(np.prod(space.shape)) * space.dtype.itemsize + RECORD_BYTES
        return 2 * config.rollout_steps * config.num_envs * record

    @staticmethod
    def rehearsal(config: RolloutConfig) -> RolloutConfig:
        """Return settings for timing: shorter rollouts with fewer minibatches, each as large as before."""
        for minibatches in range(min(2, config.minibatches), config.minibatches):
            if config.rollout_steps * minibatches % config.minibatches == 0:
                steps = config.rollout_steps * minibatches // config.minibatches
                return dataclasses.replace(config, rollout_steps=steps, minibatches=minibatches)
        return config

    def reset(self, obs: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> None:
        """Take the first observations of new episodes, and value the last ones of those that ended."""
        if mask is None:
            self.present[:] = obs
            return
        last = self.filled - 1
        self.ended[last, mask] = True
        self.value[last, mask] = self._value(self.present[mask])
        self.present[mask] = obs[mask]

    def add(self, action: NDArray[Any], reward: NDArray[Any], discount: NDArray[Any], next_obs: NDArray[Any]) -> None:
        """Take one step of all environments."""
        t = self.filled
        self.obs[t], self.action[t], self.reward[t], self.discount[t] = self.present, action, reward, discount
        self.ended[t] = False
        self.present[:] = next_obs
        self.filled += 1

    def batches(self, q_values: NDArray[np.float64]) -> Iterator[Batch]:
        """Yield the minibatches of all epochs when the rollout is full; nothing before."""
        if self.filled == 0:
            return
        last = self.filled - 1
        going_on = ~self.ended[last]  # the present observation is the next one of the last step
        self.value[last, going_on] = q_values.max(1)[going_on]
        if self.filled < self.config.rollout_steps:
            return
        self.filled = 0
        returns = q_lambda(self.reward, self.discount, self.value, self.ended, self.config.q_lambda)
        size = returns.size
        obs = torch.from_numpy(self.obs.reshape(size, *self.obs.shape[2:])).to(self.device)
        action = torch.from_numpy(self.action.reshape(size)).to(self.device)
        td_target = torch.from_numpy(returns.reshape(size)).to(self.device)
        # the return is whole: nothing is left to bootstrap, so no next observation is looked at
        nothing, even = torch.zeros_like(td_target), torch.ones_like(td_target)
        for _ in range(self.config.epochs):
            order = torch.from_numpy(self.rng.permutation(size)).to(self.device)
            for chosen in order.chunk(self.config.minibatches):
                frames = obs[chosen]
                count = len(chosen)
                yield Batch(frames, action[chosen], td_target[chosen], nothing[:count], frames, even[:count])

    def updated(self, batch: Batch, priority: Tensor) -> None:
        """Do nothing: there are no priorities."""

    def refill(self, steps: int) -> None:
        """Do nothing: a rollout begins empty anyway."""

    def save(self, folder: Path) -> None:
        """Write the unfinished rollout."""
        named = {name: getattr(self, name) for name in SAVED}
        save_arrays(folder / "rollout.safetensors", {**named, "filled": np.array([self.filled])})

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote."""
        named = load_arrays(folder / "rollout.safetensors")
        for name in SAVED:
            getattr(self, name)[:] = named[name]
        self.filled = int(named["filled"][0])
