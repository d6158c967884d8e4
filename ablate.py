"""Ablate: what is each part of an agent worth?

Trains the agent in full and without each part, with --seeds seeds each.

All options of train.py are accepted too: python train.py --agent rainbow --help

The same command, run again, continues where it stopped.
"""

from __future__ import annotations

from common.program import interrupts_raise, run  # first: from here on Ctrl-C ends it with one line

# isort: split
import shlex
from collections.abc import Sequence

from rich.console import Console

from common.lock import locked
from experiments import ablation_runs
from experiments.ablate import TRAINER, missing_tasks, print_plan, report, train
from experiments.ablation_plan import read_command_line
from experiments.training import print_line


def main(argv: Sequence[str], trainer: Sequence[str] = TRAINER) -> int:
    """Train what is missing, then report what each part is worth.

    Args:
        argv: the command line.
        trainer: the command that trains; another one in tests.

    Returns:
        0: every run is finished; 1: a run failed; 130: stopped by Ctrl-C.
    """
    interrupts_raise()
    plan = read_command_line(argv, description=__doc__)
    console = Console()
    ablation_runs.record_settings(plan.out, plan.settings)
    with locked(plan.out) as set_children:
        tasks = missing_tasks(plan, trainer)
        print_plan(console, plan, tasks)
        if not train(plan, tasks, console, set_children):
            print_line(console, "stopped; continue with")
            print_line(console, f"  python ablate.py {shlex.join(argv)}")
            return 130
        report(console, plan)
    return 0 if all(planned.finished_folder() for _, planned in plan.runs()) else 1


if __name__ == "__main__":
    run(main, outlives_output=True)
