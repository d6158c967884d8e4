"""Comparisons as text: a table for a terminal, Markdown, JSON, CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scores.atari import table as atari_table
from scores.atari.compare import AtariComparison
from scores.atari.normalization import game_of
from scores.rows import Comparison, Row

# Left out first where the terminal is narrow; a number is never cut.
DISPENSABLE = ("environment", "protocol", "epsilon", "agent steps")
DISPENSABLE_ATARI = ("% of record", "agent steps", "epsilon", "frames", "protocol")
LEFT = {"who", "kind", "environment", "protocol", "note"}
CSV_COLUMNS = (
    "env_id",
    "who",
    "kind",
    "score",
    "human_normalised",
    "record_normalised",
    "ci95_low",
    "ci95_high",
    "episodes",
    "frames",
    "protocol",
)


def as_format(
    name: str, comparisons: Sequence[Comparison], atari: AtariComparison | None = None, width: int | None = None
) -> str:
    """Return the comparisons as ``table``, ``markdown``, ``json`` or ``csv``.

    ``width`` is that of the terminal, whose table is coloured; None: not a terminal.
    """
    if name == "table":
        return as_text(comparisons, width, width is not None, atari)
    return {"markdown": as_markdown, "json": as_json, "csv": as_csv}[name](comparisons, atari)


def as_json(comparisons: Sequence[Comparison], atari: AtariComparison | None = None) -> str:
    """Return ``{"environments": {ENV_ID: {"metric", "rows", "remarks"}}}``; unknown values are null.

    With ``atari`` there are also ``"games"`` and ``"aggregates"`` (`atari_table.as_dict`); without other environments
    only these.
    """
    environments: dict[str, Any] = {}
    for one in comparisons:
        rows = [
            {
                "name": row.name,
                "kind": row.kind,
                "env_id": row.env_id,
                "mean": row.mean,
                "ci95": list(row.ci95) if row.ci95 else None,
                "episodes": row.episodes,
                "agent_steps": row.agent_steps,
                "epsilon": row.epsilon,
                "protocol": row.protocol,
                "note": row.note,
                "frames": row.frames,
                "human_normalised": row.human_normalised,
            }
            for row in one.rows
        ]
        environments[one.env_id] = {"metric": one.metric, "rows": rows, "remarks": one.remarks}
    content: dict[str, Any] = {"environments": environments} if comparisons or atari is None else {}
    content |= atari_table.as_dict(atari) if atari else {}
    return json.dumps(content, indent=2, allow_nan=False)


def as_csv(comparisons: Sequence[Comparison], atari: AtariComparison | None = None) -> str:
    """Return one table of all environments with one line per score; unknown values are empty."""
    rows: list[dict[str, Any]] = [
        {
            "env_id": row.env_id,
            "who": row.name,
            "kind": row.kind,
            "score": row.mean,
            "human_normalised": row.human_normalised,
            "record_normalised": row.record_normalised,
            "ci95_low": row.ci95[0] if row.ci95 else None,
            "ci95_high": row.ci95[1] if row.ci95 else None,
            "episodes": row.episodes,
            "frames": row.frames,
            "protocol": row.protocol,
        }
        for one in comparisons
        for row in one.rows
    ]
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows + (atari_table.as_rows(atari) if atari else []))
    return file.getvalue().rstrip("\n")


def as_markdown(comparisons: Sequence[Comparison], atari: AtariComparison | None = None) -> str:
    """Return a heading, a table and a list of remarks for each environment, and for all of Atari."""
    parts = []
    for one in comparisons:
        lines = [cells(row, one) | {"note": row.note} for row in one.rows]
        parts.append(f"## {one.env_id}\n\nScore: {one.metric}.\n")
        if lines:
            parts.append("| " + " | ".join(lines[0]) + " |")
            parts.append("|" + "|".join("---" if column in LEFT else "---:" for column in lines[0]) + "|")
            parts += ["| " + " | ".join(_escape(cell) for cell in line.values()) + " |" for line in lines]
            parts.append("")
        parts += [f"- {_escape(remark)}" for remark in one.remarks]
        parts.append("")
    if atari:
        parts.append(atari_table.as_markdown(atari))
    return "\n".join(parts).rstrip("\n")


def as_text(
    comparisons: Sequence[Comparison],
    width: int | None = None,
    color: bool = False,
    atari: AtariComparison | None = None,
) -> str:
    """Return the tables, each followed by its notes and remarks.

    Args:
        comparisons: one table each.
        width: width of the terminal, in characters; columns are left out, and named, until the table fits.
            None: unlimited, nothing is wrapped (for a file or a pipe).
        color: with the terminal's escape codes.
        atari: the table of Atari games, which comes last.
    """
    file = io.StringIO()
    # A console wraps at its width: without a limit it must be wider than any line.
    console = Console(
        file=file,
        force_jupyter=False,  # a notebook would show the text instead of writing it
        width=width or 10_000,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
    )
    for number, one in enumerate(comparisons):
        if number:
            console.print()
        _print(one, console)
    if atari:
        if comparisons:
            console.print()
        atari_table.print_text(atari, console)
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip("\n").split("\n"))


def _print(one: Comparison, console: Console) -> None:
    table, left_out = _fit(one, console)
    console.print(Text(one.env_id, style="bold") + Text(f": {one.metric}", style="not bold"))
    if one.rows:
        console.print(table)
        console.print()
    for row in one.rows:
        if row.note:
            console.print(Text(f"{row.name}: ", style="bold") + Text(row.note, style="not bold dim"))
    for remark in one.remarks:
        console.print(Text(f"* {remark}"))
    if left_out:
        console.print(Text(f"* Columns left out to fit the width: {', '.join(left_out)}. A wider terminal shows them."))


def _fit(one: Comparison, console: Console) -> tuple[Table, list[str]]:
    """Return the table with as many columns as fit the console, and the names of the others."""
    left_out: list[str] = []
    for column in ("", *(DISPENSABLE_ATARI if game_of(one.env_id) else DISPENSABLE)):
        left_out += [column] if column else []
        table = _table(one, left_out)
        if console.measure(table, options=console.options.update(max_width=10_000)).maximum <= console.width:
            break
    return table, left_out


def _table(one: Comparison, left_out: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    lines = [cells(row, one) for row in one.rows]
    for column in lines[0] if lines else ():
        if column not in left_out:
            narrow = column == "who"
            table.add_column(column, justify="left" if column in LEFT else "right", no_wrap=not narrow, overflow="fold")
    for row, line in zip(one.rows, lines, strict=True):
        shown = [Text(cell) for column, cell in line.items() if column not in left_out]
        table.add_row(*shown, style="" if row.kind == "reference" else "bold")
    return table


def cells(row: Row, one: Comparison) -> dict[str, str]:
    """Return a row's cells by column name; "-" if unknown."""
    digits = decimals(one)
    low_high = f"{row.ci95[0]:.{digits}f} to {row.ci95[1]:.{digits}f}" if row.ci95 else "-"
    found = {
        "who": row.name,
        "kind": row.kind,
        "mean": f"{row.mean:.{digits}f}",
        "% of human": atari_table.percent(row.human_normalised),
        "% of record": atari_table.percent(row.record_normalised),
        "95 % interval": low_high,
        "episodes": _count(row.episodes),
        "agent steps": _count(row.agent_steps),
        "frames": _count(row.frames),
        "epsilon": "-" if row.epsilon is None else f"{row.epsilon:g}",
        "environment": row.env_id.removeprefix("tidepool/"),
        "protocol": row.protocol or "-",
    }
    unused = {"environment"} if game_of(one.env_id) else {"% of human", "% of record", "frames"}
    return {column: cell for column, cell in found.items() if column not in unused}


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def decimals(one: Comparison) -> int:
    """Return the number of decimals that fits scores of this size."""
    largest = max((abs(row.mean) for row in one.rows), default=0.0)
    return 4 if largest < 10 else 2 if largest < 1000 else 0


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
