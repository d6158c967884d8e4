"""What the learner learns from: a replay of all that was lived, or only what was just lived."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from common.files import read_json, write_json
from learning import arrays
from learning.config import LearnerConfig, ReplayConfig
from learning.replay import Batch, Replay
from learning.schedules import linear


class Experience(Protocol):
    """Takes every step of all environments and hands out what is to be learnt from."""

    warm_up: int
    """Agent steps before the first batch; until then nothing is learnt and epsilon stays where it starts."""

    def reset(self, obs: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> None:
        """Take the first observations of new episodes, ``obs`` (N, ...), where ``mask`` (N,) holds."""

    def batches(self, q_values: NDArray[np.float64]) -> Iterator[Batch]:
        """Yield the batches that are due now, before the next step; ``q_values`` (N, A) are of the present obs."""

    def learnt(self, batch: Batch, priority: Tensor) -> None:
        """Hear how surprising each transition of a batch was, (B,)."""

    def add(self, action: NDArray[Any], reward: NDArray[Any], discount: NDArray[Any], next_obs: NDArray[Any]) -> None:
        """Take one step of all environments, (N, ...) each; ``discount`` is gamma * (1 - terminated)."""

    def save(self, folder: Path) -> None:
        """Write everything that going on exactly needs."""

    def load(self, folder: Path) -> None:
        """Become what `save` wrote."""


class Kind(Protocol):
    """A kind of experience, as a recipe names it."""

    noun: str
    """What a person calls it."""

    def __call__(
        self, config: Any, space: spaces.Box, stack: int, rng: np.random.Generator, device: str, storage: str | None,
        value: Callable[[NDArray[Any]], NDArray[np.float64]],
    ) -> Experience:  # fmt: skip
        """Return an empty one.

        Args:
            config: the recipe's settings.
            space: of one observation.
            stack: frames that an observation is made of; 1: it is no stack.
            rng: of what is drawn.
            device: where batches are wanted.
            storage: where observations lie; None: there too.
            value: the network's expectation of the best action, (B, ...) -> (B,).
        """

    def bytes_needed(self, config: Any, space: spaces.Box, stack: int) -> int:
        """Return the memory that it takes, bytes."""

    def rehearsal(self, config: Any) -> LearnerConfig:
        """Return the settings with which learning begins at once, in little memory."""


class Replayed:
    """Batches drawn from a replay, as many as the replay ratio asks for.

    Uniformly (Mnih et al. 2015), or more often what surprised more (Schaul et al. 2015, arXiv:1511.05952).
    """

    noun = "replay"

    def __init__(
        self, config: ReplayConfig, space: spaces.Box, stack: int, rng: np.random.Generator, device: str,
        storage: str | None, value: Callable[[NDArray[Any]], NDArray[np.float64]],
    ) -> None:  # fmt: skip
        self.config, self.rng = config, rng
        exponent = config.priority_exponent if config.prioritized else None
        self.replay = Replay(config.capacity, config.num_envs, space, config.n_step, device, stack, storage, exponent)
        self.warm_up = config.learning_starts
        self.lived = 0  # agent steps
        self.owed = 0.0  # updates that the replay ratio asks for and that are not made yet

    @staticmethod
    def bytes_needed(config: ReplayConfig, space: spaces.Box, stack: int) -> int:
        """Return the memory that the replay takes, bytes."""
        return Replay.bytes_needed(config.capacity, space, stack, config.prioritized)

    @staticmethod
    def rehearsal(config: ReplayConfig) -> ReplayConfig:
        """Return the settings with a small replay from which is learnt at once."""
        # never larger than asked for, so that a capacity that is too small is refused before the start
        capacity = min(config.capacity, max(20_000, 40 * config.num_envs))
        return dataclasses.replace(config, capacity=capacity, learning_starts=5 * config.num_envs)

    def reset(self, obs: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> None:
        """Take the first observations of new episodes."""
        self.replay.reset(obs, mask)

    def add(self, action: NDArray[Any], reward: NDArray[Any], discount: NDArray[Any], next_obs: NDArray[Any]) -> None:
        """Take one step of all environments."""
        self.replay.add(action, reward, discount, next_obs)
        self.lived += len(action)

    def batches(self, q_values: NDArray[np.float64]) -> Iterator[Batch]:
        """Yield as many batches as one step of all environments is worth."""
        config = self.config
        if self.lived <= config.learning_starts:
            return
        self.owed += config.num_envs * config.replay_ratio / config.batch_size
        while self.owed >= 1.0:
            self.owed -= 1.0
            yield self.replay.sample(config.batch_size, self.rng, self.importance_exponent, config.uniform_share)

    def learnt(self, batch: Batch, priority: Tensor) -> None:
        """Draw what was surprising more often from now on, if that is wanted; before the next step is added."""
        if self.replay.priorities is not None:
            assert batch.index is not None
            self.replay.priorities.update(batch.index, priority.detach().cpu().numpy())

    @property
    def importance_exponent(self) -> float:
        """How much of the bias of drawing by priority is weighed out now."""
        config = self.config
        start, end = config.importance_exponent, config.final_importance_exponent
        return linear(start, end, config.total_timesteps, self.lived)

    def save(self, folder: Path) -> None:
        """Write the replay and its counters."""
        arrays.save_replay(folder, self.replay)
        write_json(folder / "experience.json", {"lived": self.lived, "owed": self.owed})

    def load(self, folder: Path) -> None:
        """Become what `save` wrote."""
        arrays.load_replay(folder, self.replay)
        counters = read_json(folder / "experience.json")
        self.lived, self.owed = counters["lived"], counters["owed"]
