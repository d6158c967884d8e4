"""What a tracker is, and what it is told of a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

Name = Literal["wandb", "trackio", "mlflow"]
NAMES: tuple[Name, ...] = get_args(Name)
Status = Literal["finished", "stopped", "killed"]
PROJECT = "tidepool"
NOTHING = -1.0  # agent steps, where a tracker has no row
SAID = 9  # exit code of the process beside: the run is not tracked to its end, and a line has said so
CURES = {
    "wandb": "wandb login, or WANDB_MODE=offline",
    "trackio": "check TRACKIO_DIR, or, for a Space, hf auth login",
    "mlflow": "check MLFLOW_TRACKING_URI",
}


class Unavailable(Exception):
    """A tracker can't be used, and why, in words for a person."""


class Lost(Exception):
    """What a tracker had taken is gone, so that all of it has to be sent again."""


@dataclass(frozen=True)
class About:
    """What a tracker is told of a run when it begins."""

    title: str
    """Its own name, or that of its folder."""
    folder: Path
    config: Mapping[str, Any]
    """``config.json``, flat: agent, environment, commit, every setting, ``versions.torch`` and so on."""
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Tracked:
    """Where a run is tracked."""

    id: str
    """By which it is found again."""
    where: str
    """A page or a file, for people."""
    reached: float | None = None
    """Agent steps up to which it has rows, where it knows better than who sent them: they wait on the way."""


class Tracker(Protocol):
    """A tracker's client; each call may raise anything."""

    def begin(self, about: About, known: str | None) -> Tracked:
        """Begin to track a run, or go on with the one that ``known`` names."""

    def log(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Take rows of ``metrics.csv``, by its names, without what is blank; ``agent_steps`` is in each."""

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Take a table."""

    def film(self, path: Path) -> None:
        """Take a film."""

    def finish(self, status: Status) -> None:
        """Send what is left."""


def check_installed(name: Name) -> None:
    """Raise `Unavailable` if a tracker's library is not installed; it is not imported for that."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:  # a folder of that name, which wandb makes for its files
        raise Unavailable(f"{name} is not installed: pip install -e '.[{name}]'")


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested objects as one, keys joined by dots; a run's own settings (``config``) come without that."""
    found: dict[str, Any] = {}
    for key, one in value.items():
        if isinstance(one, Mapping):
            found |= flat(one, "" if not prefix and key == "config" else f"{prefix}{key}.")
        else:
            found.setdefault(prefix + key, one)
    return found


def project(variable: str) -> str:
    """Return the project that a library's own variable names, else ours."""
    return os.environ.get(variable) or PROJECT


Say = Callable[[str], None]
