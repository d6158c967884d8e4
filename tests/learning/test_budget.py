"""A wall-clock budget scales the whole run."""

from __future__ import annotations

import pytest

from common.errors import UserError
from learning.config import ReplayConfig, RolloutConfig
from learning.preflight import fit, seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"), [("20m", 1200), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("2h5s", 7205)]
)
def test_times(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["20", "m", "", "20 m", "20min", "-5m", "m20", "1d"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(UserError, match="is not a time; write 90s, 20m or 1h30m"):
        seconds_of(text)


def test_too_short() -> None:
    with pytest.raises(UserError, match="--budget 5s is too short; at least 10s"):
        seconds_of("5s")


def test_schedules_scale_with_the_total() -> None:
    config = ReplayConfig(
        total_timesteps=1_000_000, num_envs=8, epsilon_steps=100_000, learning_starts=10_000, target_period=1_000
    )
    fitted = fit(config, seconds=1_000, steps_per_second=500)
    # a tenth of the budget is for evaluations: 900 s at 500 steps/s = 450,000 steps, 0.45 of the run
    assert fitted.total_timesteps == 450_000
    assert (fitted.epsilon_steps, fitted.learning_starts, fitted.target_period) == (45_000, 4_500, 450)
    assert fitted.learning_rate == config.learning_rate


def test_a_target_network_stays_slower_than_the_network() -> None:
    config = ReplayConfig(total_timesteps=50_000_000, target_period=2_500)
    fitted = fit(config, seconds=1_200, steps_per_second=50)
    assert fitted.total_timesteps == 54_000
    assert fitted.target_period == 100  # not 3


def test_agents_without_replay_scale_too() -> None:
    fitted = fit(RolloutConfig(total_timesteps=2_000_000, num_envs=32, epsilon_steps=150_000), 600, 1_000)
    assert fitted.total_timesteps == 540_000
    assert fitted.epsilon_steps == 40_500
