"""What an agent file hands over: a recipe. The registry of them is in `agents`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.config import LearnerConfig
from learning.losses import Loss, Network
from learning.replay import Batch, ReplayExperience
from learning.states import Saved, Saving, States


class Experience(Protocol):
    """What the learner learns from: takes every step of all environments and yields batches."""

    warm_up: int
    """Agent steps before the first batch; until then nothing is learnt and epsilon keeps its first value."""

    def reset(self, obs: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> None:
        """Take the first observations of new episodes, ``obs`` (N, ...), where ``mask`` (N,) holds."""

    def batches(self, q_values: NDArray[np.float64]) -> Iterator[Batch]:
        """Yield the batches that are due now, before the next step; ``q_values`` (N, A) are of the present obs."""

    def updated(self, batch: Batch, priority: Tensor) -> None:
        """Take the priority of each transition of a batch that was learnt from, (B,)."""

    def add(self, action: NDArray[Any], reward: NDArray[Any], discount: NDArray[Any], next_obs: NDArray[Any]) -> None:
        """Take one step of all environments, (N, ...) each; ``discount`` is gamma * (1 - terminated)."""

    def refill(self, steps: int) -> None:
        """Begin empty after so many agent steps, in the place of what was not saved."""

    def write_ahead(self, states: States) -> None:
        """Write what the next state will consist of, where it is much and will not change."""

    def save(self, into: Saving) -> None:
        """Add everything that an exact resume needs to a state."""

    def load(self, saved: Saved, states: States | None = None) -> None:
        """Restore what `save` added; the next states of ``states`` write only what is new."""


class ExperienceType(Protocol):
    """A kind of experience, as a recipe names it."""

    label: str
    """Its name in messages."""

    def __call__(
        self,
        config: Any,
        space: spaces.Box,
        stack: int,
        rng: np.random.Generator,
        device: str,
        storage: str | None,
        value: Callable[[NDArray[Any]], NDArray[np.float64]],
    ) -> Experience:
        """Return an empty one.

        Args:
            config: the recipe's settings.
            space: of one observation.
            stack: frames that an observation is made of; 1: it is no stack.
            rng: of the samples.
            device: where batches go.
            storage: where observations lie; None: there too.
            value: the network's expectation of the best action, (B, ...) -> (B,).
        """

    def bytes_needed(self, config: Any, space: spaces.Box, stack: int) -> int:
        """Return its memory, bytes."""

    def rehearsal(self, config: Any) -> LearnerConfig:
        """Return settings for timing: learning starts at once, in little memory."""


@dataclass(frozen=True)
class Preset:
    """Named values for an agent's settings; those it does not name keep their defaults."""

    about: str
    suits: Literal["atari", "worlds", "control", "pictures"]
    """Made for Atari's frames, for this project's worlds, or for other environments with vectors."""
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """An agent: its settings, its network and its loss."""

    name: str
    paper: str
    config: type[LearnerConfig]
    presets: Mapping[str, Preset]
    network: Callable[[spaces.Box, int, Any, torch.Generator], nn.Module]
    loss: Callable[[Network, Network, Batch, Any], Loss]
    experience: ExperienceType = ReplayExperience
    """What it learns from: a replay, rollouts, or a stream."""
    switches: Mapping[str, Any] = field(default_factory=dict)
    """What distinguishes it from its ancestor, in every preset."""
    learner: Callable[..., Any] | None = None
    """Makes what turns losses into steps, in place of `learning.learner.Learner`."""
    gains_from_gpu: bool = True
    """Whether "--device auto" looks for a GPU; one transition at a time keeps none busy."""
    target_network: bool = True
    """A slower copy of the network evaluates the next observation; False: the loss gets the online network twice."""
