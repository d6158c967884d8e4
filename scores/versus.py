"""Two sets of runs against each other: the difference of their means, and how probably one of the first is better."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.errors import UserError
from common.text import number_of
from scores.atari.aggregates import Improvement, probability_of_improvement
from scores.collect import FEW_SEEDS, mean_score
from scores.grouping import Group, grouped
from scores.runs import Run
from scores.stats import RESAMPLES

COLUMNS = ("environment", "A", "B", "mean A", "mean B", "A - B", "95 % interval", "P(A > B)", "its 95 % interval")


@dataclass(frozen=True)
class Duel:
    """A group of runs against another one, in one environment."""

    env_id: str
    first: str
    second: str
    """Label and number of seeds."""
    means: tuple[float, float]
    difference: float
    difference_ci95: tuple[float, float] | None
    """None: one of them has a single seed."""
    improvement: Improvement
    seeds: int
    """The fewer of the two."""


@dataclass(frozen=True)
class Versus:
    """All duels, and the probability over all environments where each side has one group in each."""

    duels: list[Duel]
    overall: Improvement | None
    remarks: list[str]


def versus(first: Sequence[Run], second: Sequence[Run]) -> Versus:
    """Return the comparison of two sets of runs; groups of unlike runs are compared one by one, never averaged.

    Raises:
        UserError: there is no environment in which both have a finished run.
    """
    sides = [_by_environment(runs) for runs in (first, second)]
    common = [env_id for env_id in sides[0] if env_id in sides[1]]
    if not common:
        names = [", ".join(side) or "no finished run" for side in sides]
        raise UserError(f"--versus: no environment in which both have a finished run: {names[0]}; {names[1]}")
    duels = [_duel(env_id, a, b) for env_id in common for a in sides[0][env_id] for b in sides[1][env_id]]
    overall = None
    if len(common) > 1 and all(len(side[env_id]) == 1 for side in sides for env_id in common):
        scores = [{env_id: _scores(side[env_id][0]) for env_id in common} for side in sides]
        overall = probability_of_improvement(scores[0], scores[1])
    remarks = [
        "95 % intervals: a bootstrap over seeds. P(A > B): a run of A scores more than one of B, a tie counting half"
        " (arXiv:2108.13264)."
    ]
    if any(one.seeds < 2 for one in duels):
        remarks.append("With a single seed there is no interval: another seed may score very differently.")
    elif any(one.seeds < FEW_SEEDS for one in duels):
        remarks.append(f"Fewer than {FEW_SEEDS} seeds: the true intervals are wider than those shown.")
    if unfinished := sum(not run.finished for run in (*first, *second)):
        remarks.append(f"{number_of(unfinished, 'unfinished run')} left out.")
    return Versus(duels, overall, remarks)


def _by_environment(runs: Sequence[Run]) -> dict[str, list[Group]]:
    found: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if run.finished:
            found[run.env_id].append(run)
    return {env_id: grouped(members) for env_id, members in sorted(found.items())}


def _scores(group: Group) -> list[float]:
    return [mean_score(run) for run in group.runs]


def _duel(env_id: str, first: Group, second: Group) -> Duel:
    a, b = np.array(_scores(first)), np.array(_scores(second))
    interval = None
    if len(a) > 1 and len(b) > 1:
        rng = np.random.default_rng(0)
        drawn = [values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(1) for values in (a, b)]
        low, high = np.percentile(drawn[0] - drawn[1], [2.5, 97.5])
        interval = float(low), float(high)
    names = [f"{one.label} ({number_of(len(one.runs), 'seed')})" for one in (first, second)]
    improvement = probability_of_improvement({env_id: list(a)}, {env_id: list(b)})
    means = float(a.mean()), float(b.mean())
    seeds = min(len(a), len(b))
    return Duel(env_id, names[0], names[1], means, means[0] - means[1], interval, improvement, seeds)


def _cells(one: Duel) -> list[str]:
    def interval(ends: tuple[float, float] | None, digits: str) -> str:
        return "-" if ends is None else f"{ends[0]:{digits}} to {ends[1]:{digits}}"

    numbers = [f"{one.means[0]:,.4g}", f"{one.means[1]:,.4g}", f"{one.difference:+,.4g}"]
    better = [f"{one.improvement.probability:.2f}", interval(one.improvement.ci95, ".2f")]
    return [one.env_id, one.first, one.second, *numbers, interval(one.difference_ci95, "+,.4g"), *better]


def as_format(name: str, found: Versus, width: int | None = None) -> str:
    """Return it as ``table``, ``markdown``, ``json`` or ``csv``; ``width`` is that of a terminal."""
    if name == "json":
        content: dict[str, Any] = {"versus": [_plain(one) for one in found.duels], "remarks": found.remarks}
        content["overall"] = None if found.overall is None else found.overall._asdict()
        return json.dumps(content, indent=2, allow_nan=False)
    if name == "csv":
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([COLUMNS, *map(_cells, found.duels)])
        return file.getvalue().rstrip("\n")
    closing = [f"* {remark}" for remark in _closing(found)]
    if name == "markdown":
        rows = [COLUMNS, ["---"] * len(COLUMNS), *map(_cells, found.duels)]
        return "\n".join(["| " + " | ".join(row) + " |" for row in rows] + ["", *closing])
    file = io.StringIO()
    console = Console(file=file, width=width or 10_000, no_color=width is None, force_jupyter=False, highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in COLUMNS:
        table.add_column(title, justify="left" if title in COLUMNS[:3] else "right")
    for one in found.duels:
        table.add_row(*map(Text, _cells(one)))
    console.print(table)
    lines = [line.rstrip() for line in file.getvalue().rstrip().split("\n")]
    return "\n".join([*lines, "", *closing])


def _closing(found: Versus) -> list[str]:
    if found.overall is None:
        return found.remarks
    low, high = found.overall.ci95 or (0.0, 1.0)
    better = f"{found.overall.probability:.2f} ({low:.2f} to {high:.2f})"
    return [f"Over {number_of(found.overall.games, 'environment')}: P(A > B) {better}.", *found.remarks]


def _plain(one: Duel) -> dict[str, Any]:
    return dataclasses.asdict(one) | {"improvement": one.improvement._asdict()}
