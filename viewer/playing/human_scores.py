"""The ledger of human scores: one line of ``<runs-dir>/humans.csv`` a full episode, append only.

This side only writes; `scores.runs.read_humans` is the one reader.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from datetime import datetime
from pathlib import Path

from common.errors import UserError

FILE_NAME = "humans.csv"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One full episode that a person played under a protocol."""

    name: str
    date: str  # ISO 8601, local time with its offset
    env_id: str
    protocol: str
    seed: int
    episode_return: float  # undiscounted sum of raw rewards
    episode_length: int  # steps
    apples: int | None  # None where the environment has none
    poison: int | None


COLUMNS = tuple(field.name for field in dataclasses.fields(Entry))


def now() -> str:
    """Return the date and time of now, as the ledger writes it."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def append(runs_dir: Path, entry: Entry) -> Path:
    """Add one episode and return the ledger's path.

    The line goes to the disk in one write, so that two windows can't mix theirs, and never onto
    the end of a line that something cut in half.

    Raises:
        UserError: the ledger can't be written; the line names it.
    """
    path = runs_dir / FILE_NAME
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            size = file.seek(0, os.SEEK_END)
            text = "" if size else _line(COLUMNS)
            if size:
                file.seek(size - 1)
                text = "" if file.read(1) == b"\n" else "\n"
            row = ["" if value is None else " ".join(str(value).split()) for value in dataclasses.astuple(entry)]
            file.write((text + _line(row)).encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror})") from None
    return path


def check(runs_dir: Path) -> None:
    """Raise ``UserError`` unless the ledger can be written: better said before the game than after it."""
    path = runs_dir / FILE_NAME
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            empty = file.tell() == 0
        if empty:
            path.unlink()  # no episode, no ledger
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror})") from None


def _line(values: tuple[str, ...] | list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()
