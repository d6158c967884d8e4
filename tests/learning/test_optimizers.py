"""The centred RMSProp against its formula, and the optimisers' names."""

from __future__ import annotations

import copy

import numpy as np
import torch

from learning.config import ReplayConfig
from learning.learner import CentredRMSProp, make_optimizer


def test_centred_rmsprop_is_its_formula() -> None:
    """Three steps of step = lr * g / sqrt(mean(g^2) - mean(g)^2 + eps), in NumPy."""
    start, gradients = np.array([1.0, -2.0]), [np.array([0.5, 3.0]), np.array([-1.0, 1e-6]), np.array([0.2, 0.0])]
    parameter = torch.nn.Parameter(torch.tensor(start))
    optimizer = CentredRMSProp([parameter], lr=0.1, decay=0.95, eps=0.01 / 32**2)
    mean, square, wanted = np.zeros(2), np.zeros(2), start.copy()
    for gradient in gradients:
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        mean = 0.95 * mean + 0.05 * gradient
        square = 0.95 * square + 0.05 * gradient**2
        wanted -= 0.1 * gradient / np.sqrt(square - mean**2 + 0.01 / 32**2)
    np.testing.assert_allclose(parameter.detach().numpy(), wanted, rtol=1e-12)


def test_each_name_is_its_optimiser() -> None:
    network = torch.nn.Linear(2, 2)
    kinds = {"adam": torch.optim.Adam, "radam": torch.optim.RAdam, "rmsprop": CentredRMSProp}
    for name, kind in kinds.items():
        optimizer = make_optimizer(network, ReplayConfig(optimizer=name, learning_rate=0.25))  # type: ignore[arg-type]
        assert type(optimizer) is kind
        assert optimizer.param_groups[0]["lr"] == 0.25
        assert len(optimizer.param_groups[0]["params"]) == 2


def test_its_state_survives_a_round_trip() -> None:
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
