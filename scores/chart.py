"""The comparison as a bar chart: one bar per row, best on top, drawn off-screen."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase
from matplotlib.patches import Patch

from common.output import check_output, write_output
from scores.rows import Comparison, Row
from scores.table import decimals

KINDS = (".png", ".pdf", ".svg")
# Kinds differ in colour and in hatching, and each label names its kind: colour alone is not enough.
STYLES = {
    "run": ("#4a90d9", ""),
    "pretrained": ("#9fd3c7", ".."),
    "human": ("#e8a33d", "xx"),
    "reference": ("#c9ced6", "//"),
}
LEGEND = {"run": "your runs", "pretrained": "pretrained agents", "human": "human players", "reference": "references"}

rcParams["text.parse_math"] = False  # a $ in an agent's name begins no formula


def check_path(path: Path, option: str = "--plot") -> None:
    """Raise ``UserError`` unless ``path`` can be written as a chart, before any work is done; its folder is made."""
    check_output(option, path, KINDS, overwrite=True)


def height(comparisons: Sequence[Comparison]) -> float:
    """Return the inches that the panels need."""
    shown = [one for one in comparisons if one.rows]
    # 0.33 for a bar, 0.95 for a panel's title and axis, 0.5 for the legend: so all bars are equally thick
    return max(0.33 * sum(len(one.rows) for one in shown) + 0.95 * len(shown) + 0.5, 2)


def draw(comparisons: Sequence[Comparison]) -> Figure:
    """Return the figure: one panel per environment, horizontal bars of means with their 95 % intervals."""
    figure = Figure(figsize=(11, height(comparisons)), layout="constrained")
    FigureCanvasAgg(figure)  # Agg needs no screen, whatever backend is configured
    draw_into(figure, comparisons)
    return figure


def draw_into(figure: FigureBase, comparisons: Sequence[Comparison]) -> None:
    """Draw the panels into a figure or a part of one."""
    shown = [one for one in comparisons if one.rows]
    if not shown:
        figure.text(0.5, 0.5, "no scores", ha="center")
        return
    panels = figure.subplots(len(shown), 1, squeeze=False, height_ratios=[len(one.rows) for one in shown])[:, 0]
    for axes, one in zip(panels, shown, strict=True):
        _panel(axes, one)
    kinds = [kind for kind in STYLES if any(row.kind == kind for one in shown for row in one.rows)]
    handles = [_patch(kind) for kind in kinds]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)


def save(comparisons: Sequence[Comparison], path: Path) -> None:
    """Write the chart in the format of ``path``'s extension; raise ``UserError`` if that fails."""
    write(draw(comparisons), path)


def write(figure: Figure, path: Path, option: str = "--plot") -> None:
    """Write a figure in the format of ``path``'s extension; raise ``UserError`` if that fails."""
    check_path(path, option)
    data = io.BytesIO()
    figure.savefig(data, format=path.suffix.lower().lstrip("."), dpi=150)
    write_output(option, path, data.getvalue())


def _panel(axes: Axes, one: Comparison) -> None:
    places, digits = list(range(len(one.rows))), decimals(one)
    ends = [max(row.mean, row.ci95[1] if row.ci95 else row.mean, 0.0) for row in one.rows]
    lows = [min(row.mean, row.ci95[0] if row.ci95 else row.mean, 0.0) for row in one.rows]
    span = (max(ends) - min(lows)) or 1.0
    for place, row, end in zip(places, one.rows, ends, strict=True):
        color, hatch = STYLES[row.kind]
        axes.barh(place, row.mean, height=0.7, color=color, hatch=hatch, edgecolor="#33383f", linewidth=0.8)
        if row.ci95:
            low, high = row.ci95
            error = [[row.mean - low], [high - row.mean]]
            axes.errorbar(row.mean, place, xerr=error, color="black", capsize=3.5, linewidth=1.3)
        axes.text(end + 0.012 * span, place, f"{row.mean:.{digits}f}", va="center", fontsize=9)
    axes.set_yticks(places, [_label(row, one.env_id) for row in one.rows], fontsize=9)
    for label, row in zip(axes.get_yticklabels(), one.rows, strict=True):
        label.set_fontweight("normal" if row.kind == "reference" else "bold")
    axes.set_ylim(len(places) - 0.5, -0.5)  # downwards: the best row is first
    axes.set_xlim(min(lows) - (0.03 * span if min(lows) < 0 else 0), max(ends) + 0.1 * span)
    axes.axvline(0, color="#33383f", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(one.env_id, loc="left", fontweight="bold")
    axes.set_xlabel(f"{one.metric} (bar: mean; line: 95 % interval, if known)")


def _label(row: Row, env_id: str) -> str:
    where = "" if row.env_id == env_id else f", {row.env_id.removeprefix('tidepool/')}"
    return f"{row.name} ({row.kind}{where})"


def _patch(kind: str) -> Patch:
    color, hatch = STYLES[kind]
    return Patch(facecolor=color, hatch=hatch, edgecolor="#33383f", label=LEGEND[kind])
