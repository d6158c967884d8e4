"""Where runs are, and which of them is the newest: one answer for every program."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.reading import read_json
from scores.runs import CONFIG_FILE, is_run

NEWEST = "newest"
"""The word that means the newest run, wherever a run can be named."""
DEEPEST = 4  # folders: sweeps/PLAN/CONFIGURATION/RUN, and what could not be resumed
TIME = re.compile(r"__(\d{8}-\d{6}.*)$")  # at the end of a run's name


def find_all(places: Iterable[Path]) -> list[Path]:
    """Return all runs below some folders, also those of sweeps and ablations; links are not followed downwards."""
    return [run for place in places for run in _below(place, DEEPEST)]


def _below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return
    for name in entries:
        path = folder / name
        if is_run(path):
            yield path
        elif depth > 1 and not name.startswith("."):
            yield from _below(path, depth - 1)


def newest(runs: Iterable[Path]) -> Path | None:
    """Return the run that was started last; None without any. `by_age` says which do not count."""
    return next(by_age(runs), None)


def by_age(runs: Iterable[Path]) -> Iterator[Path]:
    """Yield runs, the newest first; left out are those that nothing can be done with.

    That is a folder whose ``config.json`` is missing, as when a run was killed while it was made, or damaged.
    """
    return (run for run in sorted(runs, key=_time, reverse=True) if _about(run))


def _about(run: Path) -> dict[str, Any]:
    """Return a run's ``config.json``; {}: nothing can be done with it."""
    with suppress(UserError):
        about = read_json(run / CONFIG_FILE)
        if isinstance(about, dict) and all(isinstance(about.get(name), str) for name in ("env_id", "agent")):
            return about
    return {}


def _time(run: Path) -> tuple[str, str]:
    """Return when a run was started, by its name; of a folder that was renamed, by its settings, or their file."""
    if match := TIME.search(run.name):
        return match[1], run.name
    moment = ""
    with suppress(OSError, ValueError, OverflowError):
        moment = _text(datetime.fromtimestamp((run / CONFIG_FILE).stat().st_mtime))
    with suppress(OSError, ValueError, OverflowError, KeyError):  # older runs do not say it
        moment = _text(datetime.fromisoformat(str(_about(run)["started"])).astimezone())
    return moment, run.name


def _text(moment: datetime) -> str:
    return f"{moment:%Y%m%d-%H%M%S}"
