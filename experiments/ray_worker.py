"""One run on a node of a Ray cluster: a process like `train.py`, whose progress goes to the driver.

Nothing here loads PyTorch or Ray.
"""

from __future__ import annotations

import io
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.files import ROOT
from common.lock import FILE as LOCK
from common.lock import alive_processes
from experiments import planned
from experiments.local import last_line
from experiments.planned import BROKEN, PlannedRun

TELL_SECONDS = 1.0  # between two reports to the driver
PATIENCE_SECONDS = 60.0  # that a lost worker's training has to save and end, where it survived the worker
TOKEN = ".shared"  # in the sweep's folder: whoever reads the same in it shares the folder with the driver
SCRATCH = Path("~/.cache/tidepool/sweeps")  # of a node that does not


@dataclass(frozen=True)
class Request:
    """What is to be run."""

    number: int
    """Of the run in the plan."""
    out: str
    """The sweep's folder, as the driver names it."""
    folder: str
    """The configuration's folder in it."""
    seed: int
    words: Sequence[str]
    """The command line that starts it, with ``{folder}`` in place of the folder of its configuration."""
    resuming: Sequence[str]
    token: str
    trainer: Sequence[str] = ()
    """The command that trains; (): train.py of the node's own checkout."""


@dataclass
class Reply:
    """How it ended."""

    code: int
    why: str = ""
    files: bytes = b""
    """The run's folder as a tar archive, where the driver does not see it."""


@dataclass
class Board:
    """What the runs tell, and which are to stop; it lives beside the driver, as a Ray actor."""

    told: dict[int, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    stops: dict[int, int] = field(default_factory=dict)

    def tell(self, number: int, where: str, row: dict[str, Any]) -> int:
        """Take note of a run's progress; return how often it was asked to stop."""
        self.told[number] = where, row
        return self.stops.get(number, 0)

    def look(self) -> dict[int, tuple[str, dict[str, Any]]]:
        """Return what is new."""
        told, self.told = self.told, {}
        return told

    def stop(self, number: int) -> None:
        """Ask a run to stop."""
        self.stops[number] = self.stops.get(number, 0) + 1


Tell = Callable[[int, str, dict[str, Any]], int]


def execute(request: Request, tell: Tell, node: str) -> Reply:
    """Start or resume a run, and wait for its end; ``tell`` reports to the driver, and returns how often to stop.

    A run that a lost worker has begun goes on from its last state where the folder is shared, from its start otherwise.
    """
    shared = _read(Path(request.out) / TOKEN) == request.token
    out = Path(request.out) if shared else SCRATCH.expanduser() / request.token / node
    folder = out / Path(request.folder).relative_to(request.out)
    run = PlannedRun(folder, request.seed)
    where = f"{socket.gethostname()} {node[:6]}"
    _wait_for_survivor(run)
    if run.finished_folder() is None:
        words = [word.replace("{folder}", str(folder)) for word in request.words]
        words, _ = run.prepare(out / BROKEN, words, list(request.resuming))
        command = [*(request.trainer or (sys.executable, str(ROOT / "train.py"))), *words]
        code = _run(command, run, request.number, where, tell)
    else:
        code = 0
    reply = Reply(code, "" if code == 0 else last_line(run.log))
    if not shared and (newest := run.newest_folder()) is not None:
        reply.files = packed(newest, run.log)
        if code == 0:
            shutil.rmtree(newest, ignore_errors=True)
    return reply


def _wait_for_survivor(run: PlannedRun) -> None:
    """Wait until the training of a lost worker, which gets a signal then, has saved and ended."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (newest := run.newest_folder()) is not None and time.monotonic() < deadline:
        if not alive_processes(newest / "live" / LOCK):
            return
        time.sleep(0.2)


def _run(command: list[str], run: PlannedRun, number: int, where: str, tell: Tell) -> int:
    with run.log.open("ab") as log:
        process = planned.process(command, log)
    stopped = 0
    try:
        while True:
            try:
                return process.wait(TELL_SECONDS)
            except subprocess.TimeoutExpired:
                asked = tell(number, where, _progress(run))
                for _ in range(asked - stopped):
                    process.send_signal(signal.SIGINT)
                stopped = max(asked, stopped)
    except BaseException:  # the driver is gone, or Ray ends this worker
        process.send_signal(signal.SIGTERM)
        process.wait()
        raise


def _progress(run: PlannedRun) -> dict[str, Any]:
    newest = run.newest_folder()
    if newest is None:
        return {}
    about = {"total": planned.total_steps(newest), "expected": planned.estimate(newest)}
    return {**planned.last_row(newest), **{name: value for name, value in about.items() if value is not None}}


def packed(folder: Path, log: Path) -> bytes:
    """Return a run's folder without its state, and its log, as a tar archive."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder)
            if path.is_file() and not path.is_symlink() and inside.parts[0] not in ("state", "live"):
                archive.add(path, Path(folder.name, inside))
        if log.exists():
            archive.add(log, log.name)
    return file.getvalue()


def unpack(files: bytes, folder: Path) -> None:
    """Write what `packed` returned into a configuration's folder."""
    with tarfile.open(fileobj=io.BytesIO(files), mode="r:gz") as archive:
        archive.extractall(folder, filter="data")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
