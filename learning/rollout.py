"""Rollouts: learning from the newest transitions only, with returns that look many steps ahead."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from learning.config import RolloutConfig
from learning.replay import RECORD_BYTES, Batch, Picks
from learning.states import Saved, Saving, States
from learning.transfer import Inputs, Present, torch_type

FILE = "rollout.safetensors"
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
        self.config, self.rng, self.device, self._value = config, rng, torch.device(device), value
        self.warm_up = 0
        steps, num_envs = config.rollout_steps, config.num_envs
        self.action = np.zeros((steps, num_envs), np.int64)
        self.reward, self.discount, self.value = (np.zeros((steps, num_envs), np.float32) for _ in range(3))
        self.ended = np.zeros((steps, num_envs), np.bool_)
        self.present = np.zeros((num_envs, *space.shape), space.dtype)
        # with the learner: each is sent there once, as the environment brings it
        self.obs = torch.zeros((steps, *self.present.shape), dtype=torch_type(self.present), device=device)
        self.filled = 0
        self.stack = stack
        self._present: Present | None = None  # in place of `present`, on the device
        self._targets: Inputs | None = None  # what is learnt, on the device

    @staticmethod
    def bytes_needed(config: RolloutConfig, space: spaces.Box, stack: int) -> int:
        """Return the memory that a rollout takes, bytes."""
        assert space.dtype is not None
        record = int(np.prod(space.shape)) * space.dtype.itemsize + RECORD_BYTES
        return config.rollout_steps * config.num_envs * record

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
        if mask is not None:
            self._end(mask)
        if self._present is not None:
            self._present.reset(obs, mask)
        elif mask is None:
            self.present[:] = obs
        else:
            self.present[mask] = obs[mask]

    def _end(self, mask: NDArray[np.bool_]) -> None:
        """End the masked environments' episodes with the last step; value what they ended in."""
        last = self.filled - 1
        self.ended[last, mask] = True
        self.value[last, mask] = 0.0
        # a discount of 0 leaves nothing of what comes after
        if (cut := mask & (self.discount[last] > 0)).any():
            self.value[last, cut] = self._value(self._host_present()[cut])

    def _host_present(self) -> NDArray[Any]:
        """Return the present observations, (N, ...), where NumPy can read them."""
        if self._present is None or self._present.tensor is None:
            return self.present
        present: NDArray[Any] = self._present.tensor.cpu().numpy()
        return present

    def follow(self, present: Present) -> None:
        """Take observations from where they are on the device, and keep that up to date."""
        present.stack = self.stack
        self._present = present

    def add(self, action: NDArray[Any], reward: NDArray[Any], discount: NDArray[Any], next_obs: NDArray[Any]) -> None:
        """Take one step of all environments."""
        t = self.filled
        self.action[t], self.reward[t], self.discount[t], self.ended[t] = action, reward, discount, False
        if self._present is None:
            if self.device.type == "cpu":
                self.obs.numpy()[t] = self.present  # torch would wake its threads for this
            else:
                self.obs[t] = torch.from_numpy(self.present)
            self.present[:] = next_obs
        else:
            assert self._present.tensor is not None
            self.obs[t] = self._present.tensor
            self._present.step(next_obs)
        self.filled += 1

    def batches(self, q_values: NDArray[np.float64]) -> Iterator[Batch]:
        """Yield the minibatches of all epochs when the rollout is full; nothing before.

        Each overwrites the observations of the one before: fresh memory takes seven times as long as the copy.
        """
        if (returns := self._returns(q_values)) is None:
            return
        obs = self.obs.flatten(0, 1)
        gathered = obs.new_empty((-(-len(obs) // self.config.minibatches), *obs.shape[1:]))
        action = torch.from_numpy(self.action.ravel()).to(self.device)
        td_target = torch.from_numpy(returns.ravel()).to(self.device)
        for chosen in self._minibatches():
            chosen = chosen.to(self.device)
            frames = torch.index_select(obs, 0, chosen, out=gathered[: len(chosen)])
            yield self._batch(frames, action, td_target, chosen)

    @staticmethod
    def _batch(frames: Tensor, action: Tensor, td_target: Tensor, chosen: Tensor) -> Batch:
        """Return the batch of some observations, (B, ...), with what is known of their steps, (T * N,)."""
        target = td_target[chosen]
        # the return is whole: nothing is left to bootstrap, so no next observation is looked at
        return Batch(frames, action[chosen], target, torch.zeros_like(target), frames, torch.ones_like(target))

    def picks(self, q_values: NDArray[np.float64]) -> Iterator[Picks]:
        """Yield what these minibatches consist of, for `assemble`."""
        if (returns := self._returns(q_values)) is None:
            return
        targets: dict[str, NDArray[Any]] = {"action": self.action.ravel(), "td_target": returns.ravel()}
        if self._targets is None:
            self._targets = Inputs(targets, self.device)
        else:
            self._targets.load(targets)
        for chosen in self._minibatches():
            yield Picks({"chosen": chosen.numpy()})

    def assemble(self, inputs: Mapping[str, Tensor]) -> Batch:
        """Return the minibatch that was picked, by the device alone."""
        assert self._targets is not None
        targets, chosen = self._targets.tensors, inputs["chosen"]
        return self._batch(self.obs.flatten(0, 1)[chosen], targets["action"], targets["td_target"], chosen)

    def updated_late(self, index: NDArray[np.int64] | None, priority: Tensor) -> None:
        """Do nothing: there are no priorities."""

    def _minibatches(self) -> Iterator[Tensor]:
        """Yield the numbers of the steps of each minibatch, (B,), of all epochs."""
        for _ in range(self.config.epochs):
            yield from torch.from_numpy(self.rng.permutation(self.action.size)).chunk(self.config.minibatches)

    def _returns(self, q_values: NDArray[np.float64]) -> NDArray[np.float32] | None:
        """Return the returns, (T, N), when the rollout is full, and begin the next one; None before."""
        if self.filled == 0:
            return None
        last = self.filled - 1
        going_on = ~self.ended[last]  # the present observation is the next one of the last step
        self.value[last, going_on] = q_values.max(1)[going_on]
        if self.filled < self.config.rollout_steps:
            return None
        self.filled = 0
        return q_lambda(self.reward, self.discount, self.value, self.ended, self.config.q_lambda)

    def updated(self, batch: Batch, priority: Tensor) -> None:
        """Do nothing: there are no priorities."""

    def refill(self, steps: int) -> None:
        """Do nothing: a rollout begins empty anyway."""

    def write_ahead(self, states: States) -> None:
        """Do nothing: a state takes all of it."""

    def save(self, into: Saving) -> None:
        """Add the unfinished rollout to a state."""
        named = {name: getattr(self, name) for name in SAVED}
        named |= {"obs": self.obs.cpu().numpy(), "present": self._host_present()}
        into.add_arrays(FILE, {**named, "filled": np.array([self.filled])})

    def load(self, saved: Saved, states: States | None = None) -> None:
        """Restore what `save` added."""
        named = saved.arrays(FILE)
        self.obs.copy_(torch.from_numpy(named.pop("obs")))
        for name, array in named.items():
            if name in SAVED:
                getattr(self, name)[:] = array
        if self._present is not None:
            self._present.reset(self.present)
        if not 0 <= (filled := int(named["filled"][0])) <= self.config.rollout_steps:
            raise ValueError(f"its rollout has {filled} steps, not at most {self.config.rollout_steps}")
        self.filled = filled
