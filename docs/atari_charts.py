"""The Atari charts of the results: human-normalised scores, and learning curves; drawn by docs/generate.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from docs.atari_results import (
    AGENT,
    PRESET,
    Line,
    charted,
    counted,
    level_of,
    millions,
    read_curves,
    spaced,
)
from scores.atari import chart, curves, normalization
from scores.atari.normalization import human_or_none, published
from scores.atari.published import load
from scores.atari.table import percent
from scores.stats import student_interval

BESIDE = "dqn"  # the published agent in the chart, at 200 million frames
CURVES_BESIDE = ("dopamine_dqn_cnn",)
INK, HUMAN, PALE = "#33383f", "#b3261e", "#6b7280"


def draw_atari(found: Sequence[Line] | None = None) -> Figure:
    """Return the human-normalised chart, after Mnih et al. 2015, figure 3: games sorted, human level as a line."""
    shown = charted() if found is None else found
    size = 0.29 if len(shown) > 8 else 0.42
    figure = Figure(figsize=(9, 1.75 + size * max(len(shown), 1)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    if not shown:
        axes.text(0.5, 0.5, "no game has been measured yet", ha="center", transform=axes.transAxes)
        return figure
    for place, one in enumerate(shown):
        _bar(axes, place, one)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.axvline(100, color=HUMAN, linewidth=1.6, linestyle="--", zorder=0.9)
    axes.set_yticks(range(len(shown)), [spaced(one.game) for one in shown], fontsize=9)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    reach = [end for one in shown for end in (*one.normalised, *(_beside(one.game) or ()))]
    chart.scale(axes, reach, 0.03)
    _clip_intervals(axes, shown)
    axes.grid(axis="x", color="#e3e6ea", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    scale = "; logarithmic beyond 100 %" if axes.get_xscale() != "linear" else ""
    axes.set_xlabel(f"(score - random) / (human - random){scale}", fontsize=9)
    above = sum((one.level or 0.0) >= 1 for one in shown)
    title = f"{AGENT.upper()}, {millions(shown[0].frames)} frames on a CPU"
    title += f": {above} of {counted(len(shown), 'game')}"
    figure.suptitle(f"{title} at human level", x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.legend(handles=_handles(shown), loc="outside lower left", ncols=3, frameon=False, fontsize=8)
    return figure


def _bar(axes: Axes, place: int, one: Line) -> None:
    """Draw a game: the mean as a bar, seeds as rings, the published agent as a diamond; the number at the right."""
    level = one.level or 0.0
    color, hatch = chart.ABOVE if level >= 1 else chart.BELOW
    axes.barh(place, 100 * level, height=0.72, color=color, hatch=hatch, edgecolor=INK, linewidth=0.5)
    if len(one.seeds) > 1:
        values = [100 * value for value in one.normalised]
        axes.plot(
            values, [place] * len(values), "o", markersize=4, markerfacecolor="white", markeredgecolor="black", zorder=5
        )
    other = _beside(one.game)
    if other:
        axes.plot(100 * other[0], place, "D", markersize=5.5, color=PALE, markeredgecolor="white", zorder=4)
    across = axes.get_yaxis_transform()  # numbers in columns of their own, where nothing hides them
    weight = "bold" if level >= 1 else "normal"
    axes.text(1.08, place, percent(level), transform=across, ha="right", va="center", fontsize=9, fontweight=weight)
    seeds = counted(len(one.seeds), "seed")
    axes.text(1.09, place, seeds, transform=across, va="center", fontsize=7.5, color=PALE)


def _clip_intervals(axes: Axes, shown: Sequence[Line]) -> None:
    """Draw the intervals over seeds, cut at the edges of the chart, whose scale they do not change."""
    left, right = axes.get_xlim()
    for place, one in enumerate(shown):
        interval = student_interval(one.normalised).ci95
        if interval is not None:
            low, high = max(100 * interval[0], left), min(100 * interval[1], right)
            axes.plot([low, high], [place, place], color="black", linewidth=1.4, zorder=3)


def _beside(game: str) -> tuple[float] | None:
    """Return the human-normalised score of the published agent, in a tuple; None if it has none."""
    score = load().scores[BESIDE].get(game)
    level = None if score is None else human_or_none(score, game, normalization.LONG)
    return None if level is None else (level,)


def _handles(shown: Sequence[Line]) -> list[Patch | Line2D]:
    handles: list[Patch | Line2D] = [
        Patch(facecolor=color, hatch=hatch, edgecolor=INK, label=label)
        for (color, hatch), label in ((chart.ABOVE, "at human level or above"), (chart.BELOW, "below"))
    ]
    handles.append(Line2D([], [], color=HUMAN, linestyle="--", linewidth=1.6, label="human (100 %); 0 %: random play"))
    if any(len(one.seeds) > 1 for one in shown):
        handles.append(
            Line2D(
                [], [], color="black", marker="o", markersize=4, markerfacecolor="white", label="seeds, 95 % interval"
            )
        )
    if any(_beside(one.game) for one in shown):
        label = "DQN, 200 million frames (published: Bellemare et al. 2017)"
        handles.append(Line2D([], [], color=PALE, marker="D", linestyle="", markersize=4.5, label=label))
    return handles


# ------------------------------------------------------------------ learning curves


def draw_curves() -> Figure:
    """Return the learning curves, a panel a game, with a published agent's behind them."""
    panels = [_panel(game, seeds.values()) for game, seeds in read_curves().items() if _has_curve(seeds.values())]
    figure = Figure(figsize=(11, curves.height(panels) if panels else 2.0), layout="constrained")
    FigureCanvasAgg(figure)
    if panels:
        curves.draw_into(figure, panels)
    else:
        figure.text(0.5, 0.5, "no learning curve yet", ha="center")
    return figure


def _has_curve(seeds: Iterable[Sequence[tuple[int, float]]]) -> bool:
    return any(len(points) > 1 for points in seeds)


def _panel(game: str, seeds: Iterable[Sequence[tuple[int, float]]]) -> curves.Panel:
    runs = [points for points in seeds if len(points) > 1]
    line = curves.Line(f"{AGENT} {PRESET}", len(runs), *curves.mean_curve(runs), training=False)
    levels = {who: published(who, game) for who in ("random", "human")} if level_of("human", game) != "-" else {}
    return curves.Panel(game, [line], curves.published_curves(game, CURVES_BESIDE, [line]), levels)
