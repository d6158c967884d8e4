"""Policies that need no training."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

import envs
from learning.networks import random_actions
from learning.policy import Policy

__all__ = ["Policy", "RandomPolicy"]


class RandomPolicy:
    """Uniform over the actions, those allowed if its observations say it; the zero of every score table."""

    name = "random"
    env_id: str | None = None
    default_epsilon = 0.0

    def __init__(self, num_actions: int, space: spaces.Space[Any] | None = None) -> None:
        """``num_actions`` is the size of the environment's discrete action space, ``space`` that of observations."""
        self.num_actions, self.space = num_actions, space

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64] | None:
        """Return None: it has no expectations."""
        return None

    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return uniform actions (B,); ``epsilon`` changes nothing."""
        allowed = None if self.space is None else envs.allowed(self.space, obs)
        return random_actions(len(obs), self.num_actions, rng, allowed)
