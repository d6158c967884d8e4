"""The whole picture: header, world, side column, footer. The window and every film show this."""

from __future__ import annotations

import pygame

from viewer.canvas import Area, Canvas, Fonts, Theme
from viewer.panels import SIDE, View, overlays, world
from viewer.panels.base import Panel

SIZE = (1112, 624)  # logical pixels; even, as video wants it
WHOLE = Area(0, 0, *SIZE)
WORLD = Area(24, 76, 700, 500)
COLUMN = Area(748, 24, 340, 555)
FOOTER = Area(24, 586, 1064, 30)
GAP = 12.0


def draw(surface: pygame.Surface, fonts: Fonts, view: View) -> None:
    """Draw all that ``view`` holds on a surface of any size."""
    surface.fill(Theme.background)
    canvas = Canvas(surface, fonts, SIZE)
    _draw_header(canvas, view)
    world.draw(canvas, WORLD, view)
    overlays.draw_world_overlays(canvas, WORLD, view)
    for panel, area in column(view):
        panel.draw(canvas, area, view)
    overlays.draw_footer(canvas, FOOTER, view)
    if view.help:
        overlays.draw_help(canvas, WHOLE, view)


def column(view: View) -> list[tuple[Panel, Area]]:
    """Return the panels of the side column with their places; what is left over goes to those that stretch."""
    panels = [(panel, panel.height(view)) for panel in SIDE if panel.height(view) > 0]
    stretching = sum(panel.stretches for panel, _ in panels)
    spare = COLUMN.h - sum(height for _, height in panels) - GAP * (len(panels) - 1)
    placed, y = [], COLUMN.y
    for panel, height in panels:
        if panel.stretches:
            height += max(spare, 0.0) / stretching
        placed.append((panel, Area(COLUMN.x, y, COLUMN.w, height)))
        y += height + GAP
    return placed


def _draw_header(canvas: Canvas, view: View) -> None:
    score = view.session.score
    name = view.env_id.split("/")[-1]
    width = canvas.text(WORLD.x, 40, name, 24, bold=True)
    about = f"episode {score.episode + 1} · seed {score.seed}"
    canvas.text(WORLD.right, 43, about, 12.5, Theme.soft, align=1, width=max(WORLD.w - width - 20, 50))
