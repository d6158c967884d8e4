"""Where everything lies in a window of any size: columns that grow, stack, or leave panels out.

There are two kinds of arrangement. *Beside*: the world on the left, some panels with plots below it, one to four
columns of panels on its right. *Stacked*, for narrow and tall windows: the world on top, columns of panels below it.
Of all of them that fit, the best is taken: the one that shows the most important panels, a large world, and little
empty space.

A panel is never squeezed below the height that its text needs. When not all of them fit, they are left out from the end
of `RANKS` on; a panel that was just asked for by its key comes first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from viewer.drawing.canvas import LARGE_SCALE, Area
from viewer.panels import PANELS, View, world
from viewer.panels.base import Panel
from viewer.settings import WindowSettings

GAP, FOOTER, BAR = 12.0, 30.0, 18.0  # between cards; heights of the line of keys and of the timeline
ROOMY, TIGHT = 24.0, 14.0  # the margin around everything, in large and in small windows
HEADS = {ROOMY: 52.0, TIGHT: 36.0}  # height of the line above the world
SMALL_WINDOW = 1100.0  # logical pixels of width below which margins are tight
WORLDS, FRAMES = (1464, 836), (1740, 962)  # the size to open with: of worlds, and of games whose network sees frames
COLUMN, FRAMES_COLUMN = 340.0, 428.0  # of a column of panels in these
USUAL = 1.15  # up to this many times the usual window a logical pixel is a real one
LARGE = (2560, 1440)  # pixels of the window at which the scale is `LARGE_SCALE`
WIDTHS = (256.0, 284.0, 312.0, 340.0, 376.0, 428.0)  # that a column of panels may have
PLOT_WIDTH = 250.0  # least width of a plot below the world
PLOT_HEIGHTS = {ROOMY: (176.0, 290.0), TIGHT: (140.0, 240.0)}  # least and largest height of one, by the margin
LEAST_WORLD, LARGEST_SHARE = 170.0, 0.62  # least width of a world; largest share of the height where panels are below
SCREEN, NEARLY = 160, 0.85  # pixels across an Atari's screen; share of the room that a sharp picture must fill
RANKS = {
    "control": 2.4,
    "actions": 2.2,
    "curve": 2.0,
    "score": 1.4,
    "truth": 1.3,
    "step": 1.2,
    "returns": 1.1,
    "learning": 1.0,
    "seen": 0.9,
    "senses": 0.75,
    "rewards": 0.6,
    "neurons": 0.5,
}
"""How much each panel is worth: those at the end are left out first."""
LEARNER = 1.9  # what the panel on learning is worth where an agent learns
ASKED = 3.0  # what a panel is worth in addition that was just asked for
WHOLE = (
    0.7  # what a panel is worth in addition that is high enough for its curve; in small windows the world matters more
)
WORLD_WORTH, EMPTY_COST = 7.0, 5.0  # of the square root of the world's share of the window; of an empty window


class Layout(NamedTuple):
    """Where everything lies, in logical pixels."""

    size: tuple[float, float]
    scale: float
    """Real pixels of a logical one."""
    header: Area
    world: Area
    bar: Area
    footer: Area
    panels: list[tuple[Panel, Area]]
    left_out: tuple[str, ...] = ()
    """Panels for which there is no room, by name."""

    @property
    def whole(self) -> Area:
        """Return the whole window."""
        return Area(0, 0, *self.size)


def scale_of(width: float, height: float) -> float:
    """Return the real pixels of a logical one: 1 up to the usual window, 1.25 at 2560 x 1440, then in proportion."""
    ratio, large = (min(width / size[0], height / size[1]) for size in (WORLDS, LARGE))
    if large >= 1:
        return LARGE_SCALE * large
    most = min(LARGE[0] / WORLDS[0], LARGE[1] / WORLDS[1])
    return 1.0 + (LARGE_SCALE - 1.0) * min(max((ratio - USUAL) / (most - USUAL), 0.0), 1.0)


def natural_size(view: View) -> tuple[int, int]:
    """Return the size to open a window with, or to film: as wide as the shown panels need, even for video encoders."""
    frames = view.session.stack() is not None
    (width, height), column = (FRAMES, FRAMES_COLUMN) if frames else (WORLDS, COLUMN)
    panels = shown_panels(view)
    below = [panel for panel in panels if panel.place == "below"]
    high, columns, used = height - ROOMY - 42.0, 0, math.inf
    for panel in panels:
        if panel.place == "side":
            need = panel.height(view, column)
            if used + GAP + need > high + 0.5:
                columns, used = columns + 1, -GAP
            used += GAP + need
    width -= int((column + GAP) * (2 - min(columns, 3)))
    if not columns:
        width -= int(GAP)
    if not below and columns < 2:  # as high as the world, or as the panels beside it
        height -= min(188, int(high - used) if columns else 188)
    return 2 * round(width / 2), 2 * math.ceil(height / 2)


def kind_of(view: View) -> str:
    """Return the name under which the size of the window is remembered: never that of another layout."""
    return "versus" if view.versus is not None else "frames" if view.session.stack() is not None else "worlds"


def shown_panels(view: View) -> list[Panel]:
    """Return the panels that are not hidden and have something to show."""
    return [panel for panel in PANELS if panel.name not in view.hidden and panel.height(view) > 0]


def layout(view: View, size: tuple[float, float] | None = None) -> Layout:
    """Return the layout for what is played and shown, in a window of so many pixels; by default of its natural size."""
    wide, high = size or natural_size(view)
    heights = {panel: panel.height(view) for panel in PANELS if panel.name not in view.hidden}
    panels = [panel for panel, height in heights.items() if height > 0]
    key = (
        wide,
        high,
        tuple((panel.name, round(height, 1)) for panel, height in heights.items()),
        tuple(view.asked),
        view.versus is None,
        round(world.aspect(view), 3),
    )
    return view.cached("layout", key, lambda: arrange(view, wide, high, panels))


def arrange(view: View, width: float, height: float, panels: Sequence[Panel]) -> Layout:
    """Return the best arrangement of these panels in a window of so many pixels."""
    scale = scale_of(width, height)
    page = _Page(view, width / scale, height / scale, scale)
    best = _best(page, panels)
    if missing := _unhidden(page, panels) - best.names:
        best = _best(page, panels, best.names | missing)
    names = best.names
    left_out = tuple(panel.name for panel in panels if panel.name not in names)
    place, m = best.world, page.margin
    top = place.y - (world.NAME_HEIGHT if view.versus is not None else 0.0)
    header = Area(place.x, top - page.head, max(place.w, page.least_header), page.head)
    bar = Area(place.x, place.bottom + (GAP if page.roomy else 8.0), place.w, BAR)
    footer = Area(m, page.bottom + 6, page.w - 2 * m, FOOTER)
    return Layout((page.w, page.h), scale, header, place, bar, footer, best.panels, left_out)


class _Found(NamedTuple):
    """One arrangement."""

    worth: float
    world: Area
    panels: list[tuple[Panel, Area]]

    @property
    def names(self) -> frozenset[str]:
        """Return the names of its panels."""
        return frozenset(panel.name for panel, _ in self.panels)


def _best(page: _Page, panels: Sequence[Panel], kept: frozenset[str] = frozenset()) -> _Found:
    """Return the best arrangement; of those that have the panels ``kept``, if any has."""
    page.whole = page.dealt = False
    found = [_alone(page), *_beside(page, panels), *_stacked(page, panels)]
    best = max([one for one in found if kept <= one.names] or found, key=lambda one: one.worth)
    needed = len(best.panels)
    for dealt in (False, True) if page.roomy else ():
        # so that the score has its curve, but at the cost of no panel, and only where need be of their order
        if dealt and not page.lacking(best):
            break
        page.whole, page.dealt = True, dealt
        found = [one for one in (*_beside(page, panels), *_stacked(page, panels)) if len(one.panels) >= needed]
        best = max([best, *(one for one in found if kept <= one.names)], key=lambda one: one.worth)
    return best


def _unhidden(page: _Page, panels: Sequence[Panel]) -> frozenset[str]:
    """Return which of these panels would be there if none were hidden: hiding one takes no other one away.

    Those that are hidden at first do not count: the window is arranged without them.
    """
    view, shown = page.view, {panel.name for panel in panels}
    hidden = {panel.name for panel in PANELS if panel.name in view.hidden - set(WindowSettings.hidden)}
    if not hidden or not panels:
        return frozenset()
    everything = [panel for panel in PANELS if panel.name in shown or (panel.name in hidden and panel.height(view) > 0)]
    return _best(page, everything).names & shown


class _Page:
    """The window in logical pixels, and how high panels are in it."""

    def __init__(self, view: View, width: float, height: float, scale: float) -> None:
        self.view, self.w, self.h, self.scale = view, width, height, scale
        self.lines = SCREEN if view.session.stack() is not None and view.versus is None else 0
        self.roomy = width >= SMALL_WINDOW and height >= 700
        self.margin = ROOMY if self.roomy else TIGHT
        self.head = HEADS[self.margin]
        self.bottom = height - FOOTER - 12.0  # of worlds and panels
        self.aspect = world.aspect(view)
        self.names = world.NAME_HEIGHT if view.versus is not None else 0.0
        self.least_header = 0.0
        self.whole = False  # panels get at least the height that nothing of them is missing at
        self.dealt = False  # panels may change their order for that
        self._heights: dict[tuple[str, float], tuple[float, float]] = {}

    def height(self, panel: Panel, width: float) -> float:
        return self.both_heights(panel, width)[self.whole]

    def both_heights(self, panel: Panel, width: float) -> tuple[float, float]:
        """Return the least height of a panel, and that at which nothing of it is missing."""
        key = (panel.name, round(width))
        if key not in self._heights:
            self._heights[key] = panel.height(self.view, width), panel.whole(self.view, width)
        return self._heights[key]

    def lacking(self, found: _Found) -> bool:
        """Return whether something is missing of a panel."""
        return any(area.h + 0.5 < self.both_heights(panel, area.w)[1] for panel, area in found.panels)

    def rank(self, panel: Panel) -> float:
        asked, view = self.view.asked, self.view
        if panel.name == "learning" and (view.live is not None or view.session.online_learner is not None):
            return LEARNER
        return RANKS.get(panel.name, 0.4) + (ASKED + asked.index(panel.name) if panel.name in asked else 0.0)

    def fitted(self, room: Area) -> Area:
        """Return the largest world in the upper left corner of a room."""
        wide = min(room.w, max(room.h, 1.0) * self.aspect)
        if self.lines:  # of a game's screen, each a whole number of pixels wide if nearly as large
            unit = self.lines / self.scale
            whole = math.floor(wide / unit + 1e-9) * unit
            wide = whole if whole >= NEARLY * wide else wide
        return Area(room.x, room.y, wide, wide / self.aspect)

    def worth(self, place: Area, placed: Sequence[tuple[Panel, Area]]) -> float:
        area = self.w * self.h
        share = place.w * place.h / area
        filled = (place.w * (place.h + BAR + GAP + self.head + self.names) + sum(a.w * a.h for _, a in placed)) / area
        shown = sum(self.rank(panel) for panel, _ in placed)
        for panel, place_of in placed if self.whole else ():
            least, whole = self.both_heights(panel, place_of.w)
            shown += WHOLE if least < whole <= place_of.h + 0.5 else 0.0
        return shown + WORLD_WORTH * math.sqrt(max(share, 0.0)) + EMPTY_COST * min(filled, 1.0)


def _alone(page: _Page) -> _Found:
    """Return the arrangement of a tiny window: nothing but the world."""
    m, top = page.margin, page.margin + page.head + page.names
    wide, high = max(page.w - 2 * m, 16.0), max(page.bottom - top - BAR - 8.0, 16.0)
    place = page.fitted(Area(m, top, wide, high))
    place = place._replace(x=m + (wide - place.w) / 2)
    return _Found(page.worth(place, ()), place, [])


def _beside(page: _Page, panels: Sequence[Panel]) -> Iterator[_Found]:
    """Yield arrangements with columns of panels on the right of the world, and plots below it."""
    m, top = page.margin, page.margin + page.head + page.names
    across = GAP * (2 if page.roomy else 1)
    lines = BAR + (GAP if page.roomy else 8.0)
    plots = [panel for panel in panels if panel.place == "below"]
    for count in range(len(plots), -1, -1):
        under = plots[:count]
        sides = [panel for panel in panels if panel not in under]
        least = PLOT_HEIGHTS[m][0] + GAP if under else 0.0
        for columns in range(1, 5) if sides else (0,):
            for column in WIDTHS if columns else (0.0,):
                taken = columns * column + max(columns - 1, 0) * GAP + (across if columns else 0.0)
                room = Area(m, top, page.w - 2 * m - taken, page.bottom - top - lines - least)
                if room.w < LEAST_WORLD or room.h < 0.6 * LEAST_WORLD / page.aspect:
                    continue
                if under and (room.w + GAP) / count - GAP < PLOT_WIDTH:
                    continue
                place = page.fitted(room)
                if place.w < LEAST_WORLD:
                    continue
                if columns:  # what the world leaves goes to the columns, up to the widest
                    column = min(column + (room.w - place.w) / columns, max(WIDTHS[-1], column))
                span = room.w + taken - (columns * column + max(columns - 1, 0) * GAP + (across if columns else 0.0))
                placed = _below(page, under, place, span, lines)
                first = Area(m + span + across, m, column, page.bottom - m)
                placed_sides = _columns(page, sides, first, columns)
                place = place._replace(x=place.x + (span - place.w) / 2)
                everything = [*placed_sides, *placed]
                yield _Found(page.worth(place, everything), place, everything)


def _below(page: _Page, under: Sequence[Panel], place: Area, wide: float, lines: float) -> list[tuple[Panel, Area]]:
    """Return plots side by side below the world."""
    if not under:
        return []
    y = place.bottom + lines + GAP
    high = min(page.bottom - y, PLOT_HEIGHTS[page.margin][1])
    each = (wide - GAP * (len(under) - 1)) / len(under)
    return [(panel, Area(place.x + k * (each + GAP), y, each, high)) for k, panel in enumerate(under)]


def _stacked(page: _Page, panels: Sequence[Panel]) -> Iterator[_Found]:
    """Yield arrangements with columns of panels below the world."""
    m, top = page.margin, page.margin + page.head + page.names
    lines = BAR + (GAP if page.roomy else 8.0)
    wide = page.w - 2 * m
    if not panels:
        return
    for share in (0.3, 0.38, 0.46, 0.54, LARGEST_SHARE):
        place = page.fitted(Area(m, top, wide, page.h * share))
        if place.w < LEAST_WORLD or place.w < 0.6 * wide:
            continue
        place = place._replace(x=m + (wide - place.w) / 2)
        y = place.bottom + lines + GAP
        for columns in range(1, 5):
            column = (wide - (columns - 1) * GAP) / columns
            if column < WIDTHS[0] or page.bottom - y < 84:
                continue
            placed = _columns(page, panels, Area(m, y, column, page.bottom - y), columns)
            yield _Found(page.worth(place, placed), place, placed)


def _columns(page: _Page, panels: Sequence[Panel], first: Area, columns: int) -> list[tuple[Panel, Area]]:
    """Return panels in so many columns, in their order; those of the lowest rank are left out until the rest fits."""
    kept = list(panels)
    while kept and columns:
        heights = [page.height(panel, first.w) for panel in kept]
        cut, parts = _cuts(heights, columns, first.h), None
        if cut is not None:
            parts = [kept[a:b] for a, b in itertools.pairwise((0, *cut, len(kept)))]
        elif page.dealt and columns == 2:
            parts = _dealt(kept, heights, first.h)
        if parts is not None:
            placed: list[tuple[Panel, Area]] = []
            for number, part in enumerate(part for part in parts if part):
                x = first.x + number * (first.w + GAP)
                placed += _stack(page, part, Area(x, first.y, first.w, first.h))
            return placed
        kept.remove(min(kept, key=page.rank))
    return []


def _cuts(heights: Sequence[float], columns: int, room: float) -> tuple[int, ...] | None:
    """Return where an ordered list is cut into columns so that the highest is as low as can be; None: it can't fit."""
    if sum(heights) + GAP * (len(heights) - columns) > columns * room + 0.5:
        return None
    totals = [0.0, *itertools.accumulate(height + GAP for height in heights)]

    def highest(cut: tuple[int, ...]) -> float:
        return max(totals[b] - totals[a] - GAP for a, b in itertools.pairwise((0, *cut, len(heights))))

    found = min(itertools.combinations_with_replacement(range(1, len(heights) + 1), columns - 1), key=highest)
    return found if highest(found) <= room + 0.5 else None


def _dealt(panels: Sequence[Panel], heights: Sequence[float], room: float) -> list[list[Panel]] | None:
    """Return panels in two columns, each in their order, where no cut of it fits; None: they can't fit.

    Of all ways the one with the fewest panels in the first column that come after others of the second.
    """
    if sum(heights) + GAP * (len(heights) - 2) > 2 * room + 0.5:
        return None
    best, fewest = None, math.inf
    for second in itertools.product((False, True), repeat=len(panels) - 1):
        columns: list[list[int]] = [[0], []]  # the first panel stays the first
        for number, other in enumerate(second, start=1):
            columns[other].append(number)
        if all(sum(heights[k] for k in one) + GAP * (len(one) - 1) <= room + 0.5 for one in columns):
            swapped = sum(a > b for a in columns[0] for b in columns[1])
            if swapped < fewest:
                best, fewest = columns, swapped
    return None if best is None else [[panels[k] for k in one] for one in best]


def _stack(page: _Page, panels: Sequence[Panel], whole: Area) -> list[tuple[Panel, Area]]:
    """Return panels one below the other; spare height goes to those that have use for it."""
    heights = [page.height(panel, whole.w) for panel in panels]
    spare = whole.h - sum(heights) - GAP * (len(panels) - 1)
    for place in sorted(range(len(panels)), key=lambda place: -page.rank(panels[place])):
        panel, least = panels[place], heights[place]
        wanted = min(panel.most(page.view, whole.w), least + spare)
        heights[place] = max(panel.useful(page.view, whole.w, wanted), least)
        spare -= heights[place] - least
    placed, y = [], whole.y
    for panel, height in zip(panels, heights, strict=True):
        placed.append((panel, Area(whole.x, y, whole.w, height)))
        y += height + GAP
    return placed
