"""Run an ablation: train the missing runs, then write table and chart."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rich.console import Console

from common.files import write_bytes
from common.text import number_of
from experiments import ablation, ablation_chart, ablation_settings, ablation_table, plan, sweeping
from experiments.ablation import VariantRuns
from experiments.ablation_plan import Plan
from experiments.execution import Job
from experiments.training import print_line


def record(one: Plan) -> None:
    """Record settings and plan in the folder; `UserError` if it is another's."""
    ablation_settings.record_settings(one.out, one.settings)
    plan.prepare(one.runs, known=True)


def print_plan(console: Console, one: Plan, jobs: Sequence[Job]) -> None:
    """Print what is about to happen."""
    names = ", ".join(variant.name for variant in one.variants[1:])
    print_line(console, f"{one.agent} on {one.env_id}, preset {one.preset}: in full, and {names}")
    seeds = number_of(one.seeds, "seed")
    steps = number_of(one.config.total_timesteps, "agent step")
    print_line(console, f"{seeds} each: {number_of(len(jobs), 'run')} of {steps}, in {one.out}")
    sweeping.print_finished(console, jobs)


def report(console: Console, one: Plan) -> None:
    """Print the table; write the table, the episodes and the chart."""
    rows = one.runs.rows
    variants = [
        VariantRuns(
            variant.name,
            " ".join(variant.changes),
            {row.seed: row.run.finished_folder() for row in rows if row.label == variant.name},
        )
        for variant in one.variants
    ]
    found = ablation.collect(one.env_id, one.agent, one.preset, variants)
    write_bytes(one.out / "ablation.csv", ablation.as_csv(found).encode())
    chart = os.path.relpath(one.plot, one.out).replace(os.sep, "/")
    write_bytes(one.out / "ablation.md", ablation_table.as_markdown(found, chart).encode())
    ablation_chart.save(found, one.plot)
    width = console.width if console.is_terminal else None
    print("\n" + ablation_table.as_text(found, width, color=console.is_terminal))
    print_line(console, f"table: {one.out / 'ablation.md'}")
    print_line(console, f"episodes: {one.out / 'ablation.csv'}")
    print_line(console, f"chart: {one.plot}")
