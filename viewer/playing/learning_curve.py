"""The learning curve of a run as far as it is: returns of training, and evaluations. No pygame here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

MOST = 2_000  # points kept of each kind; then every second one is dropped


class Point(NamedTuple):
    """A return after so many agent steps."""

    agent_steps: float
    value: float


class LearningCurve:
    """Collects the rows of ``metrics.csv``; ``version`` grows with each of them."""

    def __init__(self) -> None:
        self.training: list[Point] = []  # mean return of the last episodes
        self.evaluations: list[Point] = []
        self.version = 0

    def add(self, row: Mapping[str, str]) -> None:
        """Add one row; cells that are no numbers are left out."""
        steps = _number(row.get("agent_steps", ""))
        if steps is None:
            return
        for points, column in ((self.training, "episodic_return"), (self.evaluations, "eval_return")):
            while points and points[-1].agent_steps > steps:
                points.pop()  # the run was resumed from an earlier state
            value = _number(row.get(column, ""))
            if value is not None:
                if points and points[-1].agent_steps == steps:
                    points.pop()  # read again
                points.append(Point(steps, value))
                if len(points) > MOST:
                    del points[1:-1:2]
        self.version += 1


def _number(cell: str) -> float | None:
    try:
        value = float(cell[:100])
    except ValueError:
        return None
    return value if math.isfinite(value) else None
