"""Networks whose output is an expectation: from an observation to the expected return of each action."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn


class QOutput(NamedTuple):
    """What every network returns; distributional heads will add fields, acting never needs them."""

    q_values: Tensor  # (B, A) expected discounted return of each action


class Scale(nn.Module):
    """Bring observations to about [-1, 1] by the bounds of their space; unbounded entries stay as they are."""

    factor: Tensor

    def __init__(self, space: spaces.Box) -> None:
        super().__init__()
        bound = np.maximum(np.abs(space.low), np.abs(space.high)).astype(np.float64)
        usable = np.isfinite(bound) & (bound > 0) & (bound < 1e6)  # 3e38 means "no bound" in Gymnasium
        factor = np.where(usable, 1.0 / np.where(usable, bound, 1.0), 1.0)
        self.register_buffer("factor", torch.as_tensor(factor, dtype=torch.float32))

    def forward(self, obs: Tensor) -> Tensor:
        """Return the scaled observation as float32, same shape."""
        return obs.float() * self.factor


class Expected(nn.Module):
    """A head with one number an action; dueling splits it into the state's value and each action's advantage.

    Dueling: Q = V + A - mean(A), Wang et al. 2016, arXiv:1511.06581. Here both streams read the
    encoder's last layer directly, so that one matrix makes both.
    """

    def __init__(self, width: int, num_actions: int, dueling: bool) -> None:
        super().__init__()
        self.dueling = dueling
        self.linear = nn.Linear(width, num_actions + int(dueling))

    def forward(self, features: Tensor) -> QOutput:
        """Return the Q values, (B, A), of features (B, width)."""
        out = self.linear(features)
        if not self.dueling:
            return QOutput(out)
        advantage, value = out[:, :-1], out[:, -1:]  # (B, A), (B, 1)
        return QOutput(value + advantage - advantage.mean(1, keepdim=True))


class QNetwork(nn.Module):
    """Scaled observation -> fully connected layers with ReLU -> head."""

    def __init__(
        self, space: spaces.Box, num_actions: int, hidden: Sequence[int], dueling: bool, generator: torch.Generator
    ) -> None:
        super().__init__()
        widths = [int(np.prod(space.shape)), *hidden]
        self.scale = Scale(space)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.head = Expected(widths[-1], num_actions, dueling)
        initialise(self, generator)

    def forward(self, obs: Tensor) -> QOutput:
        """Return the expected returns of all actions, (B, A), for observations (B, D)."""
        features = self.scale(obs).flatten(1)
        for layer in self.layers:
            features = torch.relu(layer(features))
        return self.head(features)  # type: ignore[no-any-return]


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw every linear layer from U(-1/sqrt(inputs), 1/sqrt(inputs)), torch's default, but from our generator."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            bound = 1.0 / math.sqrt(module.in_features)
            module.weight.uniform_(-bound, bound, generator=generator)
            module.bias.uniform_(-bound, bound, generator=generator)


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained numbers."""
    return sum(parameter.numel() for parameter in network.parameters())
