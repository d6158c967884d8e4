"""The trainer's side of tracking: a process of its own is started, listened to, told how the run ended, waited for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.commands import command
from common.errors import UserError
from common.files import ROOT
from experiments.tracking import record
from experiments.tracking.tracker import SAID, Name, Say, Status, Unavailable, check_installed

PATIENCE = 60.0  # seconds that a tracker may take for what is left when a run has ended
SILENT = 3.0  # of them without a line


class Beside:
    """Where the outcome is told."""

    status: Status = "killed"


@contextmanager
def tracked(
    run: Path, tracker: Name | None, say: Say, patience: float = PATIENCE, status: Status = "killed"
) -> Iterator[Beside]:
    """Track a run while it trains, if that was asked for, now or when it was begun; never raises.

    Args:
        run: its folder.
        tracker: None: as before, if it was tracked.
        say: tells a person something.
        patience: seconds to wait at the end.
        status: how it ended, unless that is told.
    """
    beside, process = Beside(), _started(run, tracker, say)
    beside.status = status
    try:
        yield beside
    finally:
        if process is not None:
            _end(process, beside.status, say, patience)


def send(run: Path, name: Name, say: Say) -> bool:
    """Send a run that has ended, in such a process too; return whether all of it was. Ctrl-C ends the process."""
    process = _Process(run, name, say, "ended")
    try:
        return process.wait() == 0
    except BaseException:
        process.kill()
        raise


def _started(run: Path, tracker: Name | None, say: Say) -> _Process | None:
    name = str(tracker)
    try:
        known = record.read(run)
        if known is None or (tracker is not None and known.tracker != tracker):
            if tracker is None:
                return None
            known = record.Record(tracker)
            record.write(run, known)
        name = known.tracker
        check_installed(known.tracker)
        return _Process(run, name, say)
    except Unavailable as error:
        say(f"note: {error}; training goes on")
    except (UserError, OSError) as error:
        say(f"note: {name} can't be used ({error}); training goes on")
    return None


class _Process:
    """The process, and the thread that reads its lines."""

    def __init__(self, run: Path, name: str, say: Say, *words: str) -> None:
        self.run, self.name = run, name
        program = [sys.executable, "-P", "-m", "experiments.tracking.follow"]  # -P: nothing from here
        self._process = subprocess.Popen(
            [*program, str(run.resolve()), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=_environment(),
            start_new_session=True,  # so that Ctrl-C here does not end it
        )

        def listen() -> None:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                say(line.strip()[:300])
            code = self._process.wait()
            if code not in (0, SAID) and not self._killed:
                later = command("runs.py", "track", run)
                say(f"note: {name} ended by itself ({code}) and tracks no further; later: {later}")

        self._killed = False
        self._listener = threading.Thread(target=listen, name="tracking", daemon=True)
        self._listener.start()

    def tell(self, status: Status) -> None:
        """Say how the run ended."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):  # it is gone
            self._process.stdin.write(status)
            self._process.stdin.close()

    def ends_within(self, seconds: float) -> bool:
        """Return whether it ends in time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._listener.join(1.0)
        return True

    def wait(self) -> int:
        """Return its exit code, after its last line."""
        code = self._process.wait()
        self._listener.join(1.0)
        return code

    def kill(self) -> None:
        """End it."""
        self._killed = True
        self._process.kill()
        self.ends_within(5.0)


def _environment() -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _end(process: _Process, status: Status, say: Say, patience: float) -> None:
    process.tell(status)
    began = time.monotonic()
    try:
        if process.ends_within(min(SILENT, patience)):
            return
        say(f"waiting up to {patience:.0f} s for {process.name} (Ctrl-C leaves it to itself)")
        if not process.ends_within(max(patience - (time.monotonic() - began), 0.0)):
            process.kill()
            later = command("runs.py", "track", process.run)
            say(f"note: {process.name} did not end in time, and was ended; later: {later}")
    except KeyboardInterrupt:
        say(f"{process.name} goes on by itself")
