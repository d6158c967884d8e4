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

from learning.encoders import CONVOLUTIONS, Convolutions, Scale

HEAD_GAIN = 0.1  # of a normalised network's last layer: expectations begin near zero


class QOutput(NamedTuple):
    """What every network returns; distributional heads will add fields, acting never needs them."""

    q_values: Tensor  # (B, A) expected discounted return of each action


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
    """Observation -> encoder -> head: the expected returns of all actions.

    Vectors are scaled and go straight to the fully connected layers; frames go through convolutions first.
    With ``layer_norm`` every layer's output is normalised before its ReLU. Ba et al. 2016, arXiv:1607.06450.
    """

    def __init__(
        self, space: spaces.Box, num_actions: int, encoder: str, hidden: Sequence[int], dueling: bool,
        generator: torch.Generator, layer_norm: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        name = automatic_encoder(space) if encoder == "auto" else encoder
        self.scale = Scale(space) if name == "mlp" else None
        self.convolutions = None if name == "mlp" else Convolutions(space, CONVOLUTIONS[name], layer_norm)
        width = self.convolutions.features if self.convolutions else int(np.prod(space.shape))
        widths = [width, *hidden]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in hidden if layer_norm)
        self.head = Expected(widths[-1], num_actions, dueling)
        if layer_norm:
            initialise_normalised(self, generator)
            nn.init.orthogonal_(self.head.linear.weight, HEAD_GAIN, generator)
        else:
            initialise(self, generator)

    def forward(self, obs: Tensor) -> QOutput:
        """Return the expected returns of all actions, (B, A), for observations (B, ...)."""
        features = self.scale(obs).flatten(1) if self.scale is not None else self.convolutions(obs)  # type: ignore[misc]
        for layer, norm in itertools.zip_longest(self.layers, self.norms):
            features = layer(features)
            features = torch.relu(features if norm is None else norm(features))
        return self.head(features)  # type: ignore[no-any-return]


def automatic_encoder(space: spaces.Box) -> str:
    """Return the encoder for a kind of observation: the paper's convolutions for frames, none for vectors."""
    return "nature" if len(space.shape) == 3 and space.dtype == np.uint8 else "mlp"


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw every layer from U(-1/sqrt(inputs), 1/sqrt(inputs)), torch's default, but from our generator."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            bound = 1.0 / math.sqrt(module.weight[0].numel())
            assert module.bias is not None
            module.weight.uniform_(-bound, bound, generator=generator)
            module.bias.uniform_(-bound, bound, generator=generator)


@torch.no_grad()
def initialise_normalised(network: nn.Module, generator: torch.Generator) -> None:
    """Draw every layer as He et al. 2015, arXiv:1502.01852, biases 0; for networks with layer normalisation.

    Normalisation hides the weights' size from what comes after, but not from the optimiser: small weights
    turn faster at the same step size. With torch's default, 2.4 times smaller, PQN stood at -3.9 in Pong
    after a million steps, drawn like this at 11.6 (one seed each, the CPU preset on 42 x 42 frames).
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            assert module.bias is not None
            module.bias.zero_()


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained numbers."""
    return sum(parameter.numel() for parameter in network.parameters())
