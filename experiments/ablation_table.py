"""An ablation as text: a table for a terminal, Markdown."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.ablation import Ablation, Line
from scores.stats import Interval

LEFT = {"variant", "trained with"}
# Where the room is short these go first; nothing is ever cut in the middle of a number.
DISPENSABLE = ("trained with", "frames", "agent steps", "time a run", "95 % interval")
WORTH = "its interval"


def digits(one: Ablation) -> int:
    """Return the decimals that tell scores of this size apart."""
    largest = max((abs(line.score.mean) for line in one.lines if line.score), default=0.0)
    return 4 if largest < 1 else 2 if largest < 10 else 1 if largest < 1000 else 0


def number(value: float, places: int, sign: bool = False) -> str:
    """Return a number; with a sign and without "-0.0"."""
    text = f"{value:{'+' if sign else ''}.{places}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def interval_text(interval: Interval | None, places: int, sign: bool = False) -> str:
    """Return the 95 % interval, "-" where there is none."""
    if interval is None or interval.ci95 is None:
        return "-"
    low, high = interval.ci95
    return f"{number(low, places, sign)} to {number(high, places, sign)}"


def as_text(one: Ablation, width: int | None = None, color: bool = False) -> str:
    """Return the table with its remarks.

    Args:
        one: the ablation.
        width: columns of the terminal; the table leaves out columns, with a word, until it fits. None: no edge.
        color: with the terminal's escape codes.
    """
    file = io.StringIO()
    console = Console(
        file=file,
        width=width or 10_000,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
    )
    table, left_out = _fit(one, console)
    console.print(Text(one.title, style="bold"))
    console.print(Text(f"{one.metric}; {one.about}"))
    console.print()
    console.print(table)
    console.print()
    for remark in one.remarks:
        console.print(Text(f"* {remark}"))
    if left_out:
        console.print(Text(f"* Left out for want of room: {', '.join(left_out)}. A wider terminal shows them."))
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip("\n").split("\n"))


def as_markdown(one: Ablation, picture: str | None = None) -> str:
    """Return heading, table and remarks; with the chart where its file, as seen from here, is given."""
    lines = [cells(line, one) for line in one.lines]
    parts = [f"## {one.title}", "", f"Score: {one.metric}; {one.about}.", ""]
    parts.append("| " + " | ".join(lines[0]) + " |")
    parts.append("|" + "|".join("---" if column in LEFT else "---:" for column in lines[0]) + "|")
    parts += ["| " + " | ".join(_code(column, cell) for column, cell in line.items()) + " |" for line in lines]
    parts += ["", *(f"- {remark}" for remark in one.remarks)]
    parts += ["", f"![{one.title}]({picture})"] if picture else []
    return "\n".join(parts) + "\n"


def cells(line: Line, one: Ablation) -> dict[str, str]:
    """Return a line's cells by the name of their column; "-" for what is not known."""
    places = digits(one)
    whole = {
        "variant": f"{line.name} recipe" if line.whole else line.name,
        "trained with": line.changes or "-",
        "mean": number(line.score.mean, places) if line.score else "-",
        "95 % interval": interval_text(line.score, places),
        "difference": number(line.difference.mean, places, sign=True) if line.difference else "-",
        WORTH: interval_text(line.difference, places, sign=True),
        "seeds": str(len(line.scores)),
        "agent steps": _count(line.agent_steps),
        "frames": _count(line.frames),
        "time a run": _clock(line.wall_s),
    }
    if all(other.frames == other.agent_steps for other in one.lines):
        del whole["frames"]
    return whole


def _fit(one: Ablation, console: Console) -> tuple[Table, list[str]]:
    """Return the table with as many columns as the console has room for, and those left out."""
    left_out: list[str] = []
    there = cells(one.lines[0], one)
    for column in ("", *(column for column in DISPENSABLE if column in there)):
        left_out += [column] if column else []
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in there:
            if name not in left_out:
                table.add_column(name, justify="left" if name in LEFT else "right", no_wrap=True)
        for line in one.lines:
            shown = [Text(cell) for name, cell in cells(line, one).items() if name not in left_out]
            table.add_row(*shown, style="bold" if line.whole else "")
        if console.measure(table, options=console.options.update(max_width=10_000)).maximum <= console.width:
            break
    return table, left_out


def _code(column: str, cell: str) -> str:
    return f"`{cell}`" if column == "trained with" and cell != "-" else cell


def _count(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _clock(seconds: float | None) -> str:
    """Return the seconds of a run as ``12 s``, ``3 min 05 s`` or ``2 h 10 min``."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
