"""A few kills of tiny runs; `python -m benchmarks.kill` does hundreds."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import kill

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")


def soak(place: Path, *words: str) -> tuple[int, Any]:
    """Run it in a process of its own: forking the tests' would take their threads along."""
    command = [sys.executable, "-m", "benchmarks.kill", *words, "--out", str(place / "out.json")]
    done = subprocess.run([*command, "--place", str(place / "runs")], capture_output=True, text=True, cwd=ROOT)
    assert (place / "out.json").exists(), done.stdout + done.stderr
    return done.returncode, json.loads((place / "out.json").read_text())


def test_runs_that_are_stopped_by_a_signal_are_the_unbroken_ones(tmp_path: Path) -> None:
    words = "--kills", "2", "--per-run", "2", "--with-signal", "TERM", "--steps", "3000"
    code, found = soak(tmp_path, "--cases", "dqn/CartPole-v1", *words)
    assert (code, found["results"][0]["failed"]) == (0, [])
    assert found["kills"] == 2


def test_runs_that_are_killed_two_dozen_times_are_the_unbroken_ones(tmp_path: Path) -> None:
    words = "--kills", "24", "--per-run", "12", "--moment", "mixed", "--steps", "2000", "--every", "0.3s"
    code, found = soak(tmp_path, "--cases", "dqn/CartPole-v1", f"pqn/{kill.OWN}", *words)
    assert (code, [one["failed"] for one in found["results"]]) == (0, [[], []])
    assert found["kills"] == 24
    for moment in "at_checkpoints", "in_resumes":
        assert sum(one[moment] for one in found["results"]) >= 2, moment


def written(folder: Path, weights: bytes, steps: list[int]) -> Path:
    (folder / "agent").mkdir(parents=True)
    (folder / "agent" / "network.safetensors").write_bytes(weights)
    for name, columns in (
        ("metrics.csv", ["agent_steps", "eval_return", "wall_s"]),
        ("eval.csv", ["agent_steps", "episode"]),
    ):
        with (folder / name).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([[step, "", folder.name] if name == "metrics.csv" else [step, 0] for step in steps])
    return folder


def test_what_differs_is_counted(tmp_path: Path) -> None:
    unbroken = written(tmp_path / "unbroken", b"a", [1, 2, 3])
    result = kill.Result("case")
    kill.compare(unbroken, written(tmp_path / "same", b"a", [1, 2, 3]), result)
    assert result.passed
    kill.compare(unbroken, written(tmp_path / "weights", b"b", [1, 2, 3]), result)
    assert (result.different_weights, result.lost, result.doubled) == (1, 0, 0)
    kill.compare(unbroken, written(tmp_path / "rows", b"a", [1, 2, 2, 4]), result)
    assert (result.lost, result.doubled, result.different_rows) == (2, 2, 2)  # in each of the two files
    assert not result.passed
