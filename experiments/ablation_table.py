"""An ablation as text: a table for a terminal, Markdown."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.ablation import Ablation, VariantScore
from scores.stats import Interval

LEFT = {"variant", "trained with"}
# Left out first where the terminal is narrow; a number is never cut.
DISPENSABLE = ("trained with", "frames", "agent steps", "time per run", "95 % interval")
DIFFERENCE_INTERVAL = "its 95 % interval"


def digits(one: Ablation) -> int:
    """Return the number of decimals that fits scores of this size."""
    largest = max((abs(line.score.mean) for line in one.variants if line.score), default=0.0)
    return 4 if largest < 1 else 2 if largest < 10 else 1 if largest < 1000 else 0


def number(value: float, places: int, sign: bool = False) -> str:
    """Return a number as text, without "-0.0"; with its sign if ``sign``."""
    text = f"{value:{'+' if sign else ''}.{places}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def interval_text(interval: Interval | None, places: int, sign: bool = False) -> str:
    """Return the 95 % interval as text, "-" if there is none."""
    if interval is None or interval.ci95 is None:
        return "-"
    low, high = interval.ci95
    return f"{number(low, places, sign)} to {number(high, places, sign)}"


def as_text(one: Ablation, width: int | None = None, color: bool = False) -> str:
    """Return the table and the remarks.

    Args:
        one: the ablation.
        width: width of the terminal, in characters; columns are left out, and named, until the table fits.
            None: unlimited.
        color: with the terminal's escape codes.
    """
    file = io.StringIO()
    console = Console(
        file=file,
        force_jupyter=False,  # a notebook would show the text instead of writing it
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
        console.print(Text(f"* Columns left out to fit the width: {', '.join(left_out)}. A wider terminal shows them."))
    return "\n".join(line.rstrip() for line in file.getvalue().rstrip("\n").split("\n"))


def as_markdown(one: Ablation, chart: str | None = None) -> str:
    """Return heading, table and remarks; ``chart`` is the relative path of a chart to include."""
    lines = [cells(line, one) for line in one.variants]
    parts = [f"## {one.title}", "", f"Score: {one.metric}; {one.about}.", ""]
    parts.append("| " + " | ".join(lines[0]) + " |")
    parts.append("|" + "|".join("---" if column in LEFT else "---:" for column in lines[0]) + "|")
    parts += ["| " + " | ".join(_code(column, cell) for column, cell in line.items()) + " |" for line in lines]
    parts += ["", *(f"- {remark}" for remark in one.remarks)]
    parts += ["", f"![{one.title}]({chart})"] if chart else []
    return "\n".join(parts) + "\n"


def cells(line: VariantScore, one: Ablation) -> dict[str, str]:
    """Return a variant's cells by column name; "-" if unknown."""
    places = digits(one)
    row = {
        "variant": f"{line.name} recipe" if line.is_full else line.name,
        "trained with": line.changes or "-",
        "mean": number(line.score.mean, places) if line.score else "-",
        "95 % interval": interval_text(line.score, places),
        "difference": number(line.difference.mean, places, sign=True) if line.difference else "-",
        DIFFERENCE_INTERVAL: interval_text(line.difference, places, sign=True),
        "seeds": str(len(line.scores)),
        "agent steps": _count(line.agent_steps),
        "frames": _count(line.frames),
        "time per run": _duration(line.wall_s),
    }
    if all(other.frames == other.agent_steps for other in one.variants):
        del row["frames"]
    return row


def _fit(one: Ablation, console: Console) -> tuple[Table, list[str]]:
    """Return the table with as many columns as fit the console, and the names of the others."""
    left_out: list[str] = []
    columns = cells(one.variants[0], one)
    for column in ("", *(column for column in DISPENSABLE if column in columns)):
        left_out += [column] if column else []
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in columns:
            if name not in left_out:
                table.add_column(name, justify="left" if name in LEFT else "right", no_wrap=True)
        for line in one.variants:
            shown = [Text(cell) for name, cell in cells(line, one).items() if name not in left_out]
            table.add_row(*shown, style="bold" if line.is_full else "")
        if console.measure(table, options=console.options.update(max_width=10_000)).maximum <= console.width:
            break
    return table, left_out


def _code(column: str, cell: str) -> str:
    return f"`{cell}`" if column == "trained with" and cell != "-" else cell


def _count(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _duration(seconds: float | None) -> str:
    """Return the seconds of a run as ``12 s``, ``3 min 05 s`` or ``2 h 10 min``."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
