"""Faults of the disk and of the environment end nothing, and lose no row."""

from __future__ import annotations

import csv
import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from common.errors import UserError
from learning import trainer
from learning.logs import Appender, Faults, RowLog
from learning.runfolder import RunFolder
from learning.trainer import Trainer
from tests.learning.helpers import RecordingWatcher
from tests.learning.helpers import trainer as small
from tests.tiny import CORRIDOR

TIMES = ("wall_s", "sps", "acting", "environment", "learning")


def rows(run: Trainer, name: str) -> list[dict[str, str]]:
    with (run.run_folder.path / name).open(newline="") as file:
        return [{key: value for key, value in row.items() if key not in TIMES} for row in csv.DictReader(file)]


class Doing(RecordingWatcher):
    """Does something when the run reaches an agent step."""

    def __init__(self, **at: Callable[[], None]) -> None:
        super().__init__()
        self.ahead = sorted((int(name[1:]), action) for name, action in at.items())

    def progress(self, row: dict[str, Any]) -> None:
        super().progress(row)
        while self.ahead and row["agent_steps"] >= self.ahead[0][0]:
            self.ahead.pop(0)[1]()


def finished(run: Trainer, watcher: RecordingWatcher | None = None) -> list[str]:
    """Run to the end; return what was announced."""
    said: list[str] = []
    run.announce = said.append
    assert run.run(watcher or RecordingWatcher())
    return said


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    run = small(tmp_path_factory.mktemp("unbroken"), CORRIDOR)
    assert finished(run) == []
    return run


def assert_equal(run: Trainer, other: Trainer) -> None:
    for name in ("metrics.csv", "eval.csv"):
        assert rows(run, name) == rows(other, name), name
    weights = [(one.run_folder.agent / "network.safetensors").read_bytes() for one in (run, other)]
    assert weights[0] == weights[1]


def assert_board_is_whole(run: Trainer) -> None:
    board = EventAccumulator(str(run.run_folder.path))
    board.Reload()
    steps = [event.step for event in board.Scalars("charts/SPS")]
    assert steps == [int(row["agent_steps"]) for row in rows(run, "metrics.csv") if not row["eval_return"]]


class Disk:
    """What writing does: works, or fails after half of the bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.number: int | None = None
        self.failed = 0
        write, fsync = os.write, os.fsync

        def write_half(file: int, data: Any) -> int:
            if self.number is not None and file > 2:
                self.failed += 1
                write(file, bytes(data)[: len(data) // 2])
                raise OSError(self.number, os.strerror(self.number))
            return write(file, data)

        def no_sync(file: int) -> None:
            if self.number is not None:
                raise OSError(self.number, os.strerror(self.number))
            fsync(file)

        monkeypatch.setattr(os, "write", write_half)
        monkeypatch.setattr(os, "fsync", no_sync)

    def fail(self, number: int | None) -> Callable[[], None]:
        return lambda: setattr(self, "number", number)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_is_full_for_a_while_loses_no_row(
    number: int, disk: Disk, unbroken: Trainer, tmp_path: Path
) -> None:
    run = small(tmp_path, CORRIDOR)
    said = finished(run, Doing(_100=disk.fail(number), _1500=disk.fail(None)))
    assert disk.failed > 100
    assert len(said) == 2
    assert os.strerror(number) in said[0]
    assert "training goes on" in said[0]
    assert "written again" in said[1]
    assert_equal(run, unbroken)
    assert_board_is_whole(run)


def test_a_full_disk_at_the_end_is_waited_for(
    disk: Disk, unbroken: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        disk.number = None if len(slept) == 3 else disk.number

    monkeypatch.setattr(time, "sleep", sleep)
    run = small(tmp_path, CORRIDOR)
    said = finished(run, Doing(_1500=disk.fail(errno.ENOSPC)))
    assert len(slept) == 3
    assert any(line.startswith("waiting up to 600 s until the agent can be written") for line in said)
    assert_equal(run, unbroken)


def test_a_disk_that_stays_full_is_a_users_error_in_the_end(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "PATIENCE", 0.0)
    run = small(tmp_path, CORRIDOR)
    with pytest.raises(UserError, match="the agent could not be written: No space left on device"):
        run.run(Doing(_1500=disk.fail(errno.ENOSPC)))


def test_rows_that_wait_are_in_the_state_of_a_stopped_run(
    tmp_path: Path, unbroken: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is on another disk, say: it can be written, and the rows can't."""
    run = small(tmp_path, CORRIDOR)
    watcher = RecordingWatcher(stop_at=1500)
    watcher.trainer = run
    log = run.run_folder.rows["metrics.csv"]
    flush = log.flush

    def fail(folder: Path) -> None:
        if run.agent_steps > 1000:
            raise OSError(errno.EIO, "broken")
        flush(folder)

    log.flush = fail  # type: ignore[method-assign]
    monkeypatch.setattr(trainer, "PATIENCE_STOPPED", 0.0)
    with pytest.raises(UserError, match=r"metrics\.csv could not be written: broken"):
        run.run(watcher)
    assert int(rows(run, "metrics.csv")[-1]["agent_steps"]) == 1000
    resumed = Trainer(run.plan, RunFolder(run.run_folder.path))
    resumed.load_state()
    finished(resumed)
    steps = [row["agent_steps"] for row in rows(resumed, "metrics.csv")]
    assert steps == [row["agent_steps"] for row in rows(unbroken, "metrics.csv")]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux tells where a folder was moved to")
def test_a_run_folder_that_is_moved_is_followed(unbroken: Trainer, tmp_path: Path) -> None:
    run = small(tmp_path / "here", CORRIDOR)
    there = tmp_path / "there"
    before = run.run_folder.path

    def move() -> None:
        before.rename(there)

    said = finished(run, Doing(_700=move))
    assert said == [f"note: the run folder was moved; the run goes on in {there}"]
    assert not before.exists()
    assert run.run_folder.path == there
    assert_equal(run, unbroken)
    assert_board_is_whole(run)


def test_a_run_folder_that_is_removed_comes_back_with_the_final_agent(unbroken: Trainer, tmp_path: Path) -> None:
    run = small(tmp_path, CORRIDOR)
    said = finished(run, Doing(_700=lambda: shutil.rmtree(run.run_folder.path)))
    assert len([line for line in said if "the run folder is gone" in line]) == 1
    steps = [int(row["agent_steps"]) for row in rows(run, "metrics.csv")]
    whole = [int(row["agent_steps"]) for row in rows(unbroken, "metrics.csv")]
    assert steps == [step for step in whole if step > 700]
    names = {path.name for path in run.run_folder.path.iterdir()}
    assert {"config.json", "metrics.csv", "eval.csv", "agent", "state"} <= names
    weights = [(one.run_folder.agent / "network.safetensors").read_bytes() for one in (run, unbroken)]
    assert weights[0] == weights[1]


# ------------------------------------------------------------------ one file


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """A real error of the system, in the middle of a write, for whoever runs the tests: no file may be larger."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on Windows")
def test_a_write_that_the_system_cuts_short_leaves_whole_rows(tmp_path: Path) -> None:
    log = RowLog("a.csv", ("a", "b"))
    log.add([{"a": number, "b": "x" * 40} for number in range(20)])
    log.flush(tmp_path)
    before = (tmp_path / "a.csv").read_bytes()
    with file_size_limit(len(before) + 60):
        log.add([{"a": 20, "b": "y" * 40}, {"a": 21, "b": "z" * 40}])
        with pytest.raises(OSError, match="File too large"):
            log.flush(tmp_path)
        assert (tmp_path / "a.csv").read_bytes() == before
    log.add([{"a": 22, "b": "w"}])
    log.flush(tmp_path)
    with (tmp_path / "a.csv").open(newline="") as file:
        assert [int(row["a"]) for row in csv.DictReader(file)] == list(range(23))
    assert log.waiting == []


def test_half_a_row_left_by_a_kill_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\r\n1,2\r\n3,")
    log = RowLog("a.csv", ("a", "b"))
    log.add([{"a": 5, "b": 6}])
    log.flush(tmp_path)
    assert (tmp_path / "a.csv").read_text().split() == ["a,b", "1,2", "5,6"]


def test_an_older_file_keeps_its_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("b,a\r\n1,2\r\n")
    log = RowLog("a.csv", ("a", "b", "c"))
    log.add([{"a": 5, "b": 6, "c": 7}])
    log.flush(tmp_path)
    assert (tmp_path / "a.csv").read_text().split() == ["b,a", "1,2", "6,5"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    (tmp_path / "a.csv").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError):  # noqa: PT011, the number differs between systems
        Appender("a.csv").append(tmp_path, lambda first: b"theirs")
    assert (tmp_path / "victim").read_text() == "mine"


def test_one_cause_is_said_once_for_all_files() -> None:
    faults, said = Faults(), list[str]()
    faults.say = said.append

    def fail() -> None:
        raise OSError(errno.ENOSPC, "full")

    assert not faults.attempt("a", fail)
    assert not faults.attempt("b", fail)
    assert not faults.attempt("a", fail)
    assert len(said) == 1
    assert faults.attempt("a", lambda: None)
    assert len(said) == 1  # b still fails
    assert faults.attempt("b", lambda: None)
    assert len(said) == 2
