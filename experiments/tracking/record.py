"""``tracking.json``: by whom a run is tracked, under which id, and how much of it was sent."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from common.checked import AtMost, Printable
from common.errors import UserError
from common.files import write_json
from common.reading import checked, read_json
from common.settings import Between
from experiments.tracking.tracker import Name

FILE = "tracking.json"
Text = Annotated[str, AtMost(300), Printable()]


@dataclass(frozen=True)
class Record:
    """What is known of a run's tracking. An id is only ever looked up in one's own account or store."""

    tracker: Name
    id: Text | None = None
    """None: it has not begun yet."""
    where: Text = ""
    rows: Annotated[int, Between(0, 10**9)] = 0
    """Of ``metrics.csv``, sent."""


def read(run: Path) -> Record | None:
    """Return what is known of a run's tracking; None: it is not tracked; `UserError` where the file is damaged."""
    path = run / FILE
    if not os.path.lexists(path):
        return None
    value: Any = read_json(path, 100_000)
    found: Record = checked(path, value, Record)
    return found


def write(run: Path, record: Record) -> None:
    """Write it; `UserError` where that is not possible."""
    try:
        write_json(run / FILE, asdict(record))
    except OSError as error:
        raise UserError(f"{run / FILE}: can't be written ({error.strerror})") from None
