"""benchmarks/gpu.py without a GPU: its rehearsal runs, and a stage that fails or hangs costs the others nothing."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu, gpu_rows

# one of each kind; a rehearsal without --rows does all of them
ROWS = [
    *("device", "update pqn compiled", "update btr bf16", "update rainbow"),
    *("emulators alone", "training btr paper", "training pqn compiled"),
]


def test_the_rehearsal_takes_every_step(tmp_path: Path) -> None:
    """Tests are skipped without a GPU, which is no failure; each row has figures and no error."""
    assert gpu.main(["--out", str(tmp_path), "--rehearse", "--rows", *ROWS]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert {name: stage["code"] for name, stage in results["stages"].items()} == {"tests": 0, "table": 0, "pong": 0}
    assert "error" not in (tmp_path / "figures.csv").read_text()
    with (tmp_path / "figures.csv").open(newline="") as file:
        figures = {row["row"]: row for row in csv.DictReader(file)}
    assert list(figures) == ROWS
    assert set(ROWS) < set(gpu_rows.all_rows("cpu", True))
    for row in (row for row in ROWS if row.startswith("update")):
        assert float(figures[row]["graphs_ms"]) > 0
        assert float(figures[row]["kernels_ms"]) > 0
    assert 0 < float(figures["update pqn compiled"]["differs"]) < 1e-5  # so it was compiled
    assert float(figures["emulators alone"]["frames_per_second"]) > 100
    assert float(figures["training btr paper"]["updates_per_second"]) > 0
    assert results["pong"][0]["episodes"] == 1
    assert -21 <= results["pong"][0]["mean"] <= 21
    names = {Path(name).name for name in zipfile.ZipFile(tmp_path / "pong.zip").namelist()}
    assert names == {"config.json", "metrics.csv", "eval.csv", "manifest.json", "network.safetensors"}
    # what a lent machine gives back: eight files at most
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "figures.csv", "log.txt", "pong.zip"}


def test_failing_and_hanging_stages_are_recorded_and_the_next_one_runs(tmp_path: Path) -> None:
    log = gpu.Log(tmp_path)
    assert not gpu.stage(log, "fails", ["-c", "print('reason'); raise SystemExit(3)"], 20)
    assert not gpu.stage(log, "hangs", ["-c", "import time; time.sleep(60)"], 1)
    assert gpu.stage(log, "works", ["-c", ""], 20)
    stages = json.loads((tmp_path / "results.json").read_text())["stages"]
    assert {name: stage["code"] for name, stage in stages.items()} == {"fails": 3, "hangs": 124, "works": 0}
    assert stages["hangs"]["seconds"] < 10
    assert "reason" in (tmp_path / "log.txt").read_text()


def test_figures_outlive_the_row_that_fails_and_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> dict[str, Any]:
        raise RuntimeError("no\nmemory")

    monkeypatch.setattr(gpu_rows, "all_rows", lambda *_: {"good": lambda: {"ms": 1.5}, "bad": fails})
    gpu.measure(tmp_path, 60, True)
    gpu.measure(tmp_path, -1, True)  # no time is left: nothing is measured, nothing raised
    lines = [json.loads(line) for line in (tmp_path / "figures.jsonl").read_text().splitlines()]
    assert lines == [{"row": "good", "ms": 1.5}, {"row": "bad", "error": "RuntimeError: no memory"}]


def test_all_stages_end_in_time_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits: dict[str, float] = {}

    def stage(log: gpu.Log, name: str, words: list[str], limit: float) -> bool:
        limits[name] = limit
        return False

    monkeypatch.setattr(gpu, "stage", stage)
    assert not gpu.all_stages(gpu.Log(tmp_path), gpu.SECONDS, False)
    assert set(limits) == {"tests", "table", "pong"}
    assert limits["pong"] <= gpu.SECONDS
    # had the first two taken all of their time
    assert gpu.SECONDS - gpu.TESTS - gpu.TABLE > 240
    assert gpu.SECONDS < 9 * 60


def test_the_published_agent_gets_all_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As much as one command on a lent machine may take, start and last evaluation included."""
    ran: list[tuple[str, list[str], float]] = []

    def stage(log: gpu.Log, name: str, words: list[str], limit: float) -> bool:
        ran.append((name, words, limit))
        return True

    monkeypatch.setattr(gpu, "stage", stage)
    assert gpu.main(["--out", str(tmp_path), "--seconds", "590", "--stages", "paper"]) == 0
    ((name, words, limit),) = ran
    assert (name, words[:2]) == ("paper", ["train.py", "ALE/Breakout-v5"])
    assert {"--agent=pqn", "--preset=paper", "--device=cuda"} < set(words)
    (budget,) = (float(word.removeprefix("--budget=").removesuffix("s")) for word in words if "--budget" in word)
    assert 550 < budget < limit < 600
    assert not gpu.main(["--out", str(tmp_path), "--seconds", "590", "--stages", "paper", "--rehearse"])
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "figures.csv", "paper.zip"}
