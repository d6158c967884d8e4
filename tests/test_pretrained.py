"""The agents in `pretrained/` are small and complete, and score as in their own evaluation."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs
from agents import load_policy
from common.files import read_json
from learning.evaluate import evaluate

ROOT = Path(__file__).resolve().parent.parent / "pretrained"
PLAYED = ("waterworld", "waterworld_rainbow", "pong", "breakout")
AGENTS = sorted(path.parent for path in ROOT.glob("*/config.json"))


@pytest.mark.parametrize("folder", AGENTS, ids=lambda path: path.name)
def test_a_pretrained_agent_is_complete_and_small(folder: Path) -> None:
    config = read_json(folder / "config.json")
    assert config["commit"]
    assert not config["commit"].endswith("+"), "trained from uncommitted code"
    with (folder / "metrics.csv").open(newline="") as file:
        assert len([row for row in csv.DictReader(file) if row["episodic_return"]]) > 50
    megabytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    assert megabytes < (4 if config["env_id"].startswith("ALE/") else 1)


def test_all_of_them_together_are_small() -> None:
    assert sum(path.stat().st_size for path in ROOT.rglob("*") if path.is_file()) <= 40_000_000


@pytest.mark.parametrize("folder", AGENTS, ids=lambda path: path.name)
def test_it_plays_a_few_steps(folder: Path) -> None:
    policy: Any = load_policy(folder)
    vec: Any = envs.make_vec(policy.env_id, 1, **policy.env_options)
    obs, _ = vec.reset(seed=1)
    for _ in range(20):
        values = policy.q_values(np.asarray(obs))
        assert np.isfinite(values).all()
        obs = vec.step(values.argmax(1))[0]
    vec.close()


# whole games of two dozen Atari agents would take minutes; benchmarks/ship.py measured those
@pytest.mark.parametrize("folder", [one for one in AGENTS if one.name in PLAYED], ids=lambda path: path.name)
def test_it_scores_as_in_its_evaluation(folder: Path) -> None:
    with (folder / "eval.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    last = max(int(row["agent_steps"]) for row in rows)
    recorded = [float(row["episode_return"]) for row in rows if int(row["agent_steps"]) == last]
    assert len(recorded) == 100
    policy: Any = load_policy(folder)
    assert policy.default_epsilon == float(rows[-1]["epsilon"])
    assert envs.protocol(policy.env_id, policy.protocol).name == rows[-1]["protocol"]
    # other seeds than those of its evaluation
    episodes = 12 if envs.is_atari(policy.env_id) else 50  # a game of Pong takes 2000 steps
    results = evaluate(
        policy, policy.env_id, episodes, policy.default_epsilon, seed=77, **getattr(policy, "env_options", {})
    )
    played = [result.episode_return for result in results]
    error = (statistics.variance(recorded) / len(recorded) + statistics.variance(played) / len(played)) ** 0.5
    assert abs(statistics.fmean(played) - statistics.fmean(recorded)) < 4 * error


def test_the_agents_named_in_the_readme_are_included() -> None:
    assert {"waterworld", "pong", "breakout"} <= {folder.name for folder in AGENTS}
