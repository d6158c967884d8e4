"""What ships in `pretrained/`: small, sound, and as good as its own evaluation says."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

import pytest

from agents import load_policy
from common.files import read_json
from learning.evaluate import evaluate

ROOT = Path(__file__).resolve().parent.parent / "pretrained"
AGENTS = sorted(path.parent for path in ROOT.glob("*/config.json"))


@pytest.mark.parametrize("folder", AGENTS, ids=lambda path: path.name)
def test_an_agent_comes_with_config_curve_and_evaluation_in_under_a_megabyte(folder: Path) -> None:
    config = read_json(folder / "config.json")
    assert config["commit"]
    assert not config["commit"].endswith("+"), "trained by code that no commit holds"
    with (folder / "metrics.csv").open(newline="") as file:
        assert len([row for row in csv.DictReader(file) if row["episodic_return"]]) > 50
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1_000_000


@pytest.mark.parametrize("folder", AGENTS, ids=lambda path: path.name)
def test_it_plays_as_well_as_its_evaluation_says(folder: Path) -> None:
    with (folder / "eval.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    last = max(int(row["agent_steps"]) for row in rows)
    told = [float(row["episode_return"]) for row in rows if int(row["agent_steps"]) == last]
    assert len(told) == 100
    # other worlds than those of its evaluation, so that nothing but its skill can explain the score
    played = [result.episode_return for result in evaluate(load_policy(folder), rows[0]["env_id"], 50, 0.0, seed=77)]
    error = (statistics.variance(told) / len(told) + statistics.variance(played) / len(played)) ** 0.5
    assert abs(statistics.fmean(played) - statistics.fmean(told)) < 4 * error


def test_the_waterworld_agent_ships() -> None:
    assert "waterworld" in [folder.name for folder in AGENTS]
