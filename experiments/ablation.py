"""What each part of a recipe is worth: its runs without the part beside its whole runs, seed by seed."""

from __future__ import annotations

import csv
import dataclasses
import io
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.files import read_json
from experiments.ablation_runs import wall_seconds
from scores.collect import FEW_SEEDS
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
class Asked:
    """A variant as it was asked for."""

    name: str
    changes: str
    """What it is trained with in place of the part, as typed; "" for the whole recipe."""
    runs: Mapping[int, Path | None]
    """The finished run of each seed; None where it is missing."""


@dataclasses.dataclass(frozen=True)
class Line:
    """A variant and its scores."""

    name: str
    changes: str
    whole: bool
    """Whether this is the whole recipe."""
    scores: dict[int, float]
    """By seed: the mean over the episodes of the run's final evaluation."""
    score: Interval | None
    """The mean over seeds; None without a finished run."""
    difference: Interval | None
    """To the whole recipe, the mean over the seeds that both have; None where there are none."""
    agent_steps: int | None
    frames: int | None
    wall_s: float | None
    """Mean over the runs."""


@dataclasses.dataclass(frozen=True)
class Ablation:
    """The whole recipe, then what lost most without its part, first; and what must be said beside the numbers."""

    title: str
    about: str
    metric: str
    lines: list[Line]
    remarks: list[str]
    rows: list[dict[str, Any]]
    """One an episode of the final evaluations, with `CSV_COLUMNS`."""

    @property
    def left_out(self) -> list[Line]:
        """The variants that lack a part."""
        return [line for line in self.lines if not line.whole]


def gather(env_id: str, agent: str, preset: str, asked: Sequence[Asked]) -> Ablation:
    """Return the ablation of the runs that there are; the first of ``asked`` is the whole recipe."""
    runs = {one.name: _read(one.runs) for one in asked}
    whole = {seed: mean_score(run) for seed, run in runs[asked[0].name].items()}
    lines = [_line(one, runs[one.name], whole, number == 0) for number, one in enumerate(asked)]
    lines[1:] = sorted(lines[1:], key=_lost)
    every = [run for by_seed in runs.values() for run in by_seed.values()]
    return Ablation(
        title=f"{agent} in {env_id}: what each part is worth",
        about=_about(preset, every, max(len(one.runs) for one in asked)),
        metric=metric(env_id).name,
        lines=lines,
        remarks=_remarks(asked, lines, every),
        rows=[row for one in asked for run in runs[one.name].values() for row in _rows(one.name, run)],
    )


def as_csv(one: Ablation) -> str:
    """Return one line an episode of the final evaluations."""
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(one.rows)
    return file.getvalue()


def _read(paths: Mapping[int, Path | None]) -> dict[int, Run]:
    read = {seed: read_run(path)[0] for seed, path in paths.items() if path is not None}
    return {seed: run for seed, run in read.items() if run is not None}


def _line(one: Asked, runs: Mapping[int, Run], whole: Mapping[int, float], first: bool) -> Line:
    scores = {seed: mean_score(run) for seed, run in runs.items()}
    seconds = [taken for run in runs.values() if (taken := wall_seconds(run.path)) is not None]
    # By seed: both start from the same seed's network and episodes. What they have in common is soon little, but
    # differences of pairs are right however much it is.
    pairs = [] if first else [scores[seed] - whole[seed] for seed in scores if seed in whole]
    return Line(
        name=one.name,
        changes=one.changes,
        whole=first,
        scores=scores,
        score=bootstrap_interval(list(scores.values())) if scores else None,
        difference=bootstrap_interval(pairs) if pairs else None,
        agent_steps=max((run.agent_steps for run in runs.values()), default=None),
        frames=max((run.frames for run in runs.values()), default=None),
        wall_s=statistics.fmean(seconds) if seconds else None,
    )


def mean_score(run: Run) -> float:
    """Return the mean over the episodes of a run's final evaluation, by what its environment is judged by."""
    judged = metric(run.env_id)
    return statistics.fmean(one.episode_return / (one.episode_length if judged.per_step else 1) for one in run.episodes)


def _lost(line: Line) -> tuple[bool, float, str]:
    """Sort by the difference, then what has none."""
    return (line.difference is None, line.difference.mean if line.difference else 0.0, line.name)


def _about(preset: str, runs: Sequence[Run], seeds: int) -> str:
    steps = sorted({run.agent_steps for run in runs})
    frames = sorted({run.frames for run in runs})
    trained = [_range(steps, "agent steps")] if steps else []
    trained += [f"= {_range(frames, 'frames')}"] if frames != steps else []
    episodes = sorted({len(run.episodes) for run in runs})
    protocols = sorted({run.episodes[0].protocol for run in runs})
    judged = [f"final evaluation of {_range(episodes, 'episodes')}"] if episodes else []
    judged += [f"protocol {', '.join(protocols)}"] if protocols else []
    counted = f"{seeds} seeds" if seeds > 1 else "one seed"
    return ", ".join(filter(None, [f"preset {preset}", " ".join(trained), counted, *judged]))


def _range(values: Sequence[int], noun: str) -> str:
    numbers = f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"
    return f"{numbers} {noun}" if values != [1] else f"1 {noun.removesuffix('s')}"


def _remarks(asked: Sequence[Asked], lines: Sequence[Line], runs: Sequence[Run]) -> list[str]:
    """Return what the numbers don't show."""
    remarks = _missing(asked, lines)
    alone = [line.name for line in lines if len(line.scores) == 1]
    if alone:
        whose = "" if len(alone) == len(lines) else f" of {', '.join(alone)}"
        remarks.append(
            f"One seed{whose}: another seed may end elsewhere, so no part can be called useful or useless from it."
            f" Train more: --seeds {FEW_SEEDS}."
        )
    if any(line.score and line.score.ci95 for line in lines):
        remarks.append(
            "95 % intervals: a bootstrap over the seeds' means; of the difference, over its values seed by seed."
        )
    if any(line.difference and line.difference.ci95 for line in lines):
        remarks.append("A difference whose interval holds 0 may be chance: the part's worth is not shown here.")
    if any(line.score and line.score.ci95 and line.score.ci95[0] == line.score.ci95[1] for line in lines):
        remarks.append(
            "Where all seeds score the same (often a task's highest score) the interval has no width: that hides what"
            " the parts are worth. A harder task or a shorter training shows more."
        )
    if any(1 < len(line.scores) < FEW_SEEDS for line in lines):
        remarks.append(f"Fewer than {FEW_SEEDS} seeds: the true intervals are wider than those shown.")
    remarks.append("No setting was tuned again for a recipe that lacks a part: the rest was chosen with it.")
    if len({run.agent_steps for run in runs}) > 1:
        remarks.append("Runs were NOT trained for the same number of agent steps.")
    commits = sorted({str(row) for run in runs if (row := _config(run).get("commit"))})
    if len(commits) > 1:
        remarks.append(f"Runs come from different commits ({', '.join(commits)}): the code may have changed between.")
    return remarks


def _missing(asked: Sequence[Asked], lines: Sequence[Line]) -> list[str]:
    """Say which runs there are not, and what follows."""
    missing = []
    for one in asked:
        seeds = [str(seed) for seed, path in one.runs.items() if path is None]
        missing += [f"{one.name} (seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)})"] if seeds else []
    remarks = [f"MISSING, not trained to the end: {'; '.join(missing)}."] if missing else []
    if not lines[0].scores:
        remarks.append("There is no finished run of the full recipe, so there are no differences.")
    elif missing:
        remarks.append("A difference is over the seeds that the variant and the full recipe both have.")
    return remarks


def _rows(variant: str, run: Run) -> list[dict[str, Any]]:
    """Return the final evaluation's rows as they are in eval.csv, with the run's preset, commit and hardware."""
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
    with (run.path / EVAL_FILE).open(encoding="utf-8", newline="") as file:
        written = {row["episode"]: row for row in csv.DictReader(file) if row["agent_steps"] == str(run.agent_steps)}
    return [{**row, **described} for row in written.values()]  # a resumed run may repeat an episode: the last counts


def _pairs(values: Any) -> str:
    return "; ".join(f"{key} {value}" for key, value in values.items()) if isinstance(values, dict) else ""


def _config(run: Run) -> dict[str, Any]:
    about = read_json(run.path / CONFIG_FILE)
    return about if isinstance(about, dict) else {}
