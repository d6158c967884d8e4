"""Convolutions over frames in few passes: the same features and gradients as layer by layer, for every encoder."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from learning import encoders as frames
from learning.config import torch_generator
from learning.encoders import CONVOLUTIONS, Convolutions
from learning.networks import initialise, initialise_normalised


def encoder(name: str, layer_norm: bool, shape: tuple[int, int, int]) -> Convolutions:
    """Return an encoder whose scales and shifts are not ones and zeros."""
    net = Convolutions(spaces.Box(0, 255, shape, np.uint8), CONVOLUTIONS[name], layer_norm)
    draws = torch_generator(3, "network")
    (initialise_normalised if layer_norm else initialise)(net, draws)
    for norm in net.norms:
        for parameter in norm.parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=draws)
    return net


def pictures(batch: int, shape: tuple[int, int, int]) -> Tensor:
    return torch.randint(0, 256, (batch, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(batch))


def learnt(net: Convolutions, obs: Tensor) -> list[Tensor]:
    """Return the features, and the gradients of a loss in which every feature has a weight of its own."""
    net.zero_grad()
    features = net(obs)
    (features * torch.linspace(-1, 1, features.numel()).view_as(features)).sum().backward()
    return [features.detach(), *(p.grad.clone() for p in net.parameters() if p.grad is not None)]


SHAPES = [
    ("nature", (4, 84, 84)),
    ("mnih2013", (4, 84, 84)),
    ("small", (4, 42, 42)),
    ("small", (1, 42, 40)),
    ("mnih2013", (3, 50, 61)),
    ("mnih2013", (1, 20, 20)),  # one pixel is left
]


@pytest.mark.parametrize("batch", [1, 7, 32])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize(("name", "shape"), SHAPES)
def test_the_same_function(
    name: str, shape: tuple[int, int, int], layer_norm: bool, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, obs = encoder(name, layer_norm, shape), pictures(batch, shape)
    assert frames.fits(obs, net)
    found = learnt(net, obs)
    monkeypatch.setattr(frames, "fits", lambda obs, net: False)
    plain = learnt(net, obs)
    for ours, theirs in zip(found, plain, strict=True):
        assert ours.shape == theirs.shape
        largest = theirs.abs().max()
        torch.testing.assert_close(ours / largest, theirs / largest, rtol=1e-4, atol=2e-5)


def test_bit_for_bit() -> None:
    net, obs = encoder("mnih2013", True, (4, 84, 84)), pictures(9, (4, 84, 84))
    first = learnt(net, obs)
    learnt(net, pictures(20, (4, 84, 84)))  # what other frames leave behind does not matter
    torch.testing.assert_close(learnt(net, obs), first, rtol=0, atol=0)


def test_the_gradient_it_was_given_stays() -> None:
    net, obs = encoder("mnih2013", True, (1, 20, 20)), pictures(3, (1, 20, 20))
    features = net(obs)
    gradient = torch.ones_like(features)
    features.backward(gradient)
    assert (gradient == 1).all()


def test_a_frozen_network_keeps_nothing() -> None:
    net = encoder("mnih2013", True, (4, 84, 84)).requires_grad_(False)
    assert net(pictures(2, (4, 84, 84))).grad_fn is None


def test_where_it_does_not_fit() -> None:
    net, obs = encoder("small", False, (4, 42, 42)), pictures(2, (4, 42, 42))
    assert not frames.fits(obs.float(), net)
    assert not frames.fits(obs, copy.deepcopy(net).double())
    hook = net.layers[0].register_forward_hook(lambda *_: None)  # the window's view into the network
    assert not frames.fits(obs, net)
    hook.remove()
    assert frames.fits(obs, net)
