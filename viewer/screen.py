"""The whole picture: header, world, timeline, panels, footer. The window and every film show this."""

from __future__ import annotations

import pygame

from viewer.drawing.canvas import Area, Canvas, Fonts
from viewer.drawing.theme import Theme
from viewer.drawing.widgets import contains
from viewer.layout import Layout, layout
from viewer.panels import View, overlays, timeline_bar, world
from viewer.panels.base import Drag, Panel

__all__ = ["Layout", "draw", "layout", "place_of", "press"]

GRIP = 4.0  # logical pixels around the timeline where a click counts


def draw(surface: pygame.Surface, fonts: Fonts, view: View, places: Layout | None = None) -> None:
    """Draw all that ``view`` shows on a surface of any size; ``places`` is its `layout`, if already known."""
    surface.fill(Theme.background)
    places = places or layout(view, surface.get_size())
    canvas = Canvas(surface, fonts, places.size)
    _draw_header(canvas, places.header, view)
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


def place_of(view: View, name: str, size: tuple[int, int] | None = None) -> tuple[Panel, Area] | None:
    """Return a panel and where it is in a window of a size, by default the natural one; None if it is not shown."""
    return next(((panel, area) for panel, area in layout(view, size).panels if panel.name == name), None)


def _draw_header(canvas: Canvas, area: Area, view: View) -> None:
    score, y = view.session.score, area.y + 16
    name = view.env_id.split("/")[-1]
    width = canvas.text(area.x, y, name, 18, bold=True, width=area.w)
    episode, seed = f"episode {score.episode + 1}", f"seed {score.seed}"
    parts = [view.protocol, episode, seed] if view.protocol else [episode, seed]
    room = area.w - width - 20
    about = canvas.choose([" · ".join(parts), f"{episode} · {seed}", episode, ""], room)
    canvas.text(area.right, y + 1, about, 13, Theme.soft, align=1)
    if view.session.stalled:
        overlays.draw_hint(canvas, area, view)
