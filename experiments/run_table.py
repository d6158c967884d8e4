"""Runs as people read them: a table for a terminal, one run in full, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from common.commands import command
from common.errors import UserError
from common.reading import read_json
from common.text import number_of, shown, significant, time_text
from experiments.planned import wall_seconds
from experiments.run_status import STATES, Status
from scores.runs import CONFIG_FILE, read_run
from scores.stats import student_interval

STYLES = {"running": "green", "stopped": "yellow", "killed": "yellow", "finished": "", "damaged": "red"}
DAY = 86_400.0


def size_text(count: float) -> str:
    """Return bytes in words: ``3.1 GB``."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.{1 if count < 9.95 * size else 0}f} {unit}"
    return f"{count:.0f} B"


def age_text(seconds: float) -> str:
    """Return an age in words: ``3 days``."""
    for unit, size in (("days", DAY), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def count_text(count: int | None) -> str:
    """Return a number of steps in few characters: ``800k``, ``1.25M``."""
    if count is None:
        return "?"
    for unit, size in (("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{significant(count / size)}{unit}"
    return str(count)


def steps_text(run: Status) -> str:
    """Return how many agent steps a run has, and of how many while it is not finished."""
    if run.total is None or run.steps >= run.total:
        return count_text(run.steps)
    return f"{count_text(run.steps)} of {count_text(run.total)}"


def labels(runs: Sequence[Status]) -> list[str]:
    """Return for each run the shortest end of its name that is no other's, in whole parts: its time, mostly."""
    names = [run.path.name.split("__") for run in runs]
    found = []
    for parts in names:
        for length in range(1, len(parts) + 1):
            if sum(other[-length:] == parts[-length:] for other in names) == 1:
                break
        found.append("__".join(parts[-length:]))
    return found


def short_env(env_id: str) -> str:
    """Return an environment's name without its package."""
    return env_id.split("/")[-1]


def table(runs: Sequence[Status]) -> RenderableType:
    """Return the table of runs, and a line with their number and size."""
    found = Table(box=None, padding=(0, 1), pad_edge=False)
    for title in ("run", "environment", "agent", "seed", "steps", "score", "state", "size", "age"):
        right = title in ("seed", "steps", "score", "size", "age")
        found.add_column(
            title,
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis" if title in ("environment", "agent") else "fold",
        )
    for run, label in zip(runs, labels(runs), strict=True):
        found.add_row(
            Text(shown(run.name or label, 60)),
            Text(shown(short_env(run.env_id), 60) or "?"),
            Text(shown(run.agent, 40) or "?"),
            "" if run.seed is None else str(run.seed),
            steps_text(run),
            "-" if run.score is None else significant(run.score, 4),
            Text(run.state, STYLES[run.state]),
            size_text(run.bytes),
            age_text(run.age),
        )
    return Group(found, Text(), Text(summary(runs)))


def summary(runs: Sequence[Status]) -> str:
    """Return in a line how many runs there are, in which states, and how large."""
    counts = Counter(run.state for run in runs)
    states = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    many = f"{number_of(len(runs), 'run')}"
    return f"{many}: {states}; {size_text(sum(run.bytes for run in runs))}"


def as_json(runs: Sequence[Status]) -> str:
    """Return the runs as a list of objects."""
    return json.dumps([run.as_dict() for run in runs], indent=2)


def as_csv(runs: Sequence[Status]) -> str:
    """Return the runs as a table with a line each."""
    text = io.StringIO()
    rows = [run.as_dict() for run in runs]
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["path"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().rstrip("\n")


# ------------------------------------------------------------------ one run


def details(run: Status) -> RenderableType:
    """Return all that its files say of a run: what it is, its evaluations, its settings, what can be done with it."""
    try:
        about: Any = read_json(run.path / CONFIG_FILE)
    except UserError:
        about = {}
    about = about if isinstance(about, dict) else {}
    grid = Table.grid(padding=(0, 2))
    for title, value in _facts(run, about):
        grid.add_row(Text(title, "bold"), Text(shown(value, 300)))
    parts: list[RenderableType] = [grid]
    if curve := _evaluations(run):
        parts += [Text(), curve]
    if isinstance(settings := about.get("config"), dict):
        words = ", ".join(f"{key} {json.dumps(value)}" for key, value in settings.items())
        parts += [Text(), Text("settings", "bold"), Text(shown(words, 4_000))]
    commands = "\n".join(f"{title:<10}{command}" for title, command in next_commands(run))
    return Group(*parts, Text(), Text(commands))


def _facts(run: Status, about: dict[str, Any]) -> Iterable[tuple[str, str]]:
    yield "run", str(run.path)
    if run.name:
        yield "name", run.name
    preset = f", preset {about['preset']}" if about.get("preset") else ""
    yield "agent", f"{run.agent or '?'}{preset}, seed {'?' if run.seed is None else run.seed}"
    yield "environment", run.env_id or "?"
    yield "state", run.state + (f": {run.why}" if run.why else ", can be resumed" if run.can_resume else "")
    of = "" if run.total is None else f" of {run.total:,}"
    seconds = wall_seconds(run.path)
    yield "agent steps", f"{run.steps:,}{of}" + (f", in {time_text(seconds)}" if seconds else "")
    found, warnings = read_run(run.path)
    if found is not None:
        interval = student_interval([one.episode_return for one in found.episodes])
        bounds = f", 95 % interval {' to '.join(significant(end, 4) for end in interval.ci95)}" if interval.ci95 else ""
        yield "score", f"{significant(interval.mean, 4)} over {number_of(len(found.episodes), 'episode')}{bounds}"
        yield "protocol", found.episodes[0].protocol
        for note in found.notes:
            yield "note", note
    for warning in warnings if run.state == "damaged" else ():
        yield "warning", warning
    yield "started", f"{about.get('started') or '?'} ({age_text(run.age)} ago)"
    threads = about.get("threads")
    where = f", {number_of(threads, 'thread')}" if isinstance(threads, int) else ""
    yield "computed by", f"{about.get('engine', 'torch')} engine, {about.get('device', '?')}{where}"
    yield "commit", str(about.get("commit") or "?")
    if isinstance(versions := about.get("versions"), dict):
        yield "versions", ", ".join(f"{key} {value}" for key, value in versions.items())
    yield "size", size_text(run.bytes)


def _evaluations(run: Status) -> RenderableType | None:
    """Return the mean return of every evaluation, as bars from the lowest to the highest."""
    found, _ = read_run(run.path)
    if found is None or len(found.curve) < 2:
        return None
    grid = Table.grid(padding=(0, 2))
    grid.add_row(Text("frames", "bold"), Text("mean return", "bold"), "")
    low, high = min(value for _, value in found.curve), max(value for _, value in found.curve)
    for frames, value in found.curve:
        share = (value - low) / (high - low) if high > low else 1.0
        numbers = (Text(text, justify="right") for text in (f"{frames:,}", significant(value, 4)))
        grid.add_row(*numbers, "█" * round(24 * share))
    return grid


def next_commands(run: Status) -> Iterable[tuple[str, str]]:
    """Yield what can be done with a run, and the command for it."""
    if run.state == "running":
        yield "watch it", command("play.py", "--attach", run.path)
    elif run.can_resume:
        yield "go on", command("train.py", "--resume", run.path)
    if (run.path / "agent").is_dir():
        yield "play", command("play.py", run.path)
        yield "share", command("share.py", "push", run.path, "OWNER/NAME")
    yield "pack", command("runs.py", "export", run.path)


def print_runs(runs: Sequence[Status], form: str, console: Console) -> None:
    """Print runs as a table, JSON or CSV."""
    if form == "table":
        console.print(table(runs))
    else:
        print(as_json(runs) if form == "json" else as_csv(runs))
