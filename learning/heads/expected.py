"""One number an action: its expected return. Mnih et al. 2015, doi:10.1038/nature14236."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from learning.errors import ERROR_LOSSES
from learning.heads.base import Head, NextPolicy, QOutput, expected_value, select

if TYPE_CHECKING:
    from learning.config import FamilyConfig


class Expected(Head):
    """The number is the expectation; its error is the temporal difference."""

    numbers = 1

    def forward(self, numbers: Tensor, fractions: Tensor | None) -> QOutput:
        """Return the expectations, (B, A), of numbers (B, A, 1)."""
        return QOutput(numbers.squeeze(-1))

    @staticmethod
    def backup(
        following: QOutput, policy: NextPolicy, reward: Tensor, discount: Tensor, config: FamilyConfig
    ) -> Tensor:
        """Return reward + discount * value of what comes next, (B,)."""
        return reward + discount * expected_value(following, policy)

    @staticmethod
    def regress(said: QOutput, action: Tensor, goal: Tensor, config: FamilyConfig) -> tuple[Tensor, Tensor]:
        """Return the Huber or squared error, (B,), and the absolute error."""
        error = goal - select(said.q_values, action)
        return ERROR_LOSSES[config.loss](error), error.detach().abs()
