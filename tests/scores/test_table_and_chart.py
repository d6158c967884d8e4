"""Tables in every width and format, and what the chart shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from common.errors import UserError
from scores import Comparison, Row, as_json, as_markdown, as_text, chart, comparisons
from scores.table import decimals
from tests.scores.helpers import RLDEMO, V1, human, make_run, write_human_scores


@pytest.fixture
def found(tmp_path: Path) -> list[Comparison]:
    make_run(tmp_path, [26.0, 28.0, 27.5], seed=1)
    make_run(tmp_path, [22.0, 21.0, 23.5], seed=2)
    make_run(tmp_path, [5000.0, 6000.0], env_id=RLDEMO, length=5000, protocol="rldemo-5000")
    write_human_scores(tmp_path, human("Anna", 18.0))
    return comparisons(tmp_path)[0]


def test_json(found: list[Comparison]) -> None:
    environments = json.loads(as_json(found))["environments"]
    assert list(environments) == [V1, RLDEMO]
    water = environments[V1]
    assert water["metric"] == "return over 1000 steps from a fresh world"
    keys = {"name", "kind", "mean", "ci95", "episodes", "agent_steps", "epsilon", "protocol", "note"}
    for row in water["rows"]:
        assert keys <= set(row)
    run = next(row for row in water["rows"] if row["name"] == "dqn seed 1")
    assert run["mean"] == pytest.approx(81.5 / 3)
    assert run["ci95"][0] < run["mean"] < run["ci95"][1]
    assert next(row for row in water["rows"] if row["name"] == "Anna")["ci95"] is None


def test_text_without_a_width_has_one_line_per_row_and_nothing_cut(found: list[Comparison]) -> None:
    lines = as_text(found).splitlines()
    (line,) = [line for line in lines if line.startswith("karpathy_pretrained_eps_0.05 ") and "reference" in line][:1]
    assert line.split() == [
        "karpathy_pretrained_eps_0.05",
        "reference",
        "21.30",
        "20.87",
        "to",
        "21.73",
        "500",
        "-",
        "0.05",
        "Waterworld-v0",
        "waterworld-1000",
    ]
    assert not any("…" in line for line in lines)
    assert sum("full_information_planner  " in line for line in lines) == 1
    assert any(line.startswith("* ") and line.endswith("the scores are comparable.") for line in lines)


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_text_fits_its_terminal(found: list[Comparison], width: int) -> None:
    text = as_text(found, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "…" not in text
    assert re.search(r"dqn seed 1 +run +27\.17", text)
    assert ("Columns left out to fit the width" in text) == (width < 130)


def test_a_very_narrow_terminal_folds_names_but_not_numbers(found: list[Comparison]) -> None:
    text = as_text(found, 50)
    assert max(len(line) for line in text.splitlines()) <= 50
    assert "27.17" in text
    assert "36.65" in text


def test_markdown_is_a_table(found: list[Comparison]) -> None:
    lines = [line for line in as_markdown(found).splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {11}
    assert "| dqn seed 1 | run | 27.17 |" in as_markdown(found)


def test_markdown_escapes_special_characters() -> None:
    row = Row("a|b", "human", V1, 1.0, None, 1, None, None, "p", "x\ny")
    line = as_markdown([Comparison(V1, "m", [row], [])]).splitlines()[-1]
    assert line.startswith("| a\\|b |")
    assert line.endswith(r"| x\ny |")  # it may come from a file: control characters are escaped


def test_names_are_not_markup() -> None:
    row = Row("[red]x[/]", "human", V1, 1.0, None, 1, None, None, "p", "[b]")
    assert "[red]x[/]" in as_text([Comparison(V1, "m", [row], ["[i]"])])


def test_decimals_follow_the_size() -> None:
    def of(mean: float) -> int:
        return decimals(Comparison(V1, "m", [Row("a", "run", V1, mean, None, 1, None, None, "", "")], []))

    assert (of(1.09), of(-36.65), of(21_000.0)) == (4, 2, 0)


def test_an_empty_comparison(tmp_path: Path) -> None:
    (empty,), _ = comparisons(tmp_path, env_id="Blackjack-v1")
    assert empty.rows == []
    for text in (as_text([empty]), as_markdown([empty])):
        assert "python train.py Blackjack-v1" in text
    chart.save([empty], tmp_path / "empty.png")
    assert imread(tmp_path / "empty.png").shape[0] > 100


def test_the_chart_has_a_bar_for_each_row(found: list[Comparison]) -> None:
    figure = chart.draw(found)
    panels = figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == [V1, RLDEMO]
    for axes, one in zip(panels, found, strict=True):
        bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
        assert [bar.get_width() for bar in bars] == pytest.approx([row.mean for row in one.rows])
        assert len(axes.containers) == len(one.rows) + sum(row.ci95 is not None for row in one.rows)
        labels = [label.get_text() for label in axes.get_yticklabels()]
        for label, row in zip(labels, one.rows, strict=True):
            assert label.startswith(f"{row.name} ({row.kind}")
        low, high = axes.get_xlim()
        for row in one.rows:
            start, end = row.ci95 or (row.mean, row.mean)
            assert low <= start
            assert end <= high
        top, bottom = axes.get_ylim()[1], axes.get_ylim()[0]
        assert top < bottom, "the best row is on top"


def test_kinds_differ_in_hatching_too(found: list[Comparison]) -> None:
    one = found[0]
    hatches = {row.kind: bar.get_hatch() for row, bar in zip(one.rows, chart.draw([one]).axes[0].patches, strict=True)}
    assert set(hatches) == {"run", "human", "reference"}
    assert len(set(hatches.values())) == 3
    assert len({hatch for _, hatch in chart.STYLES.values()}) == len(chart.STYLES)


@pytest.mark.parametrize("extension", ["png", "pdf", "svg", "PNG"])
def test_every_file_format(found: list[Comparison], extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"scores.{extension}"
    chart.save(found, path)
    start = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[extension.lower()]
    assert path.read_bytes().startswith(start)
    if extension == "png":
        pixels = imread(path)
        assert pixels.shape[1] == 1650
        assert 0.02 < (pixels[..., :3].min(-1) < 0.9).mean() < 0.6, "neither empty nor black"


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("scores.jpgg", "allowed: .png, .pdf, .svg"),
        ("scores", "allowed: .png"),
        ("file/scores.png", "can't be written"),
    ],
)
def test_invalid_chart_paths_are_rejected(name: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=re.escape(fault)):
        chart.check_path(tmp_path / name)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match="is a folder"):
        chart.check_path(tmp_path / "folder.png")
