"""Sliders and buttons, drawn in the window's logical pixels; the values belong to the caller.

Not pygame_gui's (as of 0.6.14): its elements have sizes in real pixels, and would have to be recreated each time
the window or a panel changes its size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from viewer.drawing.canvas import Area, Canvas
from viewer.drawing.theme import Theme

KNOB = 7.0
GRIP = 12.0  # logical pixels above and below the track where it can be grabbed


@dataclass(frozen=True)
class Slider:
    """A range of numbers along a track; ``logarithmic`` for quantities such as a learning rate."""

    low: float
    high: float
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return the position of a value on the track, 0 to 1."""
        low, high, value = (self._scaled(number) for number in (self.low, self.high, max(value, self.low)))
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def value(self, place: float) -> float:
        """Return the value at a position, which is clipped to 0 to 1."""
        place = min(max(place, 0.0), 1.0)
        low, high = self._scaled(self.low), self._scaled(self.high)
        value = low + place * (high - low)
        return math.exp(value) if self.logarithmic else value

    def value_at(self, track: Area, x: float) -> float:
        """Return the value at a logical x."""
        return self.value((x - track.x) / track.w)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.logarithmic else value

    def draw(self, canvas: Canvas, track: Area, value: float, *, strong: bool = True) -> None:
        """Draw the track (a few pixels high) and the knob; pale if not ``strong``."""
        color = Theme.agent if strong else Theme.edge
        x = track.x + self.place(value) * track.w
        canvas.rounded(track, Theme.track, track.h / 2)
        if x - track.x >= track.h:
            canvas.rounded(Area(track.x, track.y, x - track.x, track.h), color if strong else Theme.border, track.h / 2)
        y = track.y + track.h / 2
        canvas.rounded(Area(x - KNOB, y - KNOB, 2 * KNOB, 2 * KNOB), color, KNOB)
        canvas.rounded(Area(x - KNOB + 2, y - KNOB + 2, 2 * KNOB - 4, 2 * KNOB - 4), Theme.card, KNOB - 2)


def grabs(track: Area, x: float, y: float) -> bool:
    """Return whether a point is near enough to a track to grab its knob."""
    return track.x - KNOB <= x <= track.right + KNOB and track.y - GRIP <= y <= track.bottom + GRIP


def contains(area: Area, x: float, y: float) -> bool:
    """Return whether a point lies in an area."""
    return area.x <= x < area.right and area.y <= y < area.bottom


def button(canvas: Canvas, area: Area, key: str, label: str, *, pressed: bool = False) -> None:
    """Draw a button with its key's name; one that is ``pressed`` stays dark."""
    canvas.card(area, Theme.agent if pressed else Theme.edge, radius=6, fill=Theme.agent if pressed else Theme.card)
    color = Theme.on_color if pressed else Theme.text
    soft = Theme.on_pale if pressed else Theme.soft
    y = area.y + area.h / 2
    canvas.text(area.x + 10, y, label, 12, color, width=area.w - 34)
    canvas.text(area.right - 10, y, key, 12, soft, align=1)
