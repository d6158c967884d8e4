"""Files that a program was asked to write: checked before the work, reported in one line when they can't be written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from common.files import write_bytes

HTML = (".html", ".htm")


def check_output(option: str, path: Path, kinds: Sequence[str], overwrite: bool) -> None:
    """Reject a file that can't be written, before anything is computed; its folder is made.

    Raises:
        UserError: an unknown kind, an existing file, a folder that can't be made or written to.
    """
    if path.suffix.lower() not in kinds:
        raise UserError(f"{option} {path}: unknown kind '{path.suffix}'; allowed: {', '.join(kinds)}")
    if os.path.isdir(path):  # `Path.is_dir` raises for a name that is too long
        raise UserError(f"{option} {path}: is a folder")
    if os.path.exists(path) and not overwrite:
        raise UserError(f"{option} {path}: the file exists; --overwrite replaces it")
    beside = path.with_name(f".{path.stem}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(b"")
        beside.unlink()
    except OSError as error:
        raise UserError(f"{option} {path}: can't be written ({error.strerror})") from None


def write_output(option: str, path: Path, what: str | bytes) -> int:
    """Write a text, or bytes, in one step; return the size in bytes."""
    data = what.encode() if isinstance(what, str) else what
    try:
        write_bytes(path, data)
    except OSError as error:
        raise UserError(f"{option} {path}: can't be written ({error.strerror})") from None
    return len(data)
