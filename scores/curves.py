"""Learning curves of any environment: a panel each, mean over the seeds of like runs with its interval as a band."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from common.errors import UserError
from scores import chart
from scores.atari.curves import ACROSS, STYLES, Line, draw_line, mean_curve, points_of
from scores.atari.normalization import game_of
from scores.grouping import grouped
from scores.runs import Run

MOST_PANELS, MOST_LINES = 12, 10


def lines(runs: Sequence[Run]) -> list[Line]:
    """Return a curve for each group of like runs of one environment that has two points, unfinished ones too."""
    found = []
    for group in grouped(runs):
        read = [points_of(run) for run in group.runs]
        curves = [points for points, _ in read if len(points) > 1]
        if not curves:
            continue
        name = group.label if group.finished else f"{group.label} seed {group.runs[0].seed}, unfinished"
        found.append(Line(name, len(curves), *mean_curve(curves), any(training for _, training in read)))
    return found


def draw(runs: Sequence[Run]) -> Figure:
    """Return the figure, drawn off-screen; `UserError` if no run has a curve."""
    by_environment: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_environment[run.env_id].append(run)
    panels = [(env_id, found) for env_id, members in sorted(by_environment.items()) if (found := lines(members))]
    if not panels:
        raise UserError("--curves: no run has been evaluated twice, or logged its returns")
    shown = panels[:MOST_PANELS]
    across = min(len(shown), ACROSS)
    most = max(min(len(found), MOST_LINES) for _, found in shown)
    down = -(-len(shown) // across)
    figure = Figure(figsize=(5.2 * across + 0.6, (3.2 + 0.2 * most) * down), layout="constrained")
    FigureCanvasAgg(figure)  # Agg needs no screen, whatever backend is configured
    grid = figure.subplots(down, across, squeeze=False)
    for axes, (env_id, found) in zip(grid.flat, shown, strict=False):
        _panel(axes, env_id, found)
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_visible(False)
    more = f" ({len(panels) - MOST_PANELS} more environments not drawn)" if len(panels) > MOST_PANELS else ""
    figure.suptitle(f"Learning curves: mean return over training{more}", fontweight="bold")
    return figure


def _panel(axes: Axes, env_id: str, found: Sequence[Line]) -> None:
    for number, line in enumerate(found[:MOST_LINES]):
        color = STYLES[number % len(STYLES)][0] if len(found) <= len(STYLES) else f"C{number}"
        draw_line(axes, line, (color, *STYLES[number % len(STYLES)][1:]))
    handles, labels = axes.get_legend_handles_labels()
    counts = {line.name: line.seeds for line in found}
    seeds = [counts.get(label.removesuffix(" (training returns)"), 1) for label in labels]
    kept = [
        (handle, f"{label} ({count} {'seed' if count == 1 else 'seeds'})")
        for handle, label, count in zip(handles, labels, seeds, strict=True)
        if not label.startswith("95 %")
    ]
    axes.legend(*zip(*kept, strict=True), fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False)
    more = f" ({len(found) - MOST_LINES} more not drawn)" if len(found) > MOST_LINES else ""
    band = "; band: 95 % over seeds" if any(line.low is not None for line in found) else ""
    axes.set_title(f"{env_id}{more}{band}", loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel("emulator frames" if game_of(env_id) else "agent steps", fontsize=9)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.tick_params(labelsize=9)
    axes.grid(color="#e3e6ea", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def save(runs: Sequence[Run], path: Path) -> None:
    """Write the figure in the format of ``path``'s extension; raise `UserError` if that fails."""
    chart.write(draw(runs), path, "--curves")
