"""Preflight: device, memory and time of a run; a wall-clock budget scales the whole run."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from gymnasium import spaces

from agents import recipe
from common.errors import UserError
from common.kernels import Cache
from learning import preflight as preflight_module
from learning.config import FamilyConfig, ReplayConfig, RolloutConfig
from learning.evaluate import longest_episode
from learning.forecast import Evaluations
from learning.plan import Plan
from learning.preflight import (
    check_memory,
    devices_for,
    fit,
    fit_evaluations,
    places,
    preflight,
    rehearse,
    seconds_of,
)
from learning.replay import Replay
from learning.rollout import Rollout
from learning.trainer import Trainer
from tests.learning.helpers import plan

CARTPOLE = "CartPole-v1"


def test_the_summary_states_device_memory_and_size() -> None:
    summary = preflight(plan(CARTPOLE), "cpu", longest=0.2)
    # 4 x 16 + 16 weights and biases, 16 x 2 + 2 for two actions
    assert summary.parameters == 4 * 16 + 16 + 16 * 2 + 2
    assert summary.replay_bytes == 1_000 * (4 * 4 + 17)
    assert str(summary) == "device cpu, fused engine | replay 0 MB | network 114 parameters"
    assert summary.steps_per_second > 10
    assert 0 < summary.episode_seconds < 30


def test_emulators_are_started_once_and_a_run_on_used_ones_is_the_same(tmp_path: Path) -> None:
    one = plan("ALE/Breakout-v5", "pqn", num_envs=2, encoder="small", frame_size=42)
    summary = preflight(one, "cpu", longest=0.2)
    assert summary.emulators is not None
    used, fresh = Trainer(one, None, summary.emulators), Trainer(one, None)
    assert used.episodes.vec is summary.emulators
    for run in (used, fresh):
        run.begin()
        for _ in range(120):
            run.step()
    np.testing.assert_array_equal(used.episodes.obs, fresh.episodes.obs)
    assert used.learner.updates == fresh.learner.updates > 0
    q_values = [run.policy.q_values(run.episodes.obs) for run in (used, fresh)]
    np.testing.assert_array_equal(q_values[0], q_values[1])


def test_shorter_rollouts_for_timing_have_minibatches_of_the_same_size() -> None:
    config = RolloutConfig(num_envs=4, rollout_steps=32, minibatches=8)
    timed = Rollout.rehearsal(config)
    assert (timed.rollout_steps, timed.minibatches) == (8, 2)
    for odd in (RolloutConfig(rollout_steps=7, minibatches=3), RolloutConfig(rollout_steps=8, minibatches=1)):
        assert Rollout.rehearsal(odd) == odd


def test_the_longest_episode_of_an_evaluation() -> None:
    def longest(env_id: str, **changes: Any) -> int:
        one = plan(env_id, **changes)
        return longest_episode(env_id, one.env_options(evaluation=True), one.config.eval_max_steps)

    assert longest(CARTPOLE) == 500
    assert longest("tidepool/Waterworld-v1") == 1_000
    assert longest("ALE/Pong-v5", protocol="mnih2015") == 5 * 60 * 60 // 4
    assert longest("ALE/Pong-v5", eval_max_steps=100) == 100


def test_a_replay_that_does_not_fit_is_rejected_with_the_size_that_would() -> None:
    space = spaces.Box(-1, 1, (152,), np.float32)
    free = 10**9
    with pytest.raises(
        UserError, match=r"would take 6\.2 GB and 0\.7 GB can be used; --capacity (\d+) would fit"
    ) as error:
        check_memory(Replay.bytes_needed(10**7, space), 10**7, free)
    largest = int(str(error.value).split("--capacity ")[1].split()[0])
    check_memory(Replay.bytes_needed(largest, space), largest, free)
    with pytest.raises(UserError):
        check_memory(Replay.bytes_needed(largest + 10, space), largest + 10, free)


@pytest.mark.parametrize(("free", "usable"), [(10 * 10**9, 9 * 10**9), (10**9, 700_000_000), (200_000_000, 10**8)])
def test_what_is_left_for_all_the_rest(free: int, usable: int) -> None:
    """A tenth, but 0.3 GB where that is more, as in a small container, and half of what is hardly anything."""
    check_memory(usable, 1_000, free)
    with pytest.raises(UserError, match=f"and {usable / 1e9:,.1f} GB can be used; --capacity [0-9]+ would fit"):
        check_memory(usable + 1, 1_000, free)


def test_a_run_with_too_large_a_replay_never_starts() -> None:
    with pytest.raises(UserError, match="would fit"):
        preflight(Plan("tidepool/Waterworld-v1", recipe("dqn"), FamilyConfig(capacity=10**9), seed=1), "cpu")


def test_an_unavailable_device_is_rejected() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(UserError, match="--device cuda is not available; this machine has cpu"):
        preflight(plan(CARTPOLE), "cuda")


FRAMES, VECTOR = spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Box(-1, 1, (4,), np.float32)


@pytest.mark.parametrize(
    ("agent", "space", "there", "expected"),
    [
        ("dqn", FRAMES, ["cpu", "cuda"], ["cuda"]),  # convolutions take minutes on the CPU
        ("dqn", VECTOR, ["cpu", "cuda"], ["cpu", "cuda"]),  # small networks are often faster there
        ("dqn", FRAMES, ["cpu"], ["cpu"]),
        ("stream_q", FRAMES, ["cpu", "cuda"], ["cpu"]),  # one transition at a time
    ],
)
def test_which_devices_are_timed(
    agent: str, space: spaces.Box, there: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight_module, "available_devices", lambda: there)
    one = plan(CARTPOLE, agent)
    assert devices_for("auto", one, space) == expected
    assert devices_for(there[-1], one, space) == [there[-1]]
    with pytest.raises(UserError, match="--device mps is not available"):
        devices_for("mps", one, space)


def test_a_run_that_fits_the_gpu_is_not_refused_for_want_of_host_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def on(device_bytes: int, host_bytes: int) -> dict[str, str]:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (device_bytes, device_bytes))
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=host_bytes))
        return places(10**9, 1_000, ["cpu", "cuda"])

    assert on(2 * 10**9, 2 * 10**9) == {"cpu": "cpu", "cuda": "cuda"}
    assert on(2 * 10**9, 10**8) == {"cuda": "cuda"}
    assert on(10**8, 2 * 10**9) == {"cpu": "cpu", "cuda": "cpu"}
    with pytest.raises(UserError, match="the replay would take"):
        on(10**8, 10**8)


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


CONFIG = ReplayConfig(
    total_timesteps=1_000_000,
    num_envs=8,
    epsilon_steps=100_000,
    learning_starts=10_000,
    target_period=1_000,
    replay_ratio=8,
    batch_size=32,
)


def test_in_a_short_run_warm_up_and_exploration_are_shorter_too() -> None:
    fitted = fit(CONFIG, seconds=900, steps_per_second=500)  # 0.45 of the run
    assert fitted.total_timesteps == 450_000
    assert (fitted.epsilon_steps, fitted.learning_starts) == (45_000, 4_500)
    assert fitted.learning_rate == CONFIG.learning_rate
    assert fit(CONFIG, seconds=0.01, steps_per_second=500) == replace(
        CONFIG, total_timesteps=8, epsilon_steps=1, learning_starts=32, target_period=50
    )


def test_in_a_long_run_they_stay() -> None:
    fitted = fit(CONFIG, seconds=10_000, steps_per_second=500)
    assert fitted == replace(CONFIG, total_timesteps=5_000_000)


def test_the_target_period_stays_unless_it_would_be_copied_too_seldom() -> None:
    # a quarter of an update a step: 112,500 updates, 112 periods of 1,000
    assert fit(CONFIG, seconds=900, steps_per_second=500).target_period == 1_000
    # 60,000 steps, 15,000 updates: 20 periods of 750
    assert fit(CONFIG, seconds=120, steps_per_second=500).target_period == 750
    assert fit(CONFIG, seconds=4, steps_per_second=500).target_period == 50  # 500 updates: not 25
    assert fit(replace(CONFIG, target_period=10), seconds=4, steps_per_second=500).target_period == 10


def test_settings_that_were_given_stay() -> None:
    fitted = fit(CONFIG, 120, 500, keep=("epsilon_steps", "target_period", "gamma"))
    assert (fitted.epsilon_steps, fitted.target_period) == (100_000, 1_000)
    assert fitted.learning_starts == 600


def test_rollout_settings_scale_too() -> None:
    fitted = fit(RolloutConfig(total_timesteps=2_000_000, num_envs=32, epsilon_steps=150_000), 540, 1_000)
    assert fitted.total_timesteps == 540_000
    assert fitted.epsilon_steps == 40_500


@pytest.mark.parametrize(
    ("seconds", "episode", "final"),
    [(1_000, 0.1, 100), (1_000, 5.0, 50), (60, 0.6, 25), (60, 3.0, 10)],  # a quarter at most, but ten
)
def test_a_budget_limits_the_evaluations(seconds: float, episode: float, final: int) -> None:
    evaluations, training = fit_evaluations(Evaluations(10**6), episode, seconds)
    assert evaluations.episodes == final
    assert training + sum(evaluations.ahead(0)) * episode == pytest.approx(seconds)
    assert sum(evaluations.ahead(0)[:-1]) * episode <= 0.1 * seconds


def test_the_pace_is_measured_again_if_kernels_were_compiled_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    step, slow = Trainer.step, [True]

    def compiling_at_first(self: Trainer) -> None:
        if slow and self.learner.updates >= 2:
            slow.clear()
            time.sleep(1.0)
            Cache.misses += 1
        step(self)

    rehearse(plan(CARTPOLE), 0.2)  # so that all is compiled
    monkeypatch.setattr(Trainer, "step", compiling_at_first)
    # 4 environments: with the second of compiling it would be 4 steps a second
    assert rehearse(plan(CARTPOLE), 0.2).steps_per_second > 50
    assert not slow
