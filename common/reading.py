"""Files that may come from somebody else: of a bounded size, never a device or a pipe, never a link out of a folder."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from common.checked import AtMost, Unfit, fit
from common.errors import UserError
from common.settings import Between

JSON_BYTES = 4_000_000  # of a file of settings; 25 times as much in memory at worst
CHUNK = 2**20
LINE_BYTES = 65_536  # of a line in a table
TABLE_LINES = 250_000
HEADER_BYTES = 4_000_000  # of a safetensors file
LINKED_ENTRIES = 100_000  # of a folder that is searched for links
# without waiting for what writes into a pipe; Windows knows neither
FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    Raises:
        UserError: there is none, it is something else, or a link out of its folder; the message names it.
    """
    try:
        check_inside(path, path.parent)
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UserError(f"{path}: not a regular file")
        file = os.fdopen(os.open(path, FLAGS), "rb")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise UserError(f"{path}: not readable ({_reason(error)})") from None
    with file:
        yield file


def read_file(path: Path, most: int) -> bytes:
    """Return the bytes of a file; `UserError` as `opened`, or for more than ``most``, which are not read."""
    with opened(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            data = file.read(size + 1) if size <= most else b""
            while size < len(data) <= most and (more := file.read(min(most, CHUNK))):  # it grows, or has no size
                data += more
        except OSError as error:
            raise UserError(f"{path}: not readable ({_reason(error)})") from None
    if max(size, len(data)) > most:
        raise UserError(f"{path}: larger than {most / 1e6:,.3g} MB, so not one of ours")
    return data


def read_json(path: Path, most: int = JSON_BYTES) -> Any:
    """Return the JSON in a file of at most so many bytes; `UserError` where it is missing or damaged."""
    data = read_file(path, most)
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, or a number of thousands of digits
        raise UserError(f"{path}: not readable as JSON ({error})") from None


def checked(path: Path, value: Any, hint: Any) -> Any:
    """Return what a file holds as the type that a hint declares; `UserError` that names the file. See `fit`."""
    try:
        return fit(value, hint)
    except Unfit as error:
        raise UserError(f"{path}: damaged, {error}") from None


def check_inside(path: Path, folder: Path) -> None:
    """Raise `UserError` if a path leads, by links, to a place that is not in the folder; the folder may be a link."""
    home, place = os.path.realpath(folder), os.path.realpath(path)
    if place != home and not place.startswith(os.path.join(home, "")):
        raise UserError(f"{path}: a link out of its folder, which is not followed; copy what it leads to")


def check_folder(folder: Path) -> None:
    """Raise `UserError` if a folder holds what must not be written to: links out of it, pipes, devices."""
    found, waiting = 0, [folder]
    try:
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if (found := found + 1) > LINKED_ENTRIES:
                        raise UserError(f"{folder}: holds more than {LINKED_ENTRIES:,} files, so it is no run")
                    path = Path(entry.path)
                    if entry.is_symlink():
                        check_inside(path, folder)
                    elif entry.is_dir(follow_symlinks=False):
                        waiting.append(path)
                    elif not entry.is_file(follow_symlinks=False):
                        raise UserError(f"{path}: neither a file nor a folder; remove it")
    except OSError as error:
        raise UserError(f"{folder}: not readable ({_reason(error)})") from None


# ------------------------------------------------------------------ tables


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line, with its newline; too long ones are cut, and those after the last left out.

    Raises:
        UserError: as `opened`.
    """
    with opened(path) as file:
        try:
            for number in range(1, TABLE_LINES + 2):
                if not (line := file.readline(LINE_BYTES)):
                    return
                long = len(line) == LINE_BYTES and not line.endswith(b"\n")
                while long and (more := file.readline(LINE_BYTES)):
                    long = not more.endswith(b"\n")
                yield number, line.decode("utf-8", errors="replace")
        except OSError as error:
            raise UserError(f"{path}: not readable ({_reason(error)})") from None


def cells(line: str) -> list[str]:
    """Return the cells of a table's line; of one that is no such line, none."""
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a table, read line by line so that a stray quote swallows one row and not the rest.

    Raises:
        UserError: as `opened`.
    """
    columns: list[str] | None = None
    for _, line in lines(path):
        if columns is None:
            columns = cells(line)
        elif line.strip():
            yield dict(zip(columns, cells(line), strict=False))


def check_heading(path: Path, column: str) -> None:
    """Check that a table's first line, where it is written already, names a column that such a table has.

    Raises:
        UserError: as `opened`, but for a missing file; or it does not.
    """
    if not os.path.lexists(path):
        return
    _, line = next(lines(path), (1, ""))
    whole = line.endswith("\n") or len(line) >= LINE_BYTES // 4
    if whole and column not in cells(line):
        raise UserError(f"{path}: damaged, its first line names no column {column}")


# ------------------------------------------------------------------ safetensors


@dataclasses.dataclass(frozen=True)
class Tensor:
    """An entry in the header of a safetensors file."""

    dtype: Literal["BOOL", "U8", "I8", "I16", "F16", "BF16", "I32", "F32", "I64", "F64"]
    shape: Annotated[tuple[Annotated[int, Between(0, 2**40)], ...], AtMost(8)]

    @property
    def bytes(self) -> int:
        """Return the bytes that it takes."""
        return math.prod(self.shape) * ELEMENT_BYTES[self.dtype]


ELEMENT_BYTES = {"BOOL": 1, "U8": 1, "I8": 1, "I16": 2, "F16": 2, "BF16": 2, "I32": 4, "F32": 4, "I64": 8, "F64": 8}
Header = Annotated[dict[str, Tensor], AtMost(20_000)]


def tensors(path: Path) -> dict[str, Tensor]:
    """Return what a safetensors file holds, of which only the header is read.

    Raises:
        UserError: as `opened`; or the header is damaged, or the file is not as long as it says.
    """
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, HEADER_BYTES):
            raise UserError(f"{path}: damaged or truncated, it has no header")
        try:
            header = json.loads(file.read(length).decode("utf-8"))
            if isinstance(header, dict):
                header.pop("__metadata__", None)
            found: dict[str, Tensor] = fit(header, Header, "its header's")
        except (ValueError, RecursionError, Unfit) as error:
            raise UserError(f"{path}: damaged or truncated ({error})") from None
    needed = 8 + length + sum(tensor.bytes for tensor in found.values())
    if size != needed:
        raise UserError(f"{path}: damaged or truncated, it has {size:,} bytes where its header describes {needed:,}")
    return found


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
