"""The learner: importance weights, noise for exploration, the stopwatch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from agents import recipe
from learning.config import torch_generator
from learning.learner import Learner, Stopwatch, Update, UpdateLog
from learning.recipe import Recipe
from learning.replay import Batch
from tests.learning.helpers import close, transitions


def test_stopwatch_shares_add_up() -> None:
    watch = Stopwatch("a", "b")
    assert watch.shares() == {"a": 0.0, "b": 0.0}
    watch.seconds.update(a=3.0, b=1.0)
    assert watch.shares() == {"a": 0.75, "b": 0.25}
    with watch("b"):
        pass
    assert watch.seconds["b"] > 1.0


def learner(name: str, **changes: Any) -> Learner:
    found: Recipe = recipe(name)
    config = found.config(**{**found.presets["default"].settings, "hidden": (8,), **changes})
    return Learner(found, config, spaces.Box(-1, 1, (3,), np.float32), 3, seed=1)


@pytest.mark.parametrize(
    "name", ["dqn", "c51", "qr_dqn", "iqn", "hl_gauss", "munchausen_dqn", "noisy_dqn", "dueling_dqn", "rainbow", "btr"]
)
def test_importance_weights_reach_every_head(name: str) -> None:
    """A transition of weight 0 adds no gradient, one of weight 2 twice its gradient."""
    obs = torch.rand((4, 3), generator=torch_generator(3, "network"))

    def gradient(weight: list[float], rows: list[int]) -> Tensor:
        one = learner(name, noisy_sigma=0.0, max_grad_norm=None)
        one._stochastic.clear()  # the same quantile fractions for all
        batch = Batch(
            obs[rows],
            torch.tensor([0, 1, 2, 0])[rows],
            torch.tensor([1.0, -1.0, 5.0, 0.5])[rows],
            torch.full((len(rows),), 0.9),
            obs.flip(0)[rows],
            torch.tensor(weight),
        )
        one.update(batch, 1e-3)
        return torch.cat([p.grad.flatten() for p in one.parameters if p.grad is not None])

    full = gradient([1.0, 0.0, 2.0], [0, 1, 2])
    # both are means over 3: the first once, the third twice
    close(full, gradient([1.0, 1.0, 1.0], [0, 2, 2]), atol=1e-5)
    assert (full - gradient([1.0, 1.0, 1.0], [0, 1, 2])).abs().max() > 1e-3


def test_a_missing_importance_weight_is_detected() -> None:
    one = learner("dqn")
    batch = transitions(obs=torch.rand(3, 3), next_obs=torch.rand(3, 3), weight=torch.ones(1))
    with pytest.raises(AssertionError, match="one loss and one importance weight"):
        one.update(batch, 1e-3)


def test_noise_is_drawn_in_training_only_and_per_environment() -> None:
    one = learner("noisy_dqn")
    policy = one.policy("CartPole-v1")
    obs = np.repeat(np.array([[0.1, -0.3, 0.7]], np.float32), 6, axis=0)
    without_noise = policy.q_values(obs)
    np.testing.assert_array_equal(without_noise, policy.q_values(obs))
    noisy = one.noisy_q_values(obs)
    assert len(np.unique(noisy.round(6), axis=0)) == 6
    assert not np.array_equal(noisy, one.noisy_q_values(obs))
    np.testing.assert_array_equal(without_noise, policy.q_values(obs))
    again = learner("noisy_dqn")
    np.testing.assert_array_equal(noisy, again.noisy_q_values(obs))
    plain = learner("dqn")
    plain_policy = plain.policy("CartPole-v1")
    np.testing.assert_array_equal(plain.noisy_q_values(obs), plain_policy.q_values(obs))


def test_sigma_of_noisy_layers_is_learnt() -> None:
    one = learner("noisy_dqn")
    layer = one._noisy[0]
    before = layer.weight_sigma.detach().clone()
    batch = transitions(obs=torch.rand(3, 3), next_obs=torch.rand(3, 3))
    one.update(batch, 1e-2)
    assert not torch.equal(before, layer.weight_sigma)


def test_reports_of_updates_hold_no_tensors_on_the_cpu() -> None:
    """They would lie between those of the updates to come; the numbers are the same."""
    log, loss = UpdateLog(), torch.tensor(0.1)
    log.add(Update(loss, torch.tensor(2.5), torch.zeros(1), torch.tensor(0.25)))
    log.add(Update(0.3, 0.5, torch.zeros(1), torch.tensor(0.75)))
    assert all(type(number) is float for part in log.state() for number in part)
    assert not [held for part in vars(log).values() for held in part if isinstance(held, torch.Tensor)]
    assert log.cut_off == 0.5
    assert log.read() == ((float(loss) + 0.3) / 2, 1.5)
