"""An ablation as a picture: means with their intervals, every seed, the whole recipe's mean as a line."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments.ablation import Ablation, Line
from experiments.ablation_table import digits, interval_text, number
from scores import chart

INK, WHOLE, BAND = "#20242a", "#2f6fb3", "#dbe7f3"
# in rows: seeds stand below the mean, so that neither hides the other, and below each other where they are as good
BELOW, APART, LOWEST = 0.22, 0.13, 0.46
NEAR = 0.008  # of the axis: seeds nearer than this would hide each other
MARGIN = 0.06  # of the scores' span, left and right of them
ROW, REST = 0.52, 2.0  # inches of a row, and of titles, axis and legend
ABOUT = 125  # letters of a line below the title
COLUMNS = (1.02, 1.12)  # where the numbers stand, in widths of the axes


def draw(one: Ablation) -> Figure:
    """Return the figure: a row a variant, drawn without a screen."""
    size = 11, REST + ROW * max(len(one.lines), 2)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.06))
    FigureCanvasAgg(figure)  # Agg, whatever backend the machine prefers: no screen is needed
    figure.suptitle(one.title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    axes = figure.subplots()
    about = "\n".join(textwrap.wrap(one.about, ABOUT))
    axes.set_title(about, loc="left", fontsize=9, pad=24)  # above the heads of the columns
    _scale(axes, one)
    _whole(axes, one.lines[0])
    for place, line in enumerate(one.lines):
        _row(axes, place, line)
        _numbers(axes, place, line, digits(one))
    axes.set_xlabel(one.metric)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#e3e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    handles = _handles(one)
    figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def save(one: Ablation, path: Path) -> None:
    """Write the picture in the format of ``path``'s extension; a ``UserError`` if that can't be done."""
    chart.write(draw(one), path)


def _scale(axes: Axes, one: Ablation) -> None:
    """Set both axes: the rows' names, and room for every number."""
    axes.set_yticks(range(len(one.lines)), [_label(line) for line in one.lines], fontsize=9)
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(len(one.lines) - 0.4, -0.7)  # downwards: what lost most stands below the whole recipe
    values = [value for line in one.lines for value in line.scores.values()]
    values += [end for line in one.lines if line.score and line.score.ci95 for end in line.score.ci95]
    if values:
        margin = MARGIN * (max(values) - min(values)) or 1.0
        axes.set_xlim(min(values) - margin, max(values) + margin)


def _whole(axes: Axes, whole: Line) -> None:
    """Draw the line that all others are held against."""
    if whole.score is None:
        return
    axes.axvline(whole.score.mean, color=WHOLE, linewidth=1.4, linestyle=(0, (5, 3)), zorder=1)
    if whole.score.ci95:
        axes.axvspan(*whole.score.ci95, color=BAND, zorder=0, linewidth=0)


def _row(axes: Axes, place: int, line: Line) -> None:
    """Draw a variant: mean and interval, and its seeds below them."""
    if line.score is None:
        axes.text(
            0.5,
            place,
            "no finished run",
            transform=axes.get_yaxis_transform(),
            ha="center",
            va="center",
            fontsize=9,
            style="italic",
            color=INK,
        )
        return
    if line.score.ci95:
        low, high = line.score.ci95
        error = [[line.score.mean - low], [high - line.score.mean]]
        axes.errorbar(line.score.mean, place, xerr=error, color=INK, capsize=4, linewidth=1.6, zorder=3)
    seeds, below = sorted(line.scores.values()), [0.0]  # a single seed is its own mean
    if len(seeds) > 1:
        marker = "s" if line.whole else "D"
        axes.plot(line.score.mean, place, marker, color=WHOLE if line.whole else INK, markersize=7, zorder=4)
        left, right = axes.get_xlim()
        below = swarm(seeds, NEAR * (right - left))
    axes.plot(
        seeds,
        [place + low for low in below],
        "o",
        markersize=5,
        markerfacecolor="white",
        markeredgecolor=INK,
        markeredgewidth=1.0,
        zorder=3,
    )


def swarm(values: Sequence[float], near: float) -> list[float]:
    """Return how far below its row each of the sorted values stands, rows: lower where it is near the one before."""
    levels: list[int] = []
    for place, value in enumerate(values):
        levels.append(levels[-1] + 1 if place and value - values[place - 1] < near else 0)
    apart = min(APART, (LOWEST - BELOW) / max(*levels, 1))
    return [BELOW + apart * level for level in levels]


def _numbers(axes: Axes, place: int, line: Line, places: int) -> None:
    """Write mean and difference beside a row, and what they are above the first."""
    across = axes.get_yaxis_transform()
    first, second = COLUMNS
    mean = number(line.score.mean, places) if line.score else "-"
    axes.text(first, place, mean, transform=across, va="center", fontsize=9)
    if line.difference:
        apart = number(line.difference.mean, places, sign=True)
        apart += f"  ({interval_text(line.difference, places, sign=True)})" if line.difference.ci95 else ""
        axes.text(second, place, apart, transform=across, va="center", fontsize=9)
    if line.whole:
        head = "difference (95 %)" if line.score and line.score.ci95 else "difference"
        for where, word in ((first, "mean"), (second, head)):
            axes.text(where, -0.75, word, transform=across, va="bottom", fontsize=9, fontweight="bold")


def _label(line: Line) -> str:
    name = "full recipe" if line.whole else line.name
    return f"{name}\n{line.changes}" if line.changes else name


def _handles(one: Ablation) -> list[Artist]:
    """Return the legend of what is there."""
    spread = any(line.score and line.score.ci95 for line in one.lines)
    whole = one.lines[0].score
    handles: list[Artist] = [
        Line2D([], [], color=INK, marker="o", markerfacecolor="white", linestyle="", markersize=5, label="one seed")
    ]
    if spread:
        handles.insert(0, Line2D([], [], color=INK, marker="D", linewidth=1.6, label="mean over seeds, 95 % interval"))
    if whole:
        handles.append(Line2D([], [], color=WHOLE, linestyle=(0, (5, 3)), label="full recipe"))
    if whole and whole.ci95:
        handles.append(Patch(color=BAND, label="its 95 % interval"))
    return handles
