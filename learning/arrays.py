"""Arrays on disk: safetensors for many small ones, a memory-mapped ``.npy`` for what may be as large as memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from common.errors import UserError
from common.files import write_bytes
from learning.replay import Replay


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Write named arrays."""
    write_bytes(path, safetensors.numpy.save({name: np.ascontiguousarray(value) for name, value in arrays.items()}))


def load_arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the arrays in ``path``."""
    try:
        return safetensors.numpy.load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable ({error})") from None


def save_replay(folder: Path, replay: Replay) -> None:
    """Write a replay: its observations as ``observations.npy``, ring by ring and so without a second copy in memory."""
    save_arrays(folder / "replay.safetensors", replay.state())
    held, path = replay.held, folder / "observations.npy"
    unfinished = path.with_suffix(".part")
    dtype = held.new_empty(0, device="cpu").numpy().dtype
    file = np.lib.format.open_memmap(unfinished, "w+", dtype, tuple(held.shape))
    for here, ring in zip(file, held, strict=True):
        here[...] = ring.cpu().numpy()
    file.flush()
    unfinished.replace(path)


def load_replay(folder: Path, replay: Replay) -> None:
    """Fill a fresh replay with what `save_replay` wrote."""
    path = folder / "observations.npy"
    try:
        held = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable ({error})") from None
    replay.load(load_arrays(folder / "replay.safetensors"), held)
