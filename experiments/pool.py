"""Several long commands, a few at a time: watched, stopped politely, each with a log of its own."""

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
    """A command, and how to tell how far it is."""

    name: str
    command: list[str]
    log: Path
    """What it writes is appended here."""
    progress: Callable[[], tuple[float, float]]
    """Returns the units of work done and those that there are; may be slow."""
    done: float = field(init=False)
    total: float = field(init=False)
    """Both as they were when last looked at."""
    began_at: float = 0.0
    """Units done before the command started."""
    started: float = 0.0
    """When the command started, on the monotonic clock."""
    ended: float | None = None
    """When it ended."""
    code: int | None = None
    """Its exit status; None before it has ended."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.look()

    def look(self) -> None:
        """See how far it is."""
        self.done, self.total = self.progress()

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return min(self.done / self.total, 1.0) if self.total > 0 else 0.0

    @property
    def seconds(self) -> float:
        """That the command has been running for."""
        return (time.monotonic() if self.ended is None else self.ended) - self.started

    def left(self) -> float | None:
        """Return the seconds that are left at the speed so far, None before there is one."""
        gained = self.done - self.began_at
        return self.seconds * max(self.total - self.done, 0) / gained if gained > 0 else None


class Watcher(Protocol):
    """Whoever looks on."""

    def began(self, task: Task) -> None:
        """See a command start."""

    def working(self, tasks: Sequence[Task]) -> None:
        """See the commands that run now; called often."""

    def ended(self, task: Task) -> None:
        """See a command end, by itself or because it was asked to."""

    def stopping(self, tasks: Sequence[Task]) -> None:
        """See the commands that run now being asked to stop."""


class Pool:
    """Runs tasks, at most ``jobs`` at a time, in their order."""

    def __init__(self, jobs: int, watcher: Watcher, claim: Callable[[list[int]], None] = lambda pids: None) -> None:
        """``claim`` is told the ids of all processes that run now, whenever they change."""
        self.jobs, self.watcher, self.claim = jobs, watcher, claim
        self.running: list[Task] = []
        self.asked = 0  # times that a person has asked to stop
        self.told = 0  # times that the commands have been told

    def run(self, tasks: Sequence[Task]) -> bool:
        """Run all tasks; return whether none was stopped or left out because a person asked to stop.

        Ctrl-C (or a polite kill) is passed on to the commands, which may take their time to save their work; a
        second one is passed on too. A task that fails stops no other.
        """
        waiting = list(tasks)
        with self._signals():
            try:
                while self.running or (waiting and not self.asked):
                    while waiting and len(self.running) < self.jobs and not self.asked:
                        self._start(waiting.pop(0))
                    time.sleep(POLL_SECONDS)
                    self._look()
                    if self.asked > self.told:
                        self._stop()
            except BaseException:
                self._ask()  # nobody would look after them
                raise
        return not self.asked

    def _start(self, task: Task) -> None:
        task.began_at, task.started = task.done, time.monotonic()
        try:
            with task.log.open("ab") as log:
                # In a session of its own: a terminal's Ctrl-C would reach it too, and with ours it would be two.
                task.process = subprocess.Popen(
                    task.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
        except OSError as error:
            raise UserError(f"{task.log}: can't be written, or {task.command[0]} not run ({error.strerror})") from None
        self.running.append(task)
        self._claim()
        self.watcher.began(task)

    def _look(self) -> None:
        """See who has ended."""
        for task in list(self.running):
            assert task.process is not None
            task.code = task.process.poll()
            if task.code is not None:
                task.ended = time.monotonic()
                task.look()
                self.running.remove(task)
                self._claim()
                self.watcher.ended(task)
        self.watcher.working(self.running)

    def _stop(self) -> None:
        self.told += 1
        if self.told == 1 and self.running:
            self.watcher.stopping(self.running)
        self._ask()

    def _ask(self) -> None:
        for task in self.running:
            if task.process is not None and sys.platform != "win32":  # there the console's Ctrl-C reaches all
                task.process.send_signal(signal.SIGINT)

    def _claim(self) -> None:
        self.claim([task.process.pid for task in self.running if task.process is not None])

    @contextmanager
    def _signals(self) -> Iterator[None]:
        def ask() -> None:
            self.asked += 1

        with on_signal(ask):
            yield


def last_line(log: Path, most: int = 20_000) -> str:
    """Return the last line of a log that says something, read from its last bytes; "" where there is none."""
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
