"""The residual encoder of IMPALA: fifteen convolutions, seven times the work of nature's three at width 1."""

from __future__ import annotations

import math

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from common.errors import UserError
from learning.spectral import SpectralConv2d

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
        if len(space.shape) != 3 or space.dtype != np.uint8:
            raise UserError(f"a convolutional --encoder needs frames; observations here have shape {space.shape}")
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
        # channels last: as in `encoders.Convolutions`
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
