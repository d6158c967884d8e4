"""Several long commands, a few at a time, each with its own log; SIGINT and SIGTERM are passed on to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from common.errors import UserError
from common.signals import on_signal

POLL_SECONDS = 0.2


@dataclass
class Task:
    """A command, and how to measure its progress."""

    name: str
    command: list[str]
    log: Path
    """The command's output is appended here."""
    progress: Callable[[], tuple[float, float]]
    """Returns the units of work done and their total number; may be slow."""
    done: float = field(init=False)
    total: float = field(init=False)
    """Both as of the last `refresh`."""
    done_before: float = 0.0
    """Units done before the command started."""
    started_at: float = 0.0
    """Start of the command on the monotonic clock, in seconds."""
    ended_at: float | None = None
    """Its end on the same clock; None before."""
    exit_code: int | None = None
    """None before the command has ended."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Measure the progress."""
        self.done, self.total = self.progress()

    @property
    def fraction(self) -> float:
        """The fraction of the work that is done, 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total > 0 else 0.0

    @property
    def seconds(self) -> float:
        """Running time of the command, up to now or to its end."""
        return (time.monotonic() if self.ended_at is None else self.ended_at) - self.started_at

    def seconds_left(self) -> float | None:
        """Return the estimated remaining time at the mean speed so far, None before there is any progress."""
        gained = self.done - self.done_before
        return self.seconds * max(self.total - self.done, 0) / gained if gained > 0 else None


class Observer(Protocol):
    """Is notified of what the pool does."""

    def started(self, task: Task) -> None:
        """Handle the start of a command."""

    def running(self, tasks: Sequence[Task]) -> None:
        """Handle the commands that run now; called often."""

    def ended(self, task: Task) -> None:
        """Handle the end of a command, by itself or after a stop request."""

    def stopping(self, tasks: Sequence[Task]) -> None:
        """Handle the first stop request; ``tasks`` are the commands that still run."""


class Pool:
    """Runs tasks in order, at most ``jobs`` at a time."""

    def __init__(
        self, jobs: int, observer: Observer, set_children: Callable[[list[int]], None] = lambda pids: None
    ) -> None:
        """``set_children`` is called with the ids of all running processes whenever they change."""
        self.jobs, self.observer, self.set_children = jobs, observer, set_children
        self.tasks_running: list[Task] = []
        self.stop_requests = 0  # SIGINT or SIGTERM received
        self.requests_passed_on = 0

    def run(self, tasks: Sequence[Task]) -> bool:
        """Run all tasks; return False if a stop request ended or skipped any of them.

        SIGINT (Ctrl-C) and SIGTERM are passed on to the commands as SIGINT, and the pool waits while they save their
        work; a second signal is passed on too. A task that fails does not stop the others.
        """
        waiting = list(tasks)
        with self._signals():
            try:
                while self.tasks_running or (waiting and not self.stop_requests):
                    while waiting and len(self.tasks_running) < self.jobs and not self.stop_requests:
                        self._start(waiting.pop(0))
                    time.sleep(POLL_SECONDS)
                    self._poll()
                    if self.stop_requests > self.requests_passed_on:
                        self._pass_on_request()
            except BaseException:
                self._interrupt()  # leave no orphan behind
                raise
        return not self.stop_requests

    def _start(self, task: Task) -> None:
        task.done_before, task.started_at = task.done, time.monotonic()
        try:
            with task.log.open("ab") as log:
                # In its own session: otherwise it would receive a terminal's Ctrl-C twice, directly and from us.
                task.process = subprocess.Popen(
                    task.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
        except OSError as error:
            raise UserError(f"can't write {task.log} or can't run {task.command[0]} ({error.strerror})") from None
        self.tasks_running.append(task)
        self._report_children()
        self.observer.started(task)

    def _poll(self) -> None:
        """Collect the commands that have ended."""
        for task in list(self.tasks_running):
            assert task.process is not None
            task.exit_code = task.process.poll()
            if task.exit_code is not None:
                task.ended_at = time.monotonic()
                task.refresh()
                self.tasks_running.remove(task)
                self._report_children()
                self.observer.ended(task)
        self.observer.running(self.tasks_running)

    def _pass_on_request(self) -> None:
        self.requests_passed_on += 1
        if self.requests_passed_on == 1 and self.tasks_running:
            self.observer.stopping(self.tasks_running)
        self._interrupt()

    def _interrupt(self) -> None:
        for task in self.tasks_running:
            if task.process is not None and sys.platform != "win32":  # on Windows the terminal's Ctrl-C reaches all
                task.process.send_signal(signal.SIGINT)

    def _report_children(self) -> None:
        self.set_children([task.process.pid for task in self.tasks_running if task.process is not None])

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def request_stop(number: int) -> None:
            self.stop_requests += 1

        with on_signal(request_stop):
            yield


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
