"""Drawing functions that several panels share: cached pictures, tints, cells, text in several lines."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pygame
from numpy.typing import NDArray

from viewer.drawing.canvas import MINUS, Area, Canvas, font, type_size
from viewer.drawing.pixels import to_surface
from viewer.drawing.theme import Color, Theme
from viewer.view import View

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]

MARGIN = 16.0  # of a card
TITLE, TITLE_Y = 15.0, 22.0  # size of a card's title, and its height in the card
SMALL, LEADING = 12.0, 4.0  # size of notes; what a line of text is higher than its type
NARROWER = 0.96  # of a line: the scale of a window may round its type up
GAP_FROM = 4  # pixels of a cell; from that size on there is a gap of one between cells


class Identity:
    """A cache key that compares objects by identity: arrays have no equality, and need none here."""

    __slots__ = ("things",)

    def __init__(self, *things: object) -> None:
        self.things = things

    def __eq__(self, other: object) -> bool:
        """Return whether the other has the very same objects."""
        if not isinstance(other, Identity) or len(other.things) != len(self.things):
            return False
        return all(mine is theirs for mine, theirs in zip(self.things, other.things, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(map(id, self.things)))


def draw_cached(canvas: Canvas, area: Area, view: View, name: str, key: object, draw: Callable[[Canvas], None]) -> None:
    """Show what ``draw`` draws into ``area``; it is called again only when ``key``, place or size has changed.

    It draws in the same logical pixels on a surface of its own, and so never outside the area.
    """
    box = canvas.pixels(area)
    if box.w < 1 or box.h < 1:
        return

    def make() -> pygame.Surface:
        surface = pygame.Surface(box.size, 0, canvas.surface)
        surface.fill(Theme.background)  # visible outside a card's round corners
        own = Canvas(surface, canvas.fonts, (1, 1))
        own.scale, own.origin = canvas.scale, (canvas.origin[0] - box.x, canvas.origin[1] - box.y)
        draw(own)
        return surface

    canvas.surface.blit(view.cached(name, (key, tuple(box), canvas.scale), make), box)


def tint(values: Array) -> Picture:
    """Return numbers (...) from -1 to 1 as colours (..., 3): orange below 0, pale at 0, blue above; NaN counts as 0."""
    values = np.nan_to_num(np.clip(values, -1.0, 1.0))[..., None]
    ends = np.where(values < 0, np.array(Theme.human, float), np.array(Theme.agent, float))
    return np.asarray(Theme.zero + np.abs(values) * (ends - Theme.zero)).round().astype(np.uint8)


def scaled(values: Array) -> Array:
    """Return numbers divided by the largest absolute value; NaN counts as 0."""
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    largest = float(np.abs(values).max(initial=0.0))
    return values / largest if largest > 0 else values


def draw_cells(canvas: Canvas, area: Area, colors: Picture, *, gaps: bool = True) -> None:
    """Fill an area with cells of colours (rows, columns, 3), equal to a pixel; `cell_at` inverts it."""
    box = canvas.pixels(area)
    if box.w < 1 or box.h < 1:
        return
    rows, columns = (np.arange(size) * count // size for size, count in zip((box.h, box.w), colors.shape, strict=False))
    picture = colors[rows[:, None], columns]
    if gaps and min(box.w / colors.shape[1], box.h / colors.shape[0]) >= GAP_FROM:
        picture[:, np.append(np.diff(columns) > 0, True)] = Theme.card
        picture[np.append(np.diff(rows) > 0, True)] = Theme.card
    canvas.surface.blit(to_surface(picture), box)


def draw_image(canvas: Canvas, area: Area, picture: Picture, *, smooth: bool = True) -> None:
    """Fill an area with a picture, (H, W, 3) or grey (H, W)."""
    box = canvas.pixels(area)
    grow = pygame.transform.smoothscale if smooth else pygame.transform.scale
    canvas.surface.blit(grow(to_surface(picture), box.size), box)


@lru_cache(maxsize=64)
def grid_for(count: int, width: float, height: float) -> tuple[int, int]:
    """Return the (rows, columns) in which ``count`` squares are as large as the room allows."""

    def side(rows: int) -> float:
        return min(width / math.ceil(count / rows), height / rows)

    rows = max(range(1, count + 1), key=side) if count > 1 else 1
    columns = math.ceil(count / rows)
    return math.ceil(count / columns), columns


def cell(area: Area, grid: tuple[int, int], index: int) -> Area:
    """Return the place of a cell in a grid of (rows, columns) that fills an area row by row."""
    rows, columns = grid
    row, column = divmod(index, columns)
    return Area(area.x + column * area.w / columns, area.y + row * area.h / rows, area.w / columns, area.h / rows)


def cell_at(area: Area, grid: tuple[int, int], x: float, y: float) -> int | None:
    """Return the number of the cell at a point; None outside the area."""
    if not (area.x <= x < area.right and area.y <= y < area.bottom):
        return None
    rows, columns = grid
    return int((y - area.y) / area.h * rows) * columns + int((x - area.x) / area.w * columns)


def outline(canvas: Canvas, area: Area, color: Color | None = None, width: float = 1.5) -> None:
    """Draw a frame around an area, just outside it."""
    thick = max(1, round(width * canvas.scale))
    pygame.draw.rect(canvas.surface, color or Theme.text, canvas.pixels(area).inflate(2 * thick, 2 * thick), thick)


@lru_cache(maxsize=256)
def wrapped(font: pygame.font.Font, text: str, room: float) -> tuple[str, ...]:
    """Return a text in lines of at most ``room`` pixels; a longer word is a line of its own, too long."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.size(f"{lines[-1]} {word}")[0] <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return tuple(lines)


def balanced(font: pygame.font.Font, text: str, room: float) -> tuple[str, ...]:
    """Return a text in as few lines, but of about the same length: none has just the last word."""
    lines = wrapped(font, text, room)
    narrower = (wrapped(font, text, share * room) for share in (0.6, 0.7, 0.8, 0.9))
    return next((found for found in narrower if len(found) == len(lines)), lines)


def paragraph(
    canvas: Canvas,
    x: float,
    y: float,
    text: str,
    width: float,
    size: float = SMALL,
    color: Color | None = None,
    bottom: float = math.inf,
) -> float:
    """Draw text in as many lines as it needs and ``bottom`` allows; return the y below the last one.

    ``y`` is the top of the first line, not its middle.
    """
    pitch = size + LEADING
    for line in wrapped(font(type_size(size, canvas.scale)), text, width * canvas.scale):
        if y + pitch > bottom + 0.5:
            break
        # already measured, except for a single long word
        canvas.text(x, y + pitch / 2, line, size, color or Theme.soft, width=None if " " in line else width)
        y += pitch
    return y


def paragraph_height(text: str, width: float, size: float = SMALL) -> float:
    """Return the logical height of a paragraph, whatever the scale of the window rounds its type to."""
    return len(wrapped(font(type_size(size, 1.0)), text, width * NARROWER)) * (size + LEADING)


def heading(canvas: Canvas, area: Area, text: str, *, width: float | None = None) -> float:
    """Write the title of a card; return its logical width."""
    return canvas.text(area.x + MARGIN, area.y + TITLE_Y, text, TITLE, bold=True, width=width)


def signed(value: float, digits: int = 2) -> str:
    """Return a number with its sign, a typographic minus; also for NaN and infinity."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("+" if value > 0 else MINUS) + "\N{INFINITY}"
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", MINUS)  # + 0.0: no minus before zero
