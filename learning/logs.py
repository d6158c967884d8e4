"""What a run appends to its files: whole or not at all, and kept in memory while it can't be written.

A disk that is full, a folder that is read-only or gone, must not end hours of training, nor lose or double a row. A run
has a few hundred rows, so all of them fit into memory.
"""

from __future__ import annotations

import csv
import io
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from common.errors import UserError

PATIENCE, PATIENCE_STOPPED = 600.0, 20.0  # seconds that a finished, a stopped run waits until it can be written
RETRY_SECONDS = 2.0
FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


class Appender:
    """A file that only grows, by whole pieces: a piece that fails leaves it as it was.

    Args:
        name: of the file in its folder.
        end: what every piece ends with; what comes after the last one, left by a kill, is cut off.
    """

    def __init__(self, name: str, end: bytes = b"") -> None:
        self.name, self._end = name, end
        self._whole: int | None = None  # bytes of whole pieces; None: not looked at yet

    def append(self, folder: Path, data: Callable[[bytes], bytes]) -> None:
        """Append what ``data`` makes of the file's first line, empty in a new file; `OSError` where that fails."""
        file = os.open(folder / self.name, FLAGS, 0o644)
        try:
            begin = self._length(file)
            try:
                first = _read(file, 0, min(begin, 65_536)).partition(b"\n")[0]
                rest = memoryview(data(first))
                os.lseek(file, begin, os.SEEK_SET)
                while rest:
                    rest = rest[os.write(file, rest) :]
            except BaseException:
                self._whole = begin  # if cutting fails too, the next piece begins there
                os.ftruncate(file, begin)
                raise
            self._whole = os.fstat(file).st_size
        finally:
            os.close(file)

    def _length(self, file: int) -> int:
        """Return how many bytes of the file are whole pieces; cut off the others."""
        size = os.fstat(file).st_size
        whole = size
        if self._whole is not None:
            whole = min(size, self._whole)  # shorter: someone else has cut it, or it is a new one
        elif self._end and size:
            tail = _read(file, max(size - 65_536, 0), size)
            whole = size - len(tail) + tail.rfind(self._end) + len(self._end)
        if whole < size:
            os.ftruncate(file, whole)
        return whole


def _read(file: int, begin: int, end: int) -> bytes:
    os.lseek(file, begin, os.SEEK_SET)
    with os.fdopen(os.dup(file), "rb") as reader:
        return reader.read(end - begin)


class RowLog:
    """A CSV file that rows are appended to.

    Attributes:
        waiting: rows that could not be written yet, the oldest first.
    """

    def __init__(self, name: str, columns: Sequence[str]) -> None:
        self.columns, self._file = columns, Appender(name, b"\n")
        self.waiting: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        """The file's name."""
        return self._file.name

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Take rows, which `flush` writes."""
        self.waiting += [dict(row) for row in rows]

    def flush(self, folder: Path) -> None:
        """Write the rows that wait; `OSError` where that fails, and all of them wait on."""
        if self.waiting:
            self._file.append(folder, self._text)
            self.waiting.clear()

    def _text(self, header: bytes) -> bytes:
        # an older version's file keeps its columns
        columns = next(csv.reader([header.decode("utf-8", errors="replace")]), None) or self.columns
        text = io.StringIO()
        writer: csv.DictWriter[str] = csv.DictWriter(text, columns, extrasaction="ignore")
        if not header:
            writer.writeheader()
        writer.writerows(self.waiting)
        return text.getvalue().encode()


class Board:
    """TensorBoard's file of a process.

    TensorBoard's own writer does it in a thread, which a full disk ends with a traceback, and what was on its way is
    lost; so only its records are used.
    """

    def __init__(self) -> None:
        self._file: Appender | None = None
        self.waiting: list[tuple[float, int, dict[str, float]]] = []

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Take values by their tags, which `flush` writes."""
        self.waiting.append((time.time(), step, dict(values)))

    def flush(self, folder: Path) -> None:
        """Write what waits; `OSError` where that fails, and all of it waits on."""
        if not self.waiting:
            return
        if self._file is None:
            self._file = Appender(f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}.{os.getpid()}.0")
        self._file.append(folder, self._records)
        self.waiting.clear()

    def _records(self, first: bytes) -> bytes:
        # slow to import, and playing never needs them
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        data = io.BytesIO()
        records = RecordWriter(data)
        if not first:
            records.write(Event(wall_time=self.waiting[0][0], file_version="brain.Event:2").SerializeToString())
        for when, step, values in self.waiting:
            summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
            records.write(Event(wall_time=when, step=step, summary=summary).SerializeToString())
        return data.getvalue()


class Faults:
    """What can't be written now. A cause is said once, however many files it keeps from being written.

    Attributes:
        say: prints a line.
    """

    def __init__(self) -> None:
        self.say: Callable[[str], None] = lambda line: None
        self.failing: dict[str, str] = {}  # the reason, by what fails

    def attempt(self, what: str, write: Callable[[], None], again: bool = True) -> bool:
        """Write; return False, and say why, where that is not possible now; ``again``: it is tried later."""
        try:
            write()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            known = reason in self.failing.values()
            if again:
                self.failing[what] = reason
            if not known:
                then = "rows wait in memory, and it is tried again" if again else "without it"
                self.say(f"note: {what} can't be written ({reason}); training goes on, {then}")
            return False
        if self.failing.pop(what, None) is not None and not self.failing:
            self.say("note: the run can be written again, and nothing that waited was lost")
        return True

    def insist(self, what: str, write: Callable[[], None], patience: float) -> None:
        """Write, as soon as that is possible.

        Raises:
            UserError: it was not, for ``patience`` seconds.
        """
        began = time.monotonic()
        while not self.attempt(what, write):
            if time.monotonic() - began >= patience:
                raise UserError(f"{what} could not be written: {self.failing[what]}")
            if time.monotonic() - began < RETRY_SECONDS:
                self.say(f"waiting up to {patience:.0f} s until {what} can be written")
            time.sleep(min(RETRY_SECONDS, patience))
