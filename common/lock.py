"""A folder that one program works in at a time, and that knows of children it lost."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from common.errors import UserError
from common.files import read_json, write_json

FILE = "running.json"


@contextmanager
def locked(folder: Path) -> Iterator[Callable[[list[int]], None]]:
    """Hold a folder; yields a function that is told which child processes work in it.

    A program that was killed leaves its claim behind. It counts as long as one of its processes lives: children
    that were left alone go on writing.

    Raises:
        UserError: another process works there.
    """
    path = folder / FILE
    if alive := living(path):
        raise UserError(
            f"{folder}: process {alive[0]} is at work there; wait for it, or let it stop and save: kill -INT {alive[0]}"
        )

    def tell(children: list[int]) -> None:
        write_json(path, [[pid, psutil.Process(pid).create_time()] for pid in (os.getpid(), *children)])

    tell([])
    try:
        yield tell
    finally:
        path.unlink(missing_ok=True)


def living(path: Path) -> list[int]:
    """Return the processes of a claim that still live."""
    if not path.exists():
        return []
    found = []
    for pid, created in read_json(path):
        try:
            process = psutil.Process(pid)
            # an id is given again; its time of birth is not
            if abs(process.create_time() - created) < 1 and process.status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.NoSuchProcess:
            continue
    return found
