# mypy: disable-error-code="untyped-decorator"
# numba's decorator has no types: kernels are typed by hand and checked by their tests
"""Convolutions over frames on a CPU: the same function as layer by layer, in fewer walks over memory.

The convolutions themselves (oneDNN's) run at nine tenths of what the arithmetic units can do; a batch's frames as
floats, its normalisations and its ReLUs take as long again when each is a pass over arrays larger than the caches.
Here the frames become floats and channels last in one pass, and a normalisation with its ReLU is another. Nothing is
kept of the frames but their bytes: the backward pass converts them again, which is faster than to read the floats from
memory.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from common.kernels import cached_njit

TILE = 64  # floats at least in a loop over channels, if their number is a power of two
FAST = {"reassoc", "contract"}  # sums in any order, which is fixed when compiled
F32 = NDArray[np.float32]


@cached_njit(nogil=True)
def to_floats(frames: NDArray[np.uint8], out: F32) -> None:
    """Write frames (B, C, P), P pixels each, as out (B, P, C) between 0 and 1."""
    scale = np.float32(1 / 255)
    count, channels, pixels = frames.shape
    for b in range(count):
        planes, mixed = frames[b].reshape(channels * pixels), out[b].reshape(channels * pixels)
        if channels == 4:  # written in order, so that it becomes a handful of instructions for 16 pixels
            for i in range(pixels):
                mixed[4 * i] = np.float32(planes[i]) * scale
                mixed[4 * i + 1] = np.float32(planes[pixels + i]) * scale
                mixed[4 * i + 2] = np.float32(planes[2 * pixels + i]) * scale
                mixed[4 * i + 3] = np.float32(planes[3 * pixels + i]) * scale
        else:
            for c in range(channels):
                for i in range(pixels):
                    mixed[channels * i + c] = np.float32(planes[pixels * c + i]) * scale


@cached_njit(nogil=True)
def tiled(values: F32) -> F32:
    """Return the channels' values again and again, so that a loop over them is long enough for vector instructions."""
    channels = values.size
    tiles = max(1, TILE // channels)
    out = np.empty(tiles * channels, np.float32)
    for k in range(out.size):
        out[k] = values[k % channels]
    return out


@cached_njit(nogil=True, fastmath=FAST)
def norm_relu(x: F32, weight: F32, bias: F32, eps: float, y: F32, mean: F32, rstd: F32) -> None:
    """Write max(0, (x - mean) / std * weight + bias) of x (B, P * C) to y; mean and 1 / std, (B,), are over P and C.

    ``weight`` and ``bias`` are `tiled`.
    """
    size, period, zero = x.shape[1], weight.size, np.float32(0.0)
    scale, shift = np.empty(period, np.float32), np.empty(period, np.float32)
    for b in range(x.shape[0]):
        total = zero
        for i in range(size):
            total += x[b, i]
        middle = np.float32(total / size)
        total = zero
        for i in range(size):
            total += (x[b, i] - middle) * (x[b, i] - middle)
        inverse = np.float32(1.0 / np.sqrt(total / size + eps))
        mean[b], rstd[b] = middle, inverse
        for k in range(period):
            scale[k] = inverse * weight[k]
            shift[k] = bias[k] - middle * scale[k]
        for start in range(0, size, period):
            source, out = x[b, start : start + period], y[b, start : start + period]
            for k in range(source.size):
                out[k] = max(source[k] * scale[k] + shift[k], zero)


@cached_njit(nogil=True, fastmath=FAST)
def norm_relu_backward(
    gradient: F32, x: F32, y: F32, weight: F32, mean: F32, rstd: F32, of_weight: F32, of_bias: F32
) -> None:
    """Turn the gradient by y, (B, P * C), into the one by x, in place; add up those by weight and bias, (C,).

    ``weight`` is `tiled`.
    """
    size, period, channels, zero = x.shape[1], weight.size, of_bias.size, np.float32(0.0)
    sums, products = np.empty(period, np.float32), np.empty(period, np.float32)
    scale = np.empty(period, np.float32)
    for b in range(x.shape[0]):
        middle, inverse = mean[b], rstd[b]
        sums[:] = zero
        products[:] = zero
        for start in range(0, size, period):
            source, out = x[b, start : start + period], y[b, start : start + period]
            slopes = gradient[b, start : start + period]
            for k in range(source.size):
                g = slopes[k] if out[k] > zero else zero
                slopes[k] = g
                sums[k] += g
                products[k] += g * (source[k] - middle)
        along_mean, along_std = zero, zero
        for k in range(period):
            scale[k] = weight[k] * inverse
            along_mean += sums[k] * scale[k]
            along_std += products[k] * scale[k]
            of_bias[k % channels] += sums[k]
            of_weight[k % channels] += products[k] * inverse
        along_mean = np.float32(along_mean / size)
        along_std = np.float32(along_std * inverse * inverse / size)
        for start in range(0, size, period):
            source, slopes = x[b, start : start + period], gradient[b, start : start + period]
            for k in range(source.size):
                slopes[k] = slopes[k] * scale[k] - (along_mean + (source[k] - middle) * along_std)


class Room(threading.local):
    """Where a thread's frames are floats for a while: fresh memory would take longer than the conversion."""

    floats = torch.empty(0)


ROOM = Room()


def floats(frames: Tensor) -> Tensor:
    """Return frames (B, C, H, W) uint8 as floats between 0 and 1, channels last; the thread's next call overwrites."""
    if len(ROOM.floats) < frames.numel():
        ROOM.floats = torch.empty(frames.numel())
    count, channels, height, width = frames.shape
    out = ROOM.floats[: frames.numel()].view(count, height, width, channels)
    to_floats(frames.flatten(2).numpy(), out.flatten(1, 2).numpy())
    return out.permute(0, 3, 1, 2)


def rows(x: Tensor) -> F32:
    """Return a tensor (B, F, H, W) in channels last as the array (B, H * W * F) that it is in memory."""
    return x.permute(0, 2, 3, 1).view(len(x), -1).numpy()


def channels_last(x: Tensor) -> Tensor:
    """Return a tensor in channels last: itself unless it has one channel or pixel, where torch may choose otherwise."""
    return x.contiguous(memory_format=torch.channels_last)


class FrameFeatures(torch.autograd.Function):
    """Frames (B, C, H, W) uint8 -> features (B, D): convolutions, each with a normalisation or none, and a ReLU."""

    @staticmethod
    def forward(ctx: Any, frames: Tensor, strides: Sequence[int], eps: float | None, *parameters: Tensor) -> Tensor:
        """Return the features; ``parameters`` are weight and bias of each layer, then of each normalisation."""
        x, kept = floats(frames), []
        for layer, stride in enumerate(strides):
            convolved = channels_last(torch.conv2d(x, parameters[2 * layer], parameters[2 * layer + 1], stride))
            if eps is None:
                x = torch.relu_(convolved)
                kept.append((x, x, x))
                continue
            x = torch.empty_like(convolved)
            statistics = torch.empty(2, len(x))  # mean and 1 / standard deviation
            weight, bias = (tiled(parameter.numpy()) for parameter in norm(parameters, strides, layer))
            norm_relu(rows(convolved), weight, bias, eps, rows(x), *statistics.numpy())
            kept.append((x, convolved, statistics))
        if any(ctx.needs_input_grad):
            ctx.frames, ctx.strides, ctx.normalised, ctx.kept = frames, strides, eps is not None, kept
            ctx.save_for_backward(*parameters)
        return x.flatten(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients by the parameters."""
        parameters, strides, kept = ctx.saved_tensors, ctx.strides, ctx.kept
        found = [torch.zeros_like(parameter) for parameter in parameters]
        x = torch.empty_like(kept[-1][0])
        x.copy_(gradient.view_as(x))
        for layer in reversed(range(len(strides))):
            y, convolved, statistics = kept[layer]
            if ctx.normalised:
                of_norm = [total.numpy() for total in norm(found, strides, layer)]
                weight = tiled(norm(parameters, strides, layer)[0].numpy())
                norm_relu_backward(rows(x), rows(convolved), rows(y), weight, *statistics.numpy(), *of_norm)
            else:
                x = torch.ops.aten.threshold_backward(x, y, 0)
            before = kept[layer - 1][0] if layer else floats(ctx.frames)
            weight, stride, wanted = parameters[2 * layer], [strides[layer]] * 2, [layer > 0, True, True]
            x, *found[2 * layer : 2 * layer + 2] = torch.ops.aten.convolution_backward(
                x, before, weight, [len(weight)], stride, [0, 0], [1, 1], False, [0, 0], 1, wanted
            )
            x = channels_last(x) if layer else x
        return None, None, None, *found


def norm(parameters: Sequence[Tensor], strides: Sequence[int], layer: int) -> Sequence[Tensor]:
    """Return scale and shift of a layer's normalisation."""
    first = 2 * (len(strides) + layer)
    return parameters[first : first + 2]


def fits(frames: Tensor, encoder: nn.Module) -> bool:
    """Whether `FrameFeatures` can do what the encoder does, and faster.

    It can on a CPU, in float32, where nobody looks in between. It is slower where torch may use several threads, of
    which the loops here use one; `learning.split` brings others.
    """
    if frames.dtype != torch.uint8 or frames.device.type != "cpu" or torch.get_num_threads() > 1:
        return False
    plain = all(parameter.dtype == torch.float32 for parameter in encoder.parameters())
    return plain and not any(module._forward_hooks for module in encoder.modules())
