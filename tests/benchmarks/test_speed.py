"""benchmarks/speed.py without its timing: arithmetic, tables, files, processes, peers that are missing, arguments."""

from __future__ import annotations

import inspect
import json
import sys
import tomllib
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import figures, speed
from benchmarks.contenders import __main__ as process
from benchmarks.contenders import repeat, repeat_counted
from benchmarks.figures import UNITS, Figure
from benchmarks.rows import all_rows
from benchmarks.turns import ROOT, Contender, Result, Role, Row, Settings, Window, cores_for, measure
from common.errors import UserError

RATE, TIME = UNITS["steps/s"], UNITS["ms/update"]
SHORT = Settings(seconds=0.001, rounds=2, warm_up=0.0)


def result(role: Role, *windows: tuple[float, dict[str, float]], label: str = "who") -> Result:
    return Result(label, role, [Window(seconds, seconds / 2, counts) for seconds, counts in windows])


def figure(*results: Result, unit: str = "steps/s", peerless: str = "") -> Figure:
    about = {"commit": "abc", "date": "2026-11-27T10:00:00+0000", "hardware": "a machine"}
    return Figure("train/world", "a world", unit, 1, "the rest of it", peerless, **about, results=list(results))


def steps(count: float, updates: float) -> dict[str, float]:
    return {"agent_steps": count, "updates": updates}


# ------------------------------------------------------------------ arithmetic


def test_rates_and_times_by_hand() -> None:
    window = Window(2.0, 0.5, {"agent_steps": 100, "updates": 40})
    assert figures.value(window, RATE) == 50.0
    assert figures.value(window, RATE, "cpu") == 200.0
    assert figures.value(window, TIME) == 50.0  # 2 s / 40, in ms


def test_the_ratio_is_the_median_of_the_turns_ratios() -> None:
    """Rates 10, 30, 20 against 5, 10, 40: ratios 2, 3, 0.5. The ratio of the medians, 20 / 10, is another."""
    mine = result("ours", *((1.0, steps(rate, 0)) for rate in (10, 30, 20)))
    theirs = result("peer", *((1.0, steps(rate, 0)) for rate in (5, 10, 40)))
    assert figures.times_as_fast(mine, theirs, RATE) == 2.0
    one, other = (result("ours", (took, {"updates": 1})) for took in (1.0, 4.0))
    assert figures.times_as_fast(one, other, TIME) == 4.0  # a quarter of the time


def test_unequal_work_has_no_ratio() -> None:
    mine = result("ours", (1.0, steps(1000, 100)))
    assert figures.times_as_fast(mine, result("peer", (1.0, steps(500, 51))), RATE) == 2.0  # 0.102: 1.96 % of it
    other = result("peer", (1.0, steps(500, 51.2)), label="a peer")  # 0.1024: 2.3 %
    assert figures.times_as_fast(mine, other, RATE) is None
    assert figures.lines([figure(mine, other)])[0][-3] == "-"
    (note,) = figures.notes([figure(mine, other)])
    assert note == "train/world, a peer: updates an agent step: 0.1 against 0.1024; no ratio of unequal work"


def test_samples_of_an_update_must_be_as_many() -> None:
    mine, other = (result("ours", (1.0, {"updates": 2, "samples": 2 * size})) for size in (128, 64))
    assert figures.times_as_fast(mine, mine, TIME) == 1.0
    assert "samples an update: 128 against 64" in figures.unequal(mine, other, TIME)


def test_parts_are_summed_over_the_turns() -> None:
    turns = (1.0, {"part:acting": 1.0, "part:learning": 2.0}), (1.0, {"part:acting": 1.0, "part:learning": 4.0})
    assert figures.parts(result("ours", *turns)) == {"learning": 0.75, "acting": 0.25}


@pytest.mark.parametrize(
    ("figure_", "text"),
    [(0.1234, "0.12"), (12.34, "12.3"), (123.4, "123"), (1234.0, "1,230"), (987_654.0, "988,000")],
)
def test_three_digits(figure_: float, text: str) -> None:
    assert figures.number(figure_) == text


# ------------------------------------------------------------------ tables


def test_a_line_for_each_peer_and_limit() -> None:
    mine = result("ours", *((1.0, steps(rate, 0)) for rate in (100, 300, 200)))
    peer = result("peer", *((1.0, steps(50, 0)) for _ in range(3)), label="peer")
    absent = Result("absent", "peer", missing="not installed: pip install it")
    limit = result("limit", *((1.0, steps(400, 0)) for _ in range(3)), label="the emulator")
    one = figure(mine, peer, absent, limit)
    assert figures.lines([one]) == [
        ["a world", "agent steps/s", "200 (100 to 300)", "peer", "50.0 (50.0 to 50.0)", "4.00", "4.00", "0.50, 0.50"],
        ["", "", "", "absent", "-", "-", "-", "0.50"],
        ["", "", "", "limit: the emulator", "400 (400 to 400)", "50%", "50%", "0.50, 0.50"],
    ]
    assert figures.notes([one]) == ["train/world, absent: not installed: pip install it"]
    assert figures.bounds([one]) == ["a world: the emulator would take 50% of its time; the rest: the rest of it."]


def test_without_peers_the_reason_is_given() -> None:
    ((*_, beside, its, ratio, _, _),) = figures.lines(
        [figure(result("ours", (1.0, steps(1, 0))), peerless="nobody has it")]
    )
    assert (beside, its, ratio) == ("no peer: nobody has it", "-", "-")


def test_ours_may_be_missing() -> None:
    one = figure(Result("Tidepool", "ours", missing="needs a screen"), result("peer", (1.0, steps(1, 0))))
    assert figures.lines([one])[0][2] == "-"
    assert figures.bounds([one]) == []
    assert figures.notes([one]) == ["train/world, Tidepool: needs a screen"]


# ------------------------------------------------------------------ files


def test_what_is_stored_comes_back_and_other_rows_stay(tmp_path: Path) -> None:
    path, order = tmp_path / "results" / "speed.json", ["a/1", "a/2", "a/3"]
    first, second = (replace(figure(result("ours", (1.5, steps(3, 4)))), name=name) for name in ("a/3", "a/1"))
    figures.store(path, [first], order)
    figures.store(path, [second, replace(second, name="a/gone")], order)
    assert [one.name for one in figures.load(path)] == ["a/1", "a/3"]
    assert figures.load(path)[1] == first
    figures.store(path, [replace(first, commit="newer")], order)
    assert [one.commit for one in figures.load(path)] == ["abc", "newer"]
    assert not list(path.parent.glob("*.part"))


def test_no_file_is_no_figures(tmp_path: Path) -> None:
    assert figures.load(tmp_path / "none.json") == []


def test_the_stored_figures_are_of_known_rows_and_committed_code() -> None:
    stored, rows = figures.load(), {row.name: row for row in all_rows()}
    assert stored
    for one in stored:
        assert one.unit == rows[one.name].unit
        assert one.date
        assert one.hardware
        assert not one.commit.endswith("+"), "measured on uncommitted code"
        assert any(each.windows for each in one.results), one.name


# ------------------------------------------------------------------ processes


def measured(*builds: str, **row: Any) -> list[Result]:
    contenders = [Contender(name, "ours", f"tests.benchmarks.contenders:{name}") for name in builds]
    return measure(Row("a/row", "a row", "steps/s", contenders, **row), SHORT)


def test_contenders_run_in_turns_and_the_first_does_not_count() -> None:
    steady, clocked = measured("steady", "clocked")
    assert steady.windows == [Window(1.0, 0.5, {"agent_steps": 10, "updates": 5})] * 2
    assert [window.counts["agent_steps"] % 2 for window in clocked.windows] == [0, 0]
    assert all(window.seconds >= SHORT.seconds for window in clocked.windows)


def test_one_that_fails_has_a_reason_and_harms_nobody() -> None:
    absent, broken, breaks, steady = measured("not_installed", "broken", "breaks", "steady")
    assert absent.missing == "no_such_library is not installed: pip install -e '.[bench]'"
    assert broken.missing == "failed: ValueError: cannot be made"
    assert breaks.missing == "failed: ValueError: does not go on"
    assert not absent.windows + broken.windows + breaks.windows
    assert len(steady.windows) == 2


def test_a_row_has_the_cores_that_it_names() -> None:
    (one,) = measured("where")
    assert {window.counts["threads"] for window in one.windows} == {1}
    if len(cores_for(2)) == 2:
        assert {window.counts["agent_steps"] for window in one.windows} == {1}
    (one,) = measured("steady", cores=1000)
    assert one.missing.startswith("needs 1000 processor cores; ")
    assert not one.windows


def test_a_row_that_needs_a_screen_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.turns.screen", list)
    (one,) = measured("steady", screen=True)
    assert one.missing == "no screen here, and no virtual one: apt-get install xvfb"


def test_another_python_is_tried_for_what_is_missing() -> None:
    row = Row("a/row", "a row", "steps/s", [Contender("it", "peer", "tests.benchmarks.contenders:not_installed")])
    (one,) = measure(row, replace(SHORT, pythons=("python3", "python3")))
    assert one.missing.startswith("no_such_library")


def test_a_unit_of_work_is_never_cut() -> None:
    done: list[int] = []
    run = repeat(lambda: done.extend([1, 1, 1]), lambda: {"steps": len(done)})
    assert run(0.0) == {"steps": 3}
    assert run(0.0) == {"steps": 3}  # since the last turn, not since the start
    assert repeat_counted(lambda: None, calls=2)(0.0) == {"calls": 2}


def test_versions_are_of_what_was_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numpy", np)
    monkeypatch.delitem(sys.modules, "sbx", raising=False)
    found = process.versions()
    assert found["numpy"][0].isdigit()
    assert "sbx-rl" not in found


# ------------------------------------------------------------------ rows and arguments


def test_rows_are_told_apart_and_their_contenders_exist() -> None:
    rows = all_rows()
    assert len({row.name for row in rows}) == len(rows)
    assert len({(row.title, row.cores) for row in rows}) == len(rows)
    for row in rows:
        assert row.unit in UNITS
        assert sum(one.role == "ours" for one in row.contenders) == 1
        assert row.peerless or len(row.contenders) > 1, row.name
        assert not (row.peerless and any(one.role == "peer" for one in row.contenders)), row.name
        assert json.loads(json.dumps([dict(one.options) for one in row.contenders]))
        for one in row.contenders:
            module, function = one.build.split(":")
            inspect.signature(getattr(import_module(module), function)).bind(**one.options)


def test_all_groups_have_a_place_on_the_page() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    for group in {row.name.split("/")[0] for row in all_rows()}:
        assert f"<!-- generated: speed {group} -->" in page


def test_rows_are_chosen_by_name_and_by_group() -> None:
    rows = all_rows()
    assert speed.chosen(rows, ()) == rows
    names = [row.name for row in speed.chosen(rows, ("train/pong-pqn", "machine"))]
    assert names == ["machine/sgemm", "machine/copy", "train/pong-pqn"]
    with pytest.raises(UserError, match="machine"):
        speed.chosen(rows, ("machin",))


def test_the_command_lists_measures_and_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    who = Contender("Tidepool", "ours", "tests.benchmarks.contenders:steady")
    fast = Row("a/fast", "a fast row", "steps/s", [who], peerless="it is a test")
    monkeypatch.setattr(speed, "all_rows", lambda: [fast, replace(fast, name="a/slow", title="a slow row", slow=True)])
    assert speed.main(["--list"]) == 0
    assert "a/slow" in capsys.readouterr().out
    path = tmp_path / "speed.json"
    assert speed.main(["--quick", "--json", str(path)]) == 0
    (stored,) = figures.load(path)
    assert (stored.name, len(stored.results[0].windows)) == ("a/fast", 2)
    assert "10.0 (10.0 to 10.0)" in capsys.readouterr().out


def test_the_extra_names_the_peers() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["bench"]
    for name in ("stable-baselines3", "sbx-rl", "envpool"):
        assert any(one.startswith(name) for one in extra)
