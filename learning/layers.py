"""Fully connected layers: plain, noisy, in streams; and the switch that lets a network draw random numbers."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

Linear = Callable[[int, int], nn.Module]
"""Makes a fully connected layer of so many inputs and outputs."""


class Drawing(nn.Module):
    """A layer that draws random numbers in each forward inside `drawing`, and is deterministic outside."""

    generator: torch.Generator | None = None


@contextmanager
def drawing(layers: Iterable[Drawing], generator: torch.Generator) -> Iterator[None]:
    """Let layers draw from a generator, on their device, for a while."""
    layers = list(layers)
    for layer in layers:
        layer.generator = generator
    try:
        yield
    finally:
        for layer in layers:
            layer.generator = None


class NoisyLinear(Drawing, nn.Linear):
    """A fully connected layer whose weights are learnt with their own spread. Fortunato et al. 2017, arXiv:1706.10295.

    The noise is factorised: weight (j, i) is mean + sigma * f(e_j) * f(e_i) with f(e) = sign(e) sqrt(|e|), so a
    layer of p inputs and q outputs takes p + q normal numbers. As such a product never has to be multiplied out,
    every row of a batch has noise of its own here: each environment explores by itself, and an update averages over
    as many networks as it has transitions (the paper draws one network for a whole batch). Outside `drawing` the
    layer is its mean.

    Args:
        inputs: p.
        outputs: q.
        sigma: spread at the start, times sqrt(p).
    """

    def __init__(self, inputs: int, outputs: int, sigma: float = 0.5) -> None:
        super().__init__(inputs, outputs)
        self.weight_sigma = nn.Parameter(torch.full((outputs, inputs), sigma / math.sqrt(inputs)))
        self.bias_sigma = nn.Parameter(torch.full((outputs,), sigma / math.sqrt(inputs)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, (B, ..., q), of inputs (B, ..., p); what lies between shares its row's noise."""
        mean = functional.linear(x, self.weight, self.bias)
        if self.generator is None:
            return mean
        between = [1] * (x.dim() - 2)
        noise_in = self._noise(x.shape[0], *between, self.in_features)
        noise_out = self._noise(x.shape[0], *between, self.out_features)
        return mean + noise_out * functional.linear(x * noise_in, self.weight_sigma, self.bias_sigma)

    def _noise(self, *shape: int) -> Tensor:
        normal = torch.randn(shape, generator=self.generator, device=self.weight.device)
        return normal.sign() * normal.abs().sqrt()


def dense(widths: Sequence[int], linear: Linear, layer_norm: bool) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Return the layers between such widths, and for each the normalisation after it (or none)."""
    layers = nn.ModuleList(linear(a, b) for a, b in itertools.pairwise(widths))
    return layers, nn.ModuleList(nn.LayerNorm(width) for width in widths[1:] if layer_norm)


def run_dense(layers: nn.ModuleList, norms: nn.ModuleList, x: Tensor) -> Tensor:
    """Return what comes out of the last of such layers, a ReLU after each."""
    for layer, norm in itertools.zip_longest(layers, norms):
        x = layer(x)
        x = torch.relu(x if norm is None else norm(x))
    return x


class Streams(nn.Module):
    """Features -> some numbers for each action; dueling splits them into the state's value and advantages.

    Dueling: value + advantage - mean(advantage), Wang et al. 2015, arXiv:1511.06581. Without hidden layers of their
    own both streams read the same features, so one matrix makes both.

    Args:
        width: of the features.
        num_actions: A.
        numbers: K numbers for each action.
        hidden: units of the hidden layers, of each stream.
        dueling: value and advantages apart.
        linear: makes a fully connected layer.
        layer_norm: normalise after each hidden layer.
    """

    def __init__(
        self, width: int, num_actions: int, numbers: int, hidden: Sequence[int], dueling: bool,
        linear: Linear = nn.Linear, layer_norm: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.numbers, self.dueling = numbers, dueling
        widths = [width, *hidden]
        self.layers, self.norms = dense(widths, linear, layer_norm)
        apart = dueling and bool(hidden)
        self.linear = linear(widths[-1], (num_actions + (dueling and not apart)) * numbers)
        if apart:
            self.value_layers, self.value_norms = dense(widths, linear, layer_norm)
            self.value = linear(widths[-1], numbers)
        self.apart = apart

    @property
    def last(self) -> list[nn.Module]:
        """The layers that nothing comes after."""
        return [self.linear, self.value] if self.apart else [self.linear]

    def forward(self, features: Tensor) -> Tensor:
        """Return the numbers of each action, (..., A, K), for features (..., D)."""
        out = self.linear(run_dense(self.layers, self.norms, features))
        out = out.unflatten(-1, (-1, self.numbers))  # (..., A [+ 1], K)
        if not self.dueling:
            return out  # type: ignore[no-any-return]
        if self.apart:
            value = self.value(run_dense(self.value_layers, self.value_norms, features)).unsqueeze(-2)
        else:
            out, value = out[..., :-1, :], out[..., -1:, :]
        return value + out - out.mean(-2, keepdim=True)  # type: ignore[no-any-return]


class CosineEmbedding(Drawing):
    """Quantile fractions -> features, as many as the state has. Dabney et al. 2018, arXiv:1806.06923, equation 4.

    Inside `drawing` the fractions are drawn uniformly; outside they are the middles of equal parts (the paper draws
    them then too: these make acting and evaluation deterministic).

    Args:
        width: D, of the features.
        cosines: of each fraction that a linear layer combines.
    """

    def __init__(self, width: int, cosines: int = 64) -> None:
        super().__init__()
        self.linear = nn.Linear(cosines, width)
        self.register_buffer("frequencies", math.pi * torch.arange(cosines, dtype=torch.float32), persistent=False)

    frequencies: Tensor

    def fractions(self, batch: int, drawn: int, fixed: int) -> Tensor:
        """Return the fractions within (0, 1): (B, drawn) inside `drawing`, (1, fixed) outside."""
        device = self.frequencies.device
        if self.generator is not None:
            return torch.rand((batch, drawn), generator=self.generator, device=device)
        return ((torch.arange(fixed, device=device) + 0.5) / fixed).unsqueeze(0)

    def forward(self, fractions: Tensor) -> Tensor:
        """Return the features, (B, N, D), of fractions (B, N)."""
        return torch.relu(self.linear(torch.cos(fractions.unsqueeze(-1) * self.frequencies)))
