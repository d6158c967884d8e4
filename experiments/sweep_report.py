"""A sweep's result as text, Markdown and a picture.

Nothing here loads PyTorch.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase
from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.settings import option_name
from experiments.plan import shown_value
from experiments.sweep_results import Effect, Result
from scores import chart
from scores.rows import Comparison
from scores.table import as_markdown, as_text

MOST_ROWS = 40  # of an environment, in the text and the picture; sweep.csv has all
ACROSS = 3  # panels of effects in a row


def folded(one: Comparison) -> Comparison:
    """Return the best rows, with a remark on how many are left out."""
    if len(one.rows) <= MOST_ROWS:
        return one
    remark = f"The best {MOST_ROWS} of {len(one.rows)} configurations; sweep.csv has all."
    return dataclasses.replace(one, rows=one.rows[:MOST_ROWS], remarks=[*one.remarks, remark])


def text(result: Result, width: int | None = None, color: bool = False) -> str:
    """Return the tables; ``width`` is that of the terminal, None: unlimited."""
    parts = [as_text([folded(one) for one in result.comparisons], width, color)]
    if result.effects:
        file = io.StringIO()
        console = Console(file=file, width=width or 10_000, no_color=not color, force_jupyter=False)
        console.print(Text(EFFECTS, style="bold"), highlight=False)
        console.print(_effects_table(result.effects))
        parts.append("\n".join(line.rstrip() for line in file.getvalue().rstrip().split("\n")))
    if result.missing:
        parts.append(missing(result))
    return "\n\n".join(parts)


EFFECTS = "What each value of a setting is worth: mean score, the grid's other settings averaged"


def missing(result: Result) -> str:
    """Return which runs are not finished, a few of them by name."""
    names = "; ".join(result.missing[:5])
    more = f"; and {len(result.missing) - 5:,} more" if len(result.missing) > 5 else ""
    return f"MISSING, not trained to the end: {names}{more}."


def _cells(one: Effect) -> list[str]:
    ends = one.score.ci95 if one.score.ci95 and one.score.ci95[0] < one.score.ci95[1] else None
    interval = f"{ends[0]:,.4g} to {ends[1]:,.4g}" if ends else "-"
    names = [one.env_id, one.agent, option_name(one.setting)[2:], shown_value(one.value)]
    return [*names, f"{one.score.mean:,.4g}", interval, str(one.runs)]


COLUMNS = ("environment", "agent", "setting", "value", "mean", "95 % interval over seeds", "runs")


def _effects_table(effects: Sequence[Effect]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in COLUMNS:
        table.add_column(title, justify="right" if title in COLUMNS[3:] else "left")
    for one in effects:
        table.add_row(*map(Text, _cells(one)))
    return table


def markdown(result: Result, picture: str) -> str:
    """Return the result as a page; ``picture`` is the link to it."""
    parts = [as_markdown([folded(one) for one in result.comparisons])]
    if result.effects:
        rows = [COLUMNS, ["---"] * len(COLUMNS), *map(_cells, result.effects)]
        parts.append(f"## {EFFECTS}\n\n" + "\n".join("| " + " | ".join(row) + " |" for row in rows))
    if result.missing:
        parts.append(missing(result))
    return "\n\n".join([*parts, f"![The same as a picture]({picture})", ""])


def draw(result: Result) -> Figure:
    """Return the picture, drawn off-screen: bars by environment, and below the effects of a grid's settings."""
    shown = [folded(one) for one in result.comparisons if one.rows]
    heights = [chart.height(shown)]
    groups: dict[tuple[str, str, str], list[Effect]] = {}
    for one in result.effects:
        groups.setdefault((one.env_id, one.agent, one.setting), []).append(one)
    lines = -(-len(groups) // ACROSS)
    if groups:
        heights.append(2.6 * lines + 0.3)
    figure = Figure(figsize=(11, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)  # Agg needs no screen, whatever backend is configured
    parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    chart.draw_into(parts[0], shown)
    if groups:
        _draw_effects(parts[1], list(groups.values()), lines)
    return figure


def _draw_effects(figure: FigureBase, groups: Sequence[Sequence[Effect]], lines: int) -> None:
    grid = figure.subplots(lines, min(len(groups), ACROSS), squeeze=False)
    for axes, effects in zip(grid.flat, groups, strict=False):
        _effect_panel(axes, effects)
    for axes in list(grid.flat)[len(groups) :]:
        axes.set_visible(False)
    figure.suptitle(EFFECTS, fontsize=10, fontweight="bold")


def _effect_panel(axes: Axes, effects: Sequence[Effect]) -> None:
    """Draw a point a value, with its interval over seeds."""
    places = list(range(len(effects)))
    means = [one.score.mean for one in effects]
    axes.plot(places, means, marker="o", color="#0072b2", linewidth=1.4)
    for place, one in zip(places, effects, strict=True):
        if one.score.ci95:
            low, high = one.score.ci95
            error = [[one.score.mean - low], [high - one.score.mean]]
            axes.errorbar(place, one.score.mean, yerr=error, color="#0072b2", capsize=4)
    axes.set_xticks(places, [shown_value(one.value) for one in effects], fontsize=8)
    axes.set_xlim(-0.5, len(places) - 0.5)
    first = effects[0]
    axes.set_xlabel(option_name(first.setting)[2:], fontsize=9)
    axes.set_title(f"{first.agent} on {first.env_id}", loc="left", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(color="#e3e6ea", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def save(result: Result, path: Path) -> None:
    """Write the picture in the format of ``path``'s extension; raise `UserError` if that fails."""
    chart.write(draw(result), path)
