"""The runs on this machine: where they are, and how each of them is. Nothing here loads PyTorch."""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import psutil

from common.checked import AtMost, Name
from common.errors import UserError, suggestion
from common.lock import FILE, alive_processes
from common.reading import check_heading, checked, read_json, tensors
from common.settings import Between
from common.text import shown
from experiments import planned
from learning import states
from scores.finding import NEWEST, find_all, newest
from scores.runs import CONFIG_FILE, ENVIRONMENT, EVAL_FILE, METRICS_FILE, Run, is_run, read_run

State = Literal["running", "stopped", "killed", "finished", "damaged"]
STATES = get_args(State)
PLACES = ("runs", "sweeps", "ablations")
"""Where the programs make runs, in the current folder."""
MOST_FILES = 100_000  # of a run that is measured
FORMAT = 1
MANIFEST, WEIGHTS = "manifest.json", "network.safetensors"  # of an agent; `learning.checkpoint` loads PyTorch


@dataclasses.dataclass(frozen=True)
class About:
    """What is read of a run's ``config.json`` here."""

    env_id: Name
    agent: Name
    config: Annotated[dict[str, Any], AtMost(1_000)]
    seed: Annotated[int, Between(0, 2**32 - 1)] = 1
    preset: Name = ""
    name: Name = ""
    started: Name = ""


@dataclasses.dataclass(frozen=True)
class Status:
    """A run in a list."""

    path: Path
    env_id: str
    agent: str
    seed: int | None
    name: str
    """That it was given; empty: none."""
    steps: int
    """Agent steps so far."""
    total: int | None
    """Agent steps planned; None: unknown."""
    score: float | None
    """Mean return of the last evaluation; None: there was none."""
    state: State
    why: str
    """What is damaged; empty: nothing."""
    can_resume: bool
    bytes: int
    started: float
    """Seconds since 1970; of a run that does not say, its last change."""

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return max(time.time() - self.started, 0.0)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        started = datetime.fromtimestamp(self.started).astimezone().isoformat(timespec="seconds")
        return {**dataclasses.asdict(self), "path": str(self.path), "started": started}


def find(word: str, known: Sequence[Path], also: Sequence[str] = ()) -> list[Path]:
    """Return the runs that a word means: a path, "newest", a pattern of names, or the beginning or end of one's name.

    Raises:
        UserError: there is none.
    """
    if os.path.isdir(word):
        path = Path(os.path.normpath(word))
        if is_run(path):
            return [path]
        if found := find_all([path]):
            return found
    if word == NEWEST:
        if (run := newest(known)) is None:
            raise UserError(f"no run '{NEWEST}'; there is none here yet")
        return [run]
    if found := [path for path in known if word in (path.name, planned_name(path))]:
        return found
    matches = [path for path in known if fnmatch.fnmatchcase(path.name, word)]
    if found := matches or [path for path in known if path.name.endswith(word) or path.name.startswith(word)]:
        return found
    hint = suggestion(word, [*also, *(path.name for path in known)]) if known else "there are none here"
    if ENVIRONMENT.fullmatch(word) and not hint.startswith("did you mean"):  # a run may be called best-v2
        hint = f"those of an environment: python runs.py --env-id {shown(word, 80)}"
    raise UserError(f"no run '{shown(word, 80)}'; {hint}")


def find_one(word: str, option: str, known: Sequence[Path], also: Sequence[str] = ()) -> Path:
    """Return the run that an option of another program names, by the words that `find` takes.

    Args:
        word: what was given.
        option: for messages.
        known: the runs that may be meant; a folder may be another one.
        also: names that would be accepted too.

    Raises:
        UserError: there is none, or there are several.
    """
    if os.path.exists(word):  # whoever reads it says what is wrong with it
        return Path(word)
    try:
        found = find(word, known)
    except UserError:
        names = [*(path.name for path in known), *also, *([NEWEST] if known else [])]
        hint = suggestion(word, names) if word != NEWEST and names else "there is none here yet"
        raise UserError(f"{option} {shown(word, 80)}: no such run; {hint}") from None
    if len(found) > 1:
        few = ", ".join(path.name for path in found[:3])
        raise UserError(f"{option} {shown(word, 80)}: one run is needed, and this means {len(found)}: {few}")
    return found[0]


def planned_name(path: Path) -> str:
    """Return the name that a run was given by --name; empty: none."""
    with suppress(UserError):
        return _about(path).name
    return ""


def status_of(path: Path) -> Status:
    """Return how a run is; whatever is wrong with its files makes it a damaged one."""
    about, why = About("", "", {}), ""
    try:
        about = _about(path)
        _check_agent(path / "agent")
        for name in (METRICS_FILE, EVAL_FILE):
            check_heading(path / name, "agent_steps")
    except UserError as error:
        why = str(error).removeprefix(f"{path}{os.sep}")
    run, _ = read_run(path)
    total = about.config.get("total_timesteps")
    total = total if type(total) is int and 0 <= total < 10**15 else None
    steps = _steps(path, run)
    state = _state(path, run, why)
    return Status(
        path=path,
        env_id=about.env_id or (run.env_id if run else ""),
        agent=about.agent or (run.agent if run else ""),
        seed=about.seed if about.env_id else (run.seed if run else None),
        name=about.name,
        steps=steps,
        total=total,
        score=statistics.fmean(one.episode_return for one in run.episodes) if run else None,
        state=state,
        why=why,
        can_resume=state in ("stopped", "killed") and not why and states.exists(path / "state"),
        bytes=size_of(path),
        started=_started(path, about.started),
    )


def _about(path: Path) -> About:
    file = path / CONFIG_FILE
    value = read_json(file)
    if isinstance(value, dict) and value.get("format", FORMAT) != FORMAT:
        raise UserError(f"{file}: format {shown(str(value['format']), 40)} is not known")
    about: About = checked(file, value, About)
    return about


def _check_agent(folder: Path) -> None:
    """Raise `UserError` if an agent is there and its files are damaged, as far as their heads tell."""
    if os.path.lexists(folder / MANIFEST):
        read_json(folder / MANIFEST)
        tensors(folder / WEIGHTS)


def _state(path: Path, run: Run | None, why: str) -> State:
    if processes(path):
        return "running"
    if why:
        return "damaged"
    if run is not None and run.planned_steps is not None and run.finished:
        return "finished"
    return "killed" if os.path.exists(path / "live" / FILE) else "stopped"


def processes(path: Path) -> list[int]:
    """Return the processes of this machine that train a run."""
    try:
        return alive_processes(path / "live" / FILE)
    except (UserError, OSError, psutil.Error, ValueError):
        return []


def _steps(path: Path, run: Run | None) -> int:
    text = planned.last_row(path).get("agent_steps", "")
    logged = int(text) if text.isdecimal() and len(text) < 16 else 0
    return max(logged, run.agent_steps if run else 0)


def _started(path: Path, text: str) -> float:
    with suppress(ValueError, OverflowError):
        return datetime.fromisoformat(text).timestamp()
    for file in (path / CONFIG_FILE, path):
        with suppress(OSError):
            return file.stat().st_mtime
    return 0.0


def size_of(folder: Path) -> int:
    """Return the bytes of all files in a folder; links are not followed."""
    total, found, waiting = 0, 0, [folder]
    while waiting and found < MOST_FILES:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                found += 1
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                else:
                    with suppress(OSError):  # it was renamed meanwhile
                        total += entry.stat(follow_symlinks=False).st_size
    return total
