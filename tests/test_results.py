"""The tables of results/README.md agree with the raw scores in results/."""

from __future__ import annotations

import csv
import runpy
from pathlib import Path
from typing import Any

import pytest

RESULTS = Path(__file__).resolve().parent.parent / "results"
SCRIPT: dict[str, Any] = runpy.run_path(str(RESULTS.parent / "benchmarks" / "results_table.py"))


@pytest.mark.parametrize("name", ["family.csv", "cartpole.csv"])
def test_tables_equal_the_scripts_output(name: str) -> None:
    table = SCRIPT["markdown"](SCRIPT["lines"](RESULTS / name))
    assert table in (RESULTS / "README.md").read_text(encoding="utf-8")


def test_means_and_intervals_by_hand(tmp_path: Path) -> None:
    """Seed 1: (1 + 3) / 2 = 2, seed 2: 4. Mean 3, deviation sqrt 2, standard error 1, t(1) = 12.706."""
    path = tmp_path / "raw.csv"
    columns = ("env_id", "agent", "preset", "agent_steps", "seed", "episode_return", "wall_s")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for seed, value, wall_s in ((1, 1.0, 60), (1, 3.0, 60), (2, 4.0, 120)):
            writer.writerow(("World-v0", "dqn", "default", 1000, seed, value, wall_s))
    (line,) = SCRIPT["lines"](path)
    assert line.seeds == {1: 2.0, 2: 4.0}
    assert line.score.mean == 3.0
    assert line.score.ci95 == pytest.approx((3 - 12.706, 3 + 12.706), abs=1e-3)
    assert SCRIPT["markdown"]([line]).splitlines()[-1] == (
        "| `dqn` | default | 1,000 | 3.0 | -9.7 to 15.7 | 2.0, 4.0 | 1.5 |"
    )


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.csv")), ids=lambda path: path.name)
def test_every_score_states_its_protocol_and_provenance(path: Path) -> None:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    needed = ("env_id", "agent", "seed", "agent_steps", "frames", "protocol", "epsilon", "preset", "commit", "hardware")
    for row in rows:
        assert all(row[column] for column in needed), row
        assert not row["commit"].endswith("+"), "trained from uncommitted code"
