"""What each part of a recipe is worth: runs without the part against runs of the full recipe, seed by seed."""

from __future__ import annotations

import csv
import dataclasses
import io
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.reading import read_json, rows
from experiments.planned import wall_seconds
from scores.collect import FEW_SEEDS, mean_score
from scores.references import metric
from scores.runs import CONFIG_FILE, EVAL_FILE, Run, read_run
from scores.stats import Interval, bootstrap_interval

EPISODE_COLUMNS = (
    "env_id",
    "agent",
    "seed",
    "agent_steps",
    "frames",
    "episode",
    "episode_return",
    "episode_length",
    "epsilon",
    "protocol",
)
RUN_COLUMNS = ("preset", "wall_s", "commit", "device", "threads", "hardware", "versions", "run")
CSV_COLUMNS = ("variant", *EPISODE_COLUMNS, *RUN_COLUMNS)


@dataclasses.dataclass(frozen=True)
class VariantRuns:
    """A variant and its runs."""

    name: str
    changes: str
    """The options that replace the part, as typed; "" for the full recipe."""
    runs: Mapping[int, Path | None]
    """The finished run of each seed; None if it is missing."""


@dataclasses.dataclass(frozen=True)
class VariantScore:
    """A variant and its scores."""

    name: str
    changes: str
    is_full: bool
    """Whether this is the full recipe."""
    scores: dict[int, float]
    """By seed: the mean over the episodes of the run's final evaluation."""
    score: Interval | None
    """The mean over seeds; None without a finished run."""
    difference: Interval | None
    """To the full recipe, the mean over the seeds that both have; None if there are none."""
    agent_steps: int | None
    frames: int | None
    wall_s: float | None
    """Mean over the runs."""


@dataclasses.dataclass(frozen=True)
class Ablation:
    """The full recipe, then the variants, the largest loss first; and the remarks that belong to the numbers."""

    title: str
    about: str
    metric: str
    variants: list[VariantScore]
    remarks: list[str]
    rows: list[dict[str, Any]]
    """One per episode of the final evaluations, with `CSV_COLUMNS`."""


def collect(env_id: str, agent: str, preset: str, variants: Sequence[VariantRuns]) -> Ablation:
    """Return the ablation of the finished runs; the first of ``variants`` is the full recipe."""
    runs = {one.name: _read(one.runs) for one in variants}
    full = {seed: mean_score(run) for seed, run in runs[variants[0].name].items()}
    scored = [_score(one, runs[one.name], full, number == 0) for number, one in enumerate(variants)]
    scored[1:] = sorted(scored[1:], key=_largest_loss_first)
    every = [run for by_seed in runs.values() for run in by_seed.values()]
    return Ablation(
        title=f"{agent} in {env_id}: what each part is worth",
        about=_about(preset, every, max(len(one.runs) for one in variants)),
        metric=metric(env_id).name,
        variants=scored,
        remarks=_remarks(variants, scored, every),
        rows=[row for one in variants for run in runs[one.name].values() for row in _rows(one.name, run)],
    )


def as_csv(one: Ablation) -> str:
    """Return one line per episode of the final evaluations."""
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(one.rows)
    return file.getvalue()


def _read(paths: Mapping[int, Path | None]) -> dict[int, Run]:
    read = {seed: read_run(path)[0] for seed, path in paths.items() if path is not None}
    return {seed: run for seed, run in read.items() if run is not None}


def _score(one: VariantRuns, runs: Mapping[int, Run], full: Mapping[int, float], is_full: bool) -> VariantScore:
    scores = {seed: mean_score(run) for seed, run in runs.items()}
    seconds = [taken for run in runs.values() if (taken := wall_seconds(run.path)) is not None]
    # Paired by seed: both start from the same network and episodes. The correlation soon fades, but paired
    # differences are valid whatever it is.
    pairs = [] if is_full else [scores[seed] - full[seed] for seed in scores if seed in full]
    return VariantScore(
        name=one.name,
        changes=one.changes,
        is_full=is_full,
        scores=scores,
        score=bootstrap_interval(list(scores.values())) if scores else None,
        difference=bootstrap_interval(pairs) if pairs else None,
        agent_steps=max((run.agent_steps for run in runs.values()), default=None),
        frames=max((run.frames for run in runs.values()), default=None),
        wall_s=statistics.fmean(seconds) if seconds else None,
    )


def _largest_loss_first(one: VariantScore) -> tuple[bool, float, str]:
    """Return the sort key: by the difference; variants without one come last."""
    return (one.difference is None, one.difference.mean if one.difference else 0.0, one.name)


def _about(preset: str, runs: Sequence[Run], seeds: int) -> str:
    steps = sorted({run.agent_steps for run in runs})
    frames = sorted({run.frames for run in runs})
    trained = [_range(steps, "agent steps")] if steps else []
    trained += [f"= {_range(frames, 'frames')}"] if frames != steps else []
    episodes = sorted({len(run.episodes) for run in runs})
    protocols = sorted({run.episodes[0].protocol for run in runs})
    evaluation = [f"final evaluation of {_range(episodes, 'episodes')}"] if episodes else []
    evaluation += [f"protocol {', '.join(protocols)}"] if protocols else []
    counted = f"{seeds} seeds" if seeds > 1 else "one seed"
    return ", ".join(filter(None, [f"preset {preset}", " ".join(trained), counted, *evaluation]))


def _range(values: Sequence[int], noun: str) -> str:
    numbers = f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"
    return f"{numbers} {noun}" if values != [1] else f"1 {noun.removesuffix('s')}"


def _remarks(variants: Sequence[VariantRuns], scored: Sequence[VariantScore], runs: Sequence[Run]) -> list[str]:
    """Return what the numbers don't show."""
    remarks = _missing(variants, scored)
    single = [one.name for one in scored if len(one.scores) == 1]
    if single:
        which = "" if len(single) == len(scored) else f" of {', '.join(single)}"
        remarks.append(
            f"One seed{which}: another seed may score very differently, so this does not show whether a part helps."
            f" Train more: --seeds {FEW_SEEDS}."
        )
    if any(one.score and one.score.ci95 for one in scored):
        remarks.append(
            "95 % intervals: a bootstrap over the seeds' means; for the difference, over its values seed by seed."
        )
    if any(one.difference and one.difference.ci95 for one in scored):
        remarks.append("A difference whose interval contains 0 may be chance: it does not show what the part is worth.")
    if any(one.score and one.score.ci95 and one.score.ci95[0] == one.score.ci95[1] for one in scored):
        remarks.append(
            "Where all seeds score the same (often a task's highest score) the interval has no width, and what the"
            " parts are worth is hidden. A harder task or a shorter training shows more."
        )
    if any(1 < len(one.scores) < FEW_SEEDS for one in scored):
        remarks.append(f"Fewer than {FEW_SEEDS} seeds: the true intervals are wider than those shown.")
    remarks.append("No setting was tuned again for the recipe without a part: all were chosen for the full recipe.")
    if len({run.agent_steps for run in runs}) > 1:
        remarks.append("Runs were NOT trained for the same number of agent steps.")
    commits = sorted({str(row) for run in runs if (row := _config(run).get("commit"))})
    if len(commits) > 1:
        remarks.append(
            f"Runs come from different commits ({', '.join(commits)}): the code may have changed in between."
        )
    return remarks


def _missing(variants: Sequence[VariantRuns], scored: Sequence[VariantScore]) -> list[str]:
    """Return which runs are missing, and what follows."""
    missing = []
    for one in variants:
        seeds = [str(seed) for seed, path in one.runs.items() if path is None]
        missing += [f"{one.name} (seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)})"] if seeds else []
    remarks = [f"MISSING, not trained to the end: {'; '.join(missing)}."] if missing else []
    if not scored[0].scores:
        remarks.append("There is no finished run of the full recipe, so there are no differences.")
    elif missing:
        remarks.append("Each difference is over the seeds that both the variant and the full recipe have.")
    return remarks


def _rows(variant: str, run: Run) -> list[dict[str, Any]]:
    """Return the final evaluation's rows of eval.csv, with the run's preset, commit and hardware."""
    about, seconds = _config(run), wall_seconds(run.path)
    described = {
        "variant": variant,
        "preset": run.preset,
        "wall_s": "" if seconds is None else round(seconds),
        "commit": about.get("commit"),
        "device": about.get("device"),
        "threads": about.get("threads"),
        "hardware": _pairs(about.get("hardware")),
        "versions": _pairs(about.get("versions")),
        "run": run.path.name,
    }
    last = [row for row in rows(run.path / EVAL_FILE) if row.get("agent_steps") == str(run.agent_steps)]
    written = {row["episode"]: row for row in last if "episode" in row}
    return [
        {**row, **described} for row in written.values()
    ]  # a resumed run may repeat an episode: the last one counts


def _pairs(values: Any) -> str:
    return "; ".join(f"{key} {value}" for key, value in values.items()) if isinstance(values, dict) else ""


def _config(run: Run) -> dict[str, Any]:
    about = read_json(run.path / CONFIG_FILE)
    return about if isinstance(about, dict) else {}
