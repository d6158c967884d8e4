"""Speed: each figure of Tidepool beside its peer and its limit, measured in turns, in one table.

    pip install -e '.[bench]'                       # the peers: stable-baselines3, SBX, envpool
    python benchmarks/speed.py                      # everything, about half an hour; needs an otherwise idle machine
    python benchmarks/speed.py --only update train/cartpole-torch --quick
    python benchmarks/speed.py --json results/speed.json && python docs/generate.py    # docs/performance.md

Medians stand before the smallest and the largest of the rounds. CPU load is processor time a second of wall clock:
below the number of cores, something waited, or something else ran there. Rows with one core are pinned to it and have
one thread. A peer that is not installed has a dash.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.figures import HEAD, Figure, bounds, lines, notes, store
from benchmarks.rows import all_rows
from benchmarks.turns import Row, Settings, measure
from common.cli import parse
from common.errors import unknown
from common.program import run
from common.settings import Between


@dataclass(frozen=True)
class Options:
    """What is measured, and how long."""

    only: tuple[str, ...] = ()
    """Rows, or groups of them; --list shows all."""
    seconds: Annotated[float, Between(0.05, 600.0)] = 3.0
    """Of each turn."""
    rounds: Annotated[int, Between(1, 100)] = 5
    """Turns of each contender."""
    quick: bool = False
    """Two rounds of half a second, without what takes minutes."""
    peer_python: tuple[Path, ...] = ()
    """Further Pythons, tried for peers that are not installed beside this one."""
    json: Path | None = None
    """File to store the turns in; of rows that are not measured now the old ones stay."""
    list: bool = False
    """Print the names of the rows, and exit."""


def chosen(rows: Sequence[Row], only: Iterable[str]) -> list[Row]:
    """Return the rows that are named, or whose group is; all, where none is.

    Raises:
        UserError: no such row or group.
    """
    wanted = set(only)
    known = {row.name for row in rows} | {row.name.split("/")[0] for row in rows}
    for name in sorted(wanted - known):
        raise unknown("row", name, sorted(known))
    return [row for row in rows if not wanted or {row.name, row.name.split("/")[0]} & wanted]


def figure_of(row: Row, settings: Settings, about: dict[str, str]) -> Figure:
    """Return a row's figure, with when and where it was measured."""
    results = measure(row, settings)
    return Figure(row.name, row.title, row.unit, row.cores, row.rest, row.peerless, **about, results=results)


def provenance() -> dict[str, str]:
    """Return commit, date and hardware."""
    from learning import runfolder

    found = runfolder.provenance("cpu", 1)
    hardware = ", ".join(f"{key} {value}" for key, value in found["hardware"].items())
    hardware = f"{runfolder.processor()}, {hardware}"
    return {"commit": found["commit"] or "unknown", "date": found["started"], "hardware": hardware}


def show(console: Console, figures: Sequence[Figure]) -> None:
    """Print the table, what bounds each figure, and what did not run."""
    table = Table(title="medians (smallest to largest)")
    for name in HEAD:
        table.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left")
    for line in lines(figures):
        table.add_row(*line)
    console.print(table)
    for title, text in (("What bounds each:", bounds(figures)), ("Not measured, or not compared:", notes(figures))):
        if text:
            console.print(f"\n{title}")
            for sentence in text:
                console.print(f"  {sentence}", soft_wrap=True, highlight=False, markup=False)


def main(argv: Sequence[str]) -> int:
    """Measure, print, and store where asked."""
    options = parse(Options, argv, prog="speed.py", description=__doc__)
    console = Console(width=None if sys.stdout.isatty() else 200)
    rows = chosen(all_rows(), options.only)
    if options.list:
        for row in rows:
            console.print(f"{row.name:<24} {row.title}", highlight=False, markup=False)
        return 0
    if options.quick:
        rows = [row for row in rows if not row.slow]
    seconds, rounds = (0.5, 2) if options.quick else (options.seconds, options.rounds)
    settings = Settings(seconds, rounds, (sys.executable, *map(str, options.peer_python)))
    about, figures = provenance(), []
    for number, row in enumerate(rows, 1):
        print(f"{number} of {len(rows)}: {row.title} ...", file=sys.stderr, flush=True)
        figures.append(figure_of(row, settings, about))
        if options.json:
            store(options.json, figures, [row.name for row in all_rows()])
    show(console, figures)
    return 0


if __name__ == "__main__":
    run(main)
