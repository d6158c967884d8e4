"""The last minutes as a bar below the world: who played, where episodes start, and the cursor."""

from __future__ import annotations

import numpy as np
import pygame
from numpy.typing import NDArray

from viewer.drawing.canvas import MINUS, Area, Canvas
from viewer.drawing.theme import Theme
from viewer.panels.base import Drag
from viewer.playing.timeline import Timeline
from viewer.view import View

TEXT = 104.0  # logical pixels on the right for the cursor's time
HIGH = 6.0
STRIDE = 20  # steps after which the bar is redrawn while it grows
AGENT, HUMAN, BREAK = 0, 1, 2


def track(area: Area) -> Area:
    """Return where the bar is."""
    return Area(area.x, area.y + (area.h - HIGH) / 2, area.w - TEXT, HIGH)


def draw(canvas: Canvas, area: Area, view: View) -> None:
    """Draw the bar, a knob at the cursor, and how long ago that was."""
    place, timeline = track(area), view.session.timeline
    box = canvas.pixels(place)
    key = (timeline.last // STRIDE, timeline.first // STRIDE, timeline[timeline.first].round, box.size)
    canvas.surface.blit(view.cached("timeline", key, lambda: _bar(timeline, box.size)), box)
    x = place.x + position(timeline, timeline.cursor) * place.w
    color = Theme.soft if timeline.live else Theme.text
    canvas.rounded(Area(x - 4, place.y - 4, 8, HIGH + 8), color, 4)
    canvas.text(area.right, area.y + area.h / 2, cursor_text(view), 12, color, align=1, bold=not timeline.live)


def cursor_text(view: View) -> str:
    """Return how long ago the moment looked at was, in words."""
    timeline = view.session.timeline
    if timeline.live:
        return "now"
    steps = timeline.last - timeline.cursor
    return f"{MINUS}{steps * view.session.tick_seconds:.1f} s · {MINUS}{steps:,}"


def position(timeline: Timeline, number: int) -> float:
    """Return the position of a moment on the bar, 0 to 1; the present is at its end."""
    return (number - timeline.first) / max(timeline.last - timeline.first, 1)


def _bar(timeline: Timeline, size: tuple[int, int]) -> pygame.Surface:
    """Draw the timeline as a strip: blue where the agent acted, orange where a human did, gaps between episodes."""
    kinds = kinds_of(timeline)
    columns = np.minimum(np.arange(size[0]) * len(kinds) // max(size[0], 1), len(kinds) - 1)
    spread = kinds[columns]
    # a gap between two episodes is at least one pixel wide, however many moments share a pixel
    spread[np.flatnonzero(kinds == BREAK) * size[0] // len(kinds)] = BREAK
    colors = np.array([Theme.agent_pale, Theme.human, Theme.text], np.uint8)[spread]  # (W, 3)
    surface = pygame.Surface(size, depth=24)
    pygame.surfarray.blit_array(surface, np.repeat(colors[:, None], size[1], axis=1))
    return surface


def kinds_of(timeline: Timeline) -> NDArray[np.int64]:
    """Return the kind of each moment, (M,): the agent's, a human's, or the first of an episode."""
    kinds = np.empty(len(timeline), np.int64)
    before = timeline[timeline.first].round
    for place, moment in enumerate(timeline):
        kinds[place] = BREAK if moment.round != before else HUMAN if moment.by_human else AGENT
        before = moment.round
    return kinds


def press(view: View, area: Area, x: float, y: float) -> Drag:
    """Look at the moment below the mouse, and follow the mouse."""

    def follow(x: float, y: float) -> None:
        timeline, place = view.session.timeline, track(area)
        share = min(max((x - place.x) / place.w, 0.0), 1.0)
        view.look(timeline.first + round(share * (timeline.last - timeline.first)))

    follow(x, y)
    return follow
