"""The whole picture: header, world, side column, footer. The window and every film show this."""

from __future__ import annotations

from typing import NamedTuple

import pygame

from viewer.canvas import Area, Canvas, Fonts, Theme
from viewer.panels import SIDE, View, overlays, world
from viewer.panels.base import Panel

GAP = 12.0


class Layout(NamedTuple):
    """Where everything lies, in logical pixels; ``size`` is even, as video wants it."""

    size: tuple[int, int]
    world: Area
    column: Area
    footer: Area

    @property
    def whole(self) -> Area:
        """Return the whole window."""
        return Area(0, 0, *self.size)


WORLDS = Layout((1112, 624), Area(24, 76, 700, 500), Area(748, 24, 340, 555), Area(24, 586, 1064, 30))
# Larger: the screen is 4:3, five whole pixels a pixel wide; the column has the network's frames and 18 actions.
FRAMES = Layout((1300, 724), Area(24, 76, 800, 600), Area(848, 24, 428, 655), Area(24, 686, 1252, 30))
SIZE = WORLDS.size


def layout(view: View) -> Layout:
    """Return the layout for what is played."""
    return WORLDS if view.session.stack() is None else FRAMES


def draw(surface: pygame.Surface, fonts: Fonts, view: View) -> None:
    """Draw all that ``view`` holds on a surface of any size."""
    surface.fill(Theme.background)
    places = layout(view)
    canvas = Canvas(surface, fonts, places.size)
    _draw_header(canvas, places.world, view)
    world.draw(canvas, places.world, view)
    overlays.draw_world_overlays(canvas, places.world, view)
    for panel, area in column(view):
        panel.draw(canvas, area, view)
    overlays.draw_footer(canvas, places.footer, view)
    if view.help:
        overlays.draw_help(canvas, places.whole, view)


def column(view: View) -> list[tuple[Panel, Area]]:
    """Return the panels of the side column with their places; what is left over goes to those that stretch."""
    whole = layout(view).column
    panels = [(panel, panel.height(view)) for panel in SIDE if panel.height(view) > 0]
    stretching = sum(panel.stretches for panel, _ in panels)
    spare = whole.h - sum(height for _, height in panels) - GAP * (len(panels) - 1)
    placed, y = [], whole.y
    for panel, height in panels:
        if panel.stretches:
            height += max(spare, 0.0) / stretching
        placed.append((panel, Area(whole.x, y, whole.w, height)))
        y += height + GAP
    return placed


def _draw_header(canvas: Canvas, area: Area, view: View) -> None:
    score = view.session.score
    name = view.env_id.split("/")[-1]
    width = canvas.text(area.x, 40, name, 24, bold=True)
    about = (f"{view.protocol} · " if view.protocol else "") + f"episode {score.episode + 1} · seed {score.seed}"
    canvas.text(area.right, 43, about, 12.5, Theme.soft, align=1, width=max(area.w - width - 20, 50))
    if view.session.frozen:
        overlays.draw_hint(canvas, area, view)
