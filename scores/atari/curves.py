"""Learning curves of our Atari runs: a panel per game, mean over seeds with its interval, published curves behind."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from common.text import number_of
from scores.atari import normalization, protocol_notes
from scores.atari.columns import Column
from scores.atari.compare import CURVE_AGENTS, AtariComparison
from scores.atari.published import load
from scores.runs import Run, read_training_curve
from scores.stats import bootstrap_interval

ACROSS, MOST = 3, 12  # panels in a row, and in total
POINTS = 200  # of a curve: each needs a bootstrap interval
# Okabe and Ito's colours; the curves also differ in dash and marker
STYLES = (("#0072b2", "-", "o"), ("#d55e00", "--", "s"), ("#009e73", "-.", "^"), ("#cc79a7", ":", "D"))
Numbers = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve over emulator frames."""

    name: str
    seeds: int
    frames: Numbers  # (T,)
    mean: Numbers  # (T,) score, mean over seeds
    low: Numbers | None  # (T,) 95 % interval over seeds; None: one seed
    high: Numbers | None
    training: bool  # returns during training: the run was evaluated only once


@dataclasses.dataclass(frozen=True)
class Panel:
    """One game's curves."""

    game: str
    lines: list[Line]
    published: dict[str, dict[int, float]]  # agent -> frames -> score
    levels: dict[str, float]  # human and random
    left_out: int = 0  # games without a panel, beyond the maximum; in the title of the last one


def panels(one: AtariComparison) -> list[Panel]:
    """Return the panels: the first dozen games in which a run of ours has at least two points."""
    found = []
    selected = [column.name for column in one.columns if column.kind == "agent" and column.name in load().curves]
    for game in one.games:
        lines = [line for column in one.columns for line in _lines(column, game)]
        if lines:
            found.append(
                Panel(game, lines, published_curves(game, selected or [CURVE_AGENTS[0]], lines), _levels(one, game))
            )
    if len(found) > MOST:
        found[MOST - 1] = dataclasses.replace(found[MOST - 1], left_out=len(found) - MOST)
    return found[:MOST]


def height(shown: Sequence[Panel]) -> float:
    """Return the height of the panels in inches."""
    return 3.1 * -(-len(shown) // ACROSS) + 1.0


def draw_into(figure: FigureBase, shown: Sequence[Panel]) -> None:
    """Draw one panel per game."""
    across = min(len(shown), ACROSS)
    grid = figure.subplots(-(-len(shown) // across), across, squeeze=False)
    names = list(dict.fromkeys(line.name for panel in shown for line in panel.lines))
    agents = list(dict.fromkeys(agent for panel in shown for agent in panel.published))
    handles: dict[str, Artist] = {}
    for axes, panel in zip(grid.flat, shown, strict=False):
        _panel(axes, panel, names, agents)
        drawn, labels = axes.get_legend_handles_labels()
        handles |= dict(zip(labels, drawn, strict=True))
    for axes in list(grid.flat)[len(shown) :]:
        axes.set_visible(False)
    figure.suptitle("Learning curves: score over emulator frames (4 frames per agent step)", fontweight="bold")
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=3, frameon=False, fontsize=9)


def _lines(column: Column, game: str) -> list[Line]:
    """Return the curve of a column in a game; nothing if no run has two points."""
    curves, training = [], False
    for run in column.runs:
        if column.kind == "run" and normalization.game_of(run.env_id) == game:
            points, of_training = points_of(run)
            training |= of_training
            if len(points) > 1:
                curves.append(points)
    if not curves:
        return []
    return [Line(column.name, len(curves), *mean_curve(curves), training)]


def mean_curve(
    curves: Sequence[Sequence[tuple[int, float]]],
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None, NDArray[Any] | None]:
    """Return points (T,), the mean of some seeds' curves there, and the ends of its 95 % interval; None: one seed."""
    at = common_grid(curves)
    table = np.array([np.interp(at, *np.array(curve, dtype=np.float64).T) for curve in curves])  # (seeds, T)
    low = high = None
    if len(curves) > 1:
        ends = [bootstrap_interval(list(values)).ci95 for values in table.T]
        low, high = np.array([end or (np.nan, np.nan) for end in ends]).T
    return at, table.mean(0), low, high


def points_of(run: Run) -> tuple[tuple[tuple[int, float], ...], bool]:
    """Return the points of a run's evaluations; of its training if it has only one, and whether that is so."""
    if len(run.curve) > 1:
        return run.curve, False
    training = read_training_curve(run.path)
    return (training, True) if len(training) > 1 else (run.curve, False)


def common_grid(curves: Sequence[Sequence[tuple[int, float]]]) -> Numbers:
    """Return the frames that all curves cover, at most `POINTS`."""
    first, last = max(curve[0][0] for curve in curves), min(curve[-1][0] for curve in curves)
    frames = sorted({frames for curve in curves for frames, _ in curve if first <= frames <= last})
    if len(frames) > POINTS:
        return np.linspace(first, last, POINTS)
    return np.array(frames or [first], dtype=np.float64)


def published_curves(game: str, agents: Sequence[str], lines: Sequence[Line]) -> dict[str, dict[int, float]]:
    """Return the published curves, cut a little beyond the end of ours."""
    last = max(float(line.frames[-1]) for line in lines)
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for agent in agents:
        curve = load().curves[agent].get(game)
        points = sorted(curve.points.items()) if curve else []
        for frames, score in points:
            found[agent][frames] = score
            if frames >= 4 * last and len(found[agent]) > 2:
                break
    return dict(found)


def _published_label(agent: str) -> str:
    conditions = protocol_notes.of_agent(load().agents[agent])
    kind = "training returns" if conditions.training_returns else "evaluation"
    return f"{agent} (published; {kind}{', sticky actions' if conditions.sticky else ''})"


def _levels(one: AtariComparison, game: str) -> dict[str, float]:
    scale = [column for column in one.columns if column.kind == "reference" and column.name != normalization.RECORD]
    return {column.name: column.cells[game].score for column in scale if game in column.cells}


def _panel(axes: Axes, panel: Panel, names: Sequence[str], agents: Sequence[str]) -> None:
    _draw_published(axes, panel, agents)
    for line in panel.lines:
        draw_line(axes, line, STYLES[names.index(line.name) % len(STYLES)])
    for name, score in panel.levels.items():
        axes.axhline(score, color="#b3261e" if name.startswith("human") else "#6b7280", linewidth=1, linestyle="--")
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "ha": "right"}
        axes.annotate(name, (1, score), xytext=(-2, 2), fontsize=8, **place)
    first = min(float(line.frames[0]) for line in panel.lines)
    last = max([float(line.frames[-1]) for line in panel.lines] + [max(one) for one in panel.published.values()])
    if last > 20 * max(first, 1):
        axes.set_xscale("log")
    more = f" ({panel.left_out} more games not drawn)" if panel.left_out else ""
    axes.set_title(panel.game + more, loc="left", fontweight="bold", fontsize=10, pad=17)
    counts = ", ".join(f"{line.name}: {number_of(line.seeds, 'seed')}" for line in panel.lines)
    axes.annotate(counts, (0, 1), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points", fontsize=8)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.tick_params(labelsize=8)
    axes.grid(color="#e3e6ea", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_published(axes: Axes, panel: Panel, agents: Sequence[str]) -> None:
    """Draw the published curves, pale, behind ours."""
    style: dict[str, Any] = {"color": "#8a9099", "linewidth": 1.2, "markersize": 5, "zorder": 1}
    for agent, points in panel.published.items():
        marker = "xv+*"[agents.index(agent) % 4]
        axes.plot(list(points), list(points.values()), marker=marker, label=_published_label(agent), **style)


def draw_line(axes: Axes, line: Line, style: tuple[str, str, str]) -> None:
    """Draw one of our curves: the mean over seeds, and its interval if there are several."""
    color, dash, marker = style
    label = line.name + (" (training returns)" if line.training else "")
    look: dict[str, Any] = {"markersize": 4, "markevery": max(len(line.frames) // 10, 1), "linewidth": 1.8, "zorder": 3}
    axes.plot(line.frames, line.mean, color=color, linestyle=dash, marker=marker, label=label, **look)
    if line.low is not None and line.high is not None:
        label = "95 % interval over seeds (bootstrap)"
        axes.fill_between(line.frames, line.low, line.high, color=color, alpha=0.3, linewidth=0, label=label)
