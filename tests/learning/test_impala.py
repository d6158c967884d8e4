"""IMPALA's encoder, against arithmetic by hand and a reference without modules."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional

from common.errors import UserError
from learning.encoders import Impala, Residual, SpectralConv2d, start_power_iterations
from learning.networks import count_parameters, initialise, initialise_normalised

ATARI = (4, 84, 84)


def frame_space(shape: tuple[int, ...] = ATARI) -> spaces.Box:
    return spaces.Box(0, 255, shape, np.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def frames(batch: int, shape: tuple[int, ...] = ATARI) -> Tensor:
    return torch.randint(0, 256, (batch, *shape), dtype=torch.uint8, generator=generator(1))


def impala(shape: tuple[int, ...] = ATARI, seed: int = 0, layer_norm: bool = False, **options: bool | int) -> Impala:
    network = Impala(frame_space(shape), layer_norm=layer_norm, **options)  # type: ignore[arg-type]
    draws = generator(seed)
    (initialise_normalised if layer_norm else initialise)(network, draws)
    start_power_iterations(network, draws)
    return network


def largest_singular_value(weight: Tensor) -> float:
    return float(torch.linalg.matrix_norm(weight.detach().double().flatten(1), 2))


@pytest.mark.parametrize(
    ("width", "pool", "features", "parameters"),
    [
        # 84 -> 42 -> 21 -> 11. Weights: a first convolution has in * C * 9 + C, a residual one C * C * 9 + C.
        # blocks: 592 + 4 * 2,320 = 9,872; 4,640 + 4 * 9,248 = 41,632; 9,248 + 4 * 9,248 = 46,240
        (1, 0, 11 * 11 * 32, 97_744),
        (1, 6, 6 * 6 * 32, 97_744),
        # BTR: 1,184 + 4 * 9,248 = 38,176; 18,496 + 4 * 36,928 = 166,208; 36,928 + 4 * 36,928 = 184,640
        (2, 0, 11 * 11 * 64, 389_024),
        (2, 6, 6 * 6 * 64, 389_024),
    ],
)
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_sizes_by_hand(width: int, pool: int, features: int, parameters: int, spectral_norm: bool) -> None:
    network = impala(width=width, pool=pool, spectral_norm=spectral_norm)
    assert network.features == features
    assert count_parameters(network) == parameters  # u and v are not trained
    out = network(frames(2))
    assert out.shape == (2, features)
    assert out.dtype == torch.float32


def test_layer_norm_adds_a_scale_and_a_shift_for_each_channel() -> None:
    # five convolutions a block: 2 * 5 * (16 + 32 + 32) = 800
    assert count_parameters(impala(layer_norm=True)) == 97_744 + 800


@pytest.mark.parametrize("pool", [0, 6])
@pytest.mark.parametrize("shape", [(4, 42, 42), (1, 20, 20), (3, 96, 61), (12, 33, 40)])
def test_any_frames_fit(shape: tuple[int, int, int], pool: int) -> None:
    network = impala(shape, pool=pool)
    assert network(frames(2, shape)).shape == (2, network.features)
    # 61 -> 31 -> 16 -> 8: halves, rounded up
    assert impala((3, 96, 61)).features == 12 * 8 * 32


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1, 1, (8,), np.float32),
        spaces.Box(0, 255, (128,), np.uint8),
        spaces.Box(0, 1, ATARI, np.float32),
        spaces.Box(0, 255, (2, 4, 84, 84), np.uint8),
    ],
)
def test_only_stacks_of_frames_are_accepted(space: spaces.Box) -> None:
    with pytest.raises(UserError, match="needs frames"):
        Impala(space)


@torch.no_grad()
def test_residual_by_hand() -> None:
    """f(x) = 0.5 - 3 relu(2 relu(x) - 1): kernels with a centre only."""
    block = Residual(1)
    convolutions = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    for convolution, weight, bias in zip(convolutions, (2.0, -3.0), (-1.0, 0.5), strict=True):
        assert convolution.bias is not None
        convolution.weight.zero_()[0, 0, 1, 1] = weight
        convolution.bias.fill_(bias)
    x = torch.tensor([[[[-2.0, 3.0, 0.25]]]])
    # -2: relu 0, -1, relu 0,  0.5, sum -1.5;  3: 6 - 1 = 5, -15 + 0.5, sum -11.5;  0.25: -0.5, relu 0, 0.5, sum 0.75
    torch.testing.assert_close(block(x), torch.tensor([[[[-1.5, -11.5, 0.75]]]]))
    assert x.tolist() == [[[[-2.0, 3.0, 0.25]]]]  # the sum is made in place, but not here


def reference(network: Impala, obs: Tensor, pool: int, spectral_norm: bool, layer_norm: bool) -> Tensor:
    """The papers' network in double precision and functions only; reads the parameters in their order."""
    numbers = iter(parameter.detach().double() for parameter in network.parameters())

    def convolution(x: Tensor, divide: bool) -> Tensor:
        weight, bias = next(numbers), next(numbers)
        x = functional.conv2d(x, weight / largest_singular_value(weight) if divide else weight, bias, padding=1)
        if layer_norm:
            scale, shift = (next(numbers).view(1, -1, 1, 1) for _ in range(2))
            mean, variance = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), correction=0, keepdim=True)
            x = (x - mean) / (variance + 1e-5).sqrt() * scale + shift
        return x

    x = obs.double() / 255
    for _ in range(3):
        x = functional.max_pool2d(convolution(x, False), 3, 2, 1)
        for _ in range(2):
            x = x + convolution(functional.relu(convolution(functional.relu(x), spectral_norm)), spectral_norm)
    assert next(numbers, None) is None
    x = functional.relu(x)
    return (naive_adaptive_maxima(x, pool) if pool else x).flatten(1)


def naive_adaptive_maxima(x: Tensor, pool: int) -> Tensor:
    """Cell i of n takes the maximum of the rows from floor(i * side / n) to below ceil((i + 1) * side / n)."""
    ranges = [[(i * side // pool, math.ceil((i + 1) * side / pool)) for i in range(pool)] for side in x.shape[2:]]
    rows = [[x[:, :, a:b, c:d].amax((2, 3)) for c, d in ranges[1]] for a, b in ranges[0]]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("pool", [0, 6])
@pytest.mark.parametrize(("spectral_norm", "layer_norm"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("shape", [(4, 42, 42), (2, 84, 60), (1, 20, 20)])
def test_the_whole_encoder_is_the_papers(
    shape: tuple[int, int, int], spectral_norm: bool, layer_norm: bool, pool: int, width: int
) -> None:
    network = impala(shape, layer_norm=layer_norm, width=width, pool=pool, spectral_norm=spectral_norm)
    for norm in network.modules():
        if isinstance(norm, nn.GroupNorm):  # 1 and 0 would hide a swap
            nn.init.uniform_(norm.weight, 0.5, 2, generator=generator(2))
            nn.init.uniform_(norm.bias, -1, 1, generator=generator(3))
    with torch.no_grad():
        found = network(frames(3, shape)).double()
    wanted = reference(network, frames(3, shape), pool, spectral_norm, layer_norm)
    tolerance = 2e-3 if spectral_norm else 1e-5  # sigma is near the norm, not it
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance * float(wanted.std()))


def test_only_the_residual_convolutions_are_spectral() -> None:
    kinds = [type(module) for module in impala(spectral_norm=True).modules() if isinstance(module, nn.Conv2d)]
    assert kinds == 3 * [nn.Conv2d, *4 * [SpectralConv2d]]
    assert not any(isinstance(module, SpectralConv2d) for module in impala().modules())


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_acting_leaves_the_network_as_it_is(guard: type[torch.no_grad]) -> None:
    network = impala((4, 42, 42), spectral_norm=True)
    with torch.no_grad():  # away from the fixed point, where an iteration would not show
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight += 0.02 * torch.randn(module.weight.shape, generator=generator(4))
    before = copy.deepcopy(network.state_dict())
    with guard():
        first, second = (network(frames(2, (4, 42, 42))) for _ in range(2))
    assert torch.equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network(frames(2, (4, 42, 42))).sum().backward()
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.rsplit(".", 1)[1] for name in moved} == {"u", "v"}


def test_a_target_network_takes_the_vectors_and_keeps_them() -> None:
    online, target = (impala((4, 42, 42), seed, spectral_norm=True) for seed in (0, 1))
    target.requires_grad_(False)
    obs = frames(2, (4, 42, 42))
    for _ in range(2):
        with torch.no_grad():
            for parameter in online.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator(4)), alpha=0.02)
        online(obs).sum().backward()
        with torch.no_grad():
            assert not torch.equal(online(obs), target(obs))
            target.load_state_dict(online.state_dict())
            assert torch.equal(online(obs), target(obs))
    kept = copy.deepcopy(target.state_dict())
    assert not target(obs).requires_grad  # even with gradients enabled a frozen network does not move
    assert all(torch.equal(value, kept[name]) for name, value in target.state_dict().items())
    assert sum(name.endswith((".u", ".v")) for name in kept) == 24
