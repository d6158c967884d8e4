"""Training on Atari: what is stored, what is logged, and that a stopped run can be resumed."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents import load_policy
from learning.replay import ReplayExperience
from learning.runfolder import RunFolder
from learning.trainer import Trainer
from tests.learning.helpers import RecordingWatcher, trainer

BREAKOUT, PACMAN, PONG = "ALE/Breakout-v5", "ALE/MsPacman-v5", "ALE/Pong-v5"
SHORT: dict[str, Any] = {
    "total_timesteps": 800,
    "capacity": 4_000,
    "encoder": "small",
    "frame_size": 42,
    "clip_rewards": True,
    "learning_starts": 300,
    "replay_ratio": 1.0,
}


def replay_of(run: Trainer) -> Any:
    assert isinstance(run.experience, ReplayExperience)
    return run.experience.replay


def run_steps(run: Trainer, steps: int) -> None:
    run.begin()
    while run.agent_steps < steps:
        run.step()


def test_rewards_are_clipped_for_learning_only(tmp_path: Path) -> None:
    run = trainer(tmp_path, PACMAN, **{**SHORT, "learning_starts": 10_000})
    run_steps(run, 3_000)
    rewards = replay_of(run).reward
    assert set(np.unique(rewards)) == {0.0, 1.0}  # a pill is worth 10
    scores = [score for score, _ in run.recent] + run.episodes.returns.tolist()
    assert max(scores) >= 60
    assert all(score % 10 == 0 for score in scores)
    assert sum(scores) == 10 * rewards.sum()  # this early in the game only pills are eaten


@pytest.mark.parametrize(("protocol", "cuts"), [("mnih2015", True), ("dqn_zoo", True), ("machado2018", False)])
def test_life_loss_zeroes_the_discount_only_if_the_protocol_says_so(protocol: str, cuts: bool, tmp_path: Path) -> None:
    run = trainer(tmp_path, BREAKOUT, protocol=protocol, **{**SHORT, "learning_starts": 10_000})
    run_steps(run, 2_400)
    replay = replay_of(run)
    cuts_stored = int((replay.acted & (replay.discount == 0.0)).sum())
    games = run.episodes.finished
    assert games >= 4
    # five lives per game; the running games have lost some too
    assert (5 * games <= cuts_stored <= 5 * games + 4 * 4) if cuts else cuts_stored == games


@pytest.mark.parametrize("agent", ["rainbow", "pqn"])
def test_a_resumed_run_equals_an_uninterrupted_one(agent: str, tmp_path: Path) -> None:
    def weights(run: Trainer) -> torch.Tensor:
        return torch.cat([value.flatten() for value in run.learner.online.state_dict().values()])

    uninterrupted = trainer(tmp_path, PONG, agent, **SHORT)
    assert uninterrupted.run(RecordingWatcher())
    stopped = trainer(tmp_path, PONG, agent, **SHORT)
    watcher = RecordingWatcher(stop_at=500)
    watcher.trainer = stopped
    assert not stopped.run(watcher)
    resumed = Trainer(stopped.plan, RunFolder(stopped.run_folder.path))
    resumed.load_state()
    assert not torch.equal(weights(resumed), weights(uninterrupted))
    assert resumed.run(RecordingWatcher())
    assert torch.equal(weights(resumed), weights(uninterrupted))


def test_eval_csv_has_steps_frames_and_protocol(tmp_path: Path) -> None:
    run = trainer(tmp_path, PONG, "pqn", protocol="dqn_zoo", **SHORT)
    run.run(RecordingWatcher())
    rows = list(csv.DictReader((run.run_folder.path / "eval.csv").open()))
    assert {(row["agent_steps"], row["frames"]) for row in rows} == {("400", "1600"), ("800", "3200")}
    assert {(row["protocol"], row["epsilon"]) for row in rows} == {("dqn_zoo", "0.01")}
    policy = load_policy(run.run_folder.path)
    assert policy.env_options == {  # type: ignore[attr-defined]
        "sticky": 0.0,
        "noops": 30,
        "frame_cap": 108_000,
        "frame_size": 42,
        "frame_stack": 4,
    }
    obs = np.random.default_rng(0).integers(0, 256, (5, 4, 42, 42), np.uint8)
    np.testing.assert_array_equal(policy.q_values(obs), run.policy.q_values(obs))
