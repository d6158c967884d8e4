"""Runs: list, show, prune and export what was trained on this machine.

Examples:
  python runs.py --state finished         the finished ones
  python runs.py show 20261127-094017     one in full: a name, its start or end
  python runs.py prune --state finished   free the disk of what resuming needs
  python runs.py export RUN               one file to send
  python runs.py track RUN --track mlflow send it to a tracker afterwards
"""

from __future__ import annotations

from common.program import end_imports, run  # first: from here on Ctrl-C ends it with one line

# isort: split
from collections.abc import Sequence

from common import cli
from experiments import managing
from experiments.run_options import Options


def main(argv: Sequence[str]) -> int:
    """Do what the command line says; return 0, or 1 where a person said no or what was exported is damaged."""
    end_imports()
    return managing.manage(cli.parse(Options, argv, prog="runs.py", description=__doc__))


if __name__ == "__main__":
    run(main)
