"""Run an ablation: train the missing runs, then write table and chart."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from rich.console import Console

from common import imports
from common.files import ROOT, write_bytes
from common.text import time_text
from experiments import ablation, ablation_chart, ablation_runs, ablation_table
from experiments.ablation import VariantRuns
from experiments.ablation_plan import Plan
from experiments.ablation_runs import PlannedRun
from experiments.pool import Pool, Task, last_line
from experiments.pool_display import display
from experiments.training import print_line
from experiments.variants import Variant
from scores.runs import read_run

TRAINER = (sys.executable, str(ROOT / "train.py"))


def missing_tasks(plan: Plan, trainer: Sequence[str]) -> list[Task]:
    """Return the trainings that are missing; runs that cannot be resumed are moved out of their way."""
    tasks = []
    for variant, run in plan.runs():
        run.folder.mkdir(parents=True, exist_ok=True)
        run.move_broken(plan.out / ablation_runs.BROKEN)
        state, path = run.find()
        if state == "finished":
            continue
        # many runs, none of which is extended: their states would fill the disk
        kept = ["--keep-state", "no"]
        words = [*variant.words, "--seed", str(run.seed), "--runs-dir", str(run.folder), *kept]
        if state == "stopped":
            words = ["--resume", str(path), *imports.words()]
        progress = partial(run.progress, plan.config.total_timesteps)  # a --budget may change the total
        tasks.append(Task(task_name(variant, run), [*trainer, *words], run.log, progress))
    return tasks


def task_name(variant: Variant, run: PlannedRun) -> str:
    """Return the name under which a run is reported."""
    return f"{variant.name}, seed {run.seed}"


def print_plan(console: Console, plan: Plan, tasks: Sequence[Task]) -> None:
    """Print what is about to happen."""
    runs = len(plan.variants) * plan.seeds
    names = ", ".join(one.name for one in plan.variants[1:])
    print_line(console, f"{plan.agent} on {plan.env_id}, preset {plan.preset}: in full, and {names}")
    seeds = f"{plan.seeds} seeds" if plan.seeds > 1 else "one seed"
    steps = f"{plan.config.total_timesteps:,} agent steps"
    print_line(console, f"{seeds} each: {runs} runs of {steps}, in {plan.out}")
    if len(tasks) < runs:
        print_line(console, f"{runs - len(tasks)} of them are already finished")


def outcome(runs: Mapping[str, PlannedRun], task: Task) -> str:
    """Return one line on how a training ended; ``runs`` maps the tasks' names to their runs."""
    if task.exit_code == 0 and (path := runs[task.name].finished_folder()) and (found := read_run(path)[0]):
        return f"{task.name}: mean score {ablation.mean_score(found):.2f}, {time_text(task.seconds)}"
    if task.exit_code == 130:
        return f"{task.name}: stopped"
    return f"{task.name}: FAILED ({last_line(task.log) or f'exit status {task.exit_code}'}); see {task.log}"


def train(plan: Plan, tasks: Sequence[Task], console: Console, set_children: Callable[[list[int]], None]) -> bool:
    """Run the trainings; return True when all of them ended, with or without errors, and False when stopped."""
    if not tasks:
        return True
    runs = {task_name(variant, run): run for variant, run in plan.runs()}
    with display(console, tasks, partial(outcome, runs)) as observer:
        return Pool(plan.jobs, observer, set_children).run(tasks)


def report(console: Console, plan: Plan) -> None:
    """Print the table; write the table, the episodes and the chart."""
    runs = plan.runs()
    variants = [
        VariantRuns(
            one.name,
            " ".join(one.changes),
            {run.seed: run.finished_folder() for variant, run in runs if variant is one},
        )
        for one in plan.variants
    ]
    found = ablation.collect(plan.env_id, plan.agent, plan.preset, variants)
    write_bytes(plan.out / "ablation.csv", ablation.as_csv(found).encode())
    chart = os.path.relpath(plan.plot, plan.out).replace(os.sep, "/")
    write_bytes(plan.out / "ablation.md", ablation_table.as_markdown(found, chart).encode())
    ablation_chart.save(found, plan.plot)
    width = console.width if console.is_terminal else None
    print("\n" + ablation_table.as_text(found, width, color=console.is_terminal))
    print_line(console, f"table: {plan.out / 'ablation.md'}")
    print_line(console, f"episodes: {plan.out / 'ablation.csv'}")
    print_line(console, f"chart: {plan.plot}")
