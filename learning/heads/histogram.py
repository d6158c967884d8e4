"""HL-Gauss: regression as classification. Farebrother et al. 2024, arXiv:2403.03950; Imani and White 2018.

The network outputs the probabilities of N bins, and its expectation is their mean, but the distribution is not
that of the return: the goal is *one number*, reward + discount * value, smeared over the neighbouring bins by
a Gaussian. Cross-entropy has gradients of even size whatever the scale of the returns.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from learning.heads.base import NextPolicy, QOutput, expected_value
from learning.heads.categorical import Categorical

if TYPE_CHECKING:
    from learning.config import FamilyConfig


class Histogram(Categorical):
    """The numbers are log-probabilities of bins around the returns v_min to v_max; read as C51's, learnt otherwise."""

    @staticmethod
    def backup(
        following: QOutput, policy: NextPolicy, reward: Tensor, discount: Tensor, config: FamilyConfig
    ) -> Tensor:
        """Return the probabilities of the bins, (B, N), of a Gaussian around the value backed up."""
        assert following.returns is not None
        goal = reward + discount * expected_value(following, policy)
        return smear(goal, following.returns, config.bin_sigma)


def smear(goal: Tensor, centres: Tensor, sigma: float) -> Tensor:
    """Return how much of a Gaussian around each goal (B,) lies in each bin, (B, N), as a share of all bins.

    Args:
        goal: beyond the ends' centres it counts as them, so that its mass never leaves the bins.
        centres: (N,) evenly spaced; the bins reach half a spacing to both sides.
        sigma: of the Gaussian, bins.
    """
    width = (centres[-1] - centres[0]) / (len(centres) - 1)
    edges = torch.cat([centres - width / 2, centres[-1:] + width / 2])  # (N + 1,)
    goal = goal.clamp(centres[0], centres[-1])
    below = 0.5 * (1 + torch.erf((edges - goal.unsqueeze(1)) / (math.sqrt(2) * sigma * width)))  # (B, N + 1)
    mass = below[:, 1:] - below[:, :-1]
    return mass / mass.sum(1, keepdim=True)
