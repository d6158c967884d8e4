"""Runs on this machine: all run, a failure stops no other, a signal reaches each once, none outlives the sweep."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from common.errors import UserError
from common.lock import FILE, locked
from common.machine import cores
from common.text import time_text
from experiments import live_view, plan, sweeping
from experiments.execution import Execution, Job, Queue, seconds_left
from experiments.live_view import Lines, Screen
from experiments.local import PROCESS_BYTES, Local, fitting_jobs, last_line
from experiments.plan import Plan
from tests.experiments.stub import Stub, plan_of, stub

__all__ = ["stub"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only there a process learns of its parent's end")


class Recorder:
    """Records the events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.running = self.most = 0

    def started(self, job: Job) -> None:
        self.events.append(("started", job.name))
        self.running += 1
        self.most = max(self.most, self.running)

    def ended(self, job: Job) -> None:
        self.events.append(("ended", job.name))
        self.running -= 1

    def stopping(self, count: int) -> None:
        self.events.append(("stopping", str(count)))

    def tick(self) -> None:
        pass


def signal_when(ready: Callable[[], bool], number: int = signal.SIGINT) -> threading.Thread:
    """Send this process a signal as soon as ``ready`` returns true."""

    def wait() -> None:
        while not ready():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def run(one: Plan, stub: Stub, jobs: int = 2, recorder: Recorder | None = None) -> tuple[list[Job], bool]:
    """Run a plan by the stub; return its jobs, and whether it was not stopped."""
    plan.prepare(one)
    made = sweeping.jobs_of(one)
    engine = Local(jobs, one.out, stub.command)
    done = Execution(Queue(job for job in made if job.state == "waiting"), engine, recorder or Recorder()).run()
    return made, done


def test_all_run_a_few_at_a_time_and_a_failure_stops_no_other(stub: Stub, tmp_path: Path) -> None:
    recorder, children = Recorder(), list[list[int]]()
    one = plan_of(tmp_path / "out", ("dqn", "pqn"))
    stub.behave(pqn__1="fail")
    stub.monkeypatch.setenv("STUB_SECONDS", "0.5")
    plan.prepare(one)
    jobs = sweeping.jobs_of(one)
    assert Execution(Queue(jobs), Local(2, one.out, stub.command, set_children=children.append), recorder).run()
    assert [job.state for job in jobs] == ["finished", "failed", "finished", "finished"]
    assert (jobs[1].why, jobs[1].row.run.failure) == ("error: the loss became nan",) * 2
    assert recorder.most <= 2
    assert len(recorder.events) == 8
    assert (jobs[0].done, jobs[0].total, jobs[0].last_return) == (600, 600, 7.5)
    assert 1 <= max(map(len, children)) <= 2
    assert last_line(tmp_path / "none.log") == ""


def test_what_failed_is_left_unless_it_is_asked_for(stub: Stub, tmp_path: Path) -> None:
    one = plan_of(tmp_path / "out")
    stub.behave(dqn__2="fail")
    run(one, stub)
    stub.behave()
    jobs, _ = run(one, stub)
    assert [job.state for job in jobs] == ["finished", "failed"]
    assert stub.calls == []
    again = sweeping.jobs_of(one, retry=True)
    assert [job.state for job in again] == ["finished", "waiting"]
    assert Execution(Queue(again[1:]), Local(1, one.out, stub.command), Recorder()).run()
    assert [job.state for job in sweeping.jobs_of(one)] == ["finished", "finished"]


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_lets_the_runs_save_and_the_same_plan_goes_on(
    number: signal.Signals, stub: Stub, tmp_path: Path
) -> None:
    recorder, before = Recorder(), signal.getsignal(number)
    one = plan_of(tmp_path / "out", seeds=(1, 2, 3))
    stub.behave(dqn__1="wait")
    signal_when(stub.waiting.exists, number)
    jobs, done = run(one, stub, jobs=1, recorder=recorder)
    assert not done
    assert [job.state for job in jobs] == ["stopped", "waiting", "waiting"]
    assert last_line(jobs[0].row.run.log) == "1 signals"
    assert [event for event, _ in recorder.events] == ["started", "stopping", "ended"]
    assert signal.getsignal(number) is before
    stub.behave()
    jobs, done = run(one, stub, jobs=1)
    assert done
    assert [job.state for job in jobs] == ["finished"] * 3
    assert [call[0] for call in stub.calls] == ["--resume", "CartPole-v1", "CartPole-v1"]


@posix
def test_a_second_signal_is_passed_on_too(stub: Stub, tmp_path: Path) -> None:
    stub.behave(dqn__1="hang")
    signal_when(stub.waiting.exists)
    log = tmp_path / "out" / plan_of(tmp_path).rows[0].run.folder.name / "seed1.log"
    second = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT))
    second.start()
    _, done = run(plan_of(tmp_path / "out", seeds=(1,)), stub)
    second.join()
    assert (done, last_line(log)) == (False, "2 signals")


@posix
def test_no_process_is_orphaned_when_the_observer_fails(stub: Stub, tmp_path: Path) -> None:
    class Failing(Recorder):
        def tick(self) -> None:
            if stub.waiting.exists():
                raise ValueError("broken")

    stub.behave(dqn__1="wait")
    with pytest.raises(ValueError, match="broken"):
        run(plan_of(tmp_path / "out", seeds=(1,)), stub, recorder=Failing())
    pid = int(stub.waiting.read_text())
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)


def test_a_missing_command_fails_every_run_and_says_why(stub: Stub, tmp_path: Path) -> None:
    stub.command = ["no such program"]
    jobs, done = run(plan_of(tmp_path / "out"), stub)
    assert done
    assert {job.state for job in jobs} == {"failed"}
    assert "can't run no such program" in jobs[0].why


@linux
def test_the_runs_of_a_killed_sweep_are_stopped_and_saved(tmp_path: Path) -> None:
    """``kill -9`` of the driver: its runs get a signal, save and end."""
    code = (
        "import os, signal, sys, time\n"
        "from common.signals import end_with_parent\n"
        "signal.signal(signal.SIGTERM, lambda number, frame: (open(sys.argv[1], 'w').write('saved'), os._exit(0)))\n"
        "end_with_parent()\n"
        "print('ready', flush=True)\n"
        "for _ in range(600):\n    time.sleep(0.1)  # a signal just before a sleep waits for its end\n"
    )
    saved = tmp_path / "saved"
    driver = (
        "import os, subprocess, sys\n"
        "from common.signals import PARENT\n"
        "environment = {**os.environ, PARENT: str(os.getpid())}\n"
        f"child = subprocess.Popen([sys.executable, '-c', {code!r}, {str(saved)!r}], env=environment)\n"
        "child.wait()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", driver], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while not saved.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert saved.exists()


# ------------------------------------------------------------------ how many, how long


def test_how_many_runs_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.local.cores", lambda: 8)

    class Memory:
        available = 10e9

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory)
    assert fitting_jobs(100, 0.5e9) == (8, "8 cores")
    assert fitting_jobs(100, 2e9) == (4, "9.0 GB free, 2.0 GB a run")
    assert fitting_jobs(100, 0.5e9, gpu=True) == (1, "one GPU")
    assert fitting_jobs(3, 0.5e9) == (3, "3 runs")
    with pytest.raises(UserError, match=r"a run takes about 20.0 GB, and 9.0 GB can be used"):
        fitting_jobs(3, 20e9)
    assert cores() >= 1
    assert PROCESS_BYTES > 1e8


def test_time_left(tmp_path: Path) -> None:
    rows = plan_of(tmp_path, ("dqn", "pqn"), seeds=(1, 2, 3)).rows
    jobs = [Job(row) for row in rows]
    assert seconds_left(jobs, 2) is None
    now = time.monotonic()
    jobs[0].state, jobs[0].total, jobs[0].done, jobs[0].started_at = "running", 100, 30, now - 40
    jobs[0].done_before = 10
    assert jobs[0].seconds_left() == pytest.approx(140, abs=1)  # 20 steps in 40 s, 70 to go
    jobs[1].state, jobs[1].expected, jobs[1].started_at = "running", 60.0, now - 20
    assert jobs[1].seconds_left() == pytest.approx(40, abs=1)
    # pqn lasts 60 s: two more; of dqn nothing but that is known: two more of 60 s
    assert seconds_left(jobs, 2) == pytest.approx((140 + 40 + 4 * 60) / 2, abs=2)
    for job in jobs[1:]:
        job.state = "failed"
    assert seconds_left(jobs, 2) == pytest.approx(140, abs=1)
    assert [time_text(value) for value in (None, 42.4, 600, 7300)] == ["?", "42 s", "10 min", "2 h 02 min"]


def test_the_length_of_a_run_is_known_as_soon_as_it_is_measured(stub: Stub, tmp_path: Path) -> None:
    stub.behave()
    jobs, _ = run(plan_of(tmp_path / "out", seeds=(1,)), stub)
    fresh = Job(jobs[0].row)
    fresh.refresh()
    assert fresh.expected == pytest.approx(600 / 100 + 2 + 1)  # agent steps, final evaluation, one on the way


# ------------------------------------------------------------------ what is shown


def test_plain_lines(stub: Stub, tmp_path: Path) -> None:
    stub.behave(dqn__2="fail")
    console = Console(file=io.StringIO(), width=40)
    one = plan_of(tmp_path / "out")
    plan.prepare(one)
    jobs = sweeping.jobs_of(one)
    with live_view.live_view(console, jobs, sweeping.outcome, lambda: 1) as observer:
        assert type(observer) is Lines
        Execution(Queue(jobs), Local(1, one.out, stub.command), observer).run()
    assert isinstance(console.file, io.StringIO)
    first, second, third, fourth = console.file.getvalue().splitlines()
    assert first.startswith("CartPole-v1 dqn, seed 1: starts, its output is in ")
    assert second.startswith("[1 of 2] CartPole-v1 dqn, seed 1: mean score 100.00, 0 s | ")
    assert " | in total: " in second
    assert second.endswith(" left")
    assert third.startswith("CartPole-v1 dqn, seed 2: starts")
    assert fourth.startswith("[2 of 2] CartPole-v1 dqn, seed 2: FAILED (error: the loss became nan); see ")


def test_a_run_in_its_last_evaluation_is_not_said_to_be_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_view, "LINES_SECONDS", 0.0)
    first, second = (Job(row) for row in plan_of(tmp_path).rows)
    first.state = second.state = "running"
    first.take({"total": 1_000, "agent_steps": "1000", "expected": 60.0})
    second.take({"total": 1_000, "agent_steps": "500", "expected": 60.0})
    console = Console(file=io.StringIO(), width=100)
    Lines(console, [first, second], sweeping.outcome, lambda: 2).show([first, second])
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        f"{first.name}: 100% | finishing",
        f"{second.name}: 50% | 60 s left",
    ]
    assert (live_view.cells(first)[5], live_view.cells(second)[5]) == ("finishing", "60 s")
    assert live_view.time_left([first, second], 60.0) == "60 s left"
    second.state = "finished"
    assert live_view.time_left([first, second], 0.0) == "finishing"  # not "0 s left", which goes on for minutes


def test_a_table_in_a_terminal(stub: Stub, tmp_path: Path) -> None:
    stub.behave()
    stub.monkeypatch.setenv("STUB_SECONDS", "1.5")
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    one = plan_of(tmp_path / "out")
    plan.prepare(one)
    jobs = sweeping.jobs_of(one)
    with live_view.live_view(console, jobs, sweeping.outcome, lambda: 2) as observer:
        assert type(observer) is Screen
        Execution(Queue(jobs), Local(2, one.out, stub.command), observer).run()
    assert isinstance(console.file, io.StringIO)
    printed = console.file.getvalue()
    assert "[2 of 2] CartPole-v1 dqn, seed" in printed
    assert "steps/s" in printed
    assert "all of it takes about" in printed


def test_a_run_that_was_finished_before_has_its_return(stub: Stub, tmp_path: Path) -> None:
    stub.behave()
    one = plan_of(tmp_path / "out", seeds=(1,))
    run(one, stub)
    (job,) = sweeping.jobs_of(one)
    assert (job.state, job.last_return) == ("finished", None)
    name, state, done, pace, last_return = live_view.cells(job)[:5]
    assert (name, state, done, pace, last_return) == (job.name, "finished", "100%", "-", "7.5")


def test_a_thousand_runs_are_folded(tmp_path: Path) -> None:
    jobs = [Job(row) for row in plan_of(tmp_path, seeds=range(1, 1001)).rows]
    for job in jobs[:300]:
        job.state = "finished"
    jobs[300].state, jobs[301].state, jobs[302].state = "running", "running", "failed"
    jobs[302].why = "error: out of memory"
    console = Console(file=io.StringIO(), width=120, height=20, force_terminal=True)
    screen = Screen(console, jobs, lambda job: job.name, lambda: 2)
    console.print(screen.drawn())
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= 20
    assert "seed 301" in lines[1]
    assert "seed 302" in lines[2]
    assert "error: out of memory" in lines[3]
    assert "and 986 more: 300 finished, 686 waiting" in lines[-3]
    assert "300 finished, 697 waiting, 1 failed, 2 running" in lines[-2]


# ------------------------------------------------------------------ the lock


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
        end = threading.Timer(0.5, child.kill)
        end.start()
        with locked(tmp_path, patience=30):  # it has saved and ended
            end.join()
    finally:
        child.kill()
        child.wait()
    with locked(tmp_path) as set_children:
        set_children([])
        set_children([2**22 - 3])  # it has ended already
        assert len(json.loads((tmp_path / FILE).read_text())) == 1
