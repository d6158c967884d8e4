"""Finished runs become rows of raw scores: replaced by game, agent, preset and seed, all others kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.add_runs import add, main, read_rows
from tests.benchmarks.results_runs import make_run


def scores(path: Path) -> dict[tuple[str, str, str], list[float]]:
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in read_rows(path):
        found.setdefault((row["env_id"], row["agent"], row["seed"]), []).append(float(row["episode_return"]))
    return found


def test_a_sweep_becomes_rows_and_the_same_again_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sweep has a folder a configuration; its last evaluation counts, and the others are the curve."""
    sweep, path = tmp_path / "sweep", tmp_path / "atari.csv"
    make_run(sweep / "Pong")
    make_run(sweep / "Breakout", "ALE/Breakout-v5", seed=2)
    make_run(sweep / "Breakout", "ALE/Breakout-v5", seed=3, wanted=9)
    make_run(sweep / "Boxing", "ALE/Boxing-v5", commit="abc+")
    assert main([str(path), str(sweep)]) == 0
    printed = capsys.readouterr().out
    assert "__3__20270101-000000: not finished" in printed
    assert "trained from uncommitted code (abc+)" in printed
    assert "mean 3.00 over 2 episodes" in printed
    assert scores(path) == {("ALE/Breakout-v5", "pqn", "2"): [2.0, 4.0], ("ALE/Pong-v5", "pqn", "1"): [2.0, 4.0]}
    (row, *_) = read_rows(path)
    assert row["wall_s"] == "120"
    assert row["hardware"] == "cores 2"
    curves = read_rows(tmp_path / "atari_curves.csv")
    assert [(one["seed"], one["frames"], one["mean_return"], one["episodes"]) for one in curves] == [
        ("2", "2000", "1", "1"),
        ("2", "4000", "3", "2"),
        ("1", "2000", "1", "1"),
        ("1", "4000", "3", "2"),
    ]
    before = path.read_bytes()
    assert main([str(path), str(sweep)]) == 0
    assert path.read_bytes() == before


def test_only_rows_of_the_same_game_agent_preset_and_seed_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "atari.csv"
    for agent, seed in (("pqn", 1), ("pqn", 2), ("dqn", 1)):
        add(path, [make_run(tmp_path / "old", agent=agent, seed=seed)])
    newer = make_run(tmp_path / "new", evaluations={2000: [7.0]}, time="20270202-000000")
    other = make_run(tmp_path / "new", evaluations={1000: [5.0]}, time="20270101-111111")
    assert main([str(path), str(newer), str(other)]) == 0  # of two such runs the newer one counts, in any order
    assert scores(path) == {
        ("ALE/Pong-v5", "dqn", "1"): [2.0, 4.0],
        ("ALE/Pong-v5", "pqn", "1"): [7.0],
        ("ALE/Pong-v5", "pqn", "2"): [2.0, 4.0],
    }
    curves = read_rows(tmp_path / "atari_curves.csv")
    assert [one["agent_steps"] for one in curves if (one["agent"], one["seed"]) == ("pqn", "1")] == ["2000"]


def test_other_environments_have_no_file_of_curves(tmp_path: Path) -> None:
    add(tmp_path / "family.csv", [make_run(tmp_path, "CartPole-v1")])
    assert not (tmp_path / "family_curves.csv").exists()


def test_an_episode_that_a_resumed_run_wrote_twice_counts_once(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with (run / "eval.csv").open("a", newline="") as file:
        file.write("ALE/Pong-v5,pqn,1,1000,4000,1,6.0,9,0.01,dqn_zoo\r\n")
    add(tmp_path / "atari.csv", [run])
    assert scores(tmp_path / "atari.csv") == {("ALE/Pong-v5", "pqn", "1"): [2.0, 6.0]}


def test_no_run_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "a.csv"), str(tmp_path / "none")]) == 2
    assert "no run folder" in capsys.readouterr().err
    make_run(tmp_path / "sweep", wanted=9)
    assert main([str(tmp_path / "a.csv"), str(tmp_path / "sweep")]) == 1
    assert not (tmp_path / "a.csv").exists()
