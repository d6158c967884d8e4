"""Losses against numbers worked out by hand; and inputs that catch swapped roles."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from agents import recipe
from learning.losses import Loss, bootstrap_value, huber, select, td_loss
from learning.networks import Expected, QOutput
from learning.replay import Batch


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
    }
    return Batch(**{**plain, **changes})


ONLINE = [[1.0, 2.0, 0.0], [4.0, 5.0, 6.0]]
TARGET = [[9.0, 9.0, 9.0], [3.0, 8.0, 7.0]]


def test_td_loss_by_hand() -> None:
    """Single: best of the target in state 1 is 8. Errors: 0.5 + 0.9 * 8 - 2 = 5.7; -3 + 0 - 4 = -7.

    Huber: 5.7 - 0.5 = 5.2; 7 - 0.5 = 6.5.
    """
    loss = td_loss(network(ONLINE), network(TARGET), batch(), double=False)
    torch.testing.assert_close(loss.per_sample, torch.tensor([5.2, 6.5]))
    torch.testing.assert_close(loss.priority, torch.tensor([5.7, 7.0]))
    torch.testing.assert_close(loss.q_values, torch.tensor([2.0, 4.0]))


def test_squared_errors_by_hand() -> None:
    """5.7^2 / 2 = 16.245; 7^2 / 2 = 24.5."""
    loss = td_loss(network(ONLINE), network(TARGET), batch(), double=False, loss="mse")
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
    """Double: the online net chooses action 2 in state 1, the target net judges it 7: 0.5 + 6.3 - 2 = 4.8."""
    loss = td_loss(network(ONLINE), network(TARGET), batch(), double=True)
    torch.testing.assert_close(loss.priority, torch.tensor([4.8, 7.0]))


def test_double_is_single_when_the_networks_agree() -> None:
    obs = torch.tensor([[0.0], [1.0]])
    for rows in (ONLINE, TARGET):
        one = bootstrap_value(network(rows), network(rows), obs, double=False)
        two = bootstrap_value(network(rows), network(rows), obs, double=True)
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("double", [False, True])
def test_a_terminal_transition_never_looks_at_its_next_observation(double: bool) -> None:
    poisoned = [[1.0, 2.0, 0.0], [1e9, 1e9, 1e9]]
    ended = batch(discount=torch.zeros(2), obs=torch.zeros(2, 1))
    loss = td_loss(network(poisoned), network(poisoned), ended, double)
    torch.testing.assert_close(loss.priority, torch.tensor([1.5, 4.0]))  # |0.5 - 2|, |-3 - 1|


@pytest.mark.parametrize("double", [False, True])
def test_only_the_online_network_at_the_action_taken_learns(double: bool) -> None:
    online = torch.tensor(ONLINE, requires_grad=True)
    target = torch.tensor(TARGET, requires_grad=True)
    loss = td_loss(
        lambda obs: QOutput(online[obs.long().squeeze(-1)]),
        lambda obs: QOutput(target[obs.long().squeeze(-1)]),
        batch(reward=torch.tensor([2.5 - 0.9 * (7.0 if double else 8.0), 4.0])),
        double,
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
        return td_loss(look_up, network(TARGET), doubles, double=False).per_sample.mean()

    assert torch.autograd.gradcheck(mean_loss, weights)


def test_dueling_head_by_hand() -> None:
    """Advantages 1, 2, 6 (mean 3) and value 10: Q = 10 + (1 - 3, 2 - 3, 6 - 3) = 8, 9, 13."""
    head = Expected(1, 3, dueling=True)
    with torch.no_grad():
        head.linear.weight.zero_()
        head.linear.bias.copy_(torch.tensor([1.0, 2.0, 6.0, 10.0]))
    torch.testing.assert_close(head(torch.zeros(1, 1)).q_values, torch.tensor([[8.0, 9.0, 13.0]]))


def test_the_dqn_recipe_obeys_its_switch() -> None:
    dqn = recipe("dqn")
    for double, first in ((True, 4.8), (False, 5.7)):
        loss = dqn.loss(network(ONLINE), network(TARGET), batch(), dqn.config(double=double))  # type: ignore[call-arg]
        assert isinstance(loss, Loss)
        assert loss.priority[0].item() == pytest.approx(first)
