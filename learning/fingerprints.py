"""What a run was like at a few early moments, in checksums, so that a repetition can be compared bit for bit.

They lie in the run folder's ``fingerprints.json``, by agent steps: the weights, the observations and the number of
updates. Early, because a repetition is to be short; also soon after learning began.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from common.errors import UserError
from common.files import read_json, write_json

FILE = "fingerprints.json"
MARKS = (1_000, 10_000, 100_000)  # agent steps; the first step at or after them counts
AFTER_WARM_UP = (1_000, 10_000)  # agent steps after learning began


def marks_ahead(warm_up: int, agent_steps: int) -> list[int]:
    """Return the agent steps of fingerprints to come."""
    return sorted(mark for mark in {*MARKS, *(warm_up + mark for mark in AFTER_WARM_UP)} if mark > agent_steps)


def checksum(arrays: Iterable[Any]) -> str:
    """Return the SHA-256 of arrays: of their types, shapes and bytes."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def weights_checksum(network: nn.Module) -> str:
    """Return the checksum of all weights of a network."""
    return checksum(value.detach().cpu().float().numpy() for value in network.state_dict().values())


def write(folder: Path, agent_steps: int, fingerprint: dict[str, Any]) -> None:
    """Add a fingerprint; the same moment of a run that was resumed from before it is the same fingerprint."""
    write_json(folder / FILE, {**read(folder), str(agent_steps): fingerprint})


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Return a run's fingerprints by agent steps; none where there is no such file, or a damaged one."""
    try:
        found = read_json(folder / FILE)
    except UserError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {
        steps: one for steps, one in found.items() if steps.isdecimal() and len(steps) < 12 and isinstance(one, dict)
    }
