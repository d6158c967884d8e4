"""Comparisons as text: a table for a terminal, Markdown, JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scores.gather import Comparison, Row

# Where the room is short these go first; nothing is ever cut in the middle of a number.
DISPENSABLE = ("environment", "protocol", "epsilon", "agent steps")
LEFT = {"who", "what", "environment", "protocol", "note"}


def as_json(comparisons: Sequence[Comparison]) -> str:
    """Return ``{"environments": {ENV_ID: {"metric", "rows", "remarks"}}}``; unknown values are null."""
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
            }
            for row in one.rows
        ]
        environments[one.env_id] = {"metric": one.metric, "rows": rows, "remarks": one.remarks}
    return json.dumps({"environments": environments}, indent=2, allow_nan=False)


def as_markdown(comparisons: Sequence[Comparison]) -> str:
    """Return one heading, table and list of remarks an environment."""
    parts = []
    for one in comparisons:
        lines = [_cells(row, decimals(one)) | {"note": row.note} for row in one.rows]
        parts.append(f"## {one.env_id}\n\nScore: {one.metric}.\n")
        if lines:
            parts.append("| " + " | ".join(lines[0]) + " |")
            parts.append("|" + "|".join("---" if column in LEFT else "---:" for column in lines[0]) + "|")
            parts += ["| " + " | ".join(_escape(cell) for cell in line.values()) + " |" for line in lines]
            parts.append("")
        parts += [f"- {_escape(remark)}" for remark in one.remarks]
        parts.append("")
    return "\n".join(parts).rstrip("\n")


def as_text(comparisons: Sequence[Comparison], width: int | None = None, color: bool = False) -> str:
    """Return tables with notes and remarks below.

    Args:
        comparisons: one table each.
        width: columns of the terminal; columns of the table are left out, with a word, until it fits.
            None: as wide as the text is, nothing wrapped (a file or a pipe has no edge).
        color: with the terminal's escape codes.
    """
    file = io.StringIO()
    # A console wraps at its width; without an edge that must be wider than any line.
    console = Console(
        file=file, width=width or 10_000, force_terminal=color, color_system="standard" if color else None,
        highlight=False,
    )  # fmt: skip
    for number, one in enumerate(comparisons):
        if number:
            console.print()
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
            console.print(Text(f"* Left out for want of room: {', '.join(left_out)}. A wider terminal shows them."))
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip("\n").split("\n"))


def _fit(one: Comparison, console: Console) -> tuple[Table, list[str]]:
    """Return the table with as many columns as the console has room for, and those left out."""
    left_out: list[str] = []
    for column in ("", *DISPENSABLE):
        left_out += [column] if column else []
        table = _table(one, left_out)
        if console.measure(table, options=console.options.update(max_width=10_000)).maximum <= console.width:
            break
    return table, left_out


def _table(one: Comparison, left_out: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    lines = [_cells(row, decimals(one)) for row in one.rows]
    for column in lines[0] if lines else ():
        if column not in left_out:
            narrow = column == "who"
            table.add_column(
                column, justify="left" if column in LEFT else "right", no_wrap=not narrow, overflow="fold"
            )
    for row, line in zip(one.rows, lines, strict=True):
        cells = [Text(cell) for column, cell in line.items() if column not in left_out]
        table.add_row(*cells, style="" if row.kind == "reference" else "bold")
    return table


def _cells(row: Row, digits: int) -> dict[str, str]:
    """Return a row's cells by the name of their column; "-" for what is not known."""
    low_high = f"{row.ci95[0]:.{digits}f} to {row.ci95[1]:.{digits}f}" if row.ci95 else "-"
    return {
        "who": row.name,
        "what": row.kind,
        "mean": f"{row.mean:.{digits}f}",
        "95 % interval": low_high,
        "episodes": "-" if row.episodes is None else f"{row.episodes:,}",
        "agent steps": "-" if row.agent_steps is None else f"{row.agent_steps:,}",
        "epsilon": "-" if row.epsilon is None else f"{row.epsilon:g}",
        "environment": row.env_id.removeprefix("tidepool/"),
        "protocol": row.protocol or "-",
    }


def decimals(one: Comparison) -> int:
    """Return the decimals that tell scores of this size apart."""
    largest = max((abs(row.mean) for row in one.rows), default=0.0)
    return 4 if largest < 10 else 2 if largest < 1000 else 0


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
