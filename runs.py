"""Runs: list, show, prune and export what was trained on this machine.

python runs.py --state finished                 the finished runs
python runs.py show 20261127-094017             one in full: a name, or how it begins or ends
python runs.py prune --state finished           free the disk of what only resuming needs
python runs.py export RUN                       one file to send
"""

from __future__ import annotations

from common.program import interrupts_raise, run  # first: from here on Ctrl-C ends it with one line

# isort: split
from collections.abc import Sequence

from common import cli
from experiments import managing
from experiments.run_options import Options


def main(argv: Sequence[str]) -> int:
    """Do what the command line says; return 0, or 1 where a person said no."""
    interrupts_raise()
    return managing.manage(cli.parse(Options, argv, prog="runs.py", description=__doc__))


if __name__ == "__main__":
    run(main)
