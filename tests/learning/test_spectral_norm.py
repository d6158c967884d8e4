"""Spectral normalisation: by hand, against torch's own, and against the singular values themselves."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from learning.encoders import SpectralConv2d
from learning.networks import initialise


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def spectral(inputs: int = 8, outputs: int = 8, seed: int = 0) -> SpectralConv2d:
    layer = SpectralConv2d(inputs, outputs, 3, padding=1)
    initialise(layer, generator(seed))
    layer.start(generator(seed))
    return layer


def largest_singular_value(weight: Tensor) -> float:
    return float(torch.linalg.matrix_norm(weight.detach().double().flatten(1), 2))


@pytest.mark.parametrize("channels", [(4, 16), (16, 16), (32, 32), (64, 64), (9, 3)])
def test_sigma_is_the_largest_singular_value_after_start(channels: tuple[int, int]) -> None:
    for seed in range(20):
        layer = spectral(*channels, seed=seed)
        with torch.no_grad():
            weight = layer.normalised_weight()
        ratio = layer.weight.detach().norm() / weight.norm()  # W = sigma * normalised
        assert float(ratio) == pytest.approx(largest_singular_value(layer.weight), rel=1e-3)
        assert largest_singular_value(weight) == pytest.approx(1, abs=1e-3)


def test_one_iteration_a_forward_by_hand() -> None:
    """W = diag(2, 1), u ~ (1, 1): v ~ (2, 1), u ~ (4, 1); then v ~ (8, 1), u ~ (16, 1); sigma = |W v|."""
    layer = SpectralConv2d(2, 2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.diag(torch.tensor([2.0, 1.0])).view(2, 2, 1, 1))
        layer.u.fill_(0.5**0.5)
        layer.v.fill_(0.5**0.5)
        # not moved: u^T W v = (2 + 1) / 2
        torch.testing.assert_close(layer.normalised_weight(), layer.weight / 1.5)
    torch.testing.assert_close(layer.normalised_weight(), layer.weight / math.sqrt(17 / 5))
    torch.testing.assert_close(layer.u, torch.tensor([4.0, 1.0]) / math.sqrt(17))
    torch.testing.assert_close(layer.normalised_weight(), layer.weight / math.sqrt(257 / 65))
    torch.testing.assert_close(layer.v, torch.tensor([8.0, 1.0]) / math.sqrt(65))


def test_sigma_follows_weights_that_learn() -> None:
    layer = spectral()
    with torch.no_grad():
        for _ in range(100):
            layer.weight += 0.003 * torch.randn(layer.weight.shape, generator=generator(7))
            with torch.enable_grad():
                layer.normalised_weight()
        weight = layer.normalised_weight()
    assert largest_singular_value(layer.weight) > 2 * largest_singular_value(spectral().weight)
    assert largest_singular_value(weight) == pytest.approx(1, abs=0.01)


def test_the_gradient_is_torchs() -> None:
    """With the same u and v; and there is none along W itself, as W / sigma does not know W's size."""
    layer = spectral(6, 10)
    factor = torch.randn(layer.weight.shape, generator=generator(3))
    weight = layer.normalised_weight()
    (weight * factor).sum().backward()  # type: ignore[no-untyped-call]
    theirs = nn.Conv2d(6, 10, 3)
    with torch.no_grad():
        theirs.weight.copy_(layer.weight)
    parametrizations.spectral_norm(theirs).eval()  # eval: it does not iterate
    parameters: Any = theirs.parametrizations["weight"]  # type: ignore[index]
    parameters[0]._u.copy_(layer.u)
    parameters[0]._v.copy_(layer.v)
    (theirs.weight * factor).sum().backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(weight, theirs.weight)
    gradient = layer.weight.grad
    assert gradient is not None
    torch.testing.assert_close(gradient, parameters.original.grad)
    assert abs(float(functional.cosine_similarity(gradient.flatten(), layer.weight.detach().flatten(), 0))) < 1e-4
    assert float(gradient.norm()) > 0.1


def test_the_gradient_is_a_slope() -> None:
    """Central differences with u and v held: exact as u and v are constants in the gradient, too."""
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


def test_two_forwards_before_one_backward() -> None:
    """The second forward moves u and v on: the first one's graph must not notice."""
    both = spectral()
    apart = copy.deepcopy(both)
    x = torch.randn(2, 8, 5, 5, generator=generator(5))
    (both(x).square().sum() + both(2 * x).square().sum()).backward()
    for scale in (1, 2):
        apart(scale * x).square().sum().backward()
    assert both.weight.grad is not None
    assert apart.weight.grad is not None
    torch.testing.assert_close(both.weight.grad, apart.weight.grad)


def test_one_generator_gives_one_start_and_the_global_one_is_left_alone() -> None:
    layers = [SpectralConv2d(8, 8, 3) for _ in range(3)]  # each with other weights, and so other u and v
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
    # another draw leads to the same direction, up to its sign
    assert abs(float(layers[0].u @ layers[2].u)) == pytest.approx(1, abs=1e-4)


def test_a_layer_without_a_start_is_finite() -> None:
    layer = SpectralConv2d(8, 8, 3, padding=1)
    with torch.no_grad():
        assert layer(torch.ones(1, 8, 4, 4)).isfinite().all()
        assert largest_singular_value(layer.normalised_weight()) < 3
    assert layer(torch.ones(1, 8, 4, 4)).isfinite().all()
