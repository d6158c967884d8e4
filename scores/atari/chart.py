"""Human-normalised scores as bars, after Mnih et al. 2015, figure 3: games sorted, human level as a line.

Few games and several players: a panel per game, with a bar per player. Many games: a panel per player, all with the
same games in the same order. If some players have few games and others many: both, one below the other.
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

ACROSS = 4  # panels in a row; more start a new row
MOST = 12  # players
FEW_GAMES = 6  # up to this many, with several players: a panel per game
INK, HUMAN = "#33383f", "#b3261e"
# Above and below human differ in colour, hatching and font weight of the number: colour alone is not enough.
ABOVE, BELOW = ("#2f6db3", ""), ("#f6c48f", "////")
LINEAR_TO = 400  # percent: a chart that reaches further has a logarithmic scale
HEAD, LINE = 0.75, 0.15  # inches: title and legend; a line of the footnotes
ROOM = {
    1: 0.1,
    2: 0.18,
    3: 0.24,
    4: 0.28,
}  # fraction of a panel's width for the number behind the longest bar, by panels in a row


class Bar(NamedTuple):
    """One human-normalised score."""

    label: str
    value: float | None  # 1 is human
    runs: tuple[float, ...]


class Panel(NamedTuple):
    """Bars in one pair of axes."""

    title: str
    subtitle: list[str]  # lines below the title
    bars: list[Bar]


def columns(one: AtariComparison) -> list[Column]:
    """Return the columns that are drawn: the first dozen players that have a human-normalised score."""
    return [column for column in one.columns if column.kind != "reference" and column.normalised()][:MOST]


def games(one: AtariComparison) -> list[str]:
    """Return the games that are drawn: those in which one of the columns has a human-normalised score."""
    shown = columns(one)
    return [game for game in one.games if any(game in column.normalised() for column in shown)]


def groups(one: AtariComparison) -> list[list[Panel]]:
    """Return the panels in drawing order, in groups whose panels have the same bars."""
    shown, rows = columns(one), games(one)
    few = [column for column in shown if len(column.normalised()) <= FEW_GAMES]
    few_games = [game for game in rows if any(game in column.normalised() for column in few)]
    if len(shown) < 2 or len(few_games) > MOST:
        few, few_games = [], []
    by_game = [
        Panel(game, _levels(one, game), [_bar(column.name, column, game) for column in shown]) for game in few_games
    ]
    others = [column for column in shown if column not in few]
    many_games = [game for game in rows if any(game in column.normalised() for column in others)]
    many_games.sort(key=lambda game: rank(game, others))
    across = _across(len(others))
    by_player = [
        Panel(column.name, _subtitle(one, column, across), [_bar(game, column, game) for game in many_games])
        for column in others
    ]
    return [group for group in (by_game, by_player) if group]


def width(one: AtariComparison) -> float:
    """Return the width of the chart in inches."""
    return 14.0 if any(_across(len(group)) >= ACROSS for group in groups(one)) else 11.0


def height(one: AtariComparison) -> float:
    """Return the height of the chart in inches."""
    return HEAD + sum(map(_body, groups(one))) + _foot(one)


def draw_into(figure: FigureBase, one: AtariComparison) -> None:
    """Draw title and legend, the panels, and the footnotes."""
    shown = groups(one)
    if not shown:
        figure.text(0.5, 0.5, "no Atari score with a human baseline", ha="center", va="center")
        return
    ratios = [HEAD, *map(_body, shown), _foot(one)]
    head, *bodies, foot = figure.subfigures(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
    head.text(0.5, 0.92, _title(one), ha="center", va="top", fontsize=13, fontweight="bold")
    head.legend(handles=_handles(shown), loc="lower center", ncols=4, frameon=False, fontsize=9)
    foot.text(0.01, 0.98, "\n".join(_footnotes(one)), fontsize=8, va="top", linespacing=1.3)
    for body, group in zip(bodies, shown, strict=True):
        across = _across(len(group))
        grid = body.subplots(-(-len(group) // across), across, squeeze=False, sharex=True, sharey=True)
        for axes, panel in zip(grid.flat, group, strict=False):
            _draw(axes, panel)
        for axes in list(grid.flat)[len(group) :]:
            axes.set_visible(False)
        values = [bar.value for panel in group for bar in panel.bars if bar.value is not None]
        scale(grid[0, 0], values, ROOM[across])


def _body(group: Sequence[Panel]) -> float:
    """Return the height of a group of panels in inches."""
    bars, lines = len(group[0].bars), max(len(panel.subtitle) for panel in group)
    return -(-len(group) // ACROSS) * (_bar_inches(bars) * bars + 0.16 * lines + 0.85)


def _across(count: int) -> int:
    """Return the number of panels in a row, with rows as equal as possible."""
    rows = -(-count // ACROSS)
    return -(-count // max(rows, 1))


def _bar_inches(bars: int) -> float:
    return 0.205 if bars > 20 else 0.3


def _foot(one: AtariComparison) -> float:
    return LINE * len(_footnotes(one)) + 0.15


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
    axes.set_title(panel.title, loc="left", fontsize=10, fontweight="bold", pad=6 + 11 * len(panel.subtitle))
    axes.annotate(
        "\n".join(panel.subtitle),
        (0, 1),
        xycoords="axes fraction",
        xytext=(0, 4),
        textcoords="offset points",
        va="bottom",
        fontsize=8,
    )


def scale(axes: Axes, values: Sequence[float], room: float) -> None:
    """Set the percent axis of all panels: linear for a small range, else logarithmic above human level."""
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
    minutes = "- and ".join(f"{base.minutes}" for name, base in normalization.BASELINES.items() if name in used)
    return f"Human-normalised Atari scores ({minutes}-minute episodes): (score - random) / (human - random)"


def _levels(one: AtariComparison, game: str) -> list[str]:
    """Return the points of 0 % and 100 % in a game, a line per baseline."""
    used = {column.conditions.baseline for column in columns(one)}
    lines = []
    for name in sorted(used):
        if normalization.has_human(game, name):
            base = normalization.BASELINES[name]
            levels = [f"{agent} {points(normalization.published(agent, game))}" for agent in (base.random, base.human)]
            lines.append(", ".join(levels))
    return lines


def _subtitle(one: AtariComparison, column: Column, across: int) -> list[str]:
    """Return the lines below a player's title: its aggregate and its protocol."""
    found = one.aggregates[column.name]
    conditions = protocol_notes.summary(column.conditions) if column.kind == "agent" else column.note
    level = ""
    if found:
        level = f"median {percent(found.median)}; human level in {found.games_at_human_level} of {found.games} games"
    width = {1: 130, 2: 76, 3: 48}.get(across, 46)  # characters
    return [*textwrap.wrap(level, width), *textwrap.wrap(conditions, width)[:4]]


def _footnotes(one: AtariComparison) -> list[str]:
    """Return the footnotes, wrapped into lines."""
    shown = columns(one)
    titles = {panel.title for group in groups(one) for panel in group}  # these panels have their note as a subtitle
    untitled = [column for column in shown if column.kind != "agent" and column.name not in titles]
    notes = [f"{column.name}: {column.note}." for column in untitled]
    notes += protocol_notes.remarks([column.conditions for column in shown])
    without = [
        game for game in one.games if not any(normalization.has_human(game, name) for name in normalization.BASELINES)
    ]
    notes += [f"Not drawn, no human score: {', '.join(without)}."] if without else []
    players = [column for column in one.columns if column.kind != "reference" and column.normalised()]
    notes += [f"Drawn: the first {MOST} of {len(players)} columns."] if len(players) > MOST else []
    return [line for note in notes for line in textwrap.wrap(note, round(14.5 * width(one)))]


def _handles(shown: Sequence[Sequence[Panel]]) -> list[Patch | Line2D]:
    handles: list[Patch | Line2D] = [
        Patch(facecolor=color, hatch=hatch, edgecolor=INK, label=label)
        for (color, hatch), label in ((ABOVE, "at human level or above"), (BELOW, "below human level"))
    ]
    handles.append(Line2D([], [], color=HUMAN, linestyle="--", linewidth=1.6, label="human (100 %)"))
    if any(len(bar.runs) > 1 for group in shown for panel in group for bar in panel.bars):
        handles.append(Line2D([], [], color="black", marker="|", linewidth=1.6, label="lowest to highest run"))
    return handles
