"""Whether a run reproduces: its first steps again, from its settings and seed, compared bit for bit."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from common.errors import UserError
from common.tail import Tail
from common.text import number_of
from common.waiting import waiting
from experiments import starting
from experiments.resuming import plan_of
from experiments.training import print_line
from learning import fingerprints
from learning.plan import Plan
from learning.runfolder import RunFolder, provenance
from learning.trainer import LOGS_PER_RUN, Trainer

STEPS = 10_000  # agent steps that are repeated at least, unless others are asked for
TIMES = ("wall_s", "sps", "acting", "environment", "learning")  # columns that differ every time


class Silent:
    """A watcher that shows nothing."""

    def progress(self, row: dict[str, Any]) -> None:
        """Show nothing."""

    def pulse(self, row: dict[str, Any]) -> None:
        """Show nothing."""

    def evaluating(self, finished: int, episodes: int, left: float) -> None:
        """Show nothing."""

    def evaluated(self, agent_steps: int, results: list[Any]) -> None:
        """Show nothing."""


@dataclass
class Comparison:
    """Two runs up to an agent step."""

    rows: int = 0
    evaluations: int = 0
    fingerprints: int = 0
    differences: list[tuple[int, str]] = field(default_factory=list)
    """At which agent step, and what."""

    @property
    def counted(self) -> str:
        """What was compared, in words."""
        return (
            f"{number_of(self.fingerprints, 'checksum')} of the weights, {number_of(self.rows, 'row')} of metrics,"
            f" {number_of(self.evaluations, 'episode')} of evaluation"
        )


def verify(path: Path, console: Console, steps: int | None = None) -> bool:
    """Repeat a run's first agent steps in a temporary folder, print whether they are the same; return that.

    Args:
        path: the run's folder.
        console: to print to.
        steps: how many; None: 10,000, or as many as the first comparison after learning began takes.

    Raises:
        UserError: the run can't be repeated here, or there is nothing to compare.
    """
    folder = RunFolder(path)
    about = folder.config
    if about.get("actors") is not None:
        raise UserError(f"{path}: a run of actors on a cluster is not repeated bit for bit: nothing to verify")
    plan, most = original(folder)
    torch.set_num_threads(about["threads"])
    torch.set_flush_denormal(True)
    if torch.device(plan.device).type != "cpu":
        print_line(console, f"note: on {plan.device} a run is the same to rounding only")
    recorded = last_step(folder)
    steps = min(max(STEPS, first_comparison(folder, plan)) if steps is None else steps, most, recorded)
    total = plan.config.total_timesteps
    print_line(console, f"repeating the first {steps:,} of {total:,} agent steps of {path}")
    with tempfile.TemporaryDirectory(prefix="tidepool-verify-") as place:
        again = repeated(folder, plan, steps, Path(place))
        found = compared(folder, again, steps)
        if not (found.rows or found.evaluations or found.fingerprints):
            raise UserError(f"{path}: there is nothing to compare in its first {steps:,} agent steps; take more")
        if not found.differences:
            print_line(console, f"it reproduces bit for bit: {found.counted} are the same")
            return True
        third = repeated(folder, plan, steps, Path(place))
        own = compared(again, third, steps)
    at, what = min(found.differences)
    print_line(console, f"it does not reproduce: {len(found.differences)} differences; compared were {found.counted}")
    print_line(console, f"the first one is at {at:,} agent steps: {what}")
    for line in changed(about):
        print_line(console, f"differs from when it was trained: {line}")
    if own.differences:
        at, what = min(own.differences)
        print_line(
            console,
            f"two repetitions here differ too, at {at:,} agent steps ({what}): the environment's episodes are not"
            " decided by their seeds and actions, or the device rounds differently each time",
        )
    else:
        print_line(console, "two repetitions here are the same, bit for bit")
    return False


def original(folder: RunFolder) -> tuple[Plan, int]:
    """Return a run's plan as it was at the start, and how many agent steps it was so for.

    A run that was extended had other schedules' ends; one that a window changed can't be repeated from there on.
    """
    plan, most = plan_of(folder), 10**12
    extensions = folder.config.get("extended")
    if isinstance(extensions, list) and extensions:
        for event in reversed(extensions):
            before, after, most = int(event["from_total"]), int(event["to_total"]), int(event["at"])
            asked = plan.config.schedule_timesteps
            if event.get("rescaled") and asked is not None:
                asked = round(asked * before / after)
            config = replace(plan.config, total_timesteps=before, schedule_timesteps=asked)
            plan = replace(plan, config=config, evaluations=max(round(plan.evaluations * before / after), 1))
    changes = [row for row in Tail(folder.path / "events.csv").rows() if not row.get("refused")]
    if changes:
        most = min(most, int(changes[0]["agent_steps"]) - 1)
    return replace(plan, keep_state="no"), most


def last_step(folder: RunFolder) -> int:
    """Return up to which agent step there is something to compare with."""
    rows = [_whole(row.get("agent_steps")) for row in Tail(folder.path / "metrics.csv").rows()]
    return max([*rows, *(int(steps) for steps in fingerprints.read(folder.path))], default=0)


def first_comparison(folder: RunFolder, plan: Plan) -> int:
    """Return the first agent step at which what was learnt can be compared."""
    learnt = [int(steps) for steps, one in fingerprints.read(folder.path).items() if _whole(one.get("updates"))]
    rows = [_whole(row["agent_steps"]) for row in Tail(folder.path / "metrics.csv").rows() if row.get("td_loss")]
    return min([*learnt, *rows], default=plan.config.total_timesteps // LOGS_PER_RUN)


def repeated(folder: RunFolder, plan: Plan, steps: int, place: Path) -> RunFolder:
    """Return the folder of a repetition of a run's first agent steps."""
    again = RunFolder.create(place, plan.env_id, plan.recipe.name, plan.seed, {})
    trainer = Trainer(plan, again)
    trainer.until = steps
    if source := folder.config.get("from"):
        found = starting.find(Path(str(source["path"])), folder.path.parent)
        if found.manifest["sha256"] != source["sha256"]:
            raise UserError(f"{folder.path}: it started from {found.folder}, which holds other weights now")
        trainer.start_from(starting.weights_for(found, plan))
    with waiting(lambda: f"repeating: {trainer.agent_steps:,} of {steps:,} agent steps"):
        trainer.run(Silent())
    return again


def compared(one: RunFolder, other: RunFolder, steps: int) -> Comparison:
    """Return the comparison of two runs up to an agent step."""
    found = Comparison()
    for name, keys in (("metrics.csv", ("agent_steps", "eval_return")), ("eval.csv", ("agent_steps", "episode"))):
        mine, theirs = (_rows(folder.path / name, keys, steps) for folder in (one, other))
        count = len(mine.keys() & theirs.keys())
        if name == "eval.csv":
            found.evaluations = count
        else:
            found.rows = count
        for key in mine.keys() | theirs.keys():
            at = key[0]
            if key not in mine or key not in theirs:
                found.differences.append((at, f"a row of {name} is missing"))
            elif columns := [
                f"{column} {mine[key][column] or 'blank'} then, {value or 'blank'} now"
                for column, value in theirs[key].items()
                if column in mine[key] and mine[key][column] != value
            ]:
                found.differences.append((at, ", ".join(columns[:3])))
    prints, again = fingerprints.read(one.path), fingerprints.read(other.path)
    for mark in prints.keys() & again.keys():
        found.fingerprints += 1
        if parts := [part for part, value in again[mark].items() if prints[mark].get(part) != value]:
            found.differences.append((int(mark), f"other {' and '.join(parts)}"))
    return found


def _rows(path: Path, keys: tuple[str, str], steps: int) -> dict[tuple[int, str], dict[str, str]]:
    """Return a file's rows up to an agent step, without times, by what tells them apart."""
    found = {}
    for row in Tail(path).rows():
        at = _whole(row.get("agent_steps"))
        if 0 <= at <= steps:
            second = row.get(keys[1]) or ""
            key = at, str(bool(second)) if keys[1] == "eval_return" else second
            found[key] = {name: value for name, value in row.items() if name not in TIMES}
    return found


def _whole(text: Any) -> int:
    """Return a whole number of a file; -1: it is none."""
    return int(text) if str(text).isdecimal() and len(str(text)) < 16 else -1


def changed(about: dict[str, Any]) -> list[str]:
    """Return what of the provenance is not as it was, a line each."""
    now = provenance(str(about["device"]), int(about["threads"]))
    lines = []
    for name in ("commit", "processor", "threads", "device"):
        if about.get(name) != now[name]:
            lines.append(f"{name} {about.get(name, 'unknown')}, now {now[name]}")
    for group in ("versions", "hardware"):
        before = about.get(group)
        before = before if isinstance(before, dict) else {}
        lines += [
            f"{name} {before.get(name, 'unknown')}, now {value}"
            for name, value in now[group].items()
            if before.get(name) != value
        ]
    return lines or ["nothing: versions, threads and processor are the same"]
