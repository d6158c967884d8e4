"""The whole picture: header, world, timeline, panels, footer. The window and every film show this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pygame

from viewer.drawing.canvas import Area, Canvas, Fonts, Theme
from viewer.drawing.widgets import contains
from viewer.panels import PANELS, View, overlays, timeline_bar, world
from viewer.panels.base import Drag, Panel

GAP, MARGIN, TOP = 12.0, 24.0, 76.0
GRIP = 4.0  # logical pixels around the timeline where a click counts
SPLIT = 0.78  # the size of each of two worlds, as a share of one
BAR, BELOW, FOOTER = 18.0, 176.0, 30.0  # heights of the timeline, of the panels below it, of the line of keys
SIZE = (1112, 646)  # of the smallest window


class Dimensions(NamedTuple):
    """The size of the world's picture, and the width of a column of panels, logical pixels."""

    world: tuple[float, float]
    column: float


WORLDS = Dimensions((700, 500), 340)
# Larger: an Atari screen is 4:3, each of its pixels five whole ones wide; the column holds frames and 18 actions.
FRAMES = Dimensions((800, 600), 428)


class Layout(NamedTuple):
    """Where everything lies, in logical pixels; ``size`` is even, as video encoders need it."""

    size: tuple[int, int]
    world: Area
    bar: Area
    footer: Area
    panels: list[tuple[Panel, Area]]

    @property
    def whole(self) -> Area:
        """Return the whole window."""
        return Area(0, 0, *self.size)


def layout(view: View) -> Layout:
    """Return the layout for what is played and shown."""
    dimensions = WORLDS if view.session.stack() is None else FRAMES
    wide, high = dimensions.world
    top = TOP
    if view.versus is not None:
        wide, high, top = 2 * wide * SPLIT + GAP, high * SPLIT, TOP + world.NAME_HEIGHT
    place = Area(MARGIN, top, wide, high)
    bar = Area(MARGIN, place.bottom + GAP, wide, BAR)
    shown = [panel for panel in PANELS if panel.name not in view.hidden and panel.height(view) > 0]
    below = [panel for panel in shown if panel.place == "below"]
    bottom = bar.bottom + (GAP + BELOW if below else 0.0)
    placed = _share(below, Area(MARGIN, bottom - BELOW, wide, BELOW))
    first = Area(place.right + GAP * 2, MARGIN, dimensions.column, bottom - MARGIN)
    sides, right = _flow([panel for panel in shown if panel.place == "side"], first, view)
    size = (2 * round((right + MARGIN) / 2), 2 * round((bottom + GAP / 2 + FOOTER + GAP / 2) / 2))
    footer = Area(MARGIN, bottom + GAP / 2, size[0] - 2 * MARGIN, FOOTER)
    return Layout(size, place, bar, footer, [*sides, *placed])


def _share(panels: Sequence[Panel], area: Area) -> list[tuple[Panel, Area]]:
    """Return panels side by side, equally wide."""
    wide = (area.w - GAP * (len(panels) - 1)) / max(len(panels), 1)
    return [(panel, Area(area.x + k * (wide + GAP), area.y, wide, area.h)) for k, panel in enumerate(panels)]


def _flow(panels: Sequence[Panel], first: Area, view: View) -> tuple[list[tuple[Panel, Area]], float]:
    """Return panels in columns, each filled from the top while there is room, and the right edge of the last one."""
    columns: list[list[Panel]] = [[]]
    used = -GAP
    for panel in panels:
        height = panel.height(view)
        if columns[-1] and used + GAP + height > first.h + 0.5:
            columns.append([])
            used = -GAP
        columns[-1].append(panel)
        used += GAP + height
    placed: list[tuple[Panel, Area]] = []
    right = first.x - 2 * GAP
    for number, column in enumerate(columns if panels else []):
        x = first.x + number * (first.w + GAP)
        placed += _stack(column, Area(x, first.y, first.w, first.h), view)
        right = x + first.w
    return placed, right


def _stack(panels: Sequence[Panel], whole: Area, view: View) -> list[tuple[Panel, Area]]:
    """Return panels one below the other; spare height goes to those that stretch."""
    heights = [panel.height(view) for panel in panels]
    stretching = sum(panel.stretches for panel in panels)
    spare = max(whole.h - sum(heights) - GAP * (len(panels) - 1), 0.0)
    placed, y = [], whole.y
    for panel, height in zip(panels, heights, strict=True):
        height += spare / stretching if panel.stretches else 0.0
        placed.append((panel, Area(whole.x, y, whole.w, height)))
        y += height + GAP
    return placed


def draw(surface: pygame.Surface, fonts: Fonts, view: View, places: Layout | None = None) -> None:
    """Draw all that ``view`` shows on a surface of any size; ``places`` is its `layout`, if already known."""
    surface.fill(Theme.background)
    places = places or layout(view)
    canvas = Canvas(surface, fonts, places.size)
    _draw_header(canvas, places.world, view)
    world.draw(canvas, places.world, view)
    timeline_bar.draw(canvas, places.bar, view)
    overlays.draw_world_overlays(canvas, places.world, view)
    for panel, area in places.panels:
        panel.draw(canvas, area, view)
    overlays.draw_footer(canvas, places.footer, view)
    if view.help:
        overlays.draw_help(canvas, places.whole, view)


def press(view: View, places: Layout, x: float, y: float) -> Drag | None:
    """Click what lies at a logical point; return what follows the mouse from there, if anything."""
    if contains(places.bar.inset(-GRIP), x, y):
        return timeline_bar.press(view, places.bar, x, y)
    for panel, area in places.panels:
        if contains(area, x, y):
            return panel.press(view, area, x, y)
    return None


def place_of(view: View, name: str) -> tuple[Panel, Area] | None:
    """Return a panel and where it is; None if it is not shown."""
    return next(((panel, area) for panel, area in layout(view).panels if panel.name == name), None)


def _draw_header(canvas: Canvas, area: Area, view: View) -> None:
    score = view.session.score
    name = view.env_id.split("/")[-1]
    width = canvas.text(area.x, 40, name, 24, bold=True)
    about = (f"{view.protocol} · " if view.protocol else "") + f"episode {score.episode + 1} · seed {score.seed}"
    canvas.text(area.right, 43, about, 12.5, Theme.soft, align=1, width=max(area.w - width - 20, 50))
    if view.session.stalled:
        overlays.draw_hint(canvas, area, view)
