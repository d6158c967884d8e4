"""What a preset's note says was measured: from results/, for runs that are comparable."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

import pytest

from agents import recipe
from common.files import ROOT
from experiments.expected import FILES, expected
from experiments.training import measured_before
from learning.plan import Plan

PONG = ("ALE/Pong-v5", "pqn", "cpu")
COLUMNS = ("env_id", "agent", "seed", "agent_steps", "episode_return", "preset", "wall_s", "hardware", "run")


def raw(folder: Path, *lines: tuple[object, ...]) -> Path:
    with (folder / "cartpole.csv").open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *lines])
    return folder


def test_it_is_what_the_raw_scores_say() -> None:
    with (ROOT / "results" / "atari.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["env_id"] == PONG[0]]
    mean = statistics.fmean(float(row["episode_return"]) for row in rows)
    found = expected(*PONG, 2_000_000)
    assert found is not None
    assert statistics.fmean(found.scores) == pytest.approx(mean)
    scores = found.scores
    minutes = [round(float(row["wall_s"]) / 60) for row in rows]
    spread = f"{min(scores):.3g} to {max(scores):.3g} over {len(scores)} seeds"
    assert str(found) == (
        f"mean return {mean:.3g} ({spread}) after 2,000,000 agent steps, in {min(minutes)} min to {max(minutes)} min on"
        " 2 cores, evaluations included (results/atari.csv)"
    )
    assert all((ROOT / "results" / name).exists() for name in FILES)


def test_a_longer_measurement_says_nothing_of_a_short_run() -> None:
    assert expected(*PONG, 100_000) is None
    assert expected("ALE/Pong-v5", "dqn", "nature", 50_000_000) is None


def test_of_several_lengths_the_longest_that_fits_counts(tmp_path: Path) -> None:
    about = ("default", 60, "cores 4", "a")
    folder = raw(
        tmp_path,
        ("E", "dqn", 1, 1_000, 3.0, *about),
        ("E", "dqn", 1, 9_000, 5.0, *about[:3], "b"),
        ("E", "dqn", 1, 9_000, 7.0, *about[:3], "b"),
        ("E", "dqn", 1, 99_000, 9.0, *about[:3], "c"),
        ("Large", "dqn", 1, 9_000, 3593.4, *about[:3], "d"),
    )
    found = expected("E", "dqn", "default", 12_000, folder)
    assert str(found).startswith("mean return 6 (one seed) after 9,000 agent steps, in 60 s on 4 cores")
    assert str(expected("Large", "dqn", "default", 9_000, folder)).startswith("mean return 3,593 (one seed)")


def test_a_checkout_without_results_says_nothing(tmp_path: Path) -> None:
    assert expected(*PONG, 2_000_000, tmp_path) is None
    (tmp_path / "atari.csv").write_text("env_id,agent\nALE/Pong-v5,pqn\n")
    assert expected(*PONG, 2_000_000, tmp_path) is None


def test_other_settings_than_the_preset_s_have_no_note() -> None:
    agent = recipe("pqn")
    settings = dict(agent.presets["cpu"].settings)
    assert measured_before(Plan("ALE/Pong-v5", agent, agent.config(**settings), 1), "cpu") is not None
    changed = agent.config(**{**settings, "learning_rate": 1e-3})
    assert measured_before(Plan("ALE/Pong-v5", agent, changed, 1), "cpu") is None
