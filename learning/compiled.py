"""Encoders in fewer kernels on a GPU: torch.compile joins what lies between convolutions. Half a minute at the start.

Of BTR's update on an H100 the convolutions' products take less than half. The rest is biases, ReLUs, sums, poolings and
norms, each a pass over activations of up to 231 MB, and twelve spectral norms of forty small kernels each. Here an
encoder is one function of its parameters, which torch.compile turns into a handful of kernels, and spectral norms of
one shape are computed together. The result is what the modules' own `forward` computes, up to rounding; the modules
hold the parameters, and are what the window looks into.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from learning.encoders import Convolutions, Impala, SpectralConv2d

OF_A_BLOCK = 5  # convolutions of an `Impala` block: its first, and two of each of two residuals


class Layer(NamedTuple):
    """What a convolution consists of."""

    weight: Tensor
    bias: Tensor | None
    scale: Tensor | None  # of the normalisation after it
    shift: Tensor | None
    eps: float


@contextmanager
def joined(encoders: Iterable[nn.Module | None], wanted: bool = True) -> Iterator[None]:
    """Let encoders compute their features by compiled functions for a while; each shape is compiled once."""
    known = [encoder for encoder in encoders if wanted and isinstance(encoder, Convolutions | Impala)]
    for encoder in known:
        encoder.joined = functools.partial(features, encoder)
    try:
        yield
    finally:
        for encoder in known:
            encoder.joined = None


def features(encoder: Convolutions | Impala, obs: Tensor) -> Tensor:
    """Return what the encoder's `forward` returns, (B, D), for frames (B, stack, height, width)."""
    layers = layers_of(encoder)
    if isinstance(encoder, Impala):
        return compiled(impala)(obs, layers, encoder.pool)  # type: ignore[no-any-return]
    return compiled(convolutions)(obs, layers, tuple(encoder.strides))  # type: ignore[no-any-return]


def spare_the_compiler() -> None:
    """Keep torch's optimizers from importing its compiler, a third of a program's start, only to be left alone by it.

    Where torch tells the compiler in another way, nothing changes.
    """
    kind = torch.optim.Optimizer
    for method in (kind.add_param_group, kind.load_state_dict, kind.state_dict):
        left_alone = getattr(method, "__wrapped__", method)
        left_alone.__dict__.setdefault("__dynamo_disable", left_alone)


spare_the_compiler()


@functools.cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of tensors, compiled for each shape that it meets."""
    return torch.compile(function, dynamic=False)


def layers_of(encoder: nn.Module) -> list[Layer]:
    """Return an encoder's convolutions in the order in which they are computed."""
    parts = [module for module in encoder.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in encoder.modules() if isinstance(module, nn.GroupNorm)]
    spectral = spectral_weights([part for part in parts if isinstance(part, SpectralConv2d)])
    layers = []
    for part, norm in itertools.zip_longest(parts, norms):
        after = (None, None, 0.0) if norm is None else (norm.weight, norm.bias, norm.eps)
        layers.append(Layer(spectral.get(part, part.weight), part.bias, *after))
    return layers


def spectral_weights(parts: Sequence[SpectralConv2d]) -> dict[nn.Module, Tensor]:
    """Return the `normalised_weight` of each convolution; those of one shape are computed at once."""
    if not (torch.is_grad_enabled() and all(part.weight.requires_grad for part in parts)):
        return {part: part.fixed_weight() for part in parts}  # known between two updates
    found: dict[nn.Module, Tensor] = {}
    for shape in dict.fromkeys(part.weight.shape for part in parts):
        same = [part for part in parts if part.weight.shape == shape]
        weights = torch.stack([part.weight for part in same])
        matrices = weights.flatten(2)  # (K, out, in * k * k)
        with torch.no_grad():
            # sums, not products of matrices, which TF32 would round
            v = functional.normalize((matrices * torch.stack([part.u for part in same]).unsqueeze(2)).sum(1), dim=1)
            u = functional.normalize((matrices * v.unsqueeze(1)).sum(2), dim=1)
            torch._foreach_copy_([part.u for part in same], list(u))
            torch._foreach_copy_([part.v for part in same], list(v))
        sigma = (u * (matrices * v.unsqueeze(1)).sum(2)).sum(1)
        found |= zip(same, weights / sigma.view(-1, 1, 1, 1, 1), strict=True)
    return found


def convolutions(obs: Tensor, layers: Sequence[Layer], strides: Sequence[int]) -> Tensor:
    """Return the features of `Convolutions`."""
    x = scaled(obs)
    for layer, stride in zip(layers, strides, strict=True):
        x = torch.relu(convolution(x, layer, stride, padding=0))
    return x.flatten(1)


def impala(obs: Tensor, layers: Sequence[Layer], pool: int) -> Tensor:
    """Return the features of `Impala`."""
    x = scaled(obs)
    for start in range(0, len(layers), OF_A_BLOCK):
        first, *residuals = layers[start : start + OF_A_BLOCK]
        x = functional.max_pool2d(convolution(x, first), 3, stride=2, padding=1)
        for one, other in zip(residuals[::2], residuals[1::2], strict=True):
            x = x + convolution(torch.relu(convolution(torch.relu(x), one)), other)
    x = torch.relu(x)
    if pool:
        x = functional.adaptive_max_pool2d(x, pool)
    return x.flatten(1)


def scaled(obs: Tensor) -> Tensor:
    """Return frames as floats between 0 and 1, channels last."""
    return (obs.float() * (1 / 255)).contiguous(memory_format=torch.channels_last)


def convolution(x: Tensor, layer: Layer, stride: int = 1, padding: int = 1) -> Tensor:
    """Return a convolution, normalised where it has a normalisation."""
    x = functional.conv2d(x, layer.weight, layer.bias, stride, padding)
    if layer.scale is not None:
        x = functional.group_norm(x, 1, layer.scale, layer.shift, layer.eps)
    return x
