"""Run folders in every state: half written, damaged, with missing files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from common.errors import UserError
from scores.runs import find_run, read_humans, read_run, read_runs
from tests.scores.helpers import RLDEMO, V1, human, make_run, write_human_scores


def test_only_the_last_evaluation_counts(tmp_path: Path) -> None:
    folder = make_run(tmp_path, [20.0, 30.0], agent_steps=2000, preset="long", seed=4)
    run, warnings = read_run(folder)
    assert run is not None
    assert warnings == []
    assert [one.episode_return for one in run.episodes] == [20.0, 30.0]
    assert (run.env_id, run.agent, run.seed, run.preset, run.agent_steps) == (V1, "dqn", 4, "long", 2000)
    assert (run.episodes[0].epsilon, run.episodes[0].protocol) == (0.0, "waterworld-1000")


def _append(text: str) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        with (folder / "eval.csv").open("a", newline="") as file:
            file.write(text)

    return damage


GOOD = "tidepool/Waterworld-v1,dqn,1,1000,1000,{},{},1000,0.0,waterworld-1000\r\n"


@pytest.mark.parametrize(
    ("damage", "warning"),
    [
        (_append("tidepool/Waterworld-v1,dqn,1,1000,1000,2,5"), "line 5: incomplete"),
        # complete except for its newline: the last number may still be incomplete
        (_append(GOOD.format(2, 99.0).rstrip()), "line 5: incomplete"),
        (_append("tidepool/Waterworld-v1,dqn\r\n"), "line 5: damaged, left out (column 'seed' is missing)"),
        (_append(GOOD.format(2, "abc")), "line 5: damaged, left out (episode_return is 'abc', not a number"),
        (_append(GOOD.format(2, "nan")), "line 5: damaged, left out (episode_return is nan, not a finite number)"),
        (_append(GOOD.format(2, 9.0).replace("v1", "v0")), "line 5: damaged, left out (its environment is tidepool/W"),
        (_append(GOOD.format(2, 9.0).replace("1000,0.0", "0,0.0")), "episode_length is 0, not 1 to"),
        (_append("\x00\x00\xff\r\n"), "line 5: damaged"),
        (_append('"' + GOOD.format(2, 9.0)), "line 5: damaged"),
        (lambda folder: (folder / "config.json").unlink(), "config.json: missing"),
        (lambda folder: (folder / "config.json").write_text('{"format": 1, "env'), "config.json: not readable"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "config.json: not a JSON object"),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe{"), "config.json: not readable"),
    ],
)
def test_damage_is_reported_and_the_rest_is_read(
    damage: Callable[[Path], object], warning: str, tmp_path: Path
) -> None:
    folder = make_run(tmp_path, [20.0, 30.0])
    damage(folder)
    run, warnings = read_run(folder)
    assert run is not None
    assert [one.episode_return for one in run.episodes] == [20.0, 30.0]
    assert len(warnings) == 1
    assert warning in warnings[0]
    assert str(folder) in warnings[0]
    assert "\n" not in warnings[0]


def test_a_stray_quote_does_not_swallow_the_lines_after_it(tmp_path: Path) -> None:
    folder = make_run(tmp_path, [20.0])
    _append('"' + GOOD.format(1, 9.0) + GOOD.format(2, 40.0))(folder)
    run, warnings = read_run(folder)
    assert run is not None
    assert [one.episode_return for one in run.episodes] == [20.0, 40.0]
    assert len(warnings) == 1


def test_a_resumed_run_that_evaluates_again_is_not_counted_twice(tmp_path: Path) -> None:
    folder = make_run(tmp_path, [20.0, 30.0])
    _append(GOOD.format(0, 21.0) + GOOD.format(1, 31.0))(folder)
    run, _ = read_run(folder)
    assert run is not None
    assert [one.episode_return for one in run.episodes] == [21.0, 31.0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "eval.csv").unlink(),
        lambda folder: (folder / "eval.csv").write_text(""),
        lambda folder: (folder / "eval.csv").write_text("env_id,agent,se"),
        lambda folder: (folder / "eval.csv").write_text("a,b,c\n1,2,3\n"),
        lambda folder: [path.unlink() for path in folder.iterdir()],
    ],
)
def test_a_run_without_an_evaluation_is_left_out_and_others_are_read(
    damage: Callable[[Path], object], tmp_path: Path
) -> None:
    damage(make_run(tmp_path, [20.0], seed=1))
    make_run(tmp_path, [30.0], seed=2)
    (tmp_path / "notes").mkdir()  # not a run, so no warning
    runs, warnings = read_runs(tmp_path)
    assert [run.seed for run in runs] == [2]
    assert any("no evaluation" in warning for warning in warnings)
    assert not any("notes" in warning for warning in warnings)


def test_a_missing_folder_has_no_runs(tmp_path: Path) -> None:
    assert read_runs(tmp_path / "none") == ([], [])
    assert read_humans(tmp_path / "none") == ([], [])


def test_runs_are_found_by_path_and_by_name(tmp_path: Path) -> None:
    folder = make_run(tmp_path, [1.0])
    assert find_run(str(folder), tmp_path / "elsewhere") == folder
    assert find_run(folder.name, tmp_path) == folder
    with pytest.raises(UserError, match=f"did you mean {folder.name}"):
        find_run(folder.name.replace("dqn", "dqm"), tmp_path)
    with pytest.raises(UserError, match="holds no runs"):
        find_run("x", tmp_path / "elsewhere")
    (tmp_path / "notes").mkdir()
    with pytest.raises(UserError, match="not a run folder"):
        find_run("notes", tmp_path)


def test_human_scores(tmp_path: Path) -> None:
    path = write_human_scores(
        tmp_path, human("Anna", 18.0), human("Anna", 23.0), human("Bo", 0.9, RLDEMO), human("", 5.0)
    )
    with path.open("a") as file:
        file.write("Cleo,2026-11-23T1")
    episodes, warnings = read_humans(tmp_path)
    assert [(one.player, one.env_id, one.episode_return) for one in episodes] == [
        ("Anna", V1, 18.0),
        ("Anna", V1, 23.0),
        ("Bo", RLDEMO, 0.9),
    ]
    assert len(warnings) == 2
    assert "line 5: damaged, left out (name is empty)" in warnings[1] + warnings[0]
    assert "line 6: incomplete" in warnings[1] + warnings[0]
