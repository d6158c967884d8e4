"""The truth meter, against environments whose true values are known and numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

from learning.policy import Training
from tests.tiny import CORRIDOR, LOOP, Corridor
from tests.viewer.helpers import Known, NoQValues, session_in
from viewer.playing.calibration import NEGLIGIBLE, Pair, RunningCalibration, TruthMeter, return_since
from viewer.playing.session import Session
from viewer.playing.timeline import Moment, Timeline


class TableQ(Known):
    """Has the Q values of a table for each one-hot state, plus a bias, and a known discount."""

    def __init__(self, table: NDArray[np.float64], gamma: float, bias: float = 0.0) -> None:
        super().__init__([0.0, 1.0])
        self.table, self.bias = table, bias
        self.training = Training(gamma)

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(obs @ self.table + self.bias)

    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        best = self.q_values(obs).argmax(1)
        return rng.integers(0, 2, len(obs)) if rng.random() < epsilon else best


def played(env_id: str, policy: Known, steps: int, **options: Any) -> Session:
    session = Session(gymnasium.make(env_id), policy, seed=1, **options)
    while session.total_steps < steps:
        session.step()
    return session


def corridor(gamma: float, bias: float = 0.0) -> TableQ:
    """The true Q values; arbitrary ones for the last state, in which no action is taken."""
    return TableQ(np.vstack([Corridor.q_star(gamma), [[7.0, 8.0]]]), gamma, bias)


def loop(gamma: float, bias: float = 0.0) -> TableQ:
    return TableQ(np.full((2, 2), 1 / (1 - gamma)), gamma, bias)


def near(found: Sequence[float], wanted: Sequence[float]) -> None:
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def meter_of(session: Session) -> TruthMeter:
    assert session.truth is not None
    return session.truth


# environments with known values


@pytest.mark.parametrize(("bias", "error"), [(0.0, 0.0), (0.5, 0.5), (-0.25, 0.25)])
def test_corridor(bias: float, error: float) -> None:
    """Every episode terminates, so that every return is known exactly."""
    session = played(CORRIDOR, corridor(0.9, bias), 300)
    found = meter_of(session).calibration()
    finished = sum(score.steps for score in session.results)
    assert found.pairs == finished > 250
    assert found.bias == pytest.approx(bias, abs=1e-9)
    assert found.error == pytest.approx(error, abs=1e-9)
    assert found.bootstrapped == 0.0
    assert meter_of(session).known() == found


@pytest.mark.parametrize("bias", [0.0, 0.5])
def test_loop_without_an_end(bias: float) -> None:
    """0.9^44 is the first power below 1 %: of 200 returns the first 200 - 44 are known.

    The remainder is bootstrapped, so the true value has no error, and a bias of 0.5 is found.
    """
    session = Session(Endless(), loop(0.9, bias), seed=1)
    for _ in range(200):
        session.step()
    meter = meter_of(session)
    assert meter.calibration().pairs == 200 - 44
    session.step()  # one more state, one more known return
    found = meter.calibration()
    assert found.pairs == 157
    near((found.bias, found.error, found.bootstrapped), (bias, bias, 0.9**44))
    assert meter.known() == found
    pair = meter.pair(0)
    assert pair is not None
    assert pair.known
    assert pair.error == pytest.approx(bias * (1 - 0.9**44))
    assert pair.observed == pytest.approx((1 - 0.9**44) / 0.1)
    assert len(meter.open()) == 44


class Endless(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Loop without its limit of 5 steps."""

    def __init__(self) -> None:
        self.inner = gymnasium.make(LOOP).unwrapped
        self.observation_space, self.action_space = self.inner.observation_space, self.inner.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        return self.inner.reset(seed=seed)

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        return self.inner.step(action)  # type: ignore[return-value]


@pytest.mark.parametrize("bias", [0.0, 0.5])
def test_truncation_is_not_an_error(bias: float) -> None:
    """Loop is truncated after 5 steps of a return of 10: at most 4.1 is observed. That is no error of the network.

    The 5 returns lack 0.9^5, 0.9^4 ... 0.9 of their weight; none of them is known.
    """
    meter = meter_of(played(LOOP, loop(0.9, bias), 50))
    found = meter.calibration()
    near(
        (found.pairs, found.error, found.bias, found.bootstrapped),
        (50, bias, bias, sum(0.9**k for k in range(1, 6)) / 5),
    )
    assert meter.known().pairs == 0
    assert math.isnan(meter.known().error)
    # with a discount of 0.3 the first and the second return lack 0.3^4 or less: 0.0081
    short = meter_of(played(LOOP, loop(0.3, bias), 50))
    assert (short.calibration().pairs, short.known().pairs) == (50, 20)
    near((short.calibration().bias, short.known().bias), (bias, bias))


def test_a_long_episode_loses_no_precision() -> None:
    session = Session(Endless(), loop(0.5), seed=1)  # 0.5^3000 underflows
    for _ in range(3_000):
        session.step()
    assert meter_of(session).calibration().error < 1e-12
    far = Session(Endless(), loop(0.999), seed=1)  # 0.999^4603 is the first below 1 %
    for _ in range(8_000):
        far.step()
    assert meter_of(far).calibration().pairs == 1000  # the last ones only
    assert len(meter_of(far).series) == 8_000 - 4603
    assert meter_of(far).calibration().error < 1e-9


@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_the_ends_of_the_discount(gamma: float) -> None:
    """0: the return is the next reward, known one step later. 1: a return is known only at the episode's end."""
    table = np.array([[0, gamma], [0, gamma], [0, gamma], [0, 1], [7, 8]])
    meter = meter_of(played(CORRIDOR, TableQ(table, gamma), 200))
    found = meter.calibration()
    assert found.pairs > 100
    assert meter.known() == found
    assert found.error == pytest.approx(0.0, abs=1e-12)


# the rule, by hand


Steps = Sequence[tuple[float, float, dict[str, Any]]]


def moments(*steps: tuple[float, float, dict[str, Any]]) -> list[Moment]:
    """Return greedy moments of one action: its Q value, the reward, and further fields."""
    timeline = Timeline(100)
    timeline.begin()
    for step, (q, reward, more) in enumerate(steps):
        timeline.arrive(np.zeros(1), episode=0, step=step)
        timeline.act(0, reward, **{"q_values": np.array([q]), "greedy": True, **more})
    return list(timeline)


def test_terminated_by_hand() -> None:
    """Gamma 0.5, rewards 1, 2, 4: returns 1 + 1 + 1 = 3, 2 + 2 = 4, and 4. Expected 3.5, 3, 4: errors 0.5, -1, 0."""
    meter = TruthMeter(0.5)
    for moment in moments((3.5, 1, {}), (3, 2, {}), (4, 4, {"terminated": True})):
        assert meter.pair(moment.number) is None
        meter.add(moment)
    assert [pair.observed for pair in meter.series] == pytest.approx([3, 4, 4])
    assert [pair.error for pair in meter.series] == pytest.approx([0.5, -1, 0])
    found = meter.calibration()
    near((found.pairs, found.error, found.bias), (3, 0.5, -0.5 / 3))
    assert meter.open() == []


@pytest.mark.parametrize(
    "other",
    [{"greedy": False}, {"greedy": False, "by_human": True}, {"greedy": False, "by_human": True, "q_values": None}],
)
def test_a_non_greedy_action_closes_the_measurements(other: dict[str, Any]) -> None:
    """Gamma 0.5, expected 2, 3, then a step that is not greedy, where the best action is worth 6.

    The first two are cut: 1 + 0.5 * 1 + 0.25 * 6 = 3 and 1 + 0.5 * 6 = 4, errors -1 and -1, of shares 0.75 and 0.5;
    the step itself is not measured. The agent's step afterwards is: expected 5, observed 4, error 1 of share 1. In all
    the bias is (-1 - 1 + 1) / 2.25. Without Q values there is nothing to bootstrap from.
    """
    meter = TruthMeter(0.5)
    for moment in moments((2, 1, {}), (3, 1, {}), (6, 100, other), (5, 4, {"terminated": True})):
        meter.add(moment)
    near((meter.known().pairs, meter.known().bias), (1, 1.0))
    found = meter.calibration()
    if other.get("q_values", 0) is None:
        assert found == meter.known()
        return
    near((found.pairs, found.bias, found.error, found.bootstrapped), (3, -1 / 2.25, 3 / 2.25, 0.75 / 3))
    assert [meter.pair(number) for number in (0, 1, 2)] == [Pair(0, 2, 1.5, 0.25, 6), Pair(1, 3, 1, 0.5, 6), None]


def test_a_non_greedy_action_after_the_return_is_known_does_not_matter() -> None:
    """Gamma 0.05: after two steps 0.0025 is missing, so the return is known although a human then takes over."""
    meter = TruthMeter(0.05)
    by_hand = {"greedy": False, "by_human": True}
    for moment in moments((1.05, 1, {}), (1, 1, {}), (0, 1, by_hand)):
        meter.add(moment)
    assert [(pair.number, pair.known) for pair in meter.series] == [(0, True), (1, False)]
    assert meter.series[0].observed == pytest.approx(1.05)
    assert meter.series[0].remaining == pytest.approx(0.0025)
    assert meter.series[0].remaining < NEGLIGIBLE


def test_rewards_are_clipped_as_the_agent_learnt_them() -> None:
    steps: Steps = ((1.5, 4.0, {}), (1.0, 7.0, {"terminated": True}))
    for clip, observed in ((True, [1.5, 1.0]), (False, [7.5, 7.0])):
        meter = TruthMeter(0.5, Training(0.5, clip_rewards=clip).learnt)
        for moment in moments(*steps):
            meter.add(moment)
        assert [pair.observed for pair in meter.series] == pytest.approx(observed)


def test_a_lost_life_ends_the_returns_of_agents_trained_so() -> None:
    steps: Steps = ((1.0, 1.0, {"life_lost": True}), (3.0, 3.0, {"terminated": True}))
    for ends, observed in ((True, [1.0, 3.0]), (False, [1 + 0.5 * 3, 3.0])):
        meter = TruthMeter(0.5, life_loss_ends=ends)
        for moment in moments(*steps):
            meter.add(moment)
        assert [pair.observed for pair in meter.series] == pytest.approx(observed)


def test_nan_and_infinity_are_left_out() -> None:
    meter = TruthMeter(0.5)
    for moment in moments((math.nan, 1, {}), (math.inf, 1, {}), (2.0, 1, {"terminated": True})):
        meter.add(moment)
    assert meter.calibration().pairs == 1
    assert meter.calibration().bias == pytest.approx(1.0)


def test_open_measurements_have_the_rewards_so_far() -> None:
    meter = TruthMeter(0.5)
    for moment in moments((2, 1, {}), (3, 1, {})):
        meter.add(moment)
    assert meter.open() == [Pair(0, 2, 1.5, 0.25, 0), Pair(1, 3, 1, 0.5, 0)]


def test_only_the_last_pairs_count_and_a_huge_error_leaves_no_trace() -> None:
    tally = RunningCalibration(3)

    def add(*errors: float) -> None:
        for error in errors:
            tally.add(Pair(0, error, 0.0, 0.0, 0.0))

    add(100.0, 1.0, -2.0, 3.0)  # the first is gone: mean |error| 2, bias 2 / 3
    near((tally.mean().pairs, tally.mean().error, tally.mean().bias), (3, 2, 2 / 3))
    add(1e30, 1.0, 2.0, 3.0, 1.0, 2.0, 3.0)
    assert tally.mean().error == pytest.approx(2.0)


# in a session


def test_random_actions_neither_count_nor_bias() -> None:
    """With a random action in every second step most measurements are cut. Only greedy steps are measured."""
    session = played(CORRIDOR, corridor(0.9), 600, epsilon=0.5)
    meter = meter_of(session)
    greedy = {moment.number for moment in session.timeline if moment.greedy}
    assert {pair.number for pair in meter.series} <= greedy
    assert 0 < meter.known().pairs < meter.calibration().pairs < 550
    near((meter.calibration().error, meter.known().error), (0.0, 0.0))


class Gamble(gymnasium.Env[NDArray[np.float32], np.int64]):
    """Whatever is done, a step ends the episode with probability 0.1 and a reward of -1: Q = -0.1 / (1 - 0.9 gamma)."""

    def __init__(self) -> None:
        self.observation_space, self.action_space = gymnasium.spaces.Box(0, 1, (2,)), gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        return np.array([1, 0], np.float32), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        over = bool(self.np_random.random() < 0.1)
        return np.array([1, 0], np.float32), -float(over), over, False, {}


def test_known_returns_alone_are_a_biased_sample() -> None:
    """With random actions the known returns are those that ended soon, and ends are bad: an exact network looks biased.

    Gamma 0.95: Q = -0.1 / 0.145 = -0.69, the other action a little less; each return is gamma^k times -1.
    """
    q = -0.1 / 0.145
    policy = TableQ(np.array([[q, q - 1e-9], [0.0, 0.0]]), 0.95)
    session = Session(Gamble(), policy, seed=1, epsilon=0.2)  # every tenth action is not greedy
    meter = TruthMeter(0.95, pairs=100_000)
    session.truth = meter
    while session.total_steps < 6000:
        session.step()
    assert meter.known().bias > 0.1
    assert abs(meter.calibration().bias) < 0.03


def test_a_humans_steps_do_not_count() -> None:
    session = played(CORRIDOR, corridor(0.9), 100)
    meter = meter_of(session)
    while session.finished:
        session.step()
    before = meter.calibration().pairs
    session.take_over()
    session.human_action = 1  # as good as the agent, but not the agent
    for _ in range(50):
        session.step()
    assert meter.calibration().pairs == before


@pytest.mark.parametrize("restart", [True, False])
def test_an_interrupted_episode_is_cut(restart: bool) -> None:
    """The new episode's rewards must not count for the old one's steps."""
    session = Session(Endless(), loop(0.9), seed=1)
    for _ in range(10):
        session.step()
    if restart:
        session.restart()
    else:
        session.next_episode()
    meter = meter_of(session)
    assert (meter.calibration().pairs, meter.open()) == (10, [])
    pair = meter.pair(9)
    assert pair is not None
    near(pair, (9, 10, 1, 0.9, 10))


def test_policies_without_a_discount_are_not_measured() -> None:
    assert session_in(policy=Known((0.0, 1.0, 0.0, 0.0))).truth is None
    assert session_in(policy=NoQValues((0.0, 1.0, 0.0, 0.0))).truth is None
    assert session_in().truth is None


# a single step


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        (((0, 1, {}), (0, 2, {})), (1 + 0.5 * 2, 0.25)),
        (((0, 1, {}), (0, 2, {"terminated": True})), (2.0, 0.0)),
        (((0, 1, {"greedy": False, "by_human": True}), (0, 2, {})), (2.0, 0.25)),
    ],
)
def test_return_since(steps: Steps, wanted: tuple[float, float]) -> None:
    assert return_since(moments(*steps), Training(0.5)) == pytest.approx(wanted)
