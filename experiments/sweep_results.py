"""What a sweep found: each configuration's score over its seeds, and for a grid what each value of a setting is worth.

Nothing here loads PyTorch.
"""

from __future__ import annotations

import csv
import io
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.plan import Plan, Row, changes
from experiments.planned import wall_seconds
from scores.atari import normalization
from scores.atari import rows as atari_rows
from scores.collect import FEW_SEEDS, mean_score
from scores.references import metric
from scores.rows import Comparison
from scores.rows import Row as ScoreRow
from scores.runs import Run, read_run
from scores.stats import Interval, bootstrap_interval

COLUMNS = (
    "env_id",
    "agent",
    "preset",
    "settings",
    "seed",
    "score",
    "episodes",
    "agent_steps",
    "frames",
    "wall_s",
    "run",
)


@dataclass(frozen=True)
class Effect:
    """What one value of a setting scores, the other settings of the grid averaged."""

    env_id: str
    agent: str
    setting: str
    value: Any
    score: Interval
    """Over seeds."""
    runs: int


@dataclass(frozen=True)
class Result:
    """What a sweep found so far."""

    comparisons: list[Comparison]
    """By environment: a row a configuration."""
    effects: list[Effect]
    rows: list[dict[str, Any]]
    """One a finished run, with `COLUMNS`."""
    missing: list[str]
    """Names of runs that are not finished."""

    @property
    def as_csv(self) -> str:
        """The rows as a table."""
        file = io.StringIO()
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return file.getvalue()


def collect(plan: Plan, folders: Mapping[int, Path | None] | None = None) -> Result:
    """Return what the finished runs of a plan scored.

    Args:
        plan: the plan.
        folders: the finished run of each row, by its number, where that is known already.
    """
    finished: dict[int, Run] = {}
    missing = []
    for row in plan.rows:
        folder = row.run.finished_folder() if folders is None else folders.get(row.number)
        run = read_run(folder)[0] if folder is not None else None
        if run is None:
            if plan.kind != "search":  # of which some are given up
                missing.append(row.name)
        else:
            finished[row.number] = run
    by_environment: dict[str, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in plan.rows:
        by_environment[row.configuration.env_id][row.label].append(row)
    comparisons = [_comparison(env_id, rows, finished) for env_id, rows in by_environment.items()]
    effects = list(_effects(plan, finished)) if plan.kind == "grid" else []
    table = [_row(row, finished[row.number]) for row in plan.rows if row.number in finished]
    return Result(comparisons, effects, table, missing)


def _comparison(env_id: str, configurations: Mapping[str, Sequence[Row]], finished: Mapping[int, Run]) -> Comparison:
    rows, few = [], False
    for label, planned in configurations.items():
        runs = {row.seed: finished[row.number] for row in planned if row.number in finished}
        if not runs:
            continue
        interval = bootstrap_interval([mean_score(run) for run in runs.values()])
        few |= len(runs) < FEW_SEEDS
        absent = [str(row.seed) for row in planned if row.number not in finished]
        first = next(iter(runs.values()))
        note = f"{len(runs)} of {len(planned)} seeds, without {', '.join(absent)}" if absent else ""
        rows.append(
            ScoreRow(
                name=label.removeprefix(f"{env_id} "),
                kind="run",
                env_id=env_id,
                mean=interval.mean,
                ci95=interval.ci95 if interval.ci95 and interval.ci95[0] < interval.ci95[1] else None,
                episodes=sum(len(run.episodes) for run in runs.values()),
                agent_steps=max(run.agent_steps for run in runs.values()),
                epsilon=first.episodes[0].epsilon,
                protocol=first.episodes[0].protocol,
                note=note,
                frames=max(run.frames for run in runs.values()),
            )
        )
    if game := normalization.game_of(env_id):
        rows = atari_rows.complete(game, rows)
    rows.sort(key=lambda row: (-row.mean, row.name))
    remarks = []
    if any(row.ci95 for row in rows):
        remarks.append("95 % intervals: a bootstrap over the seeds' means." + _FEW * few)
    elif rows:
        remarks.append("No intervals: one seed of each, or all the same. Another seed may score very differently.")
    if not rows:
        remarks.append("No finished runs yet.")
    return Comparison(env_id, metric(env_id).name, rows, remarks)


_FEW = f" Fewer than {FEW_SEEDS} seeds: the true intervals are wider than those shown."


def _effects(plan: Plan, finished: Mapping[int, Run]) -> Iterable[Effect]:
    """Yield what each value scores: by seed the mean over the grid's other settings, then over seeds."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in plan.rows:
        groups[row.configuration.env_id, row.configuration.agent].append(row)
    for (env_id, agent), rows in groups.items():
        for setting in plan.varied:
            values: dict[str, list[Row]] = defaultdict(list)
            for row in rows:
                values[changes(row.configuration.settings, [setting])].append(row)
            for members in values.values():
                by_seed: dict[int, list[float]] = defaultdict(list)
                for row in members:
                    if row.number in finished:
                        by_seed[row.seed].append(mean_score(finished[row.number]))
                # a seed that lacks some of the grid would be compared with other settings
                full = len({row.configuration.folder for row in members})
                means = [statistics.fmean(found) for found in by_seed.values() if len(found) == full]
                if means:
                    value = members[0].configuration.settings.get(setting)
                    yield Effect(env_id, agent, setting, value, bootstrap_interval(means), full * len(means))


def _row(row: Row, run: Run) -> dict[str, Any]:
    one, seconds = row.configuration, wall_seconds(run.path)
    return {
        "env_id": run.env_id,
        "agent": run.agent,
        "preset": one.preset,
        "settings": changes(one.settings, one.settings),
        "seed": row.seed,
        "score": mean_score(run),
        "episodes": len(run.episodes),
        "agent_steps": run.agent_steps,
        "frames": run.frames,
        "wall_s": "" if seconds is None else round(seconds),
        "run": run.path.name,
    }
