"""Agents that ship: float16 where nothing suffers, complete, small, and played like any other."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import train
from agents import load_policy
from benchmarks import ship
from learning.evaluate import EpisodeResult
from scores.runs import read_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a short run of CartPole, as if it had been trained from committed code."""
    runs = tmp_path_factory.mktemp("runs")
    short = "--total-timesteps 400 --learning-starts 100 --evaluations 2 --eval-episodes 5 --interim-episodes 2"
    assert train.main(["CartPole-v1", "--agent", "dqn", *short.split(), "--runs-dir", str(runs)]) == 0
    (folder,) = runs.iterdir()
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**about, "commit": "abc"}))
    return folder


def test_an_agent_becomes_half_as_large_and_plays_as_well(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ship.main([str(run), "--into", str(tmp_path)]) == 0
    assert "cartpole: float16," in capsys.readouterr().out
    folder = tmp_path / "cartpole"
    weights = safetensors.torch.load_file(folder / "agent" / "network.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}
    about = json.loads((folder / "config.json").read_text())
    assert about["config"]["total_timesteps"] == 400
    assert about["shipped"]["weights"] == "float16"
    assert about["shipped"]["float16"]["largest_q_difference"] <= 1e-2
    before, after = load_policy(run), load_policy(folder)
    obs = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    q, q_after = before.q_values(obs), after.q_values(obs)
    assert q is not None
    assert q_after is not None
    np.testing.assert_allclose(q_after, q, atol=1e-2)
    found, warnings = read_run(folder, pretrained=True)
    assert found is not None
    assert warnings == []
    assert [len(points) for points in ([found.episodes], [found.curve])] == [1, 1]
    assert len(found.episodes) == 5
    assert len(found.curve) == 2
    mean = statistics.fmean(one.episode_return for one in found.episodes)
    assert mean == pytest.approx(about["shipped"]["float16"]["mean"], abs=1e-3)


def test_float32_stays_where_float16_does_not_agree(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "halved", lambda weights: {name: 3 * value for name, value in weights.items()})
    assert "float32, as float16 does not agree" in ship.ship(run, tmp_path, "agent")
    for name in ("agent/network.safetensors", "agent/manifest.json"):
        assert json.loads((tmp_path / "agent" / "config.json").read_text())["shipped"]["weights"] == "float32"
        if name.endswith("safetensors"):
            assert (tmp_path / "agent" / name).stat().st_size == (run / name).stat().st_size
    with (run / "eval.csv").open() as one, (tmp_path / "agent" / "eval.csv").open() as other:
        assert list(csv.DictReader(one)) == list(csv.DictReader(other))
    load_policy(tmp_path / "agent")


@pytest.mark.parametrize(("q", "returns", "agrees"), [(0.009, 9.0, True), (0.02, 9.0, False), (0.0, 2.0, False)])
def test_what_agrees(q: float, returns: float, agrees: bool) -> None:
    """Before 9, 10, 11. Three times 9: differences 0, -1, -2, mean -1, standard error 1 / sqrt 3 = 0.58, twice 1.15."""
    results = [EpisodeResult(number, returns, 5) for number in range(3)]
    found = ship.Measured(q, 1, [9.0, 10.0, 11.0], results)
    assert found.error == pytest.approx(3**-0.5)
    assert found.agrees is agrees


def test_too_large_an_agent_is_refused_and_the_old_one_stays(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cartpole").mkdir()
    (tmp_path / "cartpole" / "old").write_text("old")
    monkeypatch.setattr(ship, "MOST_OF_ONE", 1_000)
    assert ship.main([str(run), "--into", str(tmp_path)]) == 1
    monkeypatch.setattr(ship, "MOST_OF_ONE", 4_000_000)
    monkeypatch.setattr(ship, "MOST_OF_ALL", 1_000)
    assert ship.main([str(run), "--into", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "at most 0.001 MB are allowed for an agent" in printed
    assert "0.0 MB are there; at most 0.001 MB" in printed
    assert (tmp_path / "cartpole" / "old").exists()


def test_other_seeds_and_unfinished_runs_are_left_out(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ship.main([str(run), "--seed", "2", "--into", str(tmp_path)]) == 1
    assert "not seed 2" in capsys.readouterr().out


def test_a_long_log_is_thinned() -> None:
    rows = [{"agent_steps": str(number)} for number in range(1, 5_001)]
    kept = ship.thinned(rows)
    assert len(kept) == ship.METRICS_ROWS
    assert (kept[0], kept[-1]) == (rows[0], rows[-1])
    assert ship.thinned(rows[:10]) == rows[:10]
