"""Preflight: device, memory and time of a run; a wall-clock budget scales the whole run."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from agents import recipe
from common.errors import UserError
from learning.config import FamilyConfig, ReplayConfig, RolloutConfig
from learning.preflight import check_memory, fit, preflight, seconds_of
from learning.replay import Replay
from learning.trainer import Plan
from tests.learning.helpers import plan

CARTPOLE = "CartPole-v1"


def test_the_summary_states_device_memory_size_and_time() -> None:
    summary = preflight(plan(CARTPOLE), "cpu")
    # 4 x 16 + 16 weights and biases, 16 x 2 + 2 for two actions
    assert summary.parameters == 4 * 16 + 16 + 16 * 2 + 2
    assert summary.replay_bytes == 1_000 * (4 * 4 + 17)
    assert 0 < summary.seconds < 60
    assert str(summary).startswith("device cpu, fused engine | replay 0 MB | network 114 parameters | about 0 min ")


def test_the_time_estimate_grows_with_the_steps() -> None:
    short, long = (preflight(plan(CARTPOLE, total_timesteps=steps), "cpu").seconds for steps in (2_000, 2_000_000))
    assert long > 50 * short


def test_a_replay_that_does_not_fit_is_rejected_with_the_size_that_would() -> None:
    space = spaces.Box(-1, 1, (152,), np.float32)
    free = 10**9
    with pytest.raises(
        UserError, match=r"would take 6\.2 GB and 0\.9 GB can be used; --capacity (\d+) would fit"
    ) as error:
        check_memory(Replay.bytes_needed(10**7, space), 10**7, free)
    largest = int(str(error.value).split("--capacity ")[1].split()[0])
    check_memory(Replay.bytes_needed(largest, space), largest, free)
    with pytest.raises(UserError):
        check_memory(Replay.bytes_needed(largest + 10, space), largest + 10, free)


def test_a_run_with_too_large_a_replay_never_starts() -> None:
    with pytest.raises(UserError, match="would fit"):
        preflight(Plan("tidepool/Waterworld-v1", recipe("dqn"), FamilyConfig(capacity=10**9), seed=1), "cpu")


def test_an_unavailable_device_is_rejected() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(UserError, match="--device cuda is not available; this machine has cpu"):
        preflight(plan(CARTPOLE), "cuda")


# ---------------------------------------------------------------------- budgets


@pytest.mark.parametrize(
    ("text", "seconds"), [("20m", 1200), ("90s", 90), ("1h30m", 5400), ("1.5h", 5400), ("2h5s", 7205)]
)
def test_budgets_are_parsed(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["20", "m", "", "20 m", "20min", "-5m", "m20", "1d"])
def test_invalid_budgets_are_rejected(text: str) -> None:
    with pytest.raises(UserError, match="is not a time; write 90s, 20m or 1h30m"):
        seconds_of(text)


def test_a_budget_below_the_minimum_is_rejected() -> None:
    with pytest.raises(UserError, match="--budget 5s is too short; at least 10s"):
        seconds_of("5s")


def test_schedules_scale_with_the_total_steps() -> None:
    config = ReplayConfig(
        total_timesteps=1_000_000, num_envs=8, epsilon_steps=100_000, learning_starts=10_000, target_period=1_000
    )
    fitted = fit(config, seconds=1_000, steps_per_second=500)
    # a tenth of the budget is for evaluations: 900 s at 500 steps/s = 450,000 steps, 0.45 of the run
    assert fitted.total_timesteps == 450_000
    assert (fitted.epsilon_steps, fitted.learning_starts, fitted.target_period) == (45_000, 4_500, 450)
    assert fitted.learning_rate == config.learning_rate


def test_the_target_period_has_a_minimum() -> None:
    config = ReplayConfig(total_timesteps=50_000_000, target_period=2_500)
    fitted = fit(config, seconds=1_200, steps_per_second=50)
    assert fitted.total_timesteps == 54_000
    assert fitted.target_period == 100  # not 3


def test_rollout_settings_scale_too() -> None:
    fitted = fit(RolloutConfig(total_timesteps=2_000_000, num_envs=32, epsilon_steps=150_000), 600, 1_000)
    assert fitted.total_timesteps == 540_000
    assert fitted.epsilon_steps == 40_500
