"""The optimisers: against formulas, against torch's, in one walk over memory as in many."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from learning import learner as optimisers
from learning.config import ReplayConfig
from learning.learner import Adam, CentredRMSProp, RAdam, make_optimizer


def test_centred_rmsprop_against_its_formula() -> None:
    """Three steps of step = lr * g / sqrt(mean(g^2) - mean(g)^2 + eps), in NumPy."""
    start, gradients = np.array([1.0, -2.0]), [np.array([0.5, 3.0]), np.array([-1.0, 1e-6]), np.array([0.2, 0.0])]
    parameter = torch.nn.Parameter(torch.tensor(start))
    optimizer = CentredRMSProp([parameter], lr=0.1, decay=0.95, eps=0.01 / 32**2)
    mean, square, expected = np.zeros(2), np.zeros(2), start.copy()
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        mean = 0.95 * mean + 0.05 * gradient
        square = 0.95 * square + 0.05 * gradient**2
        expected -= 0.1 * gradient / np.sqrt(square - mean**2 + 0.01 / 32**2)
    np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-12)


def test_optimisers_by_name() -> None:
    network = torch.nn.Linear(2, 2)
    kinds = {"adam": Adam, "radam": RAdam, "rmsprop": CentredRMSProp}
    for name, kind in kinds.items():
        optimizer = make_optimizer(network, ReplayConfig(optimizer=name, learning_rate=0.25))  # type: ignore[arg-type]
        assert type(optimizer) is kind
        assert optimizer.param_groups[0]["lr"] == 0.25
        assert len(optimizer.param_groups[0]["params"]) == 2


def test_centred_rmsprop_state_round_trip() -> None:
    one, other = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    first, second = CentredRMSProp([one], 0.1, 0.95, 1e-5), CentredRMSProp([other], 0.1, 0.95, 1e-5)
    one.grad = torch.tensor([1.0, 2.0, 3.0])
    first.step()
    other.data.copy_(one.data)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    one.grad = other.grad = torch.tensor([0.5, 0.5, 0.5])
    first.step()
    second.step()
    torch.testing.assert_close(one, other, rtol=0, atol=0)


def weights() -> list[torch.nn.Parameter]:
    """Return a matrix and convolutions in channels last, always the same."""
    draws = torch.Generator().manual_seed(0)
    shapes = [(5, 7), (6, 4, 3, 3)]
    matrix, convolutions = (torch.randn(*shape, generator=draws) for shape in shapes)
    return [torch.nn.Parameter(matrix), torch.nn.Parameter(convolutions.contiguous(memory_format=torch.channels_last))]


def trained(optimizer: torch.optim.Optimizer, parameters: list[torch.nn.Parameter], steps: int) -> list[Tensor]:
    draws = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for parameter in parameters:
            # gradients in the standard layout: state and gradient must not be mixed up by their places in memory
            parameter.grad = torch.randn(parameter.shape, generator=draws)
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


@pytest.mark.parametrize("fused", [True, False])
def test_adam_is_torchs_with_its_state(fused: bool) -> None:
    ours, theirs = weights(), weights()
    one, other = Adam(ours, 0.01, eps=1e-4, fused=fused), torch.optim.Adam(theirs, 0.01, eps=1e-4, fused=fused)
    for mine, torchs in zip(trained(one, ours, 3), trained(other, theirs, 3), strict=True):
        assert torch.equal(mine, torchs)
    assert not torch.equal(ours[0], weights()[0])
    resumed = Adam(ours, 0.01, eps=1e-4, fused=fused)
    resumed.load_state_dict(copy.deepcopy(other.state_dict()))
    for mine, torchs in zip(trained(resumed, ours, 2), trained(other, theirs, 2), strict=True):
        assert torch.equal(mine, torchs)


@pytest.mark.parametrize("steps", [3, 20])  # the first five are without the mean square
def test_radam_is_torchs(steps: int) -> None:
    ours, theirs = weights(), weights()
    found = trained(RAdam(ours, lr=0.01, eps=1e-6), ours, steps)
    expected = trained(torch.optim.RAdam(theirs, lr=0.01, eps=1e-6), theirs, steps)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_centred_rmsprop_in_one_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = weights(), weights()
    found = trained(CentredRMSProp(ours, 0.01, 0.95, 1e-4), ours, 5)
    monkeypatch.setattr(optimisers, "one_walk", lambda parameters: False)
    expected = trained(CentredRMSProp(theirs, 0.01, 0.95, 1e-4), theirs, 5)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [RAdam, CentredRMSProp])
def test_it_goes_on_from_the_state_that_torchs_layout_kept(kind: Any) -> None:
    options: dict[str, float] = {"decay": 0.95, "eps": 1e-4} if kind is CentredRMSProp else {}
    one, other = weights(), weights()
    first, second = kind(one, lr=0.01, **options), kind(other, lr=0.01, **options)
    trained(first, one, 7)
    for a, b in zip(one, other, strict=True):
        b.data.copy_(a.data)
    state = copy.deepcopy(first.state_dict())
    for kept in state["state"].values():
        kept.update({name: value.contiguous() for name, value in kept.items()})  # as safetensors gives it back
    second.load_state_dict(state)
    torch.testing.assert_close(trained(second, other, 3), trained(first, one, 3), rtol=0, atol=0)
