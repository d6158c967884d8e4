"""Ablate: what is each part of a recipe worth here? Trains it in full and without each part, `--seeds` times each.

All options of train.py are understood too, and go to every run, e.g. --total-timesteps, --preset, --gamma;
`python train.py --agent rainbow --help` lists them. Started again with the same words, it goes on where it was.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console

import train
from common import cli
from common.errors import UserError, nearest
from common.files import write_bytes
from common.lock import locked
from common.settings import Between, option_name
from common.text import time_text
from experiments import ablation, ablation_chart, ablation_runs, ablation_table
from experiments.ablation_runs import Slot
from experiments.pool import Pool, Task, last_line
from experiments.pool_display import shown
from experiments.variants import Variant, chosen_parts, typed, variants
from learning.config import LearnerConfig
from learning.runfolder import as_json
from scores import chart
from scores.runs import read_run

TRAINER = (sys.executable, str(Path(train.__file__).resolve()))
# what would change the plan itself, and what to say instead
NOT_PASSED_ON = {
    "seed": "seeds 1 to N are trained: --seeds N",
    "runs_dir": "--out says where all goes",
    "resume": "started again with the same words, stopped runs go on",
    "list": "python train.py --list shows all agents and switches",
    "watch": "python play.py --attach newest shows the run that trains now",
}
# of the run's options those that every run gets as they were given; threads only change how fast it is
PASSED_ON = ("budget", "device", "threads", "evaluations", "eval_episodes")
COMPARED = ("agent", "preset", "budget", "device", "evaluations", "eval_episodes")


@dataclasses.dataclass(frozen=True)
class Options:
    """What is trained how often, and where it goes."""

    seeds: Annotated[int, Between(1, 1000)] = 3
    """Seeds 1 to this are trained for each variant."""
    parts: str | None = None
    """Leave out only these parts, e.g. double,noisy; by default each part of the agent, one at a time."""
    out: Path | None = None
    """Folder of runs, table and chart; by default ablations/<env>__<agent>."""
    jobs: Annotated[int, Between(1, 64)] = 1
    """Trainings at a time; with more than one each gets one CPU thread unless --threads says otherwise."""
    plot: Path | None = None
    """The chart: .png, .pdf or .svg; by default ablation.png in the folder."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that is to be trained, resolved."""

    env_id: str
    agent: str
    preset: str
    config: LearnerConfig
    settings: dict[str, Any]
    """With which another start in the same folder must agree, as JSON's types."""
    variants: list[Variant]
    seeds: int
    jobs: int
    out: Path
    plot: Path

    def slots(self) -> list[tuple[Variant, Slot]]:
        """Return the place of every run: all variants with seed 1 first, so that a part of it all tells something."""
        seeds = range(1, self.seeds + 1)
        return [(one, Slot(self.out / one.folder, seed)) for seed in seeds for one in self.variants]


def main(argv: Sequence[str], trainer: Sequence[str] = TRAINER) -> int:
    """Train what is missing, then show what each part is worth.

    Args:
        argv: the command line.
        trainer: the command that trains; another one in tests.

    Returns:
        0: all is trained; 1: a run failed; 130: stopped by Ctrl-C.
    """
    plan = planned(argv)
    console = Console()
    ablation_runs.begin(plan.out, plan.settings)
    with locked(plan.out) as claim:
        tasks = todo(plan, trainer)
        tell(console, plan, tasks)
        if not run(plan, tasks, console, claim):
            console.print("stopped; go on with", highlight=False)
            console.print(f"  python ablate.py {shlex.join(argv)}", soft_wrap=True, highlight=False, markup=False)
            return 130
        report(console, plan)
    return 0 if all(slot.result() for _, slot in plan.slots()) else 1


def planned(argv: Sequence[str]) -> Plan:
    """Return what the command line asks for, all of it checked."""
    if {"-h", "--help"} & set(argv):
        cli.parse(Options, ["--help"], prog="ablate.py [ENV] --agent NAME", description=__doc__)
    own, theirs = split(argv)
    options = cli.parse(Options, own, prog="ablate.py", description=__doc__)
    check_names(theirs)
    asked, config = train.read_command_line(theirs)
    given = dict.fromkeys(train.given(theirs))
    passed = {name: getattr(asked, name) for name in PASSED_ON if name in given}
    if options.jobs > 1:
        passed.setdefault("threads", 1)
    base = [asked.env_id, *typed({"agent": asked.agent, "preset": asked.preset, **passed})]
    own_settings = {field.name for field in dataclasses.fields(config)}
    parts = chosen_parts(asked.agent, asked.preset, config, asked.env_id, options.parts)
    lines = variants(base, config, [name for name in given if name in own_settings], parts)
    if options.plot is not None:
        chart.check_path(options.plot)
    out = options.out or Path("ablations") / f"{asked.env_id.replace('/', '-')}__{asked.agent}"
    settings = {"env_id": asked.env_id, **{name: getattr(asked, name) for name in COMPARED}, **as_json(config)}
    plot = options.plot or out / "ablation.png"
    return Plan(
        asked.env_id, asked.agent, asked.preset, config, settings, lines, options.seeds, options.jobs, out, plot
    )


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words that are this program's own, and those that are train.py's."""
    names = {option_name(field.name) for field in dataclasses.fields(Options)}
    own: list[str] = []
    theirs: list[str] = []
    words = iter(argv)
    for word in words:
        if word.split("=")[0] not in names:
            theirs.append(word)
        elif "=" in word:
            own.append(word)
        else:
            own += [word, *(value for value in [next(words, None)] if value is not None)]
    return own, theirs


def check_names(theirs: Sequence[str]) -> None:
    """Raise `UserError` for options that nobody knows, or that an ablation sets itself."""
    fields = [*dataclasses.fields(train.RunOptions), *dataclasses.fields(train.any_settings())]
    known = {field.name for field in fields} | set(NOT_PASSED_ON)
    for name in train.given(theirs):
        if name in NOT_PASSED_ON:
            raise UserError(f"{option_name(name)} is not for an ablation; {NOT_PASSED_ON[name]}")
        if name not in known:
            spelt = [option_name(one) for one in (*known, *(field.name for field in dataclasses.fields(Options)))]
            raise UserError(f"unknown option '{option_name(name)}'; did you mean {nearest(option_name(name), spelt)}?")


def todo(plan: Plan, trainer: Sequence[str]) -> list[Task]:
    """Return the trainings that are missing; what can't go on is moved out of their way."""
    tasks = []
    for variant, slot in plan.slots():
        slot.folder.mkdir(parents=True, exist_ok=True)
        slot.clear(plan.out / ablation_runs.BROKEN)
        state, path = slot.find()
        if state == "finished":
            continue
        words = [*variant.words, "--seed", str(slot.seed), "--runs-dir", str(slot.folder)]
        if state == "stopped":
            words = ["--resume", str(path)]
        progress = partial(slot.progress, plan.config.total_timesteps)  # of which a budget may make another number
        tasks.append(Task(task_name(variant, slot), [*trainer, *words], slot.log, progress))
    return tasks


def task_name(variant: Variant, slot: Slot) -> str:
    """Return what a person reads of a run."""
    return f"{variant.name}, seed {slot.seed}"


def tell(console: Console, plan: Plan, tasks: Sequence[Task]) -> None:
    """Say what is about to happen."""
    runs = len(plan.variants) * plan.seeds

    def line(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False, markup=False)

    names = ", ".join(one.name for one in plan.variants[1:])
    line(f"{plan.agent} on {plan.env_id}, preset {plan.preset}: in full, and {names}")
    seeds = f"{plan.seeds} seeds" if plan.seeds > 1 else "one seed"
    line(f"{seeds} each: {runs} runs of {plan.config.total_timesteps:,} agent steps, in {plan.out}")
    if len(tasks) < runs:
        line(f"{runs - len(tasks)} of them are finished already")


def outcome(slots: Mapping[str, Slot], task: Task) -> str:
    """Return how a training ended, in a line; ``slots`` are the places of the runs by their tasks' names."""
    if task.code == 0 and (path := slots[task.name].result()) and (found := read_run(path)[0]):
        return f"{task.name}: mean score {ablation.mean_score(found):.2f}, {time_text(task.seconds)}"
    if task.code == 130:
        return f"{task.name}: stopped"
    return f"{task.name}: FAILED ({last_line(task.log) or f'exit status {task.code}'}); see {task.log}"


def run(plan: Plan, tasks: Sequence[Task], console: Console, claim: Callable[[list[int]], None]) -> bool:
    """Train; return whether it came to its end, with or without faults, and was not stopped."""
    if not tasks:
        return True
    slots = {task_name(variant, slot): slot for variant, slot in plan.slots()}
    with shown(console, tasks, partial(outcome, slots)) as watcher:
        return Pool(plan.jobs, watcher, claim).run(tasks)


def report(console: Console, plan: Plan) -> None:
    """Print the table; write it, the episodes and the chart."""
    asked = [
        ablation.Asked(
            one.name,
            " ".join(one.changes),
            {slot.seed: slot.result() for other, slot in plan.slots() if other is one},
        )
        for one in plan.variants
    ]
    found = ablation.gather(plan.env_id, plan.agent, plan.preset, asked)
    write_bytes(plan.out / "ablation.csv", ablation.as_csv(found).encode())
    picture = os.path.relpath(plan.plot, plan.out).replace(os.sep, "/")
    write_bytes(plan.out / "ablation.md", ablation_table.as_markdown(found, picture).encode())
    ablation_chart.save(found, plan.plot)
    width = console.width if console.is_terminal else None
    print("\n" + ablation_table.as_text(found, width, color=console.is_terminal))
    for what, path in (("table", "ablation.md"), ("episodes", "ablation.csv")):
        console.print(f"{what}: {plan.out / path}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"chart: {plan.plot}", soft_wrap=True, highlight=False, markup=False)


if __name__ == "__main__":
    cli.run(main)
