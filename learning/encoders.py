"""From an observation to features: vectors are scaled, stacks of frames go through convolutions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

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
    "workshop": (Conv(16, 8, 4), Conv(32, 4, 2)),
    # for 42 x 42 frames on a CPU: a tenth of nature's work on 84 x 84
    "small": (Conv(16, 6, 3), Conv(32, 3, 2)),
}
ENCODERS = ("mlp", *CONVOLUTIONS)


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


class Convolutions(nn.Module):
    """Frames (B, stack, height, width) uint8 -> features (B, D) by convolutions with a ReLU each.

    ``layer_norm`` normalises over channels, height and width, with a scale and a shift for each channel.
    """

    def __init__(self, space: spaces.Box, convolutions: Sequence[Conv], layer_norm: bool = False) -> None:
        super().__init__()
        if len(space.shape) != 3 or space.dtype != np.uint8:
            raise UserError(f"a convolutional --encoder needs frames; observations here have shape {space.shape}")
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
