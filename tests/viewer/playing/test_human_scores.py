from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

import pytest

from common.errors import UserError
from scores.runs import Episode, read_humans
from viewer.playing import human_scores
from viewer.playing.human_scores import Entry

ADA = Entry("Ada", "2026-11-23T10:15:30+01:00", "tidepool/Waterworld-v1", "waterworld-1000", 3, 12.0, 1000, 14, 2)
BOB = Entry('Bob "B", jr.', "2026-11-23T11:00:00", "CartPole-v1", "gymnasium-default", 4, 31.5, 31, None, None)


Fields = tuple[str, str, str, int, float, int]


def fields_of(one: Entry | Episode) -> Fields:
    """Return the fields that the writer's and the reader's rows have in common."""
    name = one.name if isinstance(one, Entry) else one.player
    return name, one.env_id, one.protocol, one.seed, one.episode_return, one.episode_length


def read(runs_dir: Path) -> tuple[list[Fields], list[str]]:
    episodes, warnings = read_humans(runs_dir)
    return [fields_of(episode) for episode in episodes], warnings


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert read_humans(runs) == ([], [])
    assert human_scores.append(runs, ADA) == runs / "humans.csv"
    human_scores.append(runs, BOB)
    assert read(runs) == ([fields_of(ADA), fields_of(BOB)], [])
    with (runs / "humans.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "name",
        "date",
        "env_id",
        "protocol",
        "seed",
        "episode_return",
        "episode_length",
        "apples",
        "poison",
    ]
    assert (rows[0]["episode_return"], rows[1]["apples"]) == ("12.0", "")


def test_damaged_lines_are_skipped_and_the_others_read(tmp_path: Path) -> None:
    human_scores.append(tmp_path, ADA)
    path = tmp_path / "humans.csv"
    bad = ["half,2026-11-23T1", ADA.name + ",yesterday" + ",x" * 7, "\x00\xff,,,", '"open quote']
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(line + "\n" for line in bad))
    human_scores.append(tmp_path, BOB)
    before = path.read_bytes()
    entries, warnings = read(tmp_path)
    assert entries == [fields_of(ADA), fields_of(BOB)]
    assert len(warnings) == 4
    for number, warning in zip((3, 4, 5, 6), warnings, strict=True):
        assert warning.startswith(f"{path}, line {number}: damaged, left out")
    assert path.read_bytes() == before


def test_a_truncated_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    human_scores.append(tmp_path, ADA)
    path = tmp_path / "humans.csv"
    path.write_bytes(path.read_bytes()[:-20])  # no line end
    human_scores.append(tmp_path, BOB)
    entries, warnings = read(tmp_path)
    assert entries == [fields_of(BOB)]
    assert len(warnings) == 1


def test_a_name_with_a_line_break_stays_one_line(tmp_path: Path) -> None:
    human_scores.append(tmp_path, Entry("A\nB\t C", *list(vars(ADA).values())[1:]))
    episodes, warnings = read_humans(tmp_path)
    assert [episode.player for episode in episodes] == ["A B C"]
    assert warnings == []


def test_a_file_that_can_not_be_written_is_reported_before_the_game(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file where a folder should be")
    with pytest.raises(UserError, match=r"humans\.csv: can't be written"):
        human_scores.check(tmp_path / "runs")
    with pytest.raises(UserError, match=r"humans\.csv: can't be written"):
        human_scores.append(tmp_path / "runs", ADA)


def test_the_check_leaves_things_as_they_were(tmp_path: Path) -> None:
    human_scores.check(tmp_path / "runs")
    assert list((tmp_path / "runs").iterdir()) == []
    path = human_scores.append(tmp_path / "runs", ADA)
    before = path.read_bytes()
    human_scores.check(tmp_path / "runs")
    assert path.read_bytes() == before


def test_now_is_iso_8601_with_an_offset() -> None:
    assert datetime.fromisoformat(human_scores.now()).utcoffset() is not None
