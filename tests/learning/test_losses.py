"""Losses against values computed by hand; and inputs that reveal swapped networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from agents import recipe
from learning.config import FamilyConfig, torch_generator
from learning.heads import HEADS, QOutput, huber, select
from learning.losses import Loss, halves, munchausen_bonus, td_loss
from learning.networks import QNetwork
from learning.replay import Batch

SINGLE, DOUBLE = FamilyConfig(), FamilyConfig(double=True)


def network(rows: list[list[float]]):  # type: ignore[no-untyped-def]
    """Return a "network" that looks up its Q values: observation k is row k."""
    values = torch.tensor(rows)

    def forward(obs: Tensor) -> QOutput:
        return QOutput(values[obs.long().squeeze(-1)])

    return forward


def batch(**changes: Tensor) -> Batch:
    """Return two transitions: state 0, action 1 -> state 1; state 1, action 0 -> terminal."""
    plain = {
        "obs": torch.tensor([[0.0], [1.0]]),
        "action": torch.tensor([1, 0]),
        "reward": torch.tensor([0.5, -3.0]),
        "discount": torch.tensor([0.9, 0.0]),
        "next_obs": torch.tensor([[1.0], [1.0]]),
        "weight": torch.ones(2),
    }
    return Batch(**{**plain, **changes})  # type: ignore[arg-type]


ONLINE = [[1.0, 2.0, 0.0], [4.0, 5.0, 6.0]]
TARGET = [[9.0, 9.0, 9.0], [3.0, 8.0, 7.0]]


def test_td_loss_by_hand() -> None:
    """Single: the target network's maximum in state 1 is 8. TD errors: 0.5 + 0.9 * 8 - 2 = 5.7; -3 + 0 - 4 = -7.

    Huber: 5.7 - 0.5 = 5.2; 7 - 0.5 = 6.5.
    """
    loss = td_loss(network(ONLINE), network(TARGET), batch(), SINGLE)
    torch.testing.assert_close(loss.per_sample, torch.tensor([5.2, 6.5]))
    torch.testing.assert_close(loss.priority, torch.tensor([5.7, 7.0]))
    torch.testing.assert_close(loss.q_values, torch.tensor([2.0, 4.0]))


def test_squared_errors_by_hand() -> None:
    """5.7^2 / 2 = 16.245; 7^2 / 2 = 24.5."""
    loss = td_loss(network(ONLINE), network(TARGET), batch(), FamilyConfig(loss="mse"))
    torch.testing.assert_close(loss.per_sample, torch.tensor([16.245, 24.5]))


def test_pqn_regresses_on_returns() -> None:
    """The reward field holds the return: (0.5 - 2)^2 / 2 = 1.125; (-3 - 4)^2 / 2 = 24.5; there is no target network."""
    pqn = recipe("pqn")

    def no_target(obs: Tensor) -> QOutput:
        raise AssertionError("the target network was evaluated")

    loss = pqn.loss(network(ONLINE), no_target, batch(discount=torch.zeros(2)), pqn.config())
    torch.testing.assert_close(loss.per_sample, torch.tensor([1.125, 24.5]))
    torch.testing.assert_close(loss.q_values, torch.tensor([2.0, 4.0]))


def test_double_td_loss_by_hand() -> None:
    """Double: the online net selects action 2 in state 1, the target net evaluates it as 7: 0.5 + 6.3 - 2 = 4.8."""
    loss = td_loss(network(ONLINE), network(TARGET), batch(), DOUBLE)
    torch.testing.assert_close(loss.priority, torch.tensor([4.8, 7.0]))


def test_double_is_single_when_the_networks_agree() -> None:
    for rows in (ONLINE, TARGET):
        one, two = (td_loss(network(rows), network(rows), batch(), config) for config in (SINGLE, DOUBLE))
        torch.testing.assert_close(one.per_sample, two.per_sample)


@pytest.mark.parametrize("double", [False, True])
def test_a_terminal_transition_ignores_its_next_observation(double: bool) -> None:
    poisoned = [[1.0, 2.0, 0.0], [1e9, 1e9, 1e9]]
    ended = batch(discount=torch.zeros(2), obs=torch.zeros(2, 1))
    loss = td_loss(network(poisoned), network(poisoned), ended, FamilyConfig(double=double))
    torch.testing.assert_close(loss.priority, torch.tensor([1.5, 4.0]))  # |0.5 - 2|, |-3 - 1|


@pytest.mark.parametrize("double", [False, True])
def test_gradients_reach_only_the_online_q_value_of_the_action_taken(double: bool) -> None:
    online = torch.tensor(ONLINE, requires_grad=True)
    target = torch.tensor(TARGET, requires_grad=True)
    loss = td_loss(
        lambda obs: QOutput(online[obs.long().squeeze(-1)]),
        lambda obs: QOutput(target[obs.long().squeeze(-1)]),
        batch(reward=torch.tensor([2.5 - 0.9 * (7.0 if double else 8.0), 4.0])),
        FamilyConfig(double=double),
    )
    loss.per_sample.sum().backward()  # type: ignore[no-untyped-call]
    assert target.grad is None
    # TD errors are 0.5 and 0; below 1 Huber's derivative is the error: -0.5 at (0, 1), 0 elsewhere
    assert online.grad is not None
    torch.testing.assert_close(online.grad, torch.tensor([[0.0, -0.5, 0.0], [0.0, 0.0, 0.0]]))


def test_huber_and_select_by_hand() -> None:
    torch.testing.assert_close(
        huber(torch.tensor([-3.0, -0.5, 0.0, 1.0, 2.0])), torch.tensor([2.5, 0.125, 0, 0.5, 1.5])
    )
    torch.testing.assert_close(select(torch.tensor(ONLINE), torch.tensor([2, 0])), torch.tensor([0.0, 4.0]))


def test_gradient_against_finite_differences() -> None:
    torch.manual_seed(0)
    weights = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)

    def mean_loss(rows: Tensor) -> Tensor:
        def look_up(obs: Tensor) -> QOutput:
            return QOutput(rows[obs.long().squeeze(-1)])

        plain = batch()
        doubles = plain._replace(reward=plain.reward.double(), discount=plain.discount.double())
        return td_loss(look_up, network(TARGET), doubles, SINGLE).per_sample.mean()

    assert torch.autograd.gradcheck(mean_loss, weights)


def test_munchausen_by_hand() -> None:
    """Temperature 1 and expectations log 1, log 3: probabilities 1/4 and 3/4.

    Next: 3/4 (log 3 - log 3/4) + 1/4 (log 1 - log 1/4) = log 4 = 1.386294. Action 1 was taken: log 3/4 = -0.287682, of
    which 0.9 is -0.258914; action 0: log 1/4 = -1.386294, clipped to -1, of which 0.9 is -0.9.
    """
    rows = [[0.0, float(np.log(3))]] * 2
    config = FamilyConfig(munchausen=True, munchausen_temperature=1.0, gamma=0.9)
    plain = batch(discount=torch.tensor([0.9, 0.9]))
    loss = td_loss(network(rows), network(rows), plain, config)
    prediction = torch.tensor([np.log(3), 0.0], dtype=torch.float32)
    td_target = plain.reward + torch.tensor([-0.258914, -0.9]) + 0.9 * 1.386294
    torch.testing.assert_close(loss.priority, (td_target - prediction).abs(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("which", "expected"), [("target", -0.9), ("online", 0.0)])
def test_munchausen_uses_the_configured_network(which: str, expected: float) -> None:
    """One network is certain of action 1, the other of action 0: log pi(1) is 0, or far below the clipping bound."""
    online, target = network([[0.0, 99.0]] * 2), network([[99.0, 0.0]] * 2)
    config = FamilyConfig(munchausen=True, munchausen_network=which)  # type: ignore[arg-type]
    one = batch(action=torch.tensor([1, 1]), discount=torch.zeros(2))
    loss = td_loss(online, target, one, config)
    torch.testing.assert_close(loss.priority, (one.reward + expected - 99.0).abs())


@pytest.mark.parametrize("head", ["expected", "categorical", "quantile", "histogram"])
def test_munchausen_asks_the_target_network_once(head: str) -> None:
    """For both observations at once; the halves of the answer are what two questions bring."""
    config = FamilyConfig(munchausen=True, head=head, num_atoms=4, v_max=9.0, num_quantiles=4)  # type: ignore[arg-type]
    target = QNetwork(
        spaces.Box(-1, 1, (3,), np.float32), 2, config, torch_generator(1, "network"), HEADS[head](config)
    )
    obs = torch.rand((4, 3), generator=torch_generator(2, "network"))
    asked: list[int] = []

    def counting(obs: Tensor) -> QOutput:
        asked.append(len(obs))
        return target(obs)  # type: ignore[no-any-return]

    one = batch(obs=obs[:2], next_obs=obs[2:])
    td_loss(target, counting, one, config)
    assert asked == [4]
    for found, rows in zip(halves(target(obs)), (obs[:2], obs[2:]), strict=True):
        for part, expected in zip(found, target(rows), strict=True):
            assert (part is None) == (expected is None)
            if part is not None:
                torch.testing.assert_close(part, expected)


def test_munchausen_with_alpha_0_and_low_temperature_is_dqn() -> None:
    """Alpha 0 and a temperature near 0: the softmax is the maximum, and the bonus is 0."""
    config = FamilyConfig(munchausen=True, munchausen_alpha=0.0, munchausen_temperature=1e-4)
    soft, hard = (td_loss(network(ONLINE), network(TARGET), batch(), one) for one in (config, SINGLE))
    torch.testing.assert_close(soft.per_sample, hard.per_sample, atol=1e-3, rtol=0)
    assert munchausen_bonus(torch.tensor(ONLINE), torch.tensor([1, 0]), config).abs().max() == 0


def test_the_dqn_recipe_follows_its_double_switch() -> None:
    dqn = recipe("dqn")
    for double, first in ((True, 4.8), (False, 5.7)):
        loss = dqn.loss(network(ONLINE), network(TARGET), batch(), dqn.config(double=double))  # type: ignore[call-arg]
        assert isinstance(loss, Loss)
        assert loss.priority[0].item() == pytest.approx(first)
