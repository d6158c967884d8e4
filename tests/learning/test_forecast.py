"""The time left: training at the pace of late, evaluations still to come, and how many of those there may be."""

from __future__ import annotations

import pytest

from learning.evaluate import Progress
from learning.forecast import Evaluations, Forecast, typical_length

TEN = Evaluations(total=1_000, count=10, episodes=100, interim_episodes=20)


def test_evaluations_to_come() -> None:
    assert TEN.ahead(0) == [20] * 9 + [100]
    assert TEN.ahead(99) == [20] * 9 + [100]
    assert TEN.ahead(100) == [20] * 8 + [100]  # the one at 100 has been
    assert TEN.ahead(900) == [100]
    assert TEN.ahead(1_000) == [100]
    assert Evaluations(1_000, count=1).ahead(0) == [100]


@pytest.mark.parametrize(
    ("training", "episode", "count", "interim"),
    [
        (1_000.0, 0.1, 10, 20),  # 9 x 20 x 0.1 s = 18 s: no problem
        (500.0, 1.0, 10, 7),  # (500 + 100) / 9 = 66 s: 9 x 7 episodes
        (100.0, 1.0, 5, 5),  # 200 / 9 = 22 episodes: 4 x 5, not 9 x 2
        (0.0, 1.0, 3, 5),  # 100 / 9 = 11 episodes
        (5.0, 0.01, 10, 7),  # (5 + 1) / 9 / 0.01 = 66 episodes
    ],
)
def test_evaluations_on_the_way_take_a_tenth_at_most(training: float, episode: float, count: int, interim: int) -> None:
    fitted = TEN.fitted(training, episode)
    assert (fitted.count, fitted.interim_episodes, fitted.episodes) == (count, interim, 100)
    on_the_way = sum(fitted.ahead(0)[:-1]) * episode
    assert on_the_way <= 0.1 * (on_the_way + training + 100 * episode)


def test_a_run_too_short_for_five_episodes_has_its_final_evaluation_only() -> None:
    fitted = Evaluations(1_000, count=10, episodes=10, interim_episodes=20).fitted(1.0, 1.0)
    assert (fitted.count, fitted.episodes) == (1, 10)


def test_an_episode_is_as_long_as_those_seen_else_as_its_limit() -> None:
    assert typical_length(1_000) == 1_000
    assert typical_length(27_000) == 2_000  # for emergencies
    assert typical_length(None) == 2_000
    assert typical_length(1_000, [10, 30]) == 20


def test_the_time_left_counts_training_and_evaluations() -> None:
    forecast = Forecast(TEN, steps_per_second=10.0, episode_seconds=0.5)
    # 1,000 steps of 0.1 s; 9 x 20 + 100 episodes of 0.5 s
    assert forecast.left(0) == pytest.approx(100 + 280 * 0.5)
    # 500 steps; 4 x 20 + 100 episodes: the one at 500 has been
    assert forecast.left(500) == pytest.approx(50 + 180 * 0.5)
    assert forecast.left(1_000) == pytest.approx(100 * 0.5)
    forecast.evaluated(20, 2.0)
    assert forecast.left(1_000) == pytest.approx(100 * 0.1)


def test_nothing_measured_is_no_forecast() -> None:
    forecast = Forecast(TEN)
    assert forecast.left(0) is None
    forecast.trained(10, 2.0)
    assert forecast.left(900) == pytest.approx(100 * 0.2)


def test_the_pace_of_late_counts_most() -> None:
    forecast = Forecast(TEN, steps_per_second=10.0, episode_seconds=0.0)
    for _ in range(60):
        forecast.trained(10, 4.0)  # 0.4 s a step, no longer 0.1
    assert forecast.left(900) == pytest.approx(100 * 0.4, rel=0.01)


def test_phases_of_acting_and_learning_are_averaged() -> None:
    """A rollout of 500 steps in 0.01 s each, then 45 s of learning: 0.1 s a step, whenever one looks."""
    forecast = Forecast(Evaluations(10_000), steps_per_second=10.0, episode_seconds=0.0, period=500)
    seen = []
    for _ in range(10):
        for _ in range(50):
            forecast.trained(10, 0.1)
            seen.append(forecast.left(9_000) or 0.0)
        forecast.trained(0, 45.0)
        seen.append(forecast.left(9_000) or 0.0)
    assert 60 < min(seen) < max(seen) < 150  # 1,000 steps of 0.1 s are 100 s


def test_the_time_left_of_an_evaluation() -> None:
    forecast = Forecast(TEN, episode_seconds=0.5)
    assert forecast.evaluation_left(Progress(0, 20, 100, 0), 4.0) == pytest.approx(6.0)  # 20 x 0.5 s, 4 s are over
    assert forecast.evaluation_left(Progress(0, 20, 100, 0), 9.9) == pytest.approx(1.0)  # not less than a tenth
    assert forecast.evaluation_left(Progress(0, 20, 100, 0), 30.0) == pytest.approx(20.0)  # late: as late again
    # 900 of at most 1,000 steps: what is left can't take longer than a ninth of it
    assert forecast.evaluation_left(Progress(0, 20, 900, 0, 1_000), 90.0) == pytest.approx(10.0)
    # five games of 100 steps took 10 s with 500 steps of others: 10 to come of 100 steps, half of them played
    assert forecast.evaluation_left(Progress(5, 15, 1_000, 500), 10.0) == pytest.approx(5.0)
