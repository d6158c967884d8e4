"""What a comparison is made of: rows of scores, and the sentences beside them."""

from __future__ import annotations

import dataclasses
from typing import Literal

Kind = Literal["run", "reference", "human", "pretrained"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One player's score."""

    name: str
    kind: Kind
    env_id: str  # where it was measured: for references of the same game not always the table's environment
    mean: float
    ci95: tuple[float, float] | None  # None: from one number, or no standard error is known
    episodes: int | None
    agent_steps: int | None  # of training; None: it never trained, or not known
    epsilon: float | None
    protocol: str
    note: str
    frames: int | None = None  # emulator frames of training; in Atari not the agent steps
    human_normalised: float | None = None  # 0: random play, 1: human; None: not Atari, or no human score
    record_normalised: float | None = None  # the same against the human world record


@dataclasses.dataclass(frozen=True)
class Comparison:
    """One environment's rows, best first, and what a reader must know beside the numbers."""

    env_id: str
    metric: str
    rows: list[Row]
    remarks: list[str]
