"""Sweep: many runs at once, on this machine, on a Ray cluster, or by Slurm; `--help` lists all options."""

from __future__ import annotations

from common.program import end_imports, run  # first: from here on Ctrl-C ends it with one line

# isort: split
from collections.abc import Sequence

from experiments import sweeping


def main(argv: Sequence[str]) -> int:
    """Run all that the command line plans, and report; return 0, 1 when a run failed, 130 when stopped by Ctrl-C."""
    end_imports()
    return sweeping.main(argv)


if __name__ == "__main__":
    run(main)
