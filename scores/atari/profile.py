"""Performance profiles: the fraction of games above each human-normalised score. Agarwal et al. 2021, figure 5."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import FigureBase
from matplotlib.ticker import FuncFormatter

from scores.atari import chart as atari_chart
from scores.atari.aggregates import Profile, performance_profile
from scores.atari.compare import AtariComparison
from scores.atari.curves import STYLES

FEWEST_GAMES = 10  # with fewer the steps are too coarse
HEIGHT = 4.2  # inches
RESAMPLES = 500  # enough for a band in a chart


def profiles(one: AtariComparison) -> tuple[dict[str, Profile], int]:
    """Return a profile per column, and the number of games: those that all columns have, so that they are comparable.

    Empty with fewer than two columns or ten games.
    """
    by_column = {column.name: column.normalised() for column in atari_chart.columns(one)}
    many = {name: runs for name, runs in by_column.items() if len(runs) >= FEWEST_GAMES}
    common = set.intersection(*(set(runs) for runs in many.values())) if many else set()
    if len(many) < 2 or len(common) < FEWEST_GAMES:
        return {}, 0
    most = max(max(runs[game]) for runs in many.values() for game in common)
    levels = np.concatenate([np.linspace(0, 1, 101), np.geomspace(1, max(most, 2.0), 200)[1:]])
    found = {
        name: performance_profile({game: runs[game] for game in sorted(common)}, list(levels), RESAMPLES)
        for name, runs in many.items()
    }
    return found, len(common)


def draw_into(figure: FigureBase, shown: dict[str, Profile], games: int) -> None:
    """Draw the profiles, with pointwise 95 % bands if there are several runs of every game."""
    axes = figure.subplots()
    for number, (name, profile) in enumerate(shown.items()):
        color, dash, marker = STYLES[number % len(STYLES)]
        at = 100 * profile.thresholds
        axes.plot(
            at,
            profile.fraction,
            color=color,
            linestyle=dash,
            marker=marker,
            markevery=(7 * number, 25),
            markersize=5,
            linewidth=1.8,
            label=name,
        )
        if profile.low is not None and profile.high is not None:
            axes.fill_between(at, profile.low, profile.high, color=color, alpha=0.25, linewidth=0)
    axes.axvline(100, color=atari_chart.HUMAN, linestyle="--", linewidth=1.6, label="human (100 %)")
    axes.set_xscale("symlog", linthresh=100)
    axes.set_xlim(0, None)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_formatter(FuncFormatter(atari_chart.tick))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    axes.set_xlabel("human-normalised score")
    axes.set_ylabel("fraction of games (and runs) above it")
    axes.grid(color="#e3e6ea", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    axes.set_title(
        f"Performance profiles over the {games} games that all of them have",
        loc="left",
        fontweight="bold",
        fontsize=11,
    )
