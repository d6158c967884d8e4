"""Several commands at a time: all run, a failure stops no other, a signal reaches each command once."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from common.errors import UserError
from common.lock import FILE, locked
from common.text import time_text
from experiments.pool import Pool, Task, last_line
from experiments.pool_display import Bars, Lines, display

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals")


class Recorder:
    """Records the events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.most = 0

    def started(self, task: Task) -> None:
        self.events.append(("started", task.name))

    def running(self, tasks: Sequence[Task]) -> None:
        self.most = max(self.most, len(tasks))

    def ended(self, task: Task) -> None:
        self.events.append(("ended", task.name))

    def stopping(self, tasks: Sequence[Task]) -> None:
        self.events.append(("stopping", ""))


def task(folder: Path, name: str, code: str) -> Task:
    return Task(name, [sys.executable, "-c", code], folder / f"{name}.log", lambda: (0.0, 1.0))


def signal_when(ready: Callable[[], bool], number: int = signal.SIGINT) -> threading.Thread:
    """Send this process a signal as soon as ``ready`` returns true."""

    def wait() -> None:
        while not ready():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_all_run_a_few_at_a_time_and_a_failure_stops_no_other(tmp_path: Path) -> None:
    recorder, children = Recorder(), list[list[int]]()
    codes = {"a": "import time; time.sleep(0.5)", "b": "raise SystemExit('error: bang')", "c": "print('hello')"}
    tasks = [task(tmp_path, name, code) for name, code in codes.items()]
    assert Pool(2, recorder, children.append).run(tasks)
    assert [one.exit_code for one in tasks] == [0, 1, 0]
    assert recorder.most <= 2
    assert sorted(recorder.events) == sorted((event, name) for event in ("started", "ended") for name in "abc")
    assert last_line(tmp_path / "b.log") == "error: bang"
    assert last_line(tmp_path / "c.log") == "hello"
    assert last_line(tmp_path / "none.log") == ""
    assert max(map(len, children)) == 2
    assert children[-1] == []


WAITS = """
import signal, sys, time
from pathlib import Path
seen = []
def note(number, frame):
    seen.append(number)
signal.signal(signal.SIGINT, note)
Path(sys.argv[1]).write_text("ready")
while not seen:
    time.sleep(0.02)
time.sleep(0.6)
print(len(seen), "signals")
raise SystemExit(130)
"""


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_passed_on_once_and_waited_for(tmp_path: Path, number: int) -> None:
    recorder, ready = Recorder(), tmp_path / "ready"
    tasks = [task(tmp_path, "a", WAITS), task(tmp_path, "b", "print('never')")]
    tasks[0].command.append(str(ready))
    before = signal.getsignal(number)
    signal_when(ready.exists, number)
    assert not Pool(1, recorder).run(tasks)
    assert last_line(tmp_path / "a.log") == "1 signals"
    assert [one.exit_code for one in tasks] == [130, None]
    assert recorder.events == [("started", "a"), ("stopping", ""), ("ended", "a")]
    assert signal.getsignal(number) is before


@posix
def test_no_process_is_orphaned_when_the_observer_fails(tmp_path: Path) -> None:
    class Failing(Recorder):
        def running(self, tasks: Sequence[Task]) -> None:
            raise ValueError("broken")

    one = task(tmp_path, "a", "import time; time.sleep(60)")
    with pytest.raises(ValueError, match="broken"):
        Pool(1, Failing()).run([one])
    assert one.process is not None
    assert one.process.wait(timeout=20) != 0


def test_a_missing_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such program"):
        Pool(1, Recorder()).run([Task("a", ["no such program"], tmp_path / "a.log", lambda: (0, 1))])


def test_time_left(tmp_path: Path) -> None:
    now = time.monotonic()
    one = Task("a", [], tmp_path / "a", lambda: (30.0, 100.0), done_before=10.0, started_at=now - 40.0)
    assert one.seconds_left() == pytest.approx(140, abs=1)  # 20 units in 40 s, 70 to go
    assert one.fraction == 0.3
    assert Task("a", [], tmp_path / "a", lambda: (0.0, 0.0)).seconds_left() is None
    assert [time_text(value) for value in (None, 42.4, 600, 7300)] == ["?", "42 s", "10 min", "2 h 02 min"]


def test_plain_lines(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=40)
    tasks = [task(tmp_path, "[a] with a name that is longer than the line", "pass"), task(tmp_path, "b", "pass")]
    with display(console, tasks, lambda one: f"{one.name}: fine") as observer:
        assert type(observer) is Lines
        Pool(1, observer).run(tasks)
    assert isinstance(console.file, io.StringIO)
    first, second, third, fourth = console.file.getvalue().splitlines()
    assert first.startswith("[a] with a name that is longer than the line: starts, its output is in ")
    assert second == "[1 of 2] [a] with a name that is longer than the line: fine | ? left in total"
    assert third.startswith("b: starts")
    assert fourth == "[2 of 2] b: fine"


def test_bars(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    tasks = [task(tmp_path, "a", "import time; time.sleep(1.5)"), task(tmp_path, "b", "pass")]
    with display(console, tasks, lambda one: f"{one.name}: fine") as observer:
        assert type(observer) is Bars
        Pool(2, observer).run(tasks)
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert "[2 of 2] a: fine" in printed
    assert "total" in printed


def test_a_folder_is_locked_by_one_process_and_its_children(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(UserError, match=f"process {os.getpid()} is using it"), locked(tmp_path):
            pass
        assert (tmp_path / FILE).exists()
    assert not (tmp_path / FILE).exists()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        created = psutil.Process(child.pid).create_time()
        # the program that started it was killed
        (tmp_path / FILE).write_text(json.dumps([[os.getpid(), 12345.0], [child.pid, created]]))
        with pytest.raises(UserError, match=f"kill -INT {child.pid}"), locked(tmp_path):
            pass
    finally:
        child.kill()
        child.wait()
    with locked(tmp_path) as set_children:
        set_children([])
