"""The human comparison, after Mnih et al. 2015, figure 3: games sorted, a bar each, human level a line.

A few games and several players: a panel a game, with a bar a player. Many games: a panel a player, all with the same
games in the same order. Where some players have few games and others many, both, one below the other.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from scores.atari import normalization, protocol_notes
from scores.atari.columns import Column
from scores.atari.compare import AtariComparison, rank
from scores.atari.table import percent, points

ACROSS = 4  # panels side by side; more begin a new line
MOST = 12  # players
FEW_GAMES = 6  # with several players: a panel a game
INK, HUMAN = "#33383f", "#b3261e"
# Above and below human differ in colour, in hatching and in the weight of the number: colour alone tells nothing.
ABOVE, BELOW = ("#2f6db3", ""), ("#f6c48f", "////")
LINEAR_TO = 400  # percent: a chart that goes beyond has a logarithmic scale
HEAD, LINE = 0.75, 0.15  # inches: title with legend; a line of small print
ROOM = {1: 0.1, 2: 0.18, 3: 0.24, 4: 0.28}  # of a panel's width for the number behind the longest bar, by panels across


class Bar(NamedTuple):
    """One score against humans."""

    label: str
    value: float | None  # 1 is human
    runs: tuple[float, ...]


class Panel(NamedTuple):
    """Bars that stand together."""

    title: str
    words: list[str]  # lines below the title
    bars: list[Bar]


def columns(one: AtariComparison) -> list[Column]:
    """Return the columns that are drawn: players with at least one score against humans, the first dozen."""
    return [column for column in one.columns if column.kind != "reference" and column.against_humans()][:MOST]


def games(one: AtariComparison) -> list[str]:
    """Return the games that are drawn: those that one of the columns has a score against humans in."""
    shown = columns(one)
    return [game for game in one.games if any(game in column.against_humans() for column in shown)]


def groups(one: AtariComparison) -> list[list[Panel]]:
    """Return all that is drawn, in the order in which it is; the panels of a group have the same bars."""
    shown, rows = columns(one), games(one)
    few = [column for column in shown if len(column.against_humans()) <= FEW_GAMES]
    theirs = [game for game in rows if any(game in column.against_humans() for column in few)]
    if len(shown) < 2 or len(theirs) > MOST:
        few, theirs = [], []
    found = [Panel(game, _levels(one, game), [_bar(column.name, column, game) for column in shown]) for game in theirs]
    by_player = [column for column in shown if column not in few]
    known = [game for game in rows if any(game in column.against_humans() for column in by_player)]
    known.sort(key=lambda game: rank(game, by_player))
    across = _across(len(by_player))
    full = [
        Panel(column.name, _words(one, column, across), [_bar(game, column, game) for game in known])
        for column in by_player
    ]
    return [group for group in (found, full) if group]


def width(one: AtariComparison) -> float:
    """Return the inches that the chart needs from left to right."""
    return 14.0 if any(_across(len(group)) >= ACROSS for group in groups(one)) else 11.0


def height(one: AtariComparison) -> float:
    """Return the inches that the chart needs from top to bottom."""
    return HEAD + sum(map(_body, groups(one))) + _foot(one)


def draw_into(figure: FigureBase, one: AtariComparison) -> None:
    """Draw title and legend, the panels, and what must be said with them."""
    shown = groups(one)
    if not shown:
        figure.text(0.5, 0.5, "no Atari score that can be compared with a human one", ha="center", va="center")
        return
    ratios = [HEAD, *map(_body, shown), _foot(one)]
    head, *bodies, foot = figure.subfigures(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
    head.text(0.5, 0.92, _title(one), ha="center", va="top", fontsize=13, fontweight="bold")
    head.legend(handles=_handles(shown), loc="lower center", ncols=4, frameon=False, fontsize=9)
    foot.text(0.01, 0.98, "\n".join(_small_print(one)), fontsize=8, va="top", linespacing=1.3)
    for body, group in zip(bodies, shown, strict=True):
        across = _across(len(group))
        grid = body.subplots(-(-len(group) // across), across, squeeze=False, sharex=True, sharey=True)
        for axes, panel in zip(grid.flat, group, strict=False):
            _draw(axes, panel)
        for axes in list(grid.flat)[len(group) :]:
            axes.set_visible(False)
        values = [bar.value for panel in group for bar in panel.bars if bar.value is not None]
        _scale(grid[0, 0], values, ROOM[across])


def _body(group: Sequence[Panel]) -> float:
    """Return the inches of a group of panels."""
    bars, words = len(group[0].bars), max(len(panel.words) for panel in group)
    return -(-len(group) // ACROSS) * (_bar_inches(bars) * bars + 0.16 * words + 0.85)


def _across(count: int) -> int:
    """Return how many panels stand side by side, the lines being as even as can be."""
    lines = -(-count // ACROSS)
    return -(-count // max(lines, 1))


def _bar_inches(bars: int) -> float:
    return 0.205 if bars > 20 else 0.3


def _foot(one: AtariComparison) -> float:
    return LINE * len(_small_print(one)) + 0.15


def _bar(label: str, column: Column, game: str) -> Bar:
    cell = column.cells.get(game)
    return Bar(label, cell.human_normalised if cell else None, cell.runs if cell else ())


def _draw(axes: Axes, panel: Panel) -> None:
    size = 7.5 if len(panel.bars) > 20 else 9.0
    for place, bar in enumerate(panel.bars):
        if bar.value is None:
            axes.text(2, place, "no score", va="center", fontsize=size - 1, color="#6b7280", style="italic")
            continue
        color, hatch = ABOVE if bar.value >= 1 else BELOW
        axes.barh(place, 100 * bar.value, height=0.76, color=color, hatch=hatch, edgecolor=INK, linewidth=0.5)
        if len(bar.runs) > 1:
            ends = [100 * min(bar.runs), 100 * max(bar.runs)]
            axes.plot(ends, [place, place], color="black", linewidth=1.6, marker="|")
        axes.annotate(
            percent(bar.value),
            (100 * max(bar.value, *bar.runs, 0.0), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=size,
            zorder=5,
            fontweight="bold" if bar.value >= 1 else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.axvline(100, color=HUMAN, linewidth=1.6, linestyle="--", zorder=0.9)
    axes.set_yticks(range(len(panel.bars)), [bar.label for bar in panel.bars], fontsize=size + 0.5)
    axes.set_ylim(len(panel.bars) - 0.4, -0.6)
    axes.grid(axis="x", color="#e3e6ea", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", labelbottom=True, labelsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.set_title(panel.title, loc="left", fontsize=10, fontweight="bold", pad=6 + 11 * len(panel.words))
    axes.annotate(
        "\n".join(panel.words),
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 4),
        textcoords="offset points",
        va="bottom",
        fontsize=8,
    )


def _scale(axes: Axes, values: Sequence[float], room: float) -> None:
    """Set the percent axis of all panels: linear as long as that can be read, else logarithmic beyond human."""
    low, high = 100 * min([*values, 0.0]), 100 * max([*values, 1.0])
    axes.xaxis.set_major_formatter(FuncFormatter(tick))
    if high <= LINEAR_TO:
        axes.set_xlim(1.05 * low - 2, high + room / (1 - room) * (high - low))
        return
    axes.set_xscale("symlog", linthresh=100)  # linear from -100 % to 100 %, as wide as a decade
    right = high * 10 ** (room / (1 - room) * (math.log10(high / 100) + (2 if low < -20 else 1)))
    axes.set_xlim(1.3 * low - 3, right)
    ticks = [-100_000, -10_000, -1000, -100, 0, 100, 1000, 10_000, 100_000, 1_000_000]
    axes.set_xticks([tick for tick in ticks if 1.3 * low <= tick <= 1.3 * high or tick == 0])
    axes.xaxis.set_major_formatter(FuncFormatter(tick))
    axes.xaxis.set_minor_locator(NullLocator())


def tick(value: float, _: int | None) -> str:
    """Return a tick's label: ``100 %``, ``10k %``."""
    return f"{value / 1000:g}k %" if abs(value) >= 1000 else f"{value:g} %"


def _title(one: AtariComparison) -> str:
    used = {column.conditions.baseline for column in columns(one)}
    minutes = " and ".join(f"{base.minutes}" for name, base in normalization.BASELINES.items() if name in used)
    return f"Atari against humans ({minutes} minutes an episode): (score - random) / (human - random)"


def _levels(one: AtariComparison, game: str) -> list[str]:
    """Return what 0 % and 100 % are in a game's own points."""
    used = {column.conditions.baseline for column in columns(one)}
    lines = []
    for name in sorted(used):
        if normalization.has_human(game, name):
            base = normalization.BASELINES[name]
            levels = [f"{agent} {points(normalization.published(agent, game))}" for agent in (base.random, base.human)]
            lines.append(", ".join(levels))
    return lines


def _words(one: AtariComparison, column: Column, across: int) -> list[str]:
    """Return a panel's lines: under which protocol, and what it comes to."""
    found = one.aggregates[column.name]
    said = protocol_notes.in_words(column.conditions) if column.kind == "agent" else column.note
    level = ""
    if found:
        level = f"median {percent(found.median)}; human level in {found.games_at_human_level} of {found.games} games"
    room = {1: 130, 2: 76, 3: 48}.get(across, 46)
    return [*textwrap.wrap(level, room), *textwrap.wrap(said, room)[:4]]


def _small_print(one: AtariComparison) -> list[str]:
    """Return what must be said with the picture, in lines."""
    shown = columns(one)
    said = protocol_notes.remarks([column.conditions for column in shown])
    titles = {panel.title for group in groups(one) for panel in group}  # these panels say it themselves
    untitled = [column for column in shown if column.kind != "agent" and column.name not in titles]
    said = [f"{column.name}: {column.note}." for column in untitled] + said
    without = [
        game for game in one.games if not any(normalization.has_human(game, name) for name in normalization.BASELINES)
    ]
    said += [f"Not drawn, no human score: {', '.join(without)}."] if without else []
    players = [column for column in one.columns if column.kind != "reference" and column.against_humans()]
    said += [f"Drawn: the first {MOST} of {len(players)} columns."] if len(players) > MOST else []
    return [line for sentence in said for line in textwrap.wrap(sentence, round(14.5 * width(one)))]


def _handles(shown: Sequence[Sequence[Panel]]) -> list[Patch | Line2D]:
    handles: list[Patch | Line2D] = [
        Patch(facecolor=color, hatch=hatch, edgecolor=INK, label=label)
        for (color, hatch), label in ((ABOVE, "at human level or above"), (BELOW, "below human level"))
    ]
    handles.append(Line2D([], [], color=HUMAN, linestyle="--", linewidth=1.6, label="human (100 %)"))
    if any(len(bar.runs) > 1 for group in shown for panel in group for bar in panel.bars):
        handles.append(Line2D([], [], color="black", marker="|", linewidth=1.6, label="lowest to highest run"))
    return handles
