"""Encoders: IMPALA's against a reference without modules, spectral normalisation against torch's, Nature's by hand."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from common.errors import UserError
from learning.config import LearnerConfig, torch_generator
from learning.encoders import Convolutions, Impala, Residual, SpectralConv2d, start_power_iterations
from learning.networks import QNetwork, count_parameters, initialise, initialise_normalised

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
def test_output_and_parameter_counts_by_hand(
    width: int, pool: int, features: int, parameters: int, spectral_norm: bool
) -> None:
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
def test_any_frame_size_is_accepted(shape: tuple[int, int, int], pool: int) -> None:
    network = impala(shape, pool=pool)
    assert network(frames(2, shape)).shape == (2, network.features)
    # 61 -> 31 -> 16 -> 8: halved, rounded up
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
def test_spaces_other_than_stacked_frames_are_rejected(space: spaces.Box) -> None:
    with pytest.raises(UserError, match="needs frames"):
        Impala(space)


@torch.no_grad()
def test_residual_block_by_hand() -> None:
    """f(x) = 0.5 - 3 relu(2 relu(x) - 1): kernels with a non-zero centre only."""
    block = Residual(1)
    convolutions = [module for module in block.modules() if isinstance(module, nn.Conv2d)]
    for convolution, weight, bias in zip(convolutions, (2.0, -3.0), (-1.0, 0.5), strict=True):
        assert convolution.bias is not None
        convolution.weight.zero_()[0, 0, 1, 1] = weight
        convolution.bias.fill_(bias)
    x = torch.tensor([[[[-2.0, 3.0, 0.25]]]])
    # -2: relu 0, -1, relu 0,  0.5, sum -1.5;  3: 6 - 1 = 5, -15 + 0.5, sum -11.5;  0.25: -0.5, relu 0, 0.5, sum 0.75
    torch.testing.assert_close(block(x), torch.tensor([[[[-1.5, -11.5, 0.75]]]]))
    assert x.tolist() == [[[[-2.0, 3.0, 0.25]]]]  # the block does not modify its input


def reference(network: Impala, obs: Tensor, pool: int, spectral_norm: bool, layer_norm: bool) -> Tensor:
    """The papers' network in double precision, by functions only; takes the parameters in their order."""
    parameters = iter(parameter.detach().double() for parameter in network.parameters())

    def convolution(x: Tensor, normalise: bool) -> Tensor:
        weight, bias = next(parameters), next(parameters)
        x = functional.conv2d(x, weight / largest_singular_value(weight) if normalise else weight, bias, padding=1)
        if layer_norm:
            scale, shift = (next(parameters).view(1, -1, 1, 1) for _ in range(2))
            mean, variance = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), correction=0, keepdim=True)
            x = (x - mean) / (variance + 1e-5).sqrt() * scale + shift
        return x

    x = obs.double() / 255
    for _ in range(3):
        x = functional.max_pool2d(convolution(x, False), 3, 2, 1)
        for _ in range(2):
            x = x + convolution(functional.relu(convolution(functional.relu(x), spectral_norm)), spectral_norm)
    assert next(parameters, None) is None
    x = functional.relu(x)
    return (naive_adaptive_max_pool(x, pool) if pool else x).flatten(1)


def naive_adaptive_max_pool(x: Tensor, pool: int) -> Tensor:
    """Cell i of n is the maximum of the rows from floor(i * side / n) to below ceil((i + 1) * side / n)."""
    ranges = [[(i * side // pool, math.ceil((i + 1) * side / pool)) for i in range(pool)] for side in x.shape[2:]]
    rows = [[x[:, :, a:b, c:d].amax((2, 3)) for c, d in ranges[1]] for a, b in ranges[0]]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


@pytest.mark.parametrize("width", [1, 2])
@pytest.mark.parametrize("pool", [0, 6])
@pytest.mark.parametrize(("spectral_norm", "layer_norm"), [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("shape", [(4, 42, 42), (2, 84, 60), (1, 20, 20)])
def test_the_encoder_equals_the_papers(
    shape: tuple[int, int, int], spectral_norm: bool, layer_norm: bool, pool: int, width: int
) -> None:
    network = impala(shape, layer_norm=layer_norm, width=width, pool=pool, spectral_norm=spectral_norm)
    for norm in network.modules():
        if isinstance(norm, nn.GroupNorm):  # initialised to 1 and 0, a swap would not show
            nn.init.uniform_(norm.weight, 0.5, 2, generator=generator(2))
            nn.init.uniform_(norm.bias, -1, 1, generator=generator(3))
    with torch.no_grad():
        found = network(frames(3, shape)).double()
    expected = reference(network, frames(3, shape), pool, spectral_norm, layer_norm)
    tolerance = 2e-3 if spectral_norm else 1e-5  # sigma approximates the spectral norm
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * float(expected.std()))


def test_only_residual_convolutions_are_spectrally_normalised() -> None:
    kinds = [type(module) for module in impala(spectral_norm=True).modules() if isinstance(module, nn.Conv2d)]
    assert kinds == 3 * [nn.Conv2d, *4 * [SpectralConv2d]]
    assert not any(isinstance(module, SpectralConv2d) for module in impala().modules())


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_acting_does_not_run_power_iterations(guard: type[torch.no_grad]) -> None:
    network = impala((4, 42, 42), spectral_norm=True)
    with torch.no_grad():  # away from the fixed point, where an iteration would change nothing
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight += 0.02 * torch.randn(module.weight.shape, generator=generator(4))
    before = copy.deepcopy(network.state_dict())
    with guard():
        first, second = (network(frames(2, (4, 42, 42))) for _ in range(2))
    assert torch.equal(first, second)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    network(frames(2, (4, 42, 42))).sum().backward()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.rsplit(".", 1)[1] for name in changed} == {"u", "v"}


def test_a_target_network_copies_u_and_v_and_does_not_update_them() -> None:
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
    assert not target(obs).requires_grad  # even with gradients enabled, a frozen network runs no power iteration
    assert all(torch.equal(value, kept[name]) for name, value in target.state_dict().items())
    assert sum(name.endswith((".u", ".v")) for name in kept) == 24


# ---------------------------------------------------------------------- spectral normalisation


def spectral(inputs: int = 8, outputs: int = 8, seed: int = 0) -> SpectralConv2d:
    layer = SpectralConv2d(inputs, outputs, 3, padding=1)
    initialise(layer, generator(seed))
    layer.start(generator(seed))
    return layer


@pytest.mark.parametrize("channels", [(4, 16), (16, 16), (32, 32), (64, 64), (9, 3)])
def test_sigma_is_the_largest_singular_value_after_initialisation(channels: tuple[int, int]) -> None:
    for seed in range(20):
        layer = spectral(*channels, seed=seed)
        with torch.no_grad():
            weight = layer.normalised_weight()
        ratio = layer.weight.detach().norm() / weight.norm()  # W = sigma * normalised
        assert float(ratio) == pytest.approx(largest_singular_value(layer.weight), rel=1e-3)
        assert largest_singular_value(weight) == pytest.approx(1, abs=1e-3)


def test_one_power_iteration_per_forward_pass_by_hand() -> None:
    """W = diag(2, 1), u ~ (1, 1): v ~ (2, 1), u ~ (4, 1); then v ~ (8, 1), u ~ (16, 1); sigma = |W v|."""
    layer = SpectralConv2d(2, 2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.diag(torch.tensor([2.0, 1.0])).view(2, 2, 1, 1))
        layer.u.fill_(0.5**0.5)
        layer.v.fill_(0.5**0.5)
        # no iteration: u^T W v = (2 + 1) / 2
        torch.testing.assert_close(layer.normalised_weight(), layer.weight / 1.5)
    torch.testing.assert_close(layer.normalised_weight(), layer.weight / math.sqrt(17 / 5))
    torch.testing.assert_close(layer.u, torch.tensor([4.0, 1.0]) / math.sqrt(17))
    torch.testing.assert_close(layer.normalised_weight(), layer.weight / math.sqrt(257 / 65))
    torch.testing.assert_close(layer.v, torch.tensor([8.0, 1.0]) / math.sqrt(65))


def test_sigma_tracks_changing_weights() -> None:
    layer = spectral()
    with torch.no_grad():
        for _ in range(100):
            layer.weight += 0.003 * torch.randn(layer.weight.shape, generator=generator(7))
            with torch.enable_grad():
                layer.normalised_weight()
        weight = layer.normalised_weight()
    assert largest_singular_value(layer.weight) > 2 * largest_singular_value(spectral().weight)
    assert largest_singular_value(weight) == pytest.approx(1, abs=0.01)


def test_the_normalised_weight_is_computed_once_between_two_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    layer, dot = spectral(), torch.dot
    counted: list[int] = []

    def counting(*parts: Tensor) -> Tensor:
        counted.append(1)
        return dot(*parts)

    monkeypatch.setattr(torch, "dot", counting)
    optimizer = torch.optim.Adam(layer.parameters(), 0.1, fused=True)
    x = torch.randn(2, 8, 5, 5, generator=generator(5))

    def expected() -> Tensor:
        return layer.weight / dot(layer.u, layer.weight.flatten(1) @ layer.v)

    changes = {
        "nothing yet": lambda: None,
        "a power iteration": lambda: layer(x),
        "the optimiser": lambda: (layer(x).sum().backward(), optimizer.step()),
        "loading": lambda: layer.load_state_dict(spectral(seed=3).state_dict()),
        "another type": lambda: layer.double(),
    }
    for name, change in changes.items():
        change()  # type: ignore[no-untyped-call]
        counted.clear()
        with torch.inference_mode():
            weights = [layer.normalised_weight() for _ in range(3)]
            assert torch.equal(weights[0], expected()), name
        with torch.no_grad():
            assert layer.normalised_weight() is weights[0] is weights[2]
        assert len(counted) == 1, name
    assert not weights[0].is_inference()
    copy.deepcopy(layer)


def test_the_normalised_weight_stays_where_it_is_and_is_computed_again_if_told_to() -> None:
    layer = spectral()
    with torch.no_grad():
        weight = layer.normalised_weight()
        before = weight.clone()
        layer.weight.data.mul_(torch.arange(8.0).view(8, 1, 1, 1))  # as a CUDA graph's replay: no version counts it
        assert torch.equal(layer.normalised_weight(), before)
        assert layer.fixed_weight(again=True) is weight
    assert not torch.equal(weight, before)


def test_the_spectral_norm_gradient_equals_torchs() -> None:
    """With equal u and v. The gradient along W itself is 0, as W / sigma does not depend on the scale of W."""
    layer = spectral(6, 10)
    factor = torch.randn(layer.weight.shape, generator=generator(3))
    weight = layer.normalised_weight()
    (weight * factor).sum().backward()  # type: ignore[no-untyped-call]
    torchs = nn.Conv2d(6, 10, 3)
    with torch.no_grad():
        torchs.weight.copy_(layer.weight)
    parametrizations.spectral_norm(torchs).eval()  # eval: no power iteration
    parameters: Any = torchs.parametrizations["weight"]  # type: ignore[index]
    parameters[0]._u.copy_(layer.u)
    parameters[0]._v.copy_(layer.v)
    (torchs.weight * factor).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(weight, torchs.weight)
    gradient = layer.weight.grad
    assert gradient is not None
    torch.testing.assert_close(gradient, parameters.original.grad)
    assert abs(float(functional.cosine_similarity(gradient.flatten(), layer.weight.detach().flatten(), 0))) < 1e-4
    assert float(gradient.norm()) > 0.1


def test_the_spectral_norm_gradient_against_finite_differences() -> None:
    """Central differences with u and v fixed: exact, as u and v are constants in the gradient, too."""
    layer = spectral(2, 3).double()
    factor = torch.randn(layer.weight.shape, generator=generator(3), dtype=torch.float64)
    (layer.normalised_weight() * factor).sum().backward()  # type: ignore[no-untyped-call]
    assert layer.weight.grad is not None
    with torch.no_grad():
        for index in [(0, 0, 0, 0), (1, 1, 2, 0), (2, 0, 1, 1)]:
            values = []
            for step in (1e-6, -2e-6):
                layer.weight[index] += step
                values.append(float((layer.normalised_weight() * factor).sum()))
            layer.weight[index] += 1e-6
            assert (values[0] - values[1]) / 2e-6 == pytest.approx(float(layer.weight.grad[index]), rel=1e-5)


def test_two_forward_passes_before_one_backward_pass() -> None:
    """The second forward pass updates u and v: the first one's graph must not be affected."""
    joint = spectral()
    separate = copy.deepcopy(joint)
    x = torch.randn(2, 8, 5, 5, generator=generator(5))
    (joint(x).square().sum() + joint(2 * x).square().sum()).backward()
    for scale in (1, 2):
        separate(scale * x).square().sum().backward()
    assert joint.weight.grad is not None
    assert separate.weight.grad is not None
    torch.testing.assert_close(joint.weight.grad, separate.weight.grad)


def test_power_iterations_use_the_given_generator_only() -> None:
    layers = [SpectralConv2d(8, 8, 3) for _ in range(3)]  # each with its own weights, and so its own u and v
    weight = spectral().weight.detach()
    before = torch.get_rng_state()
    for layer, seed in zip(layers, (0, 0, 1), strict=True):
        layer.load_state_dict({**layer.state_dict(), "weight": weight})
        draws = generator(seed)
        layer.start(draws)
        assert not torch.equal(draws.get_state(), generator(seed).get_state())
        layer(torch.zeros(1, 8, 4, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(layers[0].u, layers[1].u)
    assert torch.equal(layers[0].v, layers[1].v)
    # another start converges to the same direction, up to its sign
    assert abs(float(layers[0].u @ layers[2].u)) == pytest.approx(1, abs=1e-4)


def test_a_layer_without_initial_power_iterations_is_finite() -> None:
    layer = SpectralConv2d(8, 8, 3, padding=1)
    with torch.no_grad():
        assert layer(torch.ones(1, 8, 4, 4)).isfinite().all()
        assert largest_singular_value(layer.normalised_weight()) < 3
    assert layer(torch.ones(1, 8, 4, 4)).isfinite().all()


# ---------------------------------------------------------------------- encoders within a network


def q_network(encoder: str, space: spaces.Box | None = None, **changes: Any) -> QNetwork:
    config = LearnerConfig(encoder=encoder, hidden=(512,), **changes)  # type: ignore[arg-type]
    return QNetwork(space or frame_space(), 6, config, torch_generator(1, "network"))


def test_nature_network_parameter_count_by_hand() -> None:
    """32(4*64+1) + 64(32*16+1) + 64(64*9+1) + 512(64*7*7+1) + 6(512+1) = 1,687,206."""
    assert count_parameters(q_network("nature")) == 1_687_206
    assert count_parameters(q_network("auto")) == 1_687_206
    # a scale and a shift for each of 32 + 64 + 64 channels and 512 units
    assert count_parameters(q_network("auto", layer_norm=True)) == 1_687_206 + 2 * (32 + 64 + 64 + 512)


def test_frames_are_divided_by_255_exactly_once() -> None:
    """Dividing by 255 twice leaves inputs near 0 (baselines#431)."""
    net = q_network("nature")
    white = torch.full((1, 4, 84, 84), 255, dtype=torch.uint8)
    assert isinstance(net.convolutions, Convolutions)
    by_hand = torch.ones(1, 4, 84, 84)
    for layer in net.convolutions.layers:
        by_hand = torch.relu(layer(by_hand))
    torch.testing.assert_close(net.convolutions(white), by_hand.flatten(1))


def test_layer_norm_makes_the_scale_of_a_layer_irrelevant() -> None:
    """Doubling a layer's weights changes nothing after its normalisation, except for the epsilon in it."""
    net = q_network("nature", layer_norm=True)
    obs = torch.randint(0, 256, (3, 4, 84, 84), dtype=torch.uint8, generator=torch_generator(2, "replay"))
    before = net(obs).q_values
    assert isinstance(net.convolutions, Convolutions)
    with torch.no_grad():
        for layer in (net.convolutions.layers[1], net.layers[0]):
            layer.weight.mul_(2)  # type: ignore[operator]
            layer.bias.mul_(2)  # type: ignore[operator]
    torch.testing.assert_close(net(obs).q_values, before, atol=2e-3, rtol=1e-2)
    plain = q_network("nature")
    with torch.no_grad():
        plain.layers[0].weight.mul_(2)  # type: ignore[operator]
    assert not torch.allclose(plain(obs).q_values, q_network("nature")(obs).q_values, atol=2e-3, rtol=1e-2)


def test_observations_that_do_not_fit_an_encoder_are_rejected() -> None:
    with pytest.raises(UserError, match="a convolutional --encoder needs frames"):
        q_network("nature", spaces.Box(-1, 1, (152,), np.float32))
    with pytest.raises(UserError, match="frames of 20 x 20 are too small for this --encoder"):
        q_network("nature", spaces.Box(0, 255, (4, 20, 20), np.uint8))
