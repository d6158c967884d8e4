"""Ablate: what is each part of an agent worth?

Trains the agent in full and without each part, with --seeds seeds each.

All options of train.py are accepted too: python train.py --agent rainbow --help

The same command, run again, continues where it stopped.
"""

from __future__ import annotations

from common.program import end_imports, outlive_output, run  # first: from here on Ctrl-C ends it with one line

# isort: split
from collections.abc import Sequence

from rich.console import Console

from common.commands import command
from common.lock import locked
from experiments import sweeping
from experiments.ablate import print_plan, record, report
from experiments.ablation_plan import read_command_line
from experiments.execution import Queue
from experiments.local import TRAINER, Local
from experiments.training import print_line


def main(argv: Sequence[str], trainer: Sequence[str] = TRAINER) -> int:
    """Train what is missing, then report what each part is worth.

    Args:
        argv: the command line.
        trainer: the command that trains; another one in tests.

    Returns:
        0: every run is finished; 1: a run failed; 130: stopped by Ctrl-C.
    """
    end_imports()
    plan = read_command_line(argv, description=__doc__)
    console = Console()
    outlive_output()
    record(plan)
    with locked(plan.out, sweeping.ORPHANS_SECONDS) as set_children:
        jobs = sweeping.jobs_of(plan.runs, retry=True)
        print_plan(console, plan, jobs)
        extra = [] if plan.threads is None else ["--threads", str(plan.threads)]
        engine = Local(plan.jobs, plan.out, trainer, extra, set_children)
        if not sweeping.execute(console, jobs, Queue(job for job in jobs if job.state == "waiting"), engine):
            print_line(console, "stopped; continue with")
            print_line(console, f"  {command('ablate.py', *argv)}")
            return sweeping.INTERRUPTED
        report(console, plan)
    return 0 if all(job.state == "finished" for job in jobs) else 1


if __name__ == "__main__":
    run(main)
