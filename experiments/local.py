"""Runs on this machine: processes like `train.py`, and how many of them cores and memory allow."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO

from common import imports
from common.errors import UserError
from common.files import ROOT
from common.machine import cores, free_memory
from common.text import number_of
from experiments import planned
from experiments.execution import Ended, Job
from experiments.planned import BROKEN

TRAINER = (sys.executable, str(ROOT / "train.py"))
SAFE_SHARE = 0.9  # of the free memory
INTERRUPTED = 128 + signal.SIGINT
PROCESS_BYTES = 600e6  # of a training besides its replay: Python, PyTorch, compiled kernels, environments


class Local:
    """At most ``jobs`` processes at a time; each has its own log, and none outlives this one (on Linux)."""

    def __init__(
        self,
        jobs: int,
        out: Path,
        trainer: Sequence[str] = TRAINER,
        extra: Sequence[str] = (),
        set_children: Callable[[list[int]], None] = lambda pids: None,
    ) -> None:
        """Start nothing yet.

        Args:
            jobs: how many at a time.
            out: what can't be resumed is moved to a folder in it.
            trainer: the command that trains.
            extra: words that are added to every command that starts a run.
            set_children: called with the ids of all running processes whenever they change.
        """
        self.jobs, self.out, self.trainer, self.extra = jobs, out, list(trainer), list(extra)
        self._set_children, self._reported = set_children, list[int]()
        self._threads = ThreadPoolExecutor(jobs, "run")  # each waits for one process
        self._processes: dict[int, subprocess.Popen[bytes]] = {}  # by the number of the run
        self._stopped = set[int]()  # runs that are not to start any more
        self._lock = threading.Lock()

    def places(self) -> int:
        """Return how many runs may be there at once."""
        return self.jobs

    def start(self, job: Job) -> Future[Ended]:
        """Start a run, or resume it."""
        row = job.row
        words, job.resumed = row.run.prepare(self.out / BROKEN, [*row.words, *self.extra], imports.words())
        return self._threads.submit(self._run, job, [*self.trainer, *words])

    def _run(self, job: Job, command: list[str]) -> Ended:
        """Run a command to its end, its output appended to its log."""
        log = job.row.run.log
        try:
            with log.open("ab") as file, self._lock:
                if job.row.number in self._stopped:
                    return Ended(INTERRUPTED)
                process = self._processes[job.row.number] = planned.process(command, file)
        except OSError as error:
            return Ended(2, f"can't write {log} or can't run {command[0]} ({error.strerror})")
        code = process.wait()
        with self._lock:
            del self._processes[job.row.number]
        return Ended(code, "" if code == 0 else last_line(log))

    def stop(self, job: Job) -> None:
        """Pass an interrupt on."""
        with self._lock:
            self._stopped.add(job.row.number)
            process = self._processes.get(job.row.number)
            if process is not None and sys.platform != "win32":  # on Windows the terminal's Ctrl-C reaches all
                process.send_signal(signal.SIGINT)

    def tick(self, jobs: Sequence[Job]) -> None:
        """Report the processes."""
        with self._lock:
            pids = [process.pid for process in self._processes.values()]
        if pids != self._reported:
            self._reported = pids
            self._set_children(pids)


def last_line(log: Path, most: int = 20_000) -> str:
    """Return the last line of a log that is not blank, read from its last ``most`` bytes; "" if there is none."""
    try:
        with log.open("rb") as file:
            lines = _tail(file, most).decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _tail(file: IO[bytes], most: int) -> bytes:
    file.seek(0, os.SEEK_END)
    file.seek(max(file.tell() - most, 0))
    return file.read()


# ------------------------------------------------------------------ how many at a time


def fitting_jobs(runs: int, run_bytes: float, gpu: bool = False) -> tuple[int, str]:
    """Return how many runs at a time this machine's cores and free memory allow, and why, in words.

    Args:
        runs: how many there are.
        run_bytes: what the largest of them takes.
        gpu: they learn on a GPU, of which each is taken to need all.

    Raises:
        UserError: not even one fits.
    """
    free = free_memory() * SAFE_SHARE
    by_memory = int(free / run_bytes)
    if by_memory < 1:
        raise UserError(
            f"a run takes about {run_bytes / 1e9:.1f} GB, and {free / 1e9:.1f} GB can be used; try a smaller --capacity"
        )
    counts = {
        number_of(cores(), "core"): cores(),
        f"{free / 1e9:.1f} GB free, {run_bytes / 1e9:.1f} GB a run": by_memory,
    }
    if gpu:
        counts["one GPU"] = 1
    most = min(*counts.values(), runs)
    why = next((reason for reason, count in counts.items() if count == most), number_of(runs, "run"))
    return most, why
