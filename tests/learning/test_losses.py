"""Losses against numbers worked out by hand; and inputs that catch swapped roles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from agents import recipe
from learning.config import FamilyConfig
from learning.heads import QOutput, huber, select
from learning.losses import Loss, munchausen_bonus, td_loss
from learning.networks import DuelingHead
from learning.replay import Batch

SINGLE, DOUBLE = FamilyConfig(), FamilyConfig(double=True)


def network(rows: list[list[float]]):  # type: ignore[no-untyped-def]
    """Return a "network" that looks its Q values up: observation k is row k."""
    values = torch.tensor(rows)

    def forward(obs: Tensor) -> QOutput:
        return QOutput(values[obs.long().squeeze(-1)])

    return forward


def batch(**changes: Tensor) -> Batch:
    """Two transitions: state 0, action 1 -> state 1; state 1, action 0 -> the end."""
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
    """Single: best of the target in state 1 is 8. Errors: 0.5 + 0.9 * 8 - 2 = 5.7; -3 + 0 - 4 = -7.

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


def test_pqn_regresses_on_whole_returns() -> None:
    """The reward field holds the return: (0.5 - 2)^2 / 2 = 1.125; (-3 - 4)^2 / 2 = 24.5; nobody else is asked."""
    pqn = recipe("pqn")

    def nobody(obs: Tensor) -> QOutput:
        raise AssertionError("the target network was asked")

    loss = pqn.loss(network(ONLINE), nobody, batch(discount=torch.zeros(2)), pqn.config())
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
def test_a_terminal_transition_never_looks_at_its_next_observation(double: bool) -> None:
    poisoned = [[1.0, 2.0, 0.0], [1e9, 1e9, 1e9]]
    ended = batch(discount=torch.zeros(2), obs=torch.zeros(2, 1))
    loss = td_loss(network(poisoned), network(poisoned), ended, FamilyConfig(double=double))
    torch.testing.assert_close(loss.priority, torch.tensor([1.5, 4.0]))  # |0.5 - 2|, |-3 - 1|


@pytest.mark.parametrize("double", [False, True])
def test_only_the_online_network_at_the_action_taken_learns(double: bool) -> None:
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
    # errors are 0.5 and 0; within one unit Huber's slope is the error: -0.5 at (0, 1), nothing elsewhere
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


def test_dueling_head_by_hand() -> None:
    """Advantages 1, 2, 6 (mean 3) and value 10: Q = 10 + (1 - 3, 2 - 3, 6 - 3) = 8, 9, 13."""
    head = DuelingHead(1, 3, 1, (), dueling=True)
    with torch.no_grad():
        head.linear.weight.zero_()  # type: ignore[operator]
        head.linear.bias.copy_(torch.tensor([1.0, 2.0, 6.0, 10.0]))  # type: ignore[operator]
    torch.testing.assert_close(head(torch.zeros(1, 1)), torch.tensor([[[8.0], [9.0], [13.0]]]))


def test_dueling_streams_with_hidden_layers_by_hand() -> None:
    """Every number twice: advantages (1, 2, 6) and (0, 0, 3), values 10 and 20; each number has its own mean."""
    head = DuelingHead(1, 3, 2, (2,), dueling=True)
    with torch.no_grad():
        for layer in head.last_layers:
            layer.weight.zero_()  # type: ignore[operator]
        head.linear.bias.copy_(torch.tensor([1.0, 0.0, 2.0, 0.0, 6.0, 3.0]))  # type: ignore[operator]
        head.value.bias.copy_(torch.tensor([10.0, 20.0]))  # type: ignore[operator]
    wanted = torch.tensor([[[8.0, 19.0], [9.0, 19.0], [13.0, 22.0]]])
    torch.testing.assert_close(head(torch.zeros(1, 1)), wanted)


def test_munchausen_by_hand() -> None:
    """Temperature 1 and expectations log 1, log 3: probabilities 1/4 and 3/4.

    Next: 3/4 (log 3 - log 3/4) + 1/4 (log 1 - log 1/4) = log 4 = 1.386294. Action 1 was taken: log 3/4 = -0.287682, of
    which 0.9 is -0.258914; action 0: log 1/4 = -1.386294, cut to -1, of which 0.9 is -0.9.
    """
    rows = [[0.0, float(np.log(3))]] * 2
    config = FamilyConfig(munchausen=True, munchausen_temperature=1.0, gamma=0.9)
    plain = batch(discount=torch.tensor([0.9, 0.9]))
    loss = td_loss(network(rows), network(rows), plain, config)
    said = torch.tensor([np.log(3), 0.0], dtype=torch.float32)
    goal = plain.reward + torch.tensor([-0.258914, -0.9]) + 0.9 * 1.386294
    torch.testing.assert_close(loss.priority, (goal - said).abs(), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("whose", "wanted"), [("target", -0.9), ("online", 0.0)])
def test_munchausen_asks_the_network_that_it_should(whose: str, wanted: float) -> None:
    """One is sure of action 1, the other of action 0: the log-probability of 1 is 0 or far below the floor."""
    online, target = network([[0.0, 99.0]] * 2), network([[99.0, 0.0]] * 2)
    config = FamilyConfig(munchausen=True, munchausen_network=whose)  # type: ignore[arg-type]
    one = batch(action=torch.tensor([1, 1]), discount=torch.zeros(2))
    loss = td_loss(online, target, one, config)
    torch.testing.assert_close(loss.priority, (one.reward + wanted - 99.0).abs())


def test_munchausen_fades_into_dqn() -> None:
    """Alpha 0 and a temperature near 0: the softmax is the maximum, and nothing is added."""
    config = FamilyConfig(munchausen=True, munchausen_alpha=0.0, munchausen_temperature=1e-4)
    soft, hard = (td_loss(network(ONLINE), network(TARGET), batch(), one) for one in (config, SINGLE))
    torch.testing.assert_close(soft.per_sample, hard.per_sample, atol=1e-3, rtol=0)
    assert munchausen_bonus(torch.tensor(ONLINE), torch.tensor([1, 0]), config).abs().max() == 0


def test_the_dqn_recipe_obeys_its_switch() -> None:
    dqn = recipe("dqn")
    for double, first in ((True, 4.8), (False, 5.7)):
        loss = dqn.loss(network(ONLINE), network(TARGET), batch(), dqn.config(double=double))  # type: ignore[call-arg]
        assert isinstance(loss, Loss)
        assert loss.priority[0].item() == pytest.approx(first)
