"""`--verify` repeats the first steps of a run, and tells a run that reproduces from one that does not."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from common.errors import UserError
from experiments.verifying import changed, original, verify
from learning.fingerprints import marks_ahead
from learning.runfolder import RunFolder
from train import main

WORDS = "CartPole-v1 --agent {agent} --total-timesteps 3200 --eval-episodes 2 --evaluations 2 --num-envs 4 --threads 1"
SMALL = " --learning-starts 500 --capacity 2000 --device cpu"


def trained(place: Path, agent: str = "dqn", extra: str = SMALL) -> Path:
    assert main([*(WORDS.format(agent=agent) + extra).split(), "--runs-dir", str(place)]) == 0
    (run,) = place.iterdir()
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("run"))


def verified(run: Path, steps: int | None = None) -> tuple[bool, str]:
    text = io.StringIO()
    same = verify(run, Console(file=text, width=300), steps)
    return same, text.getvalue()


def test_a_run_reproduces_with_its_evaluations(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    same, text = verified(run)
    assert same
    # all 3,200 steps: fingerprints at 1,000 and 1,500, a row every 16 steps and two of evaluations of 1 and 2 episodes
    assert "bit for bit: 2 checksums of the weights, 202 rows of metrics, 3 episodes of evaluation are the same" in text
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before  # the run itself is left alone


def test_fewer_steps_compare_less(run: Path) -> None:
    same, text = verified(run, 1_200)
    assert same
    assert "1 checksum of the weights, 75 rows of metrics, 0 episodes" in text
    assert main(["--verify", str(run), "--verify-steps", "1200"]) == 0


def copied(run: Path, place: Path) -> Path:
    import shutil

    return Path(shutil.copytree(run, place / run.name))


def test_another_seed_does_not_reproduce(run: Path, tmp_path: Path) -> None:
    other = copied(run, tmp_path)
    config = json.loads((other / "config.json").read_text())
    config["seed"] = 2
    config["versions"]["torch"] = "1.0"
    (other / "config.json").write_text(json.dumps(config))
    same, text = verified(other, 1_200)
    assert not same
    assert re.search(r"the first one is at \d\d agent steps: ", text)
    assert "differs from when it was trained: torch 1.0, now " in text
    assert "two repetitions here are the same, bit for bit" in text
    assert main(["--verify", str(other), "--verify-steps", "1200"]) == 1


@pytest.mark.parametrize("name", ["metrics.csv", "eval.csv", "fingerprints.json"])
def test_one_number_that_differs_is_found(name: str, run: Path, tmp_path: Path) -> None:
    other = copied(run, tmp_path)
    if name == "fingerprints.json":
        found = json.loads((other / name).read_text())
        found["1500"]["weights"] = "0" + found["1500"]["weights"][1:] + "0"
        (other / name).write_text(json.dumps(found))
        expected = "the first one is at 1,500 agent steps: other weights"
    else:
        rows = list(csv.reader((other / name).open(newline="")))
        column = rows[0].index({"metrics.csv": "td_loss", "eval.csv": "episode_return"}[name])
        line = next(k for k in range(len(rows) - 1, 0, -1) if rows[k][column])
        rows[line][column] = rows[line][column] + "1"
        with (other / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        expected = f"{rows[0][column]} {rows[line][column]} then, "
    same, text = verified(other)
    assert not same
    assert "1 differences" in text
    assert expected in text


def test_a_row_that_is_missing_is_found(run: Path, tmp_path: Path) -> None:
    other = copied(run, tmp_path)
    lines = (other / "metrics.csv").read_text().splitlines(keepends=True)
    (other / "metrics.csv").write_text("".join(lines[:50] + lines[51:]))
    same, text = verified(other, 1_200)
    assert not same
    assert "a row of metrics.csv is missing" in text


def test_nothing_to_compare_is_said(run: Path, tmp_path: Path) -> None:
    other = copied(run, tmp_path)
    for name in ("metrics.csv", "eval.csv", "fingerprints.json"):
        (other / name).unlink()
    with pytest.raises(UserError, match="nothing to compare"):
        verified(other)


def test_what_a_window_changed_is_not_repeated(run: Path, tmp_path: Path) -> None:
    other = copied(run, tmp_path)
    RunFolder(other).log_event({"agent_steps": 901, "name": "epsilon", "value": "0.5", "source": "window"})
    assert original(RunFolder(other))[1] == 900


def test_an_extended_run_is_repeated_as_it_was_planned(tmp_path: Path) -> None:
    run = trained(tmp_path)
    assert main(["--resume", str(run), "--total-timesteps", "6400", "--rescale"]) == 0
    plan, most = original(RunFolder(run))
    assert (plan.config.total_timesteps, plan.evaluations, most) == (3_200, 2, 3_200)
    assert verified(run)[0]


def test_an_older_run_without_fingerprints_is_compared_by_its_rows(run: Path, tmp_path: Path) -> None:
    other = copied(run, tmp_path)
    (other / "fingerprints.json").unlink()
    same, text = verified(other, 1_200)
    assert same
    assert "0 checksums" in text
    assert changed(RunFolder(other).config) == ["nothing: versions, threads and processor are the same"]


def test_marks_are_early_and_after_the_warm_up() -> None:
    assert marks_ahead(0, 0) == [1_000, 10_000, 100_000]
    assert marks_ahead(20_000, 5_000) == [10_000, 21_000, 30_000, 100_000]
