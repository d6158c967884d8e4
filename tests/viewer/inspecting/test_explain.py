"""Targets against numbers worked out by hand and against the training losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.typing import NDArray

import envs
from agents.family import network as draw
from learning.config import FamilyConfig, torch_generator
from learning.heads import HEADS
from learning.losses import td_loss
from learning.policy import Munchausen, NetworkPolicy, Training
from learning.replay import Batch
from tests.viewer.helpers import CARTPOLE, Q4, RLDEMO, V1, Known, session_in
from viewer.inspecting.explain import (
    Explanation,
    QFunction,
    decimals,
    distribution_line,
    explain,
    networks_used,
)
from viewer.inspecting.inputs import Inputs, inputs_of, strongest
from viewer.playing.timeline import Timeline

NAMES = ("left", "right")


def table_q(table: Sequence[Sequence[float]]) -> QFunction:
    """Return a Q function that looks its values up by the observed number."""
    return lambda obs: np.array(table)[obs[:, 0].astype(int)]


ONLINE = table_q([[1.0, 2.0], [3.0, 5.0], [0.5, 0.25], [8.0, 9.0]])
TARGET = table_q([[0.0, 0.5], [4.0, 2.0], [1.0, 6.0], [7.0, 3.0]])


def timeline_of(*steps: dict[str, Any] | float) -> Timeline:
    """Return a timeline of states 0, 1, ...; a step is a reward or a dict of fields; the last state has no action."""
    timeline = Timeline(100)
    timeline.begin()
    for number, step in enumerate(steps):
        timeline.arrive(np.array([float(number)]), episode=0, step=number)
        step = step if isinstance(step, dict) else {"reward": step}
        timeline.act(**{"action": 1, "reward": 0.0, "greedy": True, **step})
    timeline.arrive(np.array([float(len(steps))]), episode=0, step=len(steps))
    return timeline


def explained(timeline: Timeline, training: Training, target: QFunction | None = None, number: int = 0) -> Explanation:
    found = explain(timeline, number, training, ONLINE, target)
    assert found is not None
    return found


def error(found: Explanation) -> float | None:
    return found.error(found.one_step)


# the one-step target, term by term


def test_one_network_by_hand() -> None:
    """Reward 1, gamma 0.5; in state 1 the best action is worth 5: 1 + 2.5 = 3.5. Expected were 2: error 1.5."""
    found = explained(timeline_of(1.0), Training(0.5))
    one = found.one_step
    assert (one.rewards, one.discount, one.next_action, one.next_value, one.bonus) == ((1.0,), 0.5, 1, 5.0, 0.0)
    assert (one.total, found.expectation, error(found)) == (3.5, 2.0, 1.5)
    assert found.n_step is None
    assert (found.observed_return, found.remaining) == (1.0, 0.5)


def test_the_target_network_selects_and_evaluates() -> None:
    """It prefers action 0 in state 1, worth 4: 1 + 2 = 3."""
    found = explained(timeline_of(1.0), Training(0.5), TARGET)
    assert (found.one_step.next_action, found.one_step.next_value, found.one_step.total) == (0, 4.0, 3.0)
    assert found.expectation == 2.0  # the online network's


def test_in_double_q_learning_the_online_network_selects() -> None:
    """The online network prefers action 1, which the target network values 2: 1 + 1 = 2, and no error."""
    found = explained(timeline_of(1.0), Training(0.5, double=True), TARGET)
    assert (found.one_step.next_action, found.one_step.next_value, error(found)) == (1, 2.0, 0.0)


@pytest.mark.parametrize(
    ("step", "training", "comes"),
    [
        ({"terminated": True}, Training(0.5), False),
        ({"truncated": True}, Training(0.5), True),
        ({"life_lost": True}, Training(0.5), True),
        ({"life_lost": True}, Training(0.5, life_loss_ends=True), False),
    ],
)
def test_only_an_end_has_no_next_value(step: dict[str, Any], training: Training, comes: bool) -> None:
    """Reward -1: with the next value -1 + 2.5 = 1.5, without -1."""
    found = explained(timeline_of({"reward": -1.0, **step}), training)
    assert found.one_step.total == (1.5 if comes else -1.0)
    assert (found.one_step.next_action is None) == (not comes)
    assert found.one_step.discount == (0.5 if comes else 0.0)


def test_clipped_rewards_are_the_agents_own() -> None:
    found = explained(timeline_of(4.0), Training(0.5, clip_rewards=True))
    assert found.one_step.total == 1 + 2.5
    assert "reward +1.00 (the game gave +4; this agent learnt from rewards clipped to [-1, 1])" in found.lines(NAMES)


def test_no_key_has_no_expectation() -> None:
    found = explained(timeline_of({"action": -1, "by_human": True, "greedy": False, "reward": 1.0}), Training(0.5))
    assert (found.expectation, error(found), found.one_step.total) == (None, None, 3.5)
    assert found.lines(NAMES)[0] == "step 0: no key (you)"


def test_a_state_without_an_action_has_no_explanation() -> None:
    assert explain(timeline_of(1.0), 1, Training(0.5), ONLINE) is None


# more steps


def test_three_rewards_by_hand() -> None:
    """Rewards 1, 2, 4, gamma 0.5: 1 + 1 + 1 + 0.125 * 9 = 4.125; in state 3 the best is worth 9. Expected 2."""
    found = explained(timeline_of(1.0, 2.0, 4.0, 8.0), Training(0.5, n_step=3))
    assert found.n_step is not None
    assert (found.n_step.rewards, found.n_step.discount, found.n_step.next_value) == ((1.0, 2.0, 4.0), 0.125, 9.0)
    assert found.n_step.total == 4.125
    assert found.error(found.n_step) == 2.125
    assert found.one_step.total == 3.5


@pytest.mark.parametrize(
    ("steps", "total"),
    [
        ((1.0, 2.0), None),  # the third is not known yet
        ((1.0, {"reward": 2.0, "terminated": True}), 2.0),
        # from the true last state: 1 + 1 + 0.25 * 0.5
        ((1.0, {"reward": 2.0, "truncated": True}), 2.125),
    ],
)
def test_fewer_where_the_episode_ends(steps: Sequence[Any], total: float | None) -> None:
    found = explained(timeline_of(*steps), Training(0.5, n_step=3))
    assert (found.n_step.total if found.n_step else None) == total
    if total is None:
        assert any("the next ones are not known yet" in line for line in found.lines(NAMES))


def test_rewards_do_not_cross_into_another_episode() -> None:
    timeline = timeline_of(1.0)
    timeline.begin()
    timeline.arrive(np.array([0.0]), episode=0, step=0)
    timeline.act(1, 100.0)
    timeline.arrive(np.array([1.0]), episode=0, step=1)
    found = explained(timeline, Training(0.5, n_step=2))
    assert found.n_step is None
    assert found.observed_return == 1.0


# Munchausen


def test_munchausen_by_hand() -> None:
    """Temperature 1, alpha 0.5; with e^q 1, 3 in both states of both networks.

    log pi(right) = log 3/4 = -0.2877, half of it is the bonus: -0.1438. The soft value is log(1 + 3) = 1.3863, and
    with gamma 0.5: 1 - 0.1438 + 0.6931 = 1.5493.
    """
    network = table_q([[0.0, np.log(3.0)]] * 2)
    training = Training(0.5, munchausen=Munchausen(0.5, 1.0, -1.0))
    found = explain(timeline_of(1.0), 0, training, network)
    assert found is not None
    assert found.one_step.bonus == pytest.approx(-0.14384, abs=1e-5)
    assert found.one_step.next_value == pytest.approx(np.log(4.0))
    assert found.one_step.total == pytest.approx(1.54931, abs=1e-5)
    # the floor: left is 1000 worse, alpha * floor = -0.5
    network = table_q([[0.0, 1000.0]] * 2)
    found = explain(timeline_of({"action": 0}), 0, training, network)
    assert found is not None
    assert found.one_step.bonus == -0.5


CONFIGS: list[dict[str, Any]] = [
    {},
    {"double": True},
    {"munchausen": True, "munchausen_temperature": 0.3},
    {"munchausen": True, "munchausen_temperature": 0.3, "munchausen_network": "online", "double": True},
    {"head": "quantile", "munchausen": True, "munchausen_temperature": 0.3},
]


@pytest.mark.parametrize("settings", CONFIGS)
def test_the_target_is_that_of_the_training_loss(settings: dict[str, Any]) -> None:
    """`td_loss` backs up the same number, for two networks that disagree."""
    config = FamilyConfig(hidden=(8,), gamma=0.9, v_min=-50.0, v_max=50.0, **settings)
    box = spaces.Box(-1, 1, (1,), np.float32)
    nets = [draw(box, 2, config, torch_generator(seed, "network")) for seed in (1, 2)]
    with torch.no_grad():
        for parameter in [*nets[0].parameters(), *nets[1].parameters()]:
            parameter.mul_(3.0)
    timeline = Timeline(10)
    timeline.begin()
    timeline.arrive(np.array([0.3], np.float32), episode=0, step=0)
    timeline.act(1, 0.7)
    timeline.arrive(np.array([-0.8], np.float32), episode=0, step=1)
    online, target = (NetworkPolicy("x", None, net, 2).q_values for net in nets)
    found = explain(timeline, 0, Training.of(config), online, target)
    assert found is not None
    batch = Batch(
        torch.tensor([[0.3]]),
        torch.tensor([1]),
        torch.tensor([0.7]),
        torch.tensor([0.9]),
        torch.tensor([[-0.8]]),
        torch.ones(1),
    )
    td_error = td_loss(nets[0], nets[1], batch, config).priority.item()
    assert error(found) is not None
    assert abs(found.error(found.one_step) or 0.0) == pytest.approx(td_error, rel=1e-4)


# words


def test_lines_of_a_step() -> None:
    found = explained(
        timeline_of(1.0, {"reward": 2.0, "terminated": True}), Training(0.5, double=True, n_step=2), TARGET
    )
    assert found.lines(NAMES) == [
        "step 0: right (the agent)",
        "reward +1.00",
        "+ 0.5 x +2.00, the value of the best next action 'right'",
        "  chosen by the network, valued by its target network",
        "= target +2.00",
        "the network expected +2.00",
        "TD error +0.00: as expected",
        "training sums 2 rewards: target +2.00, TD error +0.00",
        "actual return: +2.00, complete",
    ]
    end = explained(timeline_of(1.0, {"reward": 2.0, "terminated": True}), Training(0.5, trace_decay=0.8), number=1)
    assert end.lines(NAMES)[2:] == [
        "+ nothing: the episode ended here, so there is no next value",
        "= target +2.00",
        "the network expected +5.00",
        "TD error -3.00: worse than expected",
        "training corrects earlier steps too, by 0.4 of the error per step back (eligibility traces)",
        "actual return: +2.00, complete",
    ]


def test_every_case_of_the_networks_used_is_worded() -> None:
    cases = [
        (Training(0.9, target_network=False), False, "it has no target network"),
        (Training(0.9), True, "chosen and valued by its target network"),
        (Training(0.9), False, "valued by the saved network; in training, by its target network"),
        (Training(0.9, double=True), True, "chosen by the network, valued by its target network"),
        (Training(0.9, double=True), False, "valued by the saved network; in training, by its target network"),
    ]
    for training, has_target, words in cases:
        assert words in networks_used(training, has_target)


def test_munchausen_and_rollouts_are_worded() -> None:
    soft = explained(timeline_of(1.0), Training(0.5, munchausen=Munchausen(0.9, 0.03, -1.0)))
    assert any(line.startswith("+ bonus") and "Munchausen: 0.9 x 0.03" in line for line in soft.lines(NAMES))
    assert any("the next state under the soft policy" in line for line in soft.lines(NAMES))
    rollout = explained(timeline_of(1.0), Training(0.5, target_network=False, q_lambda=0.65))
    assert any("(Q(\N{GREEK SMALL LETTER LAMDA}), 0.65)" in line for line in rollout.lines(NAMES))


def test_distributions_have_a_line_and_plain_expectations_none() -> None:
    for head in HEADS:
        assert ("probabilit" in distribution_line(head) or "likely" in distribution_line(head)) == (head != "expected")
    assert "likely each return is" in distribution_line("categorical")
    assert "the expectation" in distribution_line("histogram")  # its bins are not a distribution of returns


# inputs


def test_waterworlds_inputs_are_in_the_worlds_order() -> None:
    env = envs.make(V1)
    inputs = inputs_of(env)
    assert inputs is not None
    assert (inputs.eyes, len(inputs.names)) == (30, 152)
    env.reset(seed=0)
    # an apple 50 pixels below: eye 1 looks there, along (sin 0, cos 0), and sees its near side at 40 of 120
    state = {"clock": 0, "pos": (300.0, 200.0), "vel": (9.5, -19.0), "items": [[300.0, 250.0, 2.5, -1.25, 1, 0]]}
    obs = env.unwrapped.set_state(state)  # type: ignore[attr-defined]
    named = dict(zip(inputs.names, obs.tolist(), strict=True))
    assert named["eye 1 apple"] == pytest.approx(40 / 120)
    assert (named["eye 1 wall"], named["eye 1 poison"]) == (1.0, 1.0)
    assert (named["eye 1 its speed x"], named["eye 1 its speed y"]) == (1.0, -0.5)
    assert (named["own speed x"], named["own speed y"]) == (0.5, -1.0)
    eyes = inputs.by_eye(obs)
    assert eyes.shape == (30, 5)
    np.testing.assert_allclose(eyes[0], [1, 40 / 120, 1, 1, -0.5], rtol=1e-6)
    np.testing.assert_allclose(inputs.others(obs), [0.5, -1.0])


def test_rldemos_inputs_and_its_past() -> None:
    plain, past = inputs_of(envs.make(RLDEMO)), inputs_of(envs.make(RLDEMO, temporal_window=1))
    assert plain is not None
    assert past is not None
    assert (plain.eyes, plain.kinds, len(plain.names), plain.rest) == (9, ("wall", "apple", "poison"), 27, ())
    assert len(past.names) == 59
    assert past.names[27] == "eye 1 wall, 1 step ago"
    assert past.names[54:] == tuple(f"{name}, 1 step ago" for name in envs.action_names(envs.make(RLDEMO)))


def test_other_vectors_are_named_and_frames_are_none() -> None:
    inputs = inputs_of(envs.make(CARTPOLE))
    assert inputs is not None
    assert (inputs.eyes, inputs.names) == (0, ("cart position", "cart speed", "pole angle", "pole rotation"))
    assert inputs.by_eye(np.ones((7, 4))).shape == (7, 0, 0)


def test_the_strongest_inputs_with_their_shares() -> None:
    names = ("a", "b", "c", "d")
    assert strongest(np.array([1.0, 6.0, 0.0, 3.0]), names, 2) == [("b", 0.6), ("d", 0.3)]
    assert strongest(np.zeros(4), names) == []


def test_a_session_can_be_explained() -> None:
    class Trained(Known):
        training = Training(0.9)

    session = session_in(policy=Trained(Q4))
    for _ in range(3):
        session.step()
    assert session.policy is not None
    assert session.training is not None

    def online(obs: NDArray[Any]) -> NDArray[np.float64]:
        return np.tile(Q4, (len(obs), 1))

    found = explain(session.timeline, 1, session.training, online)
    assert found is not None
    assert found.one_step.total == pytest.approx(session.timeline[1].reward + 0.9 * 2.0)
    assert isinstance(inputs_of(session.env), Inputs)


@pytest.mark.parametrize(
    ("values", "digits"),
    [
        ((), 2),
        ((0.0, np.nan, np.inf), 2),
        ((1.5, -200.0), 2),
        ((0.5, 0.12), 2),
        ((0.099, -0.63), 3),
        ((0.0031, -0.2), 4),
        ((1.0, 1e-7), 4),  # no more for what hardly counts beside a larger one
        ((2e-6, 1e-7), 7),
        ((1e-12,), 9),
    ],
)
def test_decimals_show_two_digits_of_the_smallest_number(values: tuple[float, ...], digits: int) -> None:
    assert decimals(values) == digits
