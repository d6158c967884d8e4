"""What every plot in the window needs: axes with round numbers, smooth curves, rendering to a cached surface."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pygame
from numpy.typing import NDArray

from viewer.drawing.canvas import MINUS, Area, Canvas, text_width
from viewer.drawing.theme import Color, Theme
from viewer.playing.session import Session

MAX_STEPS = 400.0  # between two drawings, however fast time runs
SMALL = 12.0  # size of an axis's numbers
BAND = 4.0  # height of the mark of a human's steps

Array = NDArray[np.float64]


class Scale(NamedTuple):
    """An axis whose ends and ticks are round numbers."""

    low: float
    high: float
    step: float

    @classmethod
    def around(cls, low: float, high: float, parts: int = 5) -> Scale:
        """Return the axis for a range, in about ``parts`` steps of 1, 2 or 5 times a power of ten."""
        if not high - low > 0:
            high = low + 1.0
        raw = (high - low) / parts
        power = 10.0 ** math.floor(math.log10(raw))
        step = power * next(times for times in (1, 2, 5, 10) if raw <= times * power * (1 + 1e-9))
        return cls(math.floor(low / step + 1e-6) * step, math.ceil(high / step - 1e-6) * step, step)

    def place(self, value: float) -> float:
        """Return the position of a value, 0 at the low end and 1 at the high one."""
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return the round numbers from end to end."""
        return [self.low + k * self.step for k in range(round((self.high - self.low) / self.step) + 1)]

    def label(self, value: float) -> str:
        """Return a tick as text, with the digits that its step needs; k stands for a thousand, M for a million."""
        if abs(value) < self.step / 2:
            return "0"
        unit, letter = next(
            ((unit, letter) for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if self.step >= unit / 10),
            (1.0, ""),
        )
        if letter and max(abs(self.low), abs(self.high)) < 10 * unit and self.step < unit:
            unit, letter = unit / 1000, {"G": "M", "M": "k", "k": ""}[letter]
        step = self.step / unit
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        text = f"{value / unit:,.{digits}f}{letter}" if digits < 5 else f"{value:.1e}".replace(".0e", "e")
        text = text.replace("e-0", "e-")
        return text.replace("-", MINUS)


def render(canvas: Canvas, area: Area, draw: Callable[[Canvas], None]) -> pygame.Surface:
    """Return what ``draw`` draws into ``area`` as a surface of its own, to be cached; logical pixels stay the same."""
    box = canvas.pixels(area)
    surface = pygame.Surface((max(box.w, 1), max(box.h, 1)), 0, canvas.surface)
    surface.fill(Theme.background)
    own = Canvas(surface, canvas.fonts, (area.w, area.h))
    own.scale, own.origin = canvas.scale, (canvas.origin[0] - box.x, canvas.origin[1] - box.y)
    draw(own)
    return surface


def gutter(scale: Scale) -> float:
    """Return the width that the numbers of an axis need on its left."""
    return max(text_width(scale.label(tick), SMALL) for tick in scale.ticks()) * 1.05 + 8.0


def draw_scale(canvas: Canvas, zone: Area, scale: Scale) -> None:
    """Draw a line across a plot for each tick, and its number on the left; zero is darker."""
    ticks = scale.ticks()
    every = 1
    while len(ticks) > 2 and zone.h / (len(ticks) - 1) * every < SMALL + 4:  # numbers stay apart
        every += 1
    first = next((place for place, tick in enumerate(ticks) if abs(tick) < scale.step / 2), 0) % every
    for place, tick in enumerate(ticks):
        y = zone.bottom - scale.place(tick) * zone.h
        zero = abs(tick) < scale.step / 2
        canvas.line((zone.x, y), (zone.right, y), Theme.edge if zero else Theme.track)
        if place % every == first:
            canvas.text(zone.x - 6, y, scale.label(tick), SMALL, Theme.soft, align=1)


def pixels_of(canvas: Canvas, xs: Array, ys: Array) -> NDArray[np.int64]:
    """Return where logical points, (M,) and (M,), lie on the surface, (M, 2)."""
    found = np.stack([xs, ys], 1) * canvas.scale + np.array(canvas.origin)
    return np.asarray(np.rint(found), np.int64)


def strong_curve(canvas: Canvas, xs: Array, ys: Array, color: Color) -> None:
    """Draw a smooth line about one and a half logical pixels thick: pygame's smooth lines are one real pixel."""
    if len(xs) < 2:
        return
    points = pixels_of(canvas, xs, ys)
    for shift in range(max(2, round(1.5 * canvas.scale))):
        pygame.draw.aalines(canvas.surface, color, False, (points + np.array([0, shift])).tolist())


def signed(value: float) -> str:
    """Return a number with its sign and about three digits; from a hundred thousand on in thousands."""
    size = abs(value)
    digits = 2 if size < 9.995 else 1 if size < 99.95 else 0
    if size >= 1e5:
        unit, letter = (1e9, "G") if size >= 1e9 else (1e6, "M") if size >= 1e6 else (1e3, "k")
        return f"{value / unit:+.3g}{letter}".replace("-", MINUS)
    return f"{value:+,.{digits}f}".replace("-", MINUS)


def steps_between(session: Session, per_second: float) -> int:
    """Return after how many steps a plot is due that is redrawn ``per_second`` times at most."""
    return max(1, math.ceil(min(session.speed / session.tick_seconds / per_second, MAX_STEPS)))


def runs(marked: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the start and end (exclusive) of each run of marked entries."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
