"""The Atari table in every format and width."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from scores import (
    AtariComparison,
    AtariSelection,
    as_csv,
    as_json,
    as_markdown,
    as_text,
    atari_comparison,
    comparison,
    comparisons,
    read,
)
from scores.atari.table import percent
from tests.scores.helpers import V1, atari_run, make_run


@pytest.fixture
def shown(tmp_path: Path) -> AtariComparison:
    for seed, score in ((1, 16.0), (2, 18.0)):
        atari_run(tmp_path, "Pong", [score], seed=seed)
    atari_run(tmp_path, "AirRaid", [500.0])
    atari_run(tmp_path, "Breakout", [40.0], preset="nature", protocol="mnih2015", time="20261123-101531")
    found = atari_comparison(read(tmp_path))
    assert found is not None
    return found


def test_the_keys_of_json(shown: AtariComparison) -> None:
    whole = json.loads(as_json([], shown))
    assert set(whole) == {"games", "aggregates"}
    assert set(whole["games"]) == {"Pong", "Breakout", "AirRaid"}
    cell = whole["games"]["Pong"]["dqn cpu"]
    assert set(cell) == {"score", "human_normalised", "episodes", "protocol"}
    assert (cell["score"], cell["episodes"], cell["protocol"]) == (17.0, 2, "dqn_zoo")
    assert whole["games"]["AirRaid"]["dqn cpu"]["human_normalised"] is None
    assert {"random", "human", "human_world_record"} <= set(whole["games"]["Pong"])
    sums = whole["aggregates"]["dqn cpu"]
    assert set(sums) == {
        "median",
        "mean",
        "capped_mean",
        "iqm",
        "iqm_ci95",
        "games",
        "games_at_human_level",
    }
    assert (sums["games"], sums["games_at_human_level"]) == (1, 1)
    assert sums["iqm_ci95"] == pytest.approx([36.7 / 35.3, 38.7 / 35.3])
    assert whole["aggregates"]["dqn"]["iqm_ci95"] is None
    assert set(whole["aggregates"]) == {one.name for one in shown.columns}


def test_json_of_a_column_without_a_human_score(tmp_path: Path) -> None:
    atari_run(tmp_path, "AirRaid", [500.0])
    text = as_json([], atari_comparison(read(tmp_path)))
    assert "NaN" not in text
    assert json.loads(text)["aggregates"]["dqn cpu"] == {
        "median": None,
        "mean": None,
        "capped_mean": None,
        "iqm": None,
        "iqm_ci95": None,
        "games": 0,
        "games_at_human_level": 0,
    }


def test_json_of_atari_and_other_environments(shown: AtariComparison, tmp_path: Path) -> None:
    make_run(tmp_path, [9.0])
    environments, _ = comparisons(tmp_path)
    assert environments[0].env_id == V1
    assert not any("ALE" in one.env_id for one in environments)
    assert list(json.loads(as_json(environments, shown))) == ["environments", "games", "aggregates"]
    assert list(json.loads(as_json(environments))) == ["environments"]


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_text_fits_its_terminal(shown: AtariComparison, width: int) -> None:
    text = as_text([], width, atari=shown)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    pong = next(line for line in lines if line.startswith("Pong"))
    assert "17.0  107 %" in pong
    assert ("Columns left out to fit the width" in text) == (width < 160)
    assert any(line.startswith("median") and "107 %" in line for line in lines)
    assert any(line.startswith("at human level") for line in lines)


def test_all_57_games_have_a_line() -> None:
    found = atari_comparison(read(Path("no such folder")), AtariSelection(agents=("dqn_mnih2015", "rainbow", "iqn")))
    lines = as_text([], 100, atari=found).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("VideoPinball"))
    assert len([line for line in lines[first : lines.index("", first)] if "%" in line]) == 57
    assert max(map(len, lines)) <= 100


def test_the_atari_table_comes_last(shown: AtariComparison, tmp_path: Path) -> None:
    make_run(tmp_path, [1.0])
    environments, _ = comparisons(tmp_path)
    text = as_text(environments, 100, atari=shown)
    assert text.startswith(V1)
    assert text.index("apple_chaser") < text.index(
        "Atari: score and percentage of human, 3 games, sorted by the percentage of dqn"
    )


def test_markdown(shown: AtariComparison) -> None:
    text = as_markdown([], shown)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert rows[0].startswith("| game | dqn cpu | dqn nature | random | human |")
    assert any(line.startswith("| Pong | 17.0  107 % | - | -20.7 | 14.6 |") for line in rows)
    assert any(line.startswith("| *median* |") for line in rows)
    assert "- **dqn cpu**: dqn_zoo" in text
    assert "not in the aggregates" in text


def test_csv_has_a_line_per_score(shown: AtariComparison, tmp_path: Path) -> None:
    make_run(tmp_path, [1.0])
    environments, _ = comparisons(tmp_path)
    rows = list(csv.DictReader(io.StringIO(as_csv(environments, shown))))
    (own,) = [row for row in rows if (row["env_id"], row["who"]) == ("ALE/Pong-v5", "dqn cpu")]
    assert (own["kind"], own["score"], own["frames"], own["episodes"]) == ("run", "17.0", "2000000", "2")
    assert float(own["human_normalised"]) == pytest.approx(37.7 / 35.3)
    (air,) = [row for row in rows if (row["env_id"], row["who"]) == ("ALE/AirRaid-v5", "dqn cpu")]
    assert air["human_normalised"] == ""
    (chaser,) = [row for row in rows if (row["env_id"], row["who"]) == (V1, "apple_chaser")]
    assert (chaser["score"], chaser["human_normalised"]) == ("31.42", "")


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_table_after_training(shown: AtariComparison, tmp_path: Path, width: int) -> None:
    text = as_text([comparison("ALE/Pong-v5", tmp_path)], width)
    assert max(map(len, text.splitlines())) <= width
    head = text.splitlines()[1].split()
    assert head[:3] == ["who", "kind", "mean"]
    assert "% of human" in text
    assert "environment" not in text, "with one environment there is no column for it"
    assert "106 %" in text or "107 %" in text


def test_percent_never_rounds_up_to_human_level() -> None:
    assert [percent(value) for value in (None, 0.0, -0.001, 0.994, 0.9951, 0.99999, 1.0, 12.345)] == [
        "-",
        "0 %",
        "0 %",
        "99 %",
        "99.5 %",
        "99.9 %",
        "100 %",
        "1,234 %",
    ]
