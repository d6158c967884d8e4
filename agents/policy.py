"""Policies that need no training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.policy import Policy

__all__ = ["Policy", "RandomPolicy"]


class RandomPolicy:
    """Uniform over the actions, whatever it sees; the zero of every score table."""

    name = "random"
    env_id: str | None = None
    default_epsilon = 0.0

    def __init__(self, num_actions: int) -> None:
        """``num_actions`` is the size of the environment's discrete action space."""
        self.num_actions = num_actions

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64] | None:
        """Return None: it has no expectations."""
        return None

    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return uniform actions (B,); ``epsilon`` changes nothing."""
        return rng.integers(0, self.num_actions, len(obs))
