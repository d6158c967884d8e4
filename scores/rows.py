"""A comparison: rows of scores, and the remarks that belong to them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from common.text import shown

Kind = Literal["run", "reference", "human", "pretrained"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One player's score."""

    name: str
    kind: Kind
    env_id: str  # where it was measured: a reference may be of another version of the same game
    mean: float
    ci95: tuple[float, float] | None  # None: from a single value, or the standard error is unknown
    episodes: int | None
    agent_steps: int | None  # of training; None: not trained, or unknown
    epsilon: float | None
    protocol: str
    note: str
    frames: int | None = None  # emulator frames of training; on Atari 4 per agent step
    human_normalised: float | None = None  # 0: random play, 1: human; None: not Atari, or no human score
    record_normalised: float | None = None  # 0: random play, 1: the human world record
    unfinished: bool = False  # a run that is not trained to its end
    folders: tuple[Path, ...] = ()  # of its runs

    def __post_init__(self) -> None:
        for name in ("name", "env_id", "protocol", "note"):  # they hold the names of folders
            object.__setattr__(self, name, shown(getattr(self, name)))


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One environment's rows, best first, and the remarks that a reader needs to interpret them."""

    env_id: str
    metric: str
    rows: list[Row]
    remarks: list[str]
