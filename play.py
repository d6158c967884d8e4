"""Watch an agent play or learn, take over, or play a scored episode yourself; films need no screen."""

from __future__ import annotations

from collections.abc import Sequence

from common.cli import parse, run
from viewer import modes
from viewer.options import Options, check


def main(argv: Sequence[str]) -> int:
    """Play as the command line says; return 0, or 130 when a film was cut short by Ctrl-C."""
    options = parse(Options, argv, prog="play.py", description=__doc__)
    check(options)
    return modes.play(options)


if __name__ == "__main__":
    run(main)
