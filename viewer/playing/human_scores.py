"""Human scores: one line of ``<runs-dir>/humans.csv`` for each full episode, append only.

This module only writes; `scores.runs.read_humans` reads.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from datetime import datetime
from pathlib import Path

from common.errors import UserError
from common.reading import check_inside

FILE_NAME = "humans.csv"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One full episode that a human player played under a protocol."""

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
    """Return the current date and time, in the format of the file."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def append(runs_dir: Path, entry: Entry) -> Path:
    """Append one episode and return the file's path.

    The line is written in one call, so that two windows can't interleave theirs, and always starts on a
    new line, even after a line that was cut off.

    Raises:
        UserError: the file can't be written; the message names it.
    """
    path = runs_dir / FILE_NAME
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        check_inside(path, runs_dir)
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
    """Raise ``UserError`` unless the file can be written: better to know before the game than after it."""
    path = runs_dir / FILE_NAME
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        check_inside(path, runs_dir)
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: not a regular file")
        with path.open("ab") as file:
            empty = file.tell() == 0
        if empty:
            path.unlink()  # no file without episodes
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror})") from None


def _line(values: tuple[str, ...] | list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()
