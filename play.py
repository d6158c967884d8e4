"""Watch an agent play or learn, take over, or play a scored episode yourself; films need no screen."""

from __future__ import annotations

from common.program import run  # first: from here on Ctrl-C ends it with one line

# isort: split
from collections.abc import Sequence

from viewer import modes
from viewer.options import read_command_line


def main(argv: Sequence[str]) -> int:
    """Play as the command line says; return 0, or 128 + the number of the signal that ended it: 130 for Ctrl-C."""
    return modes.play(read_command_line(argv, __doc__))


if __name__ == "__main__":
    run(main)
