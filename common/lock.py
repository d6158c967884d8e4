"""A lock on a folder, which counts as long as one of its processes lives."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Annotated

import psutil

from common.checked import AtMost
from common.errors import UserError
from common.files import write_json
from common.reading import checked, read_json
from common.settings import Between

FILE = "running.json"
MOST_BYTES = 200_000
Process = tuple[Annotated[int, Between(1, 2**31 - 1)], float]  # its id, and when it was created
Processes = Annotated[tuple[Process, ...], AtMost(2_000)]


@contextmanager
def locked(folder: Path, patience: float = 0.0) -> Iterator[Callable[[list[int]], None]]:
    """Lock a folder; yields a function that takes the ids of the child processes that work in it.

    The system's own lock, on the folder, decides between two that come at once. A program that was killed leaves its
    file behind, which counts as long as one of its processes lives: orphaned children still write.

    Args:
        folder: which is made, if it is not there.
        patience: seconds to wait for the children of a program that was killed, which save their work and end.

    Raises:
        UserError: another process works there, or nothing can be written there.
    """
    path = folder / FILE

    def set_children(children: list[int]) -> None:
        found = []
        for pid in (os.getpid(), *children):
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                found.append([pid, psutil.Process(pid).create_time()])
        write_json(path, found)

    with _claimed(folder):
        deadline = time.monotonic() + patience
        while (found := alive_processes(path)) and time.monotonic() < deadline:
            time.sleep(0.2)
        if found:
            raise UserError(
                f"{folder}: process {found[0]} is using it; wait for it, or stop it and save with kill -INT {found[0]}"
            )
        try:
            set_children([])
        except OSError as error:
            raise UserError(f"{folder}: can't be written ({error.strerror})") from None
        try:
            yield set_children
        finally:
            with suppress(OSError):  # it counts no longer than this process lives
                path.unlink(missing_ok=True)


class Claim:
    """A lock on a folder that is taken in one place and released in another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: ExitStack | None = None

    def take(self) -> None:
        """Lock the folder, unless this claim holds it already; `UserError` as `locked`."""
        if self._held is None:
            held = ExitStack()
            held.enter_context(locked(self.folder))
            self._held = held

    def release(self) -> None:
        """Unlock the folder."""
        if self._held is not None:
            self._held.close()
            self._held = None


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Hold the system's lock on a folder, where it has one; the clock has no part in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: can't be written ({error.strerror})") from None
    if sys.platform == "win32":
        yield
        return
    import fcntl

    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = alive_processes(folder / FILE)  # none: it has only just come
            who = f"process {found[0]}" if found else "another process"
            raise UserError(f"{folder}: {who} is using it; wait for it, or stop it") from None
        except OSError:  # a file system without locks: the file has to do
            pass
        yield
    finally:
        os.close(opened)


def alive_processes(path: Path) -> list[int]:
    """Return the processes of a lock that are alive."""
    if not path.exists():
        return []
    found = []
    for pid, created in checked(path, read_json(path, MOST_BYTES), Processes):
        try:
            process = psutil.Process(pid)
            # process ids are reused; creation times are not
            if abs(process.create_time() - created) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.Error:  # it is gone, or another user's
            continue
    return found
