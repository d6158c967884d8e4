"""The Atari comparison as text: a table for a terminal, Markdown, JSON, rows for CSV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.text import number_of
from scores.atari.aggregates import Aggregates
from scores.atari.columns import Cell, Column
from scores.atari.compare import AtariComparison

HEAD_WIDTH = 16  # characters per line of a column head; names are broken at "_" and " "
LABELS = ("median", "mean", "capped mean", "IQM", "IQM 95 % low", "IQM 95 % high", "games", "at human level")


def as_dict(one: AtariComparison) -> dict[str, Any]:
    """Return ``{"games": {GAME: {COLUMN: {...}}}, "aggregates": {COLUMN: {...}}}``; unknown values are None."""
    games = {
        game: {column.name: _cell_dict(column.cells[game]) for column in one.columns if game in column.cells}
        for game in one.games
    }
    return {
        "games": games,
        "aggregates": {column.name: _aggregate_dict(one.aggregates[column.name]) for column in one.columns},
    }


def as_rows(one: AtariComparison) -> list[dict[str, Any]]:
    """Return one dict per game and column, for CSV; unknown values are None."""
    return [
        {
            "env_id": f"ALE/{game}-v5",
            "who": column.name,
            "kind": column.kind,
            "score": cell.score,
            "human_normalised": cell.human_normalised,
            "record_normalised": cell.record_normalised,
            "episodes": cell.episodes,
            "frames": column.conditions.frames[1] if column.conditions.frames else None,
            "protocol": cell.protocol,
        }
        for game in one.games
        for column in one.columns
        if (cell := column.cells.get(game))
    ]


def as_cells(one: AtariComparison) -> tuple[list[str], list[list[str]], list[list[str]]]:
    """Return the table as text: the head, a row a game, a row an aggregate; the first column names them."""
    head = ["game", *(column.name for column in one.columns)]
    games = [[game, *(_score_and_percent(column, game) for column in one.columns)] for game in one.games]
    return head, games, [[label, *(_aggregates(one, column)[label] for column in one.columns)] for label in LABELS]


def as_markdown(one: AtariComparison) -> str:
    """Return a heading, the table, a note per column and the remarks."""
    head, games, aggregates = as_cells(one)
    lines = [f"## {title(one)}", "", _bar(head), "|---" + "|---:" * len(one.columns) + "|"]
    lines += [_bar(row) for row in games]
    lines += [_bar([f"*{label}*", *row]) for label, *row in aggregates]
    notes = [f"- **{column.name}**: {column.note}" for column in one.columns]
    return "\n".join([*lines, "", *map(_flat, notes), *(f"- {_flat(remark)}" for remark in one.remarks)])


def print_text(one: AtariComparison, console: Console) -> None:
    """Print the table, notes and remarks; columns are left out, and named, until it fits the console's width."""
    console.print(Text(title(one), style="bold"))
    shown = list(one.columns)
    table = _table(one, shown)
    for column in _dispensable(one.columns):
        if console.measure(table, options=console.options.update(max_width=10_000)).maximum <= console.width:
            break
        shown.remove(column)
        table = _table(one, shown)
    console.print(table)
    console.print()
    for column in one.columns:
        if column.kind != "reference":
            console.print(Text(f"{column.name}: ", style="bold") + Text(column.note, style="not bold dim"))
    for remark in one.remarks:
        console.print(Text(f"* {remark}"))
    left_out = [column.name for column in one.columns if column not in shown]
    if left_out:
        console.print(Text(f"* Columns left out to fit the width: {', '.join(left_out)}. A wider terminal shows them."))


def title(one: AtariComparison) -> str:
    """Return the title: what the table shows, and in which order."""
    count = number_of(len(one.games), "game")
    return f"Atari: score and percentage of human, {count}, sorted by the percentage of {one.sorted_by}"


def points(score: float) -> str:
    """Return a score with one decimal if it is small; never "-0.0"."""
    return f"{score:z,.1f}" if abs(score) < 1000 else f"{score:,.0f}"


def percent(value: float | None) -> str:
    """Return a normalised score in percent, "-" if there is none; below human never rounds up to 100 %."""
    if value is None:
        return "-"
    if 0.995 <= value < 1:
        return f"{math.floor(1000 * value) / 10:.1f} %"
    return f"{100 * value:z,.0f} %"


def _cell_dict(cell: Cell) -> dict[str, Any]:
    return {
        "score": cell.score,
        "human_normalised": cell.human_normalised,
        "episodes": cell.episodes,
        "protocol": cell.protocol,
    }


def _aggregate_dict(found: Aggregates | None) -> dict[str, Any]:
    if found is None:
        return dict.fromkeys(("median", "mean", "capped_mean", "iqm", "iqm_ci95"), None) | {
            "games": 0,
            "games_at_human_level": 0,
        }
    return found._asdict() | {"iqm_ci95": list(found.iqm_ci95) if found.iqm_ci95 else None}


def _aggregates(one: AtariComparison, column: Column) -> dict[str, str]:
    """Return the aggregates of a column by their label."""
    found = one.aggregates[column.name]
    if found is None:
        return dict.fromkeys(LABELS, "-")
    low, high = found.iqm_ci95 or (None, None)
    values = (found.median, found.mean, found.capped_mean, found.iqm, low, high)
    counts = (str(found.games), str(found.games_at_human_level))
    return dict(zip(LABELS, (*map(percent, values), *counts), strict=True))


def _score_and_percent(column: Column, game: str, width: int = 0) -> str:
    """Return ``12,345   87 %``; only the score for human and random, which are 100 % and 0 %."""
    cell = column.cells.get(game)
    if cell is None:
        return "-"
    if _is_baseline(column):
        return points(cell.score)
    return f"{points(cell.score)}  {percent(cell.human_normalised):>{width}}"


def _is_baseline(column: Column) -> bool:
    return column.kind == "reference" and column.name.startswith(("random", "human")) and "record" not in column.name


def _table(one: AtariComparison, shown: Sequence[Column]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("game", no_wrap=True)
    widths = []
    for column in shown:
        table.add_column(_head(column.name), justify="right", no_wrap=True)
        widths.append(max((len(percent(cell.human_normalised)) for cell in column.cells.values()), default=0))
    for game in one.games:
        cells = [_score_and_percent(column, game, width) for column, width in zip(shown, widths, strict=True)]
        table.add_row(Text(game), *map(Text, cells))
    table.add_row()
    aggregates = [_aggregates(one, column) for column in shown]
    for label in LABELS:
        if any(cells[label] != "-" for cells in aggregates):
            table.add_row(Text(label), *(Text(cells[label]) for cells in aggregates), style="bold")
    return table


def _dispensable(columns: Sequence[Column]) -> list[Column]:
    """Return the columns in the order in which they may be left out; the first player never is."""
    order = {"random_mnih2015": 0, "random": 1, "human_world_record": 2}
    references = sorted((one for one in columns if one.name in order), key=lambda one: order[one.name])
    humans = [one for one in columns if one.kind == "reference" and one.name not in order]
    first = next((one for one in columns if one.kind != "reference"), None)
    others = [one for one in reversed(columns) if one.kind != "reference" and one is not first]
    agents = [one for one in others if one.kind == "agent"]
    return [*references, *agents, *reversed(humans), *(one for one in others if one.kind != "agent")]


def _head(name: str) -> Text:
    """Return a column head, broken into short lines."""
    lines = [""]
    for word in name.replace("_", "_ ").split(" "):
        joined = lines[-1] + ("" if lines[-1].endswith("_") or not lines[-1] else " ") + word
        if lines[-1] and len(joined) > HEAD_WIDTH:
            lines.append(word)
        else:
            lines[-1] = joined
    return Text("\n".join(lines))


def _bar(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_flat(cell) for cell in cells) + " |"


def _flat(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
