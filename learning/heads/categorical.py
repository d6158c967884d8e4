"""C51: probabilities of fixed returns. Bellemare et al. 2017, arXiv:1707.06887.

The network outputs, for each action, how likely each of N evenly spaced returns ("atoms") is. A reward moves
all atoms, a discount draws them together; where they come to lie between two atoms, their probability is
shared by both, the nearer one taking more. The loss is the cross-entropy to the distribution that results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from learning.heads.base import Head, NextPolicy, QOutput, select

if TYPE_CHECKING:
    from learning.config import FamilyConfig


class Categorical(Head):
    """The numbers are log-probabilities of the returns v_min to v_max."""

    atoms: Tensor

    def __init__(self, config: FamilyConfig) -> None:
        super().__init__(config)
        self.numbers = config.num_atoms
        self.register_buffer("atoms", torch.linspace(*config.support, config.num_atoms), persistent=False)

    def forward(self, numbers: Tensor, fractions: Tensor | None) -> QOutput:
        """Return the means, (B, A), of distributions with logits (B, A, N)."""
        return QOutput(functional.softmax(numbers, -1) @ self.atoms, self.atoms, numbers)

    @staticmethod
    def backup(
        following: QOutput, policy: NextPolicy, reward: Tensor, discount: Tensor, config: FamilyConfig
    ) -> Tensor:
        """Return the probabilities, (B, N), of the mixture of the next actions' distributions, moved onto the atoms."""
        assert following.returns is not None
        assert following.logits is not None
        returns = following.returns + policy.bonus.unsqueeze(-1)  # (B, A, N)
        moved = reward.view(-1, 1, 1) + discount.view(-1, 1, 1) * returns
        likely = policy.probability.unsqueeze(-1) * functional.softmax(following.logits, -1)
        return project(moved.flatten(1), likely.flatten(1), following.returns)

    @staticmethod
    def regress(said: QOutput, action: Tensor, goal: Tensor, config: FamilyConfig) -> tuple[Tensor, Tensor]:
        """Return the divergence of what was said from the goal, (B,)."""
        assert said.logits is not None
        loss = divergence(select(said.logits, action), goal)
        return loss, loss.detach()


def project(returns: Tensor, probabilities: Tensor, atoms: Tensor) -> Tensor:
    """Return probabilities (B, N) of the atoms (N,) for returns (B, M) with probabilities (B, M); the mean is kept.

    A return beyond the atoms' ends counts as the end.
    """
    spacing = (atoms[-1] - atoms[0]) / (len(atoms) - 1)
    place = ((returns - atoms[0]) / spacing).clamp(0, len(atoms) - 1)  # in units of atoms
    below = place.floor().clamp(max=len(atoms) - 2)
    above_share = place - below
    index = below.nan_to_num().long()  # what is no number stays none in its share, and the trainer says so
    out = probabilities.new_zeros(len(returns), len(atoms))
    out.scatter_add_(1, index, probabilities * (1 - above_share))
    out.scatter_add_(1, index + 1, probabilities * above_share)
    return out


def divergence(logits: Tensor, goal: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of softmax(logits) from the goal, both (B, N), as (B,).

    It is the papers' cross-entropy less the goal's own entropy: the same gradient, and 0 for what is perfect,
    which is what a priority should be.
    """
    return functional.kl_div(functional.log_softmax(logits, -1), goal, reduction="none").sum(-1).clamp(min=0)
