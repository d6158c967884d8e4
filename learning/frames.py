# mypy: disable-error-code="untyped-decorator"
# numba's decorator has no types: kernels are typed by hand and checked by their tests
"""Convolutions over frames on a CPU: the same function as layer by layer, in fewer walks over memory.

The convolutions themselves (oneDNN's) run at nine tenths of what the arithmetic units can do; a batch's frames as
floats, its normalisations and its ReLUs take as long again when each is a pass over arrays larger than the caches.
Here a chunk of the batch goes through all layers while it is in the caches, the frames become floats and channels
last in one pass, and normalisation and ReLU are another. Nothing is kept of the frames but their bytes: the backward
pass converts them again, which is faster than reading the floats from memory.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

ROOM = 2**21  # frames' floats at most in a chunk, whose arrays should stay in the caches
TILE = 64  # floats at least in a loop over channels, if their number is a power of two
FAST = {"reassoc", "contract"}  # sums in any order, which is fixed when compiled
F32 = NDArray[np.float32]


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def tiled(values: F32) -> F32:
    """Return the channels' values again and again, so that a loop over them is long enough for vector instructions."""
    channels = values.size
    tiles = max(1, TILE // channels)
    out = np.empty(tiles * channels, np.float32)
    for k in range(out.size):
        out[k] = values[k % channels]
    return out


@njit(cache=True, nogil=True, fastmath=FAST)
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


@njit(cache=True, nogil=True, fastmath=FAST)
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


@njit(cache=True, nogil=True)
def relu_backward(gradient: F32, y: F32) -> None:
    """Set the gradient to 0, in place, where the ReLU's output y (B, P, C) is 0."""
    flat, output = gradient.reshape(gradient.size), y.reshape(y.size)
    for i in range(flat.size):
        flat[i] = flat[i] if output[i] > np.float32(0.0) else np.float32(0.0)


@njit(cache=True, nogil=True)
def channels_first(x: F32, channels: int, out: F32) -> None:
    """Write x (B, P * C), pixel by pixel, as out (B, C * P), channel by channel."""
    pixels = x.shape[1] // channels
    for b in range(x.shape[0]):
        source, target = x[b].reshape(pixels, channels), out[b].reshape(channels, pixels)
        for p in range(pixels):
            for c in range(channels):
                target[c, p] = source[p, c]


@njit(cache=True, nogil=True)
def channels_last(x: F32, channels: int, out: F32) -> None:
    """Write x (B, C * P), channel by channel, as out (B, P * C), pixel by pixel."""
    pixels = x.shape[1] // channels
    for b in range(x.shape[0]):
        source, target = x[b].reshape(channels, pixels), out[b].reshape(pixels, channels)
        for p in range(pixels):
            for c in range(channels):
                target[p, c] = source[c, p]


class Chunk:
    """What the backward pass needs of the observations that went through all layers together."""

    def __init__(self, frames: Tensor) -> None:
        self.frames = frames  # (n, C, H, W) uint8
        self.convolved: list[Tensor] = []  # of layers with a normalisation, its input
        self.outputs: list[Tensor] = []  # of each layer after its ReLU, (n, F, H, W), channels last
        self.means: list[F32] = []  # of layers with a normalisation, (n,)
        self.rstds: list[F32] = []


def rows(x: Tensor) -> F32:
    """Return a tensor (n, F, H, W) in channels last as the array (n, H * W * F) that it is in memory."""
    return x.numpy().transpose(0, 2, 3, 1).reshape(len(x), -1)  # type: ignore[no-any-return]


class Room(threading.local):
    """Where a thread's frames are floats for a while: fresh memory would take longer than the conversion."""

    floats = torch.empty(0)


SCRATCH = Room()


def chunks_of(batch: Tensor, frames: Tensor) -> list[Tensor]:
    """Return a tensor (B, ...) in equal parts, as many as the frames (B, C, H, W) need."""
    return list(batch.chunk(-(-frames.numel() // ROOM)))


def floats(frames: Tensor) -> Tensor:
    """Return frames (n, C, H, W) uint8 as floats between 0 and 1, channels last; the thread's next call overwrites."""
    if len(SCRATCH.floats) < frames.numel():
        SCRATCH.floats = torch.empty(frames.numel())
    count, channels, height, width = frames.shape
    out = SCRATCH.floats[: frames.numel()].view(count, height, width, channels)
    to_floats(frames.flatten(2).numpy(), out.flatten(1, 2).numpy())
    return out.permute(0, 3, 1, 2)


class FrameFeatures(torch.autograd.Function):
    """Frames (B, C, H, W) uint8 -> features (B, D): convolutions, each with a normalisation or none, and a ReLU."""

    @staticmethod
    def forward(ctx: Any, frames: Tensor, strides: Sequence[int], eps: float | None, *parameters: Tensor) -> Tensor:
        """Return the features; ``parameters`` are weight and bias of each layer, then of each normalisation."""
        learning = any(ctx.needs_input_grad)
        chunks, features, done = [], torch.empty(0), 0
        for part in chunks_of(frames, frames):
            chunk = Chunk(part)
            x = floats(part)
            for layer, stride in enumerate(strides):
                x = torch.conv2d(x, parameters[2 * layer], parameters[2 * layer + 1], stride)
                x = torch.relu_(x) if eps is None else normalised(chunk, x, *norm(parameters, strides, layer), eps)
                if learning:
                    chunk.outputs.append(x)
            if not chunks:
                features = torch.empty(len(frames), x[0].numel())
            channels_first(rows(x), x.shape[1], features[done : done + len(x)].numpy())
            done += len(x)
            chunks.append(chunk)
        if learning:
            ctx.chunks, ctx.strides, ctx.eps = chunks, strides, eps
            ctx.save_for_backward(*parameters)
        return features

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients by the parameters."""
        parameters, strides = ctx.saved_tensors, ctx.strides
        sums = [torch.zeros_like(parameter) for parameter in parameters]
        for chunk, part in zip(ctx.chunks, gradient.split([len(chunk.frames) for chunk in ctx.chunks]), strict=True):
            back(chunk, part, strides, ctx.eps, parameters, sums)
        return None, None, None, *sums


def norm(parameters: Sequence[Tensor], strides: Sequence[int], layer: int) -> tuple[Tensor, Tensor]:
    """Return scale and shift of a layer's normalisation."""
    first = 2 * (len(strides) + layer)
    return parameters[first], parameters[first + 1]


def normalised(chunk: Chunk, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Return the ReLU of the normalised x, and keep what the backward pass needs."""
    y = torch.empty_like(x)
    mean, rstd = np.empty(len(x), np.float32), np.empty(len(x), np.float32)
    norm_relu(rows(x), tiled(weight.numpy()), tiled(bias.numpy()), eps, rows(y), mean, rstd)
    chunk.convolved.append(x)
    chunk.means.append(mean)
    chunk.rstds.append(rstd)
    return y


def back(
    chunk: Chunk,
    gradient: Tensor,
    strides: Sequence[int],
    eps: float | None,
    parameters: Sequence[Tensor],
    sums: Sequence[Tensor],
) -> None:
    """Add a chunk's gradients by the parameters to ``sums``; ``gradient``, (n, D), is the one by its features."""
    last = chunk.outputs[-1]
    x = torch.empty_like(last)
    channels_last(gradient.numpy(), len(last[0]), rows(x))
    for layer in reversed(range(len(strides))):
        y = chunk.outputs[layer]
        if eps is None:
            relu_backward(rows(x), rows(y))
        else:
            weight = tiled(norm(parameters, strides, layer)[0].numpy())
            of_norm = [total.numpy() for total in norm(sums, strides, layer)]
            saved = rows(chunk.convolved[layer]), rows(y), weight, chunk.means[layer], chunk.rstds[layer]
            norm_relu_backward(rows(x), *saved, *of_norm)
        before = chunk.outputs[layer - 1] if layer else floats(chunk.frames)
        weight, stride = parameters[2 * layer], [strides[layer]] * 2
        wanted = [layer > 0, True, True]
        x, *found = torch.ops.aten.convolution_backward(
            x, before, weight, [len(weight)], stride, [0, 0], [1, 1], False, [0, 0], 1, wanted
        )
        for total, of_chunk in zip(sums[2 * layer : 2 * layer + 2], found, strict=True):
            total.add_(of_chunk)


def fits(frames: Tensor, encoder: nn.Module) -> bool:
    """Whether `FrameFeatures` can do what the encoder does, and faster.

    It can on a CPU, in float32, where nobody looks in between. It is slower where torch may use several threads, of
    which the loops here use one; `learning.split` brings others.
    """
    if frames.dtype != torch.uint8 or frames.device.type != "cpu" or torch.get_num_threads() > 1:
        return False
    plain = all(parameter.dtype == torch.float32 for parameter in encoder.parameters())
    return plain and not any(module._forward_hooks for module in encoder.modules())
