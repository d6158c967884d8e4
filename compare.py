"""Compare: this project's runs beside people, published agents and scripts, as a table and as a chart."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from common import cli
from common.errors import UserError

PRETRAINED_DIR = Path(__file__).resolve().parent / "pretrained"
DEFAULT_RUNS_DIR = "runs"
FORMATS = ("table", "markdown", "json")


@dataclasses.dataclass(frozen=True)
class Options:
    """What to compare and how to show it."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Run folders (paths, or names under --runs-dir); none: all of them."""
    env_id: str | None = None
    """Only this environment, e.g. Waterworld-v1; by default all that have a score."""
    runs_dir: str = DEFAULT_RUNS_DIR
    """The folder that holds the runs and the human ledger."""
    format: str = "table"
    """table, markdown or json."""
    plot: str | None = None
    """Also draw the comparison into this file: .png, .pdf or .svg."""


def main(argv: Sequence[str]) -> int | None:
    """Print the comparison; warnings go to stderr, so that stdout is the table and nothing else."""
    options = cli.parse(Options, argv, prog="compare.py", description=__doc__)
    if options.format not in FORMATS:
        raise UserError(f"--format '{options.format}' is not known; allowed: {', '.join(FORMATS)}")
    runs_dir = Path(options.runs_dir)
    if not runs_dir.is_dir() and options.runs_dir != DEFAULT_RUNS_DIR:
        raise UserError(f"--runs-dir {runs_dir}: there is no such folder")

    # Here, not above: --help and a typing error should not wait for numba and matplotlib.
    import scores
    from scores.runs import find_run

    if options.plot is not None:
        from scores import chart

        chart.check_path(Path(options.plot))
    env_id = _resolve(options.env_id) if options.env_id is not None else None
    folders = [find_run(name, runs_dir) for name in options.runs]
    comparisons, warnings = scores.comparisons(runs_dir, PRETRAINED_DIR, env_id, folders)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if options.format == "json":
        print(scores.as_json(comparisons))
    elif options.format == "markdown":
        print(scores.as_markdown(comparisons))
    else:
        terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if terminal else None
        print(scores.as_text(comparisons, width, color=terminal))
    if options.plot is not None:
        chart.save(comparisons, Path(options.plot))
        print(f"drawn: {options.plot}", file=sys.stderr)
    return None


def _resolve(env_id: str) -> str:
    import envs

    return envs.resolve(env_id)


if __name__ == "__main__":
    cli.run(main)
