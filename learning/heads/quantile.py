"""QR-DQN and IQN: the returns that stand for quantiles. Dabney et al. 2017 and 2018, arXiv:1710.10044, 1806.06923.

The network outputs, for each action, returns such that a given fraction of what may happen lies below each: QR-DQN for
N fixed fractions, IQN for any fractions that it is asked about. Errors to samples of the goal are weighed: an
overestimate of a low quantile costs more than an underestimate, and the other way round for a high one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from learning.errors import huber
from learning.heads.base import Head, NextPolicy, QOutput, select

if TYPE_CHECKING:
    from learning.config import FamilyConfig


class Quantile(Head):
    """The numbers are the returns at the middles of N equal parts of probability."""

    middles: Tensor

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__(config)
        self.numbers = config.num_quantiles
        middles = (torch.arange(config.num_quantiles) + 0.5) / config.num_quantiles
        self.register_buffer("middles", middles.unsqueeze(0), persistent=False)

    def forward(self, numbers: Tensor, fractions: Tensor | None) -> QOutput:
        """Return the means, (B, A), of quantiles (B, A, N)."""
        return QOutput(numbers.mean(-1), numbers, None, self.middles)

    @staticmethod
    def backup(
        following: QOutput, policy: NextPolicy, reward: Tensor, discount: Tensor, config: FamilyConfig
    ) -> Tensor:
        """Return samples of the return, (B, N): quantile by quantile the policy's mean over actions.

        So Vieillard et al. 2020, arXiv:2007.14430, do it for IQN.
        """
        assert following.returns is not None
        returns = following.returns + policy.bonus.unsqueeze(-1)  # (B, A, N)
        value = (policy.probability.unsqueeze(-1) * returns).sum(1)
        return reward.unsqueeze(1) + discount.unsqueeze(1) * value

    @staticmethod
    def regress(said: QOutput, action: Tensor, goal: Tensor, config: FamilyConfig) -> tuple[Tensor, Tensor]:
        """Return the quantile Huber loss, (B,), and the absolute error of the mean."""
        assert said.returns is not None
        assert said.fractions is not None
        returns = select(said.returns, action)  # (B, N)
        surprise = (goal.mean(1) - returns.detach().mean(1)).abs()
        return quantile_huber(returns, said.fractions, goal), surprise


class ImplicitQuantile(Quantile):
    """The number is the return at the fraction that the network was asked about."""

    implicit = True

    def __init__(self, config: FamilyConfig) -> None:
        Head.__init__(self, config)
        self.numbers, self.samples = 1, config.num_quantiles

    def forward(self, numbers: Tensor, fractions: Tensor | None) -> QOutput:
        """Return the means, (B, A), of numbers (B, N, A, 1) for fractions (B, N) or (1, N)."""
        returns = numbers.squeeze(-1).transpose(1, 2)  # (B, A, N)
        return QOutput(returns.mean(-1), returns, None, fractions)


def quantile_huber(returns: Tensor, fractions: Tensor, goal: Tensor) -> Tensor:
    """Return |fraction - (error < 0)| * huber(error), summed over returns, averaged over goals, (B,).

    Args:
        returns: (B, N) at the fractions.
        fractions: (B, N) or (1, N).
        goal: (B, M) samples of what should have been said.
    """
    error = goal.unsqueeze(1) - returns.unsqueeze(2)  # (B, N, M)
    weight = (fractions.unsqueeze(2) - (error.detach() < 0).to(error.dtype)).abs()
    return (weight * huber(error)).mean(2).sum(1)
