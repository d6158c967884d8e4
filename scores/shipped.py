"""The agents that ship with the project, with the scores of their last evaluation: those in pretrained/."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from common.errors import UserError
from common.files import PRETRAINED
from common.reading import rows, tensors
from scores.atari import normalization
from scores.atari.table import percent
from scores.references import metric
from scores.runs import METRICS_FILE, Run, read_runs
from scores.stats import student_interval

WEIGHTS = Path("agent") / "network.safetensors"


@dataclasses.dataclass(frozen=True)
class Shipped:
    """An agent that ships."""

    name: str
    """Of its folder in pretrained/."""
    env_id: str
    agent: str
    preset: str
    mean: float
    """In the environment's metric."""
    ci95: tuple[float, float] | None
    """Over the episodes of this one network."""
    metric: str
    level: float | None
    """Human-normalised, 1 is human; None where there is no human score."""
    episodes: int
    protocol: str
    epsilon: float
    seed: int
    agent_steps: int
    frames: int
    minutes: float | None
    """Of its training, evaluations included."""
    weights: str
    """``float16`` or ``float32``."""
    megabytes: float


def agents(folder: Path = PRETRAINED) -> list[Shipped]:
    """Return the agents in a folder, sorted by environment, the best score of each first; damaged ones are left out."""
    found = []
    for run in read_runs(folder, pretrained=True)[0]:
        with contextlib.suppress(UserError):
            found.append(_shipped(run))
    return sorted(found, key=lambda one: (one.env_id.lower(), -one.mean, one.name))


def _shipped(run: Run) -> Shipped:
    first, game, measure = run.episodes[0], normalization.game_of(run.env_id), metric(run.env_id)
    values = [one.episode_return / (one.episode_length if measure.per_step else 1) for one in run.episodes]
    mean = statistics.fmean(values)
    baseline = normalization.protocol(first.protocol).baseline
    return Shipped(
        name=run.path.name,
        env_id=run.env_id,
        agent=_agent(run),
        preset=run.preset,
        mean=mean,
        ci95=student_interval(values).ci95,
        metric=measure.name,
        level=normalization.human_or_none(mean, game, baseline) if game else None,
        episodes=len(run.episodes),
        protocol=first.protocol,
        epsilon=statistics.fmean(one.epsilon or 0.0 for one in run.episodes),
        seed=run.seed,
        agent_steps=run.agent_steps,
        frames=run.frames,
        minutes=_minutes(run.path),
        weights=_weights(run.path),
        megabytes=sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file()) / 1e6,
    )


def _agent(run: Run) -> str:
    """Return the agent by its name of today: dqn with double and dueling on became d3qn."""
    ideas = run.config.get("double") and run.config.get("dueling")
    return "d3qn" if run.agent == "dqn" and ideas else run.agent


def _minutes(folder: Path) -> float | None:
    """Return the wall-clock minutes of a run; None if it did not write them."""
    try:
        return max(float(row["wall_s"]) for row in rows(folder / METRICS_FILE) if row.get("wall_s")) / 60
    except (UserError, ValueError):
        return None


def _weights(folder: Path) -> str:
    """Return the number format of an agent's weights: that of the most of them."""
    held = tensors(folder / WEIGHTS)
    halves = sum(one.bytes for one in held.values() if one.dtype == "F16")
    return "float16" if 2 * halves > sum(one.bytes for one in held.values()) else "float32"


COLUMNS = ("agent", "environment", "mean", "95 %", "of human", "games", "trained")
RIGHT = ("mean", "of human", "games")
DISPENSABLE = ("", "95 %", "games", "trained")  # left out first where the terminal is narrow


def text(found: Sequence[Shipped], width: int | None = None) -> str:
    """Return the agents as a table, a line each; of columns that do not fit the width some are left out."""
    rows = [dict(zip(COLUMNS, cells(one), strict=True)) for one in found]
    shown = list(COLUMNS)
    for least in DISPENSABLE:
        shown = [name for name in shown if name != least]
        widths = {name: max(len(name), *(len(row[name]) for row in rows)) if rows else len(name) for name in shown}
        if width is None or sum(widths.values()) + 2 * (len(shown) - 1) <= width:
            break

    def line(row: Mapping[str, str]) -> str:
        parts = (row[name].rjust(widths[name]) if name in RIGHT else row[name].ljust(widths[name]) for name in shown)
        return "  ".join(parts).rstrip()

    lines = [line(dict(zip(COLUMNS, COLUMNS, strict=True))), *map(line, rows)]
    return "\n".join(
        [*lines, "", f"Watch one: python play.py pretrained/{found[0].name}"] if rows else ["No agents here."]
    )


def cells(one: Shipped) -> tuple[str, ...]:
    """Return the cells of an agent's line, in the order of `COLUMNS`."""
    interval = "-" if one.ci95 is None else f"{one.ci95[0]:,.1f} to {one.ci95[1]:,.1f}"
    preset = "" if one.preset in ("", "default") else f" {one.preset}"
    trained = f"{one.agent}{preset}, {one.agent_steps / 1e6:.3g}M steps"
    where = one.env_id.removeprefix("ALE/").removeprefix("tidepool/")
    return (f"{one.name}", where, f"{one.mean:,.1f}", interval, percent(one.level), str(one.episodes), trained)
