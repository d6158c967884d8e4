# mypy: disable-error-code="untyped-decorator"
# numba's decorator has no types: kernels are typed by hand and checked by their tests
"""Encoders: from stacks of frames to features, by the convolutions of DQN or the residual blocks of IMPALA."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from common.errors import UserError
from common.kernels import cached_njit


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
        self.strides = [conv.stride for conv in convolutions]
        self.features = channels * height * width
        self.joined: Callable[[Tensor], Tensor] | None = None  # in place of what follows: `learning.compiled`
        # channels last: a fifth faster on CPUs, and what tensor cores want
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, obs: Tensor) -> Tensor:
        """Return the features of frames with values 0 to 255."""
        if self.joined is not None:
            return self.joined(obs)
        if fits(obs, self):
            eps = self.norms[0].eps if len(self.norms) else None
            return FrameFeatures.apply(obs, self.strides, eps, *self.parameters())  # type: ignore[no-any-return, no-untyped-call]
        x = obs.float().mul_(1 / 255).contiguous(memory_format=torch.channels_last)
        for layer, norm in itertools.zip_longest(self.layers, self.norms):
            x = layer(x)
            x = torch.relu_(x if norm is None else norm(x))
        return x.flatten(1)


# ------------------------------------------------------------------ convolutions on a CPU
#
# The convolutions themselves (oneDNN's) run at nine tenths of what the arithmetic units can do; a batch's frames as
# floats, its normalisations and its ReLUs take as long again when each is a pass over arrays larger than the caches.
# Here the frames become floats and channels last in one pass, and a normalisation with its ReLU is another. Nothing is
# kept of the frames but their bytes: the backward pass converts them again, which is faster than to read the floats
# from memory.

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


# ------------------------------------------------------------------ IMPALA

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
        self.joined: Callable[[Tensor], Tensor] | None = None  # as in `Convolutions`
        # channels last: as there
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, obs: Tensor) -> Tensor:
        """Return the features of frames with values 0 to 255."""
        if self.joined is not None:
            return self.joined(obs)
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
