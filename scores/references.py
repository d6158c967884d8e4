"""Reference scores, published or measured once by us, each with its protocol."""

from __future__ import annotations

import csv
import dataclasses
import functools
import math
from pathlib import Path

from common.errors import UserError, unknown
from common.files import ROOT
from scores.stats import around

COLUMNS = (
    "env_id",
    "agent",
    "metric",
    "mean",
    "standard_error",
    "episodes",
    "note",
    "epsilon",
    "agent_steps",
    "protocol",
)
DATA = Path(__file__).resolve().parent / "data"
REFERENCE_FILE = DATA / "reference_scores.csv"
MEASURED_FILE = ROOT / "results" / "gymnasium.csv"  # made by `python -m benchmarks.random_gymnasium`

SAME_GAME = {
    "tidepool/Waterworld-v1": "tidepool/Waterworld-v0",
    "tidepool/Waterworld-v0": "tidepool/Waterworld-v1",
}
"""Environments that differ only in their observations: same game, same rewards, so their scores are comparable."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """How an environment is scored."""

    name: str
    per_step: bool = False  # the return of an episode divided by its length
    episode_length: int | None = None  # steps that an episode must have; the table has a note on other lengths


WATERWORLD_METRIC = Metric("return over 1000 steps from a fresh world", episode_length=1000)
METRICS = {
    "tidepool/Waterworld-v0": WATERWORLD_METRIC,
    "tidepool/Waterworld-v1": WATERWORLD_METRIC,
    "tidepool/RLDemo-v0": Metric("mean reward per step", per_step=True),
}
EPISODE_RETURN = Metric("episode return")


def metric(env_id: str) -> Metric:
    """Return the metric of an environment, by default the return of an episode."""
    return METRICS.get(env_id, EPISODE_RETURN)


@dataclasses.dataclass(frozen=True)
class Reference:
    """One reference score."""

    env_id: str
    agent: str
    metric: str
    mean: float
    standard_error: float | None
    episodes: int | None  # None: measured over steps, not episodes
    note: str
    epsilon: float | None
    agent_steps: int | None  # of training; None: not stated, or not trained
    protocol: str
    steps: int | None = None  # length of the measurement, if the mean is not over episodes

    @property
    def ci95(self) -> tuple[float, float] | None:
        """Return the 95 % interval of the mean (Student t), None if the standard error is unknown."""
        if self.standard_error is None:
            return None
        return around(self.mean, self.standard_error, self.episodes)


@functools.cache
def load(path: Path = REFERENCE_FILE) -> tuple[Reference, ...]:
    """Return every row of a reference table.

    Raises:
        UserError: the file or a column is missing, or a cell does not parse; the message says where.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            columns, rows = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable ({error})") from None
    missing = [column for column in COLUMNS if column not in columns]
    if missing:
        raise UserError(f"{path}: column '{missing[0]}' is missing; the file has {', '.join(columns) or 'none'}")
    return tuple(_parse(row, f"{path}, row {number}") for number, row in enumerate(rows, start=1))


def _all() -> tuple[Reference, ...]:
    return (*load(), *(load(MEASURED_FILE) if MEASURED_FILE.exists() else ()))


def of_env(env_id: str) -> list[Reference]:
    """Return the references of exactly this environment; an empty list if there are none."""
    return [reference for reference in _all() if reference.env_id == env_id]


def find(env_id: str, agent: str) -> Reference:
    """Return one reference; `UserError` with the nearest names if there is no such row."""
    rows = of_env(env_id)
    if not rows:
        raise unknown("environment of a reference score", env_id, {row.env_id for row in _all()})
    for row in rows:
        if row.agent == agent:
            return row
    raise unknown(f"reference for {env_id}", agent, [row.agent for row in rows])


def _parse(row: dict[str, str], where: str) -> Reference:
    try:
        mean = float(row["mean"])
        if not math.isfinite(mean):
            raise ValueError(f"mean {mean}")
        count, _, unit = row["episodes"].partition(" ")  # "500", or "100000 steps"
        if unit not in ("", "steps"):
            raise ValueError(
                f"episodes '{row['episodes']}' is neither a count nor a count of steps, such as 1000 steps"
            )
        return Reference(
            env_id=row["env_id"],
            agent=row["agent"],
            metric=row["metric"],
            mean=mean,
            standard_error=float(row["standard_error"]) if row["standard_error"] else None,
            episodes=None if unit else int(count),
            steps=int(count) if unit else None,
            note=f"{row['note']}; over {count} steps" if unit else row["note"],
            epsilon=float(row["epsilon"]) if row["epsilon"] else None,
            agent_steps=int(row["agent_steps"]) if row["agent_steps"] else None,
            protocol=row["protocol"],
        )
    except (ValueError, TypeError, AttributeError) as error:  # a short row gives None cells
        raise UserError(f"{where}: {error}") from None
