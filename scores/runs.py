"""Run folders and human scores, read while others write them: damaged lines are reported and left out."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from common.errors import UserError, nearest

EVAL_FILE, METRICS_FILE, CONFIG_FILE, HUMANS_FILE = "eval.csv", "metrics.csv", "config.json", "humans.csv"


@dataclasses.dataclass(frozen=True)
class Episode:
    """One evaluation episode; or one episode played by a human (``agent_steps`` 0, ``epsilon`` None)."""

    env_id: str
    player: str
    seed: int
    agent_steps: int  # of training before the evaluation
    episode: int
    episode_return: float
    episode_length: int
    epsilon: float | None
    protocol: str
    frames: int | None = None  # emulator frames of training; None: as many as agent steps
    cut: bool = False  # by the evaluation's cap, which the protocol names


@dataclasses.dataclass(frozen=True)
class Run:
    """The last evaluation of one run folder, and the settings of the training."""

    path: Path
    env_id: str
    agent: str
    seed: int
    preset: str  # "" if unknown
    config: dict[str, Any]
    episodes: list[Episode]  # all of one evaluation, at least one
    pretrained: bool = False
    curve: tuple[tuple[int, float], ...] = ()  # (frames, mean return) of every evaluation
    started_from: str = ""  # the agent whose network it started from; "": random weights
    notes: tuple[str, ...] = ()  # what is unusual about how it was trained

    @property
    def title(self) -> str:
        """The agent, its preset unless that is the default, and whose network it started from."""
        title = f"{self.agent} {self.preset}" if self.preset not in ("", "default") else self.agent
        return f"{title} from {self.started_from}" if self.started_from else title

    @property
    def frames(self) -> int:
        """Emulator frames of training before this evaluation."""
        return self.episodes[0].frames or self.agent_steps

    @property
    def agent_steps(self) -> int:
        """Agent steps of training before this evaluation."""
        return self.episodes[0].agent_steps


def read_runs(runs_dir: Path, pretrained: bool = False) -> tuple[list[Run], list[str]]:
    """Return every evaluated run under a folder, and one warning for everything that could not be read.

    A folder that does not exist holds no runs.
    """
    runs, warnings = [], []
    try:
        folders = sorted(path for path in runs_dir.iterdir() if path.is_dir()) if runs_dir.is_dir() else []
    except OSError as error:
        return [], [f"{runs_dir}: not readable ({error.strerror})"]
    for folder in folders:
        if is_run(folder):
            run, more = read_run(folder, pretrained)
            warnings += more
            runs += [run] if run else []
    return runs, warnings


def is_run(folder: Path) -> bool:
    """Return whether a folder looks like a run, complete or not."""
    return folder.name.count("__") >= 3 or (folder / CONFIG_FILE).exists() or (folder / EVAL_FILE).exists()


def find_run(name: str, runs_dir: Path) -> Path:
    """Return the run folder with this path, or with this name under ``runs_dir``; `UserError` if there is none."""
    for path in (Path(name), runs_dir / name):
        if path.is_dir():
            if not is_run(path):
                raise UserError(f"{path}: not a run folder (it has neither {CONFIG_FILE} nor {EVAL_FILE})")
            return path
    parents = {Path(name).parent, runs_dir}
    near = [path.name for parent in parents if parent.is_dir() for path in parent.iterdir() if is_run(path)]
    hint = f"; did you mean {nearest(Path(name).name, near)}?" if near else f"; {runs_dir} holds no runs"
    raise UserError(f"no run folder '{name}'{hint}")


def read_run(folder: Path, pretrained: bool = False) -> tuple[Run | None, list[str]]:
    """Return the last evaluation of a run, None if it has none; and one warning for everything left out."""
    config, warnings = _read_config(folder / CONFIG_FILE)
    if not (folder / EVAL_FILE).exists():
        return None, [*warnings, f"{folder}: no evaluation yet ({EVAL_FILE} is missing), left out"]
    episodes: dict[tuple[int, int], Episode] = {}  # a resumed run may repeat an evaluation: the last one counts
    env_id = config.get("env_id")
    for where, row in _rows(folder / EVAL_FILE, warnings):
        try:
            one = _evaluated(row)
            env_id = env_id or one.env_id
            if one.env_id != env_id:
                raise ValueError(f"its environment is {one.env_id}, but the run's is {env_id}")
            episodes[one.agent_steps, one.episode] = one
        except (KeyError, TypeError, ValueError) as error:
            warnings.append(f"{where}: damaged, left out ({_reason(error)})")
    if not episodes:
        return None, [*warnings, f"{folder}: no evaluation episode yet, left out"]
    last = max(steps for steps, _ in episodes)
    kept = [one for (steps, _), one in sorted(episodes.items()) if steps == last]
    preset = config.get("preset")
    settings = config.get("config")
    return Run(
        path=folder,
        env_id=kept[0].env_id,
        agent=kept[0].player,
        seed=kept[0].seed,
        preset=preset if isinstance(preset, str) else "",
        config=settings if isinstance(settings, dict) else {},
        episodes=kept,
        pretrained=pretrained,
        curve=_curve(episodes.values()),
        started_from=_started_from(config),
        notes=tuple(_training_notes(config)),
    ), warnings


def _started_from(config: dict[str, Any]) -> str:
    """Return the agent that a run started from, and its agent steps; empty if it started from random weights."""
    source = config.get("from")
    if not isinstance(source, dict):
        return ""
    steps = source.get("agent_steps")
    return f"{source.get('agent')} {steps:,}" if isinstance(steps, int) else str(source.get("agent"))


def _training_notes(config: dict[str, Any]) -> Iterator[str]:
    """Yield what is unusual about how a run was trained: where it started from, and that it was extended."""
    if isinstance(source := config.get("from"), dict):
        yield f"started from the network in {source.get('path')} (of {source.get('env_id')})"
    history = config.get("extended")
    events = [one for one in history if isinstance(one, dict)] if isinstance(history, list) else []
    if events:
        stretched = any(one.get("rescaled") for one in events)
        refilled = any(one.get("exact") is False for one in events)
        yield (
            f"planned for {events[0].get('from_total')} agent steps, then extended"
            + (", its schedules stretched" if stretched else "")
            + (", its replay filled anew" if refilled else "")
        )


def _evaluated(row: dict[str, str]) -> Episode:
    """Parse a row of ``eval.csv``."""
    return Episode(
        env_id=_text(row, "env_id"),
        player=_text(row, "agent"),
        seed=int(row["seed"]),
        agent_steps=int(row["agent_steps"]),
        episode=int(row["episode"]),
        episode_return=_finite(row["episode_return"]),
        episode_length=_positive(row["episode_length"]),
        epsilon=_finite(row["epsilon"]) if row["epsilon"] else None,
        protocol=_text(row, "protocol"),
        frames=int(row["frames"]) if row.get("frames") else None,
        cut=row.get("cut") == "1",
    )


def _curve(episodes: Iterable[Episode]) -> tuple[tuple[int, float], ...]:
    """Return (frames, mean return) of every evaluation, in the order of frames."""
    returns: dict[int, list[float]] = defaultdict(list)
    for one in episodes:
        returns[one.frames or one.agent_steps].append(one.episode_return)
    return tuple((frames, sum(values) / len(values)) for frames, values in sorted(returns.items()))


def read_training_curve(folder: Path) -> tuple[tuple[int, float], ...]:
    """Return (frames, mean return of the last training episodes) from ``metrics.csv``; rows without are left out.

    The file may still be written and is used for charts only, so lines that can't be read are skipped without a
    warning.
    """
    points = {}
    for _, row in _rows(folder / METRICS_FILE, []):
        with contextlib.suppress(KeyError, TypeError, ValueError):
            points[int(row["frames"])] = _finite(row["episodic_return"])
    return tuple(sorted(points.items()))


def read_humans(runs_dir: Path) -> tuple[list[Episode], list[str]]:
    """Return the episodes that humans played (``humans.csv``), and one warning for each row left out."""
    warnings: list[str] = []
    episodes: list[Episode] = []
    path = runs_dir / HUMANS_FILE
    for where, row in _rows(path, warnings) if path.exists() else ():
        try:
            episodes.append(
                Episode(
                    env_id=_text(row, "env_id"),
                    player=_text(row, "name"),
                    seed=int(row["seed"]) if row.get("seed") else 0,
                    agent_steps=0,
                    episode=len(episodes),
                    episode_return=_finite(row["episode_return"]),
                    episode_length=_positive(row["episode_length"]),
                    epsilon=None,
                    protocol=_text(row, "protocol"),
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            warnings.append(f"{where}: damaged, left out ({_reason(error)})")
    return episodes, warnings


def _read_config(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the contents of ``config.json``; if it can't be read, {} and a warning: eval.csv has most of it."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(config, dict):
            return config, []
        reason = "not a JSON object"
    except FileNotFoundError:
        reason = "missing"
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not JSON, not UTF-8
        reason = f"not readable: {error}"
    return {}, [f"{path}: {reason}; preset and settings of this run are unknown"]


def _rows(path: Path, warnings: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (file and line, cells) of a CSV file; a last line without a newline is still being written."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    except OSError as error:
        warnings.append(f"{path}: not readable ({error.strerror}), left out")
        return
    if lines and not lines[-1].endswith("\n"):
        warnings.append(f"{path}, line {len(lines)}: incomplete, left out (the run may still be writing)")
        lines.pop()
    if not lines:
        return
    columns = next(csv.reader(lines[:1]))
    for number, line in enumerate(lines[1:], start=2):
        # line by line, so that one stray quote can't swallow the rest of the file
        cells = next(csv.reader([line]), []) if line.strip() else []
        if cells:
            yield f"{path}, line {number}", dict(zip(columns, cells, strict=False))


def _text(row: dict[str, str], column: str) -> str:
    if not row[column].strip():
        raise ValueError(f"{column} is empty")
    return row[column]


def _finite(cell: str) -> float:
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(f"'{cell}' is not a finite number")
    return value


def _positive(cell: str) -> int:
    value = int(cell)
    if value < 1:
        raise ValueError(f"'{cell}' is not a positive number of steps")
    return value


def _reason(error: Exception) -> str:
    return f"column {error} is missing" if isinstance(error, KeyError) else str(error)
