"""An ablation as a chart: means with their intervals, every seed, the full recipe's mean as a line."""

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

from experiments.ablation import Ablation, VariantScore
from experiments.ablation_table import digits, interval_text, number
from scores import chart

INK, FULL, BAND = "#20242a", "#2f6fb3", "#dbe7f3"
# in rows: seeds are drawn below the mean, so that neither hides the other; nearly equal seeds are stacked
BELOW, APART, LOWEST = 0.22, 0.13, 0.46
NEAR = 0.008  # of the axis: seeds closer than this would overlap
MARGIN = 0.06  # of the range of the scores, on both sides
ROW, REST = 0.52, 2.0  # height in inches of a row, and of titles, axis and legend together
ABOUT = 125  # characters per line below the title
COLUMNS = (1.02, 1.12)  # x positions of the numbers, in widths of the axes


def draw(one: Ablation) -> Figure:
    """Return the figure: one row per variant, drawn off-screen."""
    size = 11, REST + ROW * max(len(one.variants), 2)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.06))
    FigureCanvasAgg(figure)  # Agg needs no screen, whatever backend is configured
    figure.suptitle(one.title, x=0.01, ha="left", fontsize=13, fontweight="bold")
    axes = figure.subplots()
    about = "\n".join(textwrap.wrap(one.about, ABOUT))
    axes.set_title(about, loc="left", fontsize=9, pad=24)  # above the column heads
    _scale(axes, one)
    _full_recipe(axes, one.variants[0])
    for place, line in enumerate(one.variants):
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
    """Write the chart in the format of ``path``'s extension; raise ``UserError`` if that fails."""
    chart.write(draw(one), path)


def _scale(axes: Axes, one: Ablation) -> None:
    """Set both axes: names of the rows, and limits that hold every score."""
    axes.set_yticks(range(len(one.variants)), [_label(line) for line in one.variants], fontsize=9)
    axes.get_yticklabels()[0].set_fontweight("bold")
    axes.set_ylim(len(one.variants) - 0.4, -0.7)  # downwards: the largest loss follows the full recipe
    values = [value for line in one.variants for value in line.scores.values()]
    values += [end for line in one.variants if line.score and line.score.ci95 for end in line.score.ci95]
    if values:
        margin = MARGIN * (max(values) - min(values)) or 1.0
        axes.set_xlim(min(values) - margin, max(values) + margin)


def _full_recipe(axes: Axes, full: VariantScore) -> None:
    """Draw the mean that the others are compared with, as a line."""
    if full.score is None:
        return
    axes.axvline(full.score.mean, color=FULL, linewidth=1.4, linestyle=(0, (5, 3)), zorder=1)
    if full.score.ci95:
        axes.axvspan(*full.score.ci95, color=BAND, zorder=0, linewidth=0)


def _row(axes: Axes, place: int, line: VariantScore) -> None:
    """Draw one variant: mean and interval, and its seeds below them."""
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
        marker = "s" if line.is_full else "D"
        axes.plot(line.score.mean, place, marker, color=FULL if line.is_full else INK, markersize=7, zorder=4)
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
    """Return how far below its row each sorted value is drawn, in rows: lower if it is near the one before."""
    levels: list[int] = []
    for place, value in enumerate(values):
        levels.append(levels[-1] + 1 if place and value - values[place - 1] < near else 0)
    apart = min(APART, (LOWEST - BELOW) / max(*levels, 1))
    return [BELOW + apart * level for level in levels]


def _numbers(axes: Axes, place: int, line: VariantScore, places: int) -> None:
    """Write mean and difference beside a row, and the column heads above the first."""
    across = axes.get_yaxis_transform()
    first, second = COLUMNS
    mean = number(line.score.mean, places) if line.score else "-"
    axes.text(first, place, mean, transform=across, va="center", fontsize=9)
    if line.difference:
        apart = number(line.difference.mean, places, sign=True)
        apart += f"  ({interval_text(line.difference, places, sign=True)})" if line.difference.ci95 else ""
        axes.text(second, place, apart, transform=across, va="center", fontsize=9)
    if line.is_full:
        head = "difference (95 %)" if line.score and line.score.ci95 else "difference"
        for where, word in ((first, "mean"), (second, head)):
            axes.text(where, -0.75, word, transform=across, va="bottom", fontsize=9, fontweight="bold")


def _label(line: VariantScore) -> str:
    name = "full recipe" if line.is_full else line.name
    return f"{name}\n{line.changes}" if line.changes else name


def _handles(one: Ablation) -> list[Artist]:
    """Return the legend entries of what is drawn."""
    spread = any(line.score and line.score.ci95 for line in one.variants)
    full = one.variants[0].score
    handles: list[Artist] = [
        Line2D([], [], color=INK, marker="o", markerfacecolor="white", linestyle="", markersize=5, label="one seed")
    ]
    if spread:
        handles.insert(0, Line2D([], [], color=INK, marker="D", linewidth=1.6, label="mean over seeds, 95 % interval"))
    if full:
        handles.append(Line2D([], [], color=FULL, linestyle=(0, (5, 3)), label="full recipe"))
    if full and full.ci95:
        handles.append(Patch(color=BAND, label="its 95 % interval"))
    return handles
