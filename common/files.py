"""Files that are either whole or not there: written beside, then renamed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from common.errors import UserError
from common.reading import opened, read_file
from common.reading import read_json as read_json

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""
PRETRAINED = ROOT / "pretrained"
"""The pretrained agents."""
ARRAY_BYTES = 2**40  # of a file of one's own, as large as its replay


def write_bytes(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` in one step; a crash leaves the old file or the new one.

    Raises:
        OSError: it can't be written; ``filename`` says what.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.unlink(missing_ok=True)  # of a killed process of the same number, or a link that somebody put there
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        if error.errno is None:
            raise
        # of a full disk nobody says which file it was, and the one beside is ours
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        beside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as indented JSON in one step."""
    write_bytes(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write named arrays."""
    write_bytes(path, safetensors.numpy.save({name: np.ascontiguousarray(value) for name, value in arrays.items()}))


def load_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays in ``path``."""
    data = read_file(path, ARRAY_BYTES)
    try:
        return safetensors.numpy.load(data)
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: a type that NumPy does not have
        raise UserError(f"{path}: not readable ({error})") from None


def map_array(path: Path) -> np.ndarray[Any, Any]:
    """Return the array in a file of NumPy's, which is read where it is looked at."""
    with opened(path):
        pass  # a file, and no pipe
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except Exception as error:  # its header is Python's syntax, and what reading it raises is anything
        raise UserError(f"{path}: not readable ({error})") from None
