"""Compare your runs with human players, published agents and reference scores."""

from __future__ import annotations

from common.program import run  # first: from here on Ctrl-C ends it with one line

# isort: split
import dataclasses
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from common import cli, imports
from common.errors import MOST, UserError
from common.text import shown


@dataclasses.dataclass(frozen=True)
class Options:
    """What to compare and how to show it."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Run folders (paths, or names under --runs-dir); by default all of them."""
    env_id: str | None = None
    """Only this environment, e.g. Waterworld-v1 or ALE/Pong-v5; by default all that have a score."""
    imports: imports.Option = ()
    runs_dir: Path = Path("runs")
    """Folder of the runs and of the human scores."""
    format: Literal["table", "markdown", "json", "csv"] = "table"
    """How it is printed."""
    plot: Path | None = None
    """Also draw the comparison as a chart into this file: .png, .pdf or .svg."""
    agents: str | None = None
    """Atari: published agents, e.g. dqn_mnih2015,rainbow,iqn, in all games; by default one or two, in your games."""
    at_frames: int | None = None
    """Atari: published agents after this many emulator frames of training, 1000000 to 200000000."""
    games: str | None = None
    """Atari: only these games, e.g. Pong,Breakout."""
    protocol: str | None = None
    """Atari: only runs evaluated under this protocol, e.g. machado2018."""
    mix_protocols: bool = False
    """Atari: allow runs with different protocols in one column and its aggregates."""


def main(argv: Sequence[str]) -> None:
    """Print the comparison; warnings go to stderr, so that stdout is the table and nothing else."""
    options = cli.parse(Options, argv, prog="compare.py", description=__doc__)
    if not os.path.isdir(options.runs_dir) and options.runs_dir != Options.runs_dir:
        raise UserError(f"--runs-dir {options.runs_dir}: no such folder")
    from scores import chart, figure, selection, table  # here: --help and typos should not wait for SciPy, matplotlib

    if options.plot is not None:
        chart.check_path(options.plot)
    atari = options.agents, options.at_frames, options.games, options.protocol, options.mix_protocols
    imports.load(options.imports)
    env_id = options.env_id
    if env_id is not None and not env_id.startswith("ALE/"):  # those are full ids, and must not need the emulator
        import envs  # here, because it takes a second

        env_id = envs.resolve_typed(env_id)
    wanted = env_id, selection.atari_selection(*atari)
    selected = selection.select(options.runs_dir, options.runs, *wanted)
    for warning in selected.warnings:
        print(f"warning: {shown(warning, MOST)}", file=sys.stderr)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(table.as_format(options.format, selected.environments, selected.atari, width))
    if options.plot is not None:
        figure.save(selected.environments, selected.atari, options.plot)
        print(f"chart: {options.plot}", file=sys.stderr)


if __name__ == "__main__":
    run(main)
