"""Encoders: from stacks of frames to features, by the convolutions of DQN or the residual blocks of IMPALA."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from common.errors import UserError


class Conv(NamedTuple):
    """One convolution, a ReLU after it."""

    filters: int
    kernel: int
    stride: int


CONVOLUTIONS: dict[str, tuple[Conv, ...]] = {
    # Mnih et al. 2015, doi:10.1038/nature14236, "Methods"
    "nature": (Conv(32, 8, 4), Conv(64, 4, 2), Conv(64, 3, 1)),
    # Mnih et al. 2013, arXiv:1312.5602: a third of nature's work
    "mnih2013": (Conv(16, 8, 4), Conv(32, 4, 2)),
    # for 42 x 42 frames on a CPU: a tenth of nature's work on 84 x 84
    "small": (Conv(16, 6, 3), Conv(32, 3, 2)),
}
ENCODERS = ("mlp", *CONVOLUTIONS)


def check_frames(space: spaces.Box) -> None:
    """Raise `UserError` for observations that are no stacks of frames."""
    if len(space.shape) != 3 or space.dtype != np.uint8:
        raise UserError(f"a convolutional --encoder needs frames; observations here have shape {space.shape}")


class Convolutions(nn.Module):
    """Frames (B, stack, height, width) uint8 -> features (B, D) by convolutions with a ReLU each.

    ``layer_norm`` normalises over channels, height and width, with a scale and a shift for each channel.
    """

    def __init__(self, space: spaces.Box, convolutions: Sequence[Conv], layer_norm: bool = False) -> None:
        super().__init__()
        check_frames(space)
        channels, height, width = space.shape
        layers = []
        for conv in convolutions:
            layers.append(nn.Conv2d(channels, conv.filters, conv.kernel, conv.stride))
            height, width = ((side - conv.kernel) // conv.stride + 1 for side in (height, width))
            channels = conv.filters
            if min(height, width) < 1:
                raise UserError(f"frames of {space.shape[1]} x {space.shape[2]} are too small for this --encoder")
        self.layers = nn.ModuleList(layers)
        self.norms = nn.ModuleList(nn.GroupNorm(1, conv.filters) for conv in convolutions if layer_norm)
        self.features = channels * height * width
        # channels last: a fifth faster on CPUs, and what tensor cores want
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, obs: Tensor) -> Tensor:
        """Return the features of frames with values 0 to 255."""
        frames = obs.float().mul_(1 / 255).contiguous(memory_format=torch.channels_last)
        for layer, norm in itertools.zip_longest(self.layers, self.norms):
            frames = layer(frames)
            frames = torch.relu_(frames if norm is None else norm(frames))
        return frames.flatten(1)


CHANNELS = (16, 32, 32)  # of the three blocks at width 1: Espeholt et al. 2018, arXiv:1802.01561, figure 3, right


class Residual(nn.Module):
    """Frames (B, C, H, W) -> frames + f(frames), f: ReLU, 3 x 3 convolution, ReLU, 3 x 3 convolution."""

    def __init__(self, channels: int, spectral_norm: bool = False, layer_norm: bool = False) -> None:
        super().__init__()
        convolution = SpectralConv2d if spectral_norm else nn.Conv2d
        self.first = _normalised(convolution(channels, channels, 3, padding=1), layer_norm)
        self.second = _normalised(convolution(channels, channels, 3, padding=1), layer_norm)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the sum, same shape."""
        change = self.first(torch.relu(frames))
        change = self.second(torch.relu_(change))
        return change.add_(frames)  # type: ignore[no-any-return]


class Impala(nn.Module):
    """Frames (B, stack, height, width) uint8 -> features (B, D). Espeholt et al. 2018, arXiv:1802.01561.

    Three blocks: convolution, max pooling that halves the side (rounded up), two `Residual`. ``width`` multiplies
    the channels. ``pool`` > 0 pools the result to ``pool`` x ``pool`` by its maxima, whatever the frames' size.
    ``spectral_norm`` divides the residual convolutions, not each block's first one, by their largest singular
    value. Width 2, pool 6 and spectral norm: BTR, Clark et al. 2024, arXiv:2411.03820. ``layer_norm`` normalises
    each convolution's output over channels, height and width, with a scale and a shift for each channel.
    """

    def __init__(
        self, space: spaces.Box, width: int = 1, pool: int = 0, spectral_norm: bool = False, layer_norm: bool = False
    ) -> None:
        super().__init__()
        check_frames(space)
        channels, *sides = space.shape
        blocks = []
        for filters in [width * count for count in CHANNELS]:
            first = _normalised(nn.Conv2d(channels, filters, 3, padding=1), layer_norm)
            residuals = [Residual(filters, spectral_norm, layer_norm) for _ in range(2)]
            blocks.append(nn.Sequential(first, nn.MaxPool2d(3, stride=2, padding=1), *residuals))
            sides = [(side + 1) // 2 for side in sides]
            channels = filters
        self.blocks = nn.Sequential(*blocks)
        self.pool = pool
        self.features = channels * math.prod((pool, pool) if pool else sides)
        # channels last: as in `Convolutions`
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, obs: Tensor) -> Tensor:
        """Return the features of frames with values 0 to 255."""
        frames = obs.float().mul_(1 / 255).contiguous(memory_format=torch.channels_last)
        frames = torch.relu_(self.blocks(frames))
        if self.pool:
            frames = functional.adaptive_max_pool2d(frames, self.pool)
        return frames.flatten(1)


def _normalised(convolution: nn.Conv2d, layer_norm: bool) -> nn.Sequential:
    """Return the convolution, followed by its normalisation where one is wanted."""
    norms = [nn.GroupNorm(1, convolution.out_channels)] if layer_norm else []
    return nn.Sequential(convolution, *norms)


SQUARINGS = 10  # 2^10 = 1024 power iterations at the start


class SpectralConv2d(nn.Conv2d):
    """A convolution with the weight W / sigma, sigma = u^T W v. Miyato et al. 2018, arXiv:1802.05957, algorithm 1.

    W is the weight as a matrix (out, in * k * k); u (out,) and v (in * k * k,) follow its first singular vectors
    by one power iteration a forward. They move only where the weight can learn, with gradients enabled: acting,
    evaluating and the target network leave them alone, unlike torch's own spectral normalisation, which also
    takes its start from the global generator. Call `start` once the weights are drawn.

    So between two updates all of them use the same W / sigma: it is computed once (`fixed_weight`).
    """

    u: Tensor
    v: Tensor
    _fixed: Tensor | None = None
    _fixed_for: tuple[int, ...] = ()

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, padding: int = 0) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=padding)
        matrix = self.weight.detach().flatten(1)
        # until `start`, from a fixed direction: rough, but a number
        self.register_buffer("u", matrix.new_ones(out_channels))
        self.register_buffer("v", matrix.new_ones(matrix.shape[1]))
        self._set_vectors(matrix, self.u)

    @torch.no_grad()
    def start(self, generator: torch.Generator) -> None:
        """Point u and v at the first singular vectors of the weights as they are, from u ~ N(0, 1).

        Fifteen iterations, as torch does, leave sigma up to a tenth too small: a random matrix's largest singular
        values lie close together. Squaring W W^T again and again makes a thousand for the price of ten.
        """
        matrix = self.weight.flatten(1)  # (out, in * k * k)
        power = matrix @ matrix.T  # (out, out)
        for _ in range(SQUARINGS):
            power = power / power.norm()  # before it overflows
            power = power @ power
        drawn = torch.randn(self.out_channels, generator=generator, device=generator.device)
        self._set_vectors(matrix, power @ drawn.to(power))

    def normalised_weight(self) -> Tensor:
        """Return weight / sigma, (out, in, k, k), after one power iteration where the weight can learn.

        The gradient runs through W in both places, u and v are constants in it.
        """
        if not (torch.is_grad_enabled() and self.weight.requires_grad):
            return self.fixed_weight()
        matrix = self.weight.flatten(1)  # (out, in * k * k)
        # fresh tensors for the graph: the next forward, before this one's backward, overwrites the buffers
        u, v = self._set_vectors(matrix.detach(), self.u)
        return self.weight / torch.dot(u, matrix @ v)

    def fixed_weight(self, again: bool = False) -> Tensor:
        """Return weight / sigma as u and v are, without gradient, computed when one of them has changed.

        ``again``: also where that can't be seen, as after the replay of a CUDA graph. The tensor stays the same one.
        """
        parts = (self.weight, self.u, self.v)
        # each operation in place counts up a tensor's version
        now = tuple(number for part in parts for number in (part.data_ptr(), part._version))
        if again or self._fixed is None or now != self._fixed_for:
            with torch.inference_mode(False), torch.no_grad():  # a tensor like any other, whoever asks first
                weight = self.weight / torch.dot(self.u, self.weight.flatten(1) @ self.v)
                if self._fixed is None or (self._fixed.device, self._fixed.dtype) != (weight.device, weight.dtype):
                    self._fixed = weight
                else:
                    self._fixed.copy_(weight)
            self._fixed_for = now
        return self._fixed

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution of (B, in, H, W) with the normalised weight; the bias stays as it is."""
        return self._conv_forward(input, self.normalised_weight(), self.bias)  # type: ignore[no-any-return]

    @torch.no_grad()
    def _set_vectors(self, matrix: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        """Advance u by one power iteration, keep it and its v, and return them."""
        v = functional.normalize(matrix.T @ u, dim=0)
        u = functional.normalize(matrix @ v, dim=0)
        self.u.copy_(u)
        self.v.copy_(v)
        return u, v


def start_power_iterations(network: nn.Module, generator: torch.Generator) -> None:
    """Start every spectrally normalised convolution inside; call it after the weights are drawn."""
    for module in network.modules():
        if isinstance(module, SpectralConv2d):
            module.start(generator)
