"""The states of a run on disk: the last two of them, each whole or not there, written while the training goes on.

A state is a folder ``state/N/`` with the learner, the experience's counters and arrays, the trainer's counters, and a
manifest of all files with their sizes and checksums. It is written beside, under another name, and renamed when all of
it is on the disk: whatever is killed, and whenever, the states before it stay as they are. What a replay keeps of each
observation lies in ``state/records/``: only what is new is written, and states share it.

`Saving` takes what a state consists of, in memory; a thread writes it. `States` finds them again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from common.checked import AtMost, Name
from common.errors import UserError
from common.reading import JSON_BYTES, checked, read_file, read_json
from common.settings import Between

FORMAT = 2  # 1: the files lay in ``state/`` itself, without a manifest, and each state replaced the one before
MANIFEST, COUNTERS, RECORDS, PART = "manifest.json", "counters.json", "records", ".part"
KEPT = 2  # states
MOST_BYTES = 2**34  # of a file of a state of format 1
LEAST_PERIOD = 0.1  # seconds between two of them
PIECE_BYTES = 64_000_000  # of records in one file, at most: it waits in memory until it is written
# where the replay is smaller, its pieces are too: a piece is on the disk until its last record is old
LEAST_PIECE_BYTES, PIECES = 4_000_000, 400

Take = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[Any]]
"""Returns the records with the numbers ``first`` to ``end`` (N,) of each ring, the end excluded, ring by ring."""


class Damaged(UserError):
    """A state's file is missing or not what its manifest says."""


@dataclass
class Saving:
    """What a state consists of: taken at once, written later."""

    states: States
    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, data: bytes) -> None:
        """Add a file."""
        self.files[name] = data

    def add_json(self, name: str, value: Any) -> None:
        """Add a file with JSON's types."""
        self.add(name, (json.dumps(value, allow_nan=False) + "\n").encode())

    def add_arrays(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add a file with named arrays, as they are now."""
        self.add(name, safetensors.numpy.save({key: np.ascontiguousarray(value) for key, value in arrays.items()}))

    def add_records(self, ends: NDArray[np.int64], slots: int, record_bytes: int, take: Take) -> None:
        """Add the records of N rings, of which most are on the disk already.

        Args:
            ends: (N,) how many records each ring has ever got; the newest ``slots`` of them are there.
            slots: of a ring.
            record_bytes: of a record.
            take: returns some of the records.
        """
        self.states.write_records(ends, slots, record_bytes, take)


@dataclass(frozen=True)
class Saved:
    """A state that was found."""

    folder: Path
    files: Mapping[str, Mapping[str, Any]] | None
    """Size and checksum of each; None: of format 1, which had neither."""
    pieces: tuple[Piece, ...] = ()

    def __contains__(self, name: str) -> bool:
        return name in self.files if self.files is not None else (self.folder / name).exists()

    def read(self, name: str) -> bytes:
        """Return a file; `UserError` where it is missing or damaged."""
        path = self.folder / name
        if self.files is not None and name not in self.files:
            raise Damaged(f"{path}: damaged, the manifest does not name it")
        data = read_file(path, MOST_BYTES if self.files is None else self.files[name]["bytes"])
        if self.files is not None and _about(data) != self.files.get(name):
            raise Damaged(f"{path}: damaged, its size or checksum is not the manifest's")
        return data

    def json(self, name: str, most: int = JSON_BYTES) -> Any:
        """Return a file with JSON's types, of so many bytes at most."""
        if self.files is not None:
            self.read(name)
        return read_json(self.folder / name, most)

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Return a file's arrays."""
        try:
            return safetensors.numpy.load(self.read(name))
        except SafetensorError as error:
            raise UserError(f"{self.folder / name}: not readable ({error})") from None

    def records(
        self,
        put: Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[Any]], None],
        rings: int,
        slots: int,
        record: tuple[int, ...],
    ) -> None:
        """Call ``put`` with ``first`` and ``end`` (N,) and the records of each piece, the oldest first.

        Args:
            put: takes them.
            rings: their number, N.
            slots: of a ring.
            record: shape of a record.
        """
        for piece in self.pieces:
            piece.check_fits(rings, slots, record)
            put(piece.first, piece.first + piece.counts, piece.read())

    def check(self) -> None:
        """Look at all files, into records only when they are loaded; `UserError` where one is missing or damaged."""
        for name in self.files or ():
            self.read(name)
        for piece in self.pieces:
            piece.check()


@dataclass(frozen=True)
class Piece:
    """A file of records: those from ``first`` (N,) on, ``counts`` (N,) of each ring, ring by ring."""

    path: Path
    first: NDArray[np.int64]
    counts: NDArray[np.int64]
    about: Future[dict[str, Any]]

    def described(self) -> dict[str, Any]:
        """Return its entry in a manifest, once it is on the disk."""
        return {"first": self.first.tolist(), "counts": self.counts.tolist(), **self.about.result()}

    def check(self) -> None:
        """Raise `UserError` where the file is missing or has another size."""
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise Damaged(f"{self.path}: not readable ({error.strerror})") from None
        if size != self.about.result()["bytes"]:
            raise Damaged(f"{self.path}: damaged, its size is not the manifest's")

    def check_fits(self, rings: int, slots: int, record: tuple[int, ...]) -> None:
        """Raise `UserError` where the manifest says of the records what these rings can't hold, before any is read."""
        shape, size = tuple(self.about.result()["shape"]), self.about.result()["bytes"]
        items = np.dtype(self.about.result()["dtype"]).itemsize
        fits = len(self.first) == len(self.counts) == rings and bool((self.counts <= slots).all())
        if not fits or shape != (sum(self.counts.tolist()), *record) or size != items * math.prod(shape):
            raise Damaged(f"{self.path}: damaged, {shape} records are not of {rings} rings of {slots:,} {record}")

    def read(self) -> NDArray[Any]:
        """Return the records; `UserError` where the file is missing or damaged."""
        about = self.about.result()
        try:
            data = read_file(self.path, about["bytes"])
            if _about(data) != {"bytes": about["bytes"], "sha256": about["sha256"]}:
                raise Damaged(f"{self.path}: damaged, its size or checksum is not the manifest's")
            array: NDArray[Any] = np.frombuffer(data, np.dtype(about["dtype"])).reshape(about["shape"])
        except (ValueError, TypeError) as error:
            raise Damaged(f"{self.path}: not readable ({error})") from None
        return array


class States:
    """The states of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pieces: list[Piece] = []
        self._written: NDArray[np.int64] | None = None  # (N,) up to which record of each ring pieces were made
        self._number: int | None = None  # of the next state, and piece; None: not looked yet
        self._writer = ThreadPoolExecutor(1, "states")
        self._pending: Future[None] | None = None

    # ------------------------------------------------------------------ writing

    def begin(self) -> Saving:
        """Return a state that is to be filled, then given to `save`; waits for the one before, failed or not."""
        with suppress(OSError):
            self.wait()
        return Saving(self)

    @property
    def begun(self) -> bool:
        """Whether one was written, or loaded, so that records may be written ahead of the next one."""
        return self._written is not None

    @property
    def busy(self) -> bool:
        """Whether a state is still being written."""
        return self._pending is not None and not self._pending.done()

    def save(self, saving: Saving, pieces: bool = True) -> None:
        """Write a state behind the caller's back; `wait` waits for it, and raises.

        Args:
            saving: what it consists of.
            pieces: whether its records belong to it.
        """
        number = self._next_number()
        kept = list(self._pieces) if pieces else []
        self._pending = self._writer.submit(self._write, number, saving.files, kept)

    def wait(self) -> None:
        """Wait until nothing is being written; `OSError` where that failed, once."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def close(self) -> None:
        """Wait, and end the thread."""
        self._writer.shutdown()

    def remove(self) -> None:
        """Remove all states."""
        with suppress(OSError):
            self.wait()
        for path in sorted(_in(self.folder), key=lambda path: path.name == RECORDS):  # no state without its records
            _remove(path)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._pieces, self._written = [], None

    def remove_older(self) -> None:
        """Remove all states but the newest: a finished run is not killed any more."""
        self.wait()
        self._tidy(keep=1)

    def write_records(self, ends: NDArray[np.int64], slots: int, record_bytes: int, take: Take, least: int = 0) -> None:
        """Write the records that are on no disk yet, unless they have fewer than ``least`` bytes; see `Saving`.

        Pieces whose records are all gone are forgotten.
        """
        oldest = np.maximum(ends - slots, 0)
        first = oldest if self._written is None else np.maximum(self._written, oldest)
        counts = ends - first
        if int(counts.sum()) * record_bytes < least:
            return
        most = min(PIECE_BYTES, max(LEAST_PIECE_BYTES, len(ends) * slots * record_bytes // PIECES))
        parts = max(1, -(-int(counts.sum()) * record_bytes // most))
        for part in range(parts):
            begin, end = first + counts * part // parts, first + counts * (part + 1) // parts
            if not (end > begin).any():
                continue
            path = self.folder / RECORDS / f"{self._next_number()}.bin"
            about = self._writer.submit(_write_piece, path, take(begin, end))
            self._pieces.append(Piece(path, begin, end - begin, about))
            if len(self._pieces) > 1:
                self._pieces[-2].about.exception()  # at most one waits in memory beside the one being written
        self._written = ends.copy()
        self._pieces = [piece for piece in self._pieces if (piece.first + piece.counts > oldest).any()]

    def _next_number(self) -> int:
        """Return a number that no state and no piece has had."""
        if self._number is None:
            names = [path.stem.split(".")[0] for place in (self.folder, self.folder / RECORDS) for path in _in(place)]
            self._number = max((int(name) for name in names if name.isdigit()), default=-1)
        self._number += 1
        return self._number

    def _write(self, number: int, files: Mapping[str, bytes], pieces: list[Piece]) -> None:
        """Write a state beside, rename it, remove what is too old. Runs in the thread."""
        beside, final = self.folder / f"{number}{PART}", self.folder / str(number)
        try:
            described = [{"file": piece.path.name, **piece.described()} for piece in pieces]
            self.folder.mkdir(exist_ok=True)  # and not its parents: a run that was removed stays so
            beside.mkdir()
            for name, data in files.items():
                _write_file(beside / name, data)
            about = {name: _about(data) for name, data in files.items()}
            manifest = {"format": FORMAT, "files": about, "records": described}
            _write_file(beside / MANIFEST, (json.dumps(manifest) + "\n").encode())
            _sync(beside)
            os.replace(beside, final)
            _sync(self.folder)
        except OSError:
            shutil.rmtree(beside, ignore_errors=True)
            self._forget_failed()
            raise
        self._tidy()

    def _forget_failed(self) -> None:
        """Let records whose piece could not be written be written again, with all that came after them."""
        if any(piece.about.done() and piece.about.exception() for piece in self._pieces):
            self._pieces, self._written = [], None

    def _tidy(self, keep: int = KEPT) -> None:
        """Remove states but for the last ones, and what belongs to none."""
        numbers = sorted(int(path.name) for path in _in(self.folder) if path.name.isdigit())[-keep:]
        wanted = {piece.path.name for piece in list(self._pieces)} if keep == KEPT else set()
        for number in numbers:
            try:
                wanted |= {str(entry["file"]) for entry in _manifest(self.folder / str(number))["records"]}
            except UserError:
                continue
        for path in _in(self.folder):
            if path.name == RECORDS or path.name in map(str, numbers):
                continue
            _remove(path)
        for path in _in(self.folder / RECORDS):
            if path.name not in wanted:
                path.unlink(missing_ok=True)

    # ------------------------------------------------------------------ reading

    def find(self, say: Callable[[str], None] | None = None) -> Saved | None:
        """Return the newest state that is whole; None: there is none, nor was there one.

        Args:
            say: told of each that is damaged.

        Raises:
            UserError: there are states, and all are damaged.
        """
        numbers = sorted((int(path.name) for path in _in(self.folder) if path.name.isdigit()), reverse=True)
        error: UserError | None = None
        for number in numbers:
            try:
                saved = self._open(self.folder / str(number))
                saved.check()
            except UserError as damage:
                error = error or damage
                if say is not None:
                    say(f"{damage}; the state before is taken" if number != numbers[-1] else str(damage))
                continue
            return saved
        if error is not None:
            raise error
        return Saved(self.folder, None) if (self.folder / COUNTERS).exists() else None

    def newest(self) -> Saved | None:
        """Return the newest state without looking into its files; None: there is none."""
        numbers = [int(path.name) for path in _in(self.folder) if path.name.isdigit()]
        for number in sorted(numbers, reverse=True):
            try:
                return self._open(self.folder / str(number))
            except UserError:
                continue
        return Saved(self.folder, None) if (self.folder / COUNTERS).exists() else None

    def go_on_from(self, saved: Saved, ends: NDArray[np.int64]) -> None:
        """Let the next states share the records of one that was loaded; ``ends`` as in `Saving.add_records`."""
        if saved.files is None:
            return
        self._pieces, self._written = list(saved.pieces), ends.copy()
        for path in _in(self.folder):  # a damaged one must not take the place of one that is whole
            if path.name.isdigit() and int(path.name) > int(saved.folder.name):
                _remove(path)

    def _open(self, folder: Path) -> Saved:
        manifest = _manifest(folder)
        try:
            return Saved(folder, manifest["files"], tuple(self._piece(entry) for entry in manifest["records"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise Damaged(f"{folder / MANIFEST}: damaged ({error})") from None

    def _piece(self, entry: Mapping[str, Any]) -> Piece:
        about: Future[dict[str, Any]] = Future()
        about.set_result({key: entry[key] for key in ("bytes", "sha256", "dtype", "shape")})
        name = str(entry["file"])
        if Path(name).name != name:
            raise ValueError(f"{name!r} is no file's name")
        first, counts = (np.array(entry[key], np.int64) for key in ("first", "counts"))
        return Piece(self.folder / RECORDS / name, first, counts, about)


def exists(folder: Path) -> bool:
    """Return whether a folder holds a state, whole or not."""
    return (folder / COUNTERS).exists() or any(path.name.isdigit() for path in _in(folder))


Count = Annotated[int, Between(0, 2**60)]


@dataclass(frozen=True)
class About:
    """What a manifest says of a file."""

    bytes: Count
    sha256: Name


@dataclass(frozen=True)
class AboutPiece(About):
    """What it says of a piece."""

    file: Name
    first: Annotated[tuple[Count, ...], AtMost(4096)]
    counts: Annotated[tuple[Count, ...], AtMost(4096)]
    dtype: Literal["|u1", "<f4", "<i8"]
    shape: Annotated[tuple[Count, ...], AtMost(8)]


@dataclass(frozen=True)
class Manifest:
    """``manifest.json`` of a state."""

    format: int
    files: Annotated[dict[Name, About], AtMost(100)]
    records: Annotated[tuple[AboutPiece, ...], AtMost(100_000)]


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    manifest = read_json(path)
    checked(path, manifest, Manifest)
    if manifest["format"] != FORMAT:
        raise UserError(f"{path}: format {manifest['format']} is not known; this version reads {FORMAT}")
    if strange := [name for name in manifest["files"] if Path(name).name != name]:
        raise Damaged(f"{path}: damaged, {strange[0]!r} is no file's name")
    return dict(manifest)


def _in(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _remove(path: Path) -> None:
    """Remove a state, or whatever lies there; a kill on the way leaves none that is half there."""
    with suppress(OSError):
        if not path.is_dir() or path.is_symlink():
            path.unlink()
            return
        if path.name.isdigit():
            beside = path.with_name(f"{path.name}{PART}")
            if beside.exists():  # of an earlier try
                shutil.rmtree(beside)
            path = path.rename(beside)
        shutil.rmtree(path)


def _about(data: bytes | memoryview) -> dict[str, Any]:
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _write_piece(path: Path, records: NDArray[Any]) -> dict[str, Any]:
    path.parent.parent.mkdir(exist_ok=True)
    path.parent.mkdir(exist_ok=True)
    data = np.ascontiguousarray(records).reshape(-1).view(np.uint8).data
    try:
        _write_file(path, data)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return {**_about(data), "dtype": records.dtype.str, "shape": list(records.shape)}


def _write_file(path: Path, data: bytes | memoryview) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Wait until a folder's names are on the disk, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
