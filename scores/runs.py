"""Run folders and human scores, read while others write them: damaged lines are reported and left out."""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import glob
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from common.checked import AtMost, Unfit, fit_cell, hints_of
from common.errors import MOST, UserError, suggestion
from common.reading import LINE_BYTES, TABLE_LINES, cells, lines, read_json
from common.settings import Between
from common.text import shown

EVAL_FILE, METRICS_FILE, CONFIG_FILE, HUMANS_FILE = "eval.csv", "metrics.csv", "config.json", "humans.csv"


Name = Annotated[str, AtMost(200)]
Count = Annotated[int, Between(0, 10**15)]
Return = Annotated[float, Between(-1e15, 1e15)]
MOST_WARNINGS = 5  # of one file, line by line
ENVIRONMENT = re.compile(r"(?:[\w.-]+/)?[A-Za-z][\w-]*-v\d+")  # how an environment's id looks, and no run's folder


@dataclasses.dataclass(frozen=True, slots=True)
class Episode:
    """One evaluation episode; or one episode played by a human (``agent_steps`` 0, ``epsilon`` None)."""

    env_id: Name
    player: Name
    seed: Annotated[int, Between(-(2**63), 2**64)]
    agent_steps: Count  # of training before the evaluation
    episode: Count
    episode_return: Return
    episode_length: Annotated[int, Between(1, 10**15)]
    epsilon: Annotated[float, Between(0.0, 1.0)] | None
    protocol: Name
    frames: Count | None = None  # emulator frames of training; None: as many as agent steps
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
    name: str = ""  # that it was given
    planned_steps: int | None = None  # agent steps that it was to have; None: unknown
    planned_episodes: int | None = None  # of its final evaluation
    measured: tuple[str, ...] = ()  # settings that random play decided, with every seed anew

    @property
    def finished(self) -> bool:
        """Whether it was trained to its end and evaluated there, as far as is known; agents that are shipped are."""
        if self.pretrained or self.planned_steps is None:
            return True
        return self.agent_steps >= self.planned_steps and len(self.episodes) >= (self.planned_episodes or 1)

    @property
    def title(self) -> str:
        """Its own name; else the agent, its preset unless that is the default, and whose network it started from."""
        if self.name:
            return self.name
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

    Also those of the configurations of a sweep, a folder each. A folder that does not exist holds no runs.
    """
    runs, warnings = [], []
    try:
        folders = run_folders(runs_dir)
    except OSError as error:
        return [], [f"{runs_dir}: not readable ({error.strerror})"]
    for folder in folders:
        run, more = read_run(folder, pretrained)
        warnings += more
        runs += [run] if run else []
    return runs, warnings


def run_folders(folder: Path) -> list[Path]:
    """Return the runs in a folder, and in the folders of a sweep's or ablation's configurations in it; `OSError`."""
    found = []
    for path in sorted(filter(os.path.isdir, folder.iterdir())) if os.path.isdir(folder) else []:
        if is_run(path):
            found.append(path)
        elif not path.is_symlink() and not path.name.startswith("."):
            found += [below for below in _entries(path) if below.name.count("__") >= 3 and os.path.isdir(below)]
    return found


def is_run(folder: Path) -> bool:
    """Return whether a folder looks like a run, complete or not."""
    # not `Path.exists`, which raises where a folder may not be looked into
    return folder.name.count("__") >= 3 or any(os.path.exists(folder / name) for name in (CONFIG_FILE, EVAL_FILE))


def find_run(name: str, runs_dir: Path) -> Path:
    """Return the run folder with this path, or with this name under ``runs_dir``; `UserError` if there is none."""
    for path in (Path(name), runs_dir / name):
        if os.path.isdir(path):
            if not is_run(path):
                raise UserError(f"{path}: not a run folder (it has neither {CONFIG_FILE} nor {EVAL_FILE})")
            return path
    if ENVIRONMENT.fullmatch(name):
        raise UserError(f"no run folder '{name}'; an environment is chosen by --env-id {name}")
    near = [path.name for parent in {Path(name).parent, runs_dir} for path in _entries(parent) if is_run(path)]
    hint = f"; {suggestion(Path(name).name, near)}" if near else f"; {runs_dir} holds no runs"
    raise UserError(f"no run folder '{name}'{hint}")


def find_runs(name: str, runs_dir: Path) -> list[Path]:
    """Return the runs that a word of a command line names.

    A run folder, or one that holds runs, by its path or its name under ``runs_dir``; the name that a run was given; or
    a pattern for any of these, such as ``*dqn*``.

    Raises:
        UserError: there is none.
    """
    for path in (Path(name), runs_dir / name):
        if os.path.isdir(path):
            if is_run(path):
                return [path]
            if found := _runs_in(path):
                return found
    # unlike pathlib's, it takes any pattern: of the root, empty, with a zero byte
    matching = {
        os.path.normpath(path)
        for place in ("", glob.escape(str(runs_dir)))
        for path in glob.glob(os.path.join(place, name))
    }
    found = [run for path in sorted(matching) if os.path.isdir(path) for run in _runs_at(Path(path))]
    if found:
        return found
    named = [path for path in _runs_in(runs_dir) if fnmatch.fnmatchcase(_name_of(path), name)]
    return named or [find_run(name, runs_dir)]


def _runs_at(path: Path) -> list[Path]:
    return [path] if is_run(path) else _runs_in(path)


def _runs_in(folder: Path) -> list[Path]:
    try:
        return run_folders(folder)
    except OSError:
        return []


def _name_of(path: Path) -> str:
    """Return the name that a run was given, "" if none."""
    name = _read_config(path / CONFIG_FILE)[0].get("name")
    return name if isinstance(name, str) else ""


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted; nothing of one that can't be read."""
    try:
        return sorted(folder.iterdir())
    except (OSError, ValueError):
        return []


def read_run(folder: Path, pretrained: bool = False) -> tuple[Run | None, list[str]]:
    """Return the last evaluation of a run, None if it has none; and one warning for everything left out."""
    config, warnings = _read_config(folder / CONFIG_FILE)
    if not os.path.lexists(folder / EVAL_FILE):
        return None, [*warnings, f"{folder}: no evaluation yet ({EVAL_FILE} is missing), left out"]
    episodes: dict[tuple[int, int], Episode] = {}  # a resumed run may repeat an evaluation: the last one counts
    env_id = config.get("env_id")
    left_out = LeftOut(folder / EVAL_FILE)
    for number, row in _rows(folder / EVAL_FILE, warnings):
        try:
            one = _episode(row, COLUMNS)
            env_id = env_id or one.env_id
            if one.env_id != env_id:
                raise Unfit(f"its environment is {one.env_id}, but the run's is {shown(str(env_id), 200)}")
            episodes[one.agent_steps, one.episode] = one
        except Unfit as error:
            left_out.add(number, error)
    warnings += left_out.warnings
    if not episodes:
        return None, [*warnings, f"{folder}: no evaluation episode yet, left out"]
    last = max(steps for steps, _ in episodes)
    kept = [one for (steps, _), one in sorted(episodes.items()) if steps == last]
    preset = config.get("preset")
    settings, measured = config.get("config"), config.get("measured")
    return Run(
        path=folder,
        env_id=kept[0].env_id,
        agent=kept[0].player,
        seed=kept[0].seed,
        preset=shown(preset, 100) if isinstance(preset, str) else "",
        config=settings if isinstance(settings, dict) else {},
        episodes=kept,
        pretrained=pretrained,
        curve=_curve(episodes.values()),
        started_from=_started_from(config),
        notes=tuple(_training_notes(config)),
        name=shown(name, 100) if isinstance(name := config.get("name"), str) else "",
        planned_steps=_count(settings.get("total_timesteps")) if isinstance(settings, dict) else None,
        planned_episodes=_count(config.get("eval_episodes")),
        measured=tuple(shown(str(one), 100) for one in measured) if isinstance(measured, list) else (),
    ), warnings


def _count(value: Any) -> int | None:
    """Return a whole number of a file, None if it is none."""
    return value if type(value) is int and 0 <= value < 10**15 else None


def _started_from(config: dict[str, Any]) -> str:
    """Return the agent that a run started from, and its agent steps; empty if it started from random weights."""
    source = config.get("from")
    if not isinstance(source, dict):
        return ""
    steps, agent = source.get("agent_steps"), shown(str(source.get("agent"))[:1000], 100)
    return f"{agent} {steps:,}" if isinstance(steps, int) and Between(0, 10**15).holds(steps) else agent


def _training_notes(config: dict[str, Any]) -> Iterator[str]:
    """Yield what is unusual about how a run was trained: where it started from, and that it was extended."""
    if isinstance(source := config.get("from"), dict):
        path, env_id = (shown(str(source.get(name))[:1000], 200) for name in ("path", "env_id"))
        yield f"started from the network in {path} (of {env_id})"
    history = config.get("extended")
    events = [one for one in history if isinstance(one, dict)] if isinstance(history, list) else []
    if events:
        stretched = any(one.get("rescaled") for one in events)
        refilled = any(one.get("exact") is False for one in events)
        planned, total = events[0].get("from_total"), events[-1].get("to_total")
        shorter = isinstance(planned, int) and isinstance(total, int) and total < planned
        yield (
            f"planned for {shown(str(planned)[:1000], 40)} agent steps, then {'shortened' if shorter else 'extended'}"
            + (", its schedules stretched" if stretched else "")
            + (", its replay filled anew" if refilled else "")
        )


# field of an episode -> column of ``eval.csv``, and of ``humans.csv``
COLUMNS = {field.name: {"player": "agent"}.get(field.name, field.name) for field in dataclasses.fields(Episode)}
HUMAN_COLUMNS = {
    **{name: name for name in ("env_id", "episode_return", "episode_length", "protocol", "seed")},
    "player": "name",
}
OPTIONAL = {"frames", "cut"}  # columns that older files lack


def _episode(row: dict[str, str], columns: Mapping[str, str], **known: Any) -> Episode:
    """Return an episode from a table's row; `Unfit`: a cell is missing, or not what it should be."""
    hints, values = hints_of(Episode), dict(known)
    for field, column in columns.items():
        if column in row:
            values[field] = fit_cell(row[column], hints[field], column)
        elif column not in OPTIONAL:
            raise Unfit(f"column '{column}' is missing")
    return Episode(**values)


class LeftOut:
    """Warnings on the lines of a file that are left out: a few of them, and how many more there are."""

    def __init__(self, path: Path) -> None:
        self._path, self._warnings, self._count = path, list[str](), 0

    def add(self, number: int, reason: Exception) -> None:
        """Take one."""
        self._count += 1
        if self._count <= MOST_WARNINGS:
            self._warnings.append(shown(f"{self._path}, line {number}: damaged, left out ({reason})", MOST))

    @property
    def warnings(self) -> list[str]:
        """A line each."""
        more = self._count - MOST_WARNINGS
        return self._warnings + ([f"{self._path}: {more:,} more damaged lines, left out"] if more > 0 else [])


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
    hints = hints_of(Episode)
    for _, row in _rows(folder / METRICS_FILE, []):
        with contextlib.suppress(KeyError, Unfit):
            frames: int = fit_cell(row["frames"], Count, "frames")
            points[frames] = fit_cell(row["episodic_return"], hints["episode_return"], "episodic_return")
    return tuple(sorted(points.items()))


def read_humans(runs_dir: Path) -> tuple[list[Episode], list[str]]:
    """Return the episodes that humans played (``humans.csv``), and one warning for each row left out."""
    warnings: list[str] = []
    episodes: list[Episode] = []
    path = runs_dir / HUMANS_FILE
    left_out = LeftOut(path)
    for number, row in _rows(path, warnings) if os.path.lexists(path) else ():
        row = {**row, "seed": row.get("seed") or "0"}
        try:
            episodes.append(_episode(row, HUMAN_COLUMNS, agent_steps=0, episode=len(episodes), epsilon=None))
        except Unfit as error:
            left_out.add(number, error)
    return episodes, [*warnings, *left_out.warnings]


def _read_config(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the contents of ``config.json``; if it can't be read, {} and a warning: eval.csv has most of it."""
    reason = "not a JSON object"
    try:
        config = read_json(path)
        if isinstance(config, dict):
            return config, []
    except UserError as error:
        reason = str(error).removeprefix(f"{path}: ").replace("no such file", "missing")
    return {}, [shown(f"{path}: {reason}; preset and settings of this run are unknown", MOST)]


def _rows(path: Path, warnings: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (number of the line, cells) of a CSV file; a last line without a newline is still being written."""
    columns: list[str] | None = None
    try:
        for number, line in lines(path):
            if number > TABLE_LINES:
                warnings.append(f"{path}: longer than {TABLE_LINES:,} lines; the rest is left out")
                return
            if not line.endswith("\n"):
                what = "too long" if len(line) >= LINE_BYTES // 4 else "incomplete"
                warnings.append(f"{path}, line {number}: {what}, left out (the run may still be writing)")
            elif columns is None:
                columns = cells(line)
            # line by line, so that one stray quote can't swallow the rest of the file
            elif line.strip() and (found := cells(line)):
                yield number, dict(zip(columns, found, strict=False))
    except UserError as error:
        warnings.append(f"{error}; left out")
