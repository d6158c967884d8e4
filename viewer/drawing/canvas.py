"""Drawing in logical pixels: one layout, sharp at every size of the window."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import pygame

from viewer.drawing.theme import Color, Theme

NOT_ALLOWED = "\N{EN DASH}"  # in place of what is expected of an action that is not allowed
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"  # typographic signs
SMALLEST, LARGEST = 12, 18  # pixels of type; figures over the world (a countdown) may be larger
LARGE_SCALE = 1.25  # beyond it, on windows of more than 2560 x 1440, type grows with the window
FONTS = Path(__file__).resolve().parent / "fonts"  # Inter 4.1, Latin, its tabular figures the default; OFL.txt


class Area(NamedTuple):
    """A rectangle in logical pixels."""

    x: float
    y: float
    w: float
    h: float

    @property
    def right(self) -> float:
        """Return the x of the right edge."""
        return self.x + self.w

    @property
    def bottom(self) -> float:
        """Return the y of the bottom edge."""
        return self.y + self.h

    def inset(self, by: float) -> Area:
        """Return the area without a margin of ``by`` on every side."""
        return Area(self.x + by, self.y + by, self.w - 2 * by, self.h - 2 * by)


def type_size(size: float, scale: float, display: bool = False) -> int:
    """Return the pixels of type of a logical size: never below `SMALLEST`, nor above `LARGEST` but for figures."""
    most = LARGEST * max(1.0, scale / LARGE_SCALE)
    pixels = round(size * scale)
    return max(SMALLEST, pixels if display else min(pixels, round(most)))


_fonts: dict[tuple[int, bool], pygame.font.Font] = {}


def font(pixels: int, bold: bool = False) -> pygame.font.Font:
    """Return Inter of that height."""
    try:
        found = _fonts[pixels, bold]
        found.get_height()
        return found
    except pygame.error:  # pygame was ended since, and all fonts with it
        _fonts.clear()
    except KeyError:
        pass
    pygame.font.init()
    made = pygame.font.Font(str(FONTS / ("Inter-SemiBold.ttf" if bold else "Inter-Regular.ttf")), pixels)
    _fonts[pixels, bold] = made
    return made


@functools.lru_cache(maxsize=4096)
def text_width(text: str, size: float = 13, bold: bool = False) -> float:
    """Return the logical width of a line of text at scale 1: for layouts, which know no canvas."""
    return font(type_size(size, 1.0), bold).size(text)[0]


class Fonts:
    """Fonts and a cache of drawn lines of text: most of a frame's text was in the last frame too."""

    def __init__(self, keep: int = 900) -> None:
        """Cache the last ``keep`` lines of text."""
        pygame.font.init()
        self._texts: OrderedDict[tuple[str, int, bool, Color], pygame.Surface] = OrderedDict()
        self._keep = keep

    def font(self, pixels: int, bold: bool) -> pygame.font.Font:
        """Return the font of that height."""
        return font(pixels, bold)

    def text(self, text: str, pixels: int, bold: bool, color: Color) -> pygame.Surface:
        """Return the text drawn in one line, on a transparent background."""
        key = (text, pixels, bold, color)
        if key in self._texts:
            self._texts.move_to_end(key)
            return self._texts[key]
        surface = self.font(pixels, bold).render(text, True, color)
        self._texts[key] = surface
        if len(self._texts) > self._keep:
            self._texts.popitem(last=False)
        return surface


FINE = 8  # samples per pixel and axis for the smooth edge of a disc


@functools.lru_cache(maxsize=256)
def _disc(color: Color, radius: int) -> pygame.Surface:
    """Return a disc with a smooth edge, 2 radius pixels wide; its quarters are the corners of boxes."""
    inside = (np.arange(2 * radius * FINE) + 0.5) / FINE - radius
    covered = (inside[:, None] ** 2 + inside**2 <= radius**2).reshape(2 * radius, FINE, 2 * radius, FINE)
    disc = pygame.Surface((2 * radius, 2 * radius), pygame.SRCALPHA)
    disc.fill(color)
    alpha = pygame.surfarray.pixels_alpha(disc)
    alpha[:] = np.rint(255 * covered.mean((1, 3)))
    return disc


class Written(NamedTuple):
    """A line of text that was drawn: for tests of layouts."""

    text: str
    pixels: int
    place: Area
    cut: bool
    """It did not fit and lost its end."""
    display: bool


class Canvas:
    """A surface seen in logical pixels: (x, y) lies at ``origin + scale * (x, y)``."""

    written: ClassVar[list[Written] | None] = None
    """While it is a list, every line of text that is drawn is added."""

    def __init__(self, surface: pygame.Surface, fonts: Fonts, size: tuple[float, float]) -> None:
        """Fit a layout of the logical ``size`` into the middle of the surface."""
        self.surface, self.fonts = surface, fonts
        width, height = surface.get_size()
        self.scale = min(width / size[0], height / size[1])
        self.origin = ((width - size[0] * self.scale) / 2, (height - size[1] * self.scale) / 2)

    def pixels(self, area: Area) -> pygame.Rect:
        """Return where an area lies on the surface."""
        left, top = self.point(area.x, area.y)
        right, bottom = self.point(area.right, area.bottom)
        return pygame.Rect(left, top, right - left, bottom - top)

    def point(self, x: float, y: float) -> tuple[int, int]:
        """Return where a point lies on the surface."""
        return round(self.origin[0] + x * self.scale), round(self.origin[1] + y * self.scale)

    def logical(self, x: float, y: float) -> tuple[float, float]:
        """Return the logical point at a pixel of the surface."""
        return (x - self.origin[0]) / self.scale, (y - self.origin[1]) / self.scale

    def window(self, area: Area) -> pygame.Surface:
        """Return the part of the surface in an area, to draw on in real pixels."""
        return self.surface.subsurface(self.pixels(area).clip(self.surface.get_rect()))

    def rect(self, area: Area, color: Color) -> None:
        """Fill an area."""
        self.surface.fill(color, self.pixels(area))

    def line(self, start: tuple[float, float], end: tuple[float, float], color: Color, width: float = 1.0) -> None:
        """Draw a line."""
        thick = max(1, round(width * self.scale))
        pygame.draw.line(self.surface, color, self.point(*start), self.point(*end), thick)

    def curve(self, points: list[tuple[float, float]], color: Color) -> None:
        """Draw a smooth line through two or more points."""
        if len(points) > 1:
            pygame.draw.aalines(self.surface, color, False, [self.point(*point) for point in points])

    def rounded(self, area: Area, color: Color, radius: float) -> None:
        """Fill an area with round corners."""
        self._round_box(self.pixels(area), color, round(radius * self.scale))

    def _round_box(self, box: pygame.Rect, color: Color, corner: int) -> None:
        corner = min(corner, box.w // 2, box.h // 2)
        if corner < 2:
            self.surface.fill(color, box)
            return
        self.surface.fill(color, box.inflate(-2 * corner, 0))
        self.surface.fill(color, (box.x, box.y + corner, corner, box.h - 2 * corner))
        self.surface.fill(color, (box.right - corner, box.y + corner, corner, box.h - 2 * corner))
        disc = _disc(color, corner)
        for left, x in ((0, box.x), (corner, box.right - corner)):
            for top, y in ((0, box.y), (corner, box.bottom - corner)):
                self.surface.blit(disc, (x, y), (left, top, corner, corner))

    def card(self, area: Area, border: Color | None = None, radius: float = 8, fill: Color | None = None) -> None:
        """Draw a card: round corners and a thin border."""
        border, fill = border or Theme.border, fill or Theme.card
        box, corner, hair = self.pixels(area), round(radius * self.scale), max(1, round(self.scale))
        self._round_box(box, border, corner)
        self._round_box(box.inflate(-2 * hair, -2 * hair), fill, corner - hair)

    def darken(self, area: Area) -> None:
        """Darken an area, so that something drawn over it stands out."""
        box = self.pixels(area).clip(self.surface.get_rect())
        shade = pygame.Surface(box.size, pygame.SRCALPHA)
        shade.fill(Theme.dim)
        self.surface.blit(shade, box)

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = 13,
        color: Color | None = None,
        *,
        bold: bool = False,
        align: float = 0.0,
        width: float | None = None,
        display: bool = False,
    ) -> float:
        """Draw a line of text whose middle height is ``y`` and return its logical width.

        ``align``: 0 begins at x, 0.5 is centred on it, 1 ends there. ``width``: longer text is cut
        off with an ellipsis. ``display``: a figure that may be larger than type.
        """
        pixels, whole = type_size(size, self.scale, display), text
        if width is not None:
            text = self._fit(text, pixels, bold, width * self.scale)
        drawn = self.fonts.text(text, pixels, bold, color or Theme.text)
        left, middle = self.point(x, y)
        left = round(left - align * drawn.get_width())
        self.surface.blit(drawn, (left, middle - drawn.get_height() // 2))
        if Canvas.written is not None and text:
            corner = self.logical(left, middle - pixels / 2)
            place = Area(*corner, drawn.get_width() / self.scale, pixels / self.scale)
            Canvas.written.append(Written(text, pixels, place, text != whole, display))
        return drawn.get_width() / self.scale

    def wide(self, text: str, size: float = 13, *, bold: bool = False) -> float:
        """Return the logical width of a line of text."""
        return font(type_size(size, self.scale), bold).size(text)[0] / self.scale

    def choose(self, variants: Sequence[str], width: float, size: float = 13, *, bold: bool = False) -> str:
        """Return the first of some ways to say something, the longest first, that fits; else the last."""
        return next((text for text in variants if self.wide(text, size, bold=bold) <= width), variants[-1])

    def _fit(self, text: str, pixels: int, bold: bool, room: float) -> str:
        used = font(pixels, bold)
        if used.size(text)[0] <= room + 0.5:
            return text
        while text and used.size(text + "…")[0] > room:
            text = text[:-1]
        return text.rstrip() + "…"

    def key(self, x: float, y: float, label: str, size: float = 12, color: Color | None = None) -> float:
        """Draw a key cap whose left edge is ``x`` and whose middle height is ``y``; return its width."""
        width = key_width(label, size) if self.scale == 1 else max(self.wide(label, size) + 12, size + 10)
        high = size + 9
        self.card(Area(x, y - high / 2, width, high), Theme.edge, radius=5)
        self.text(x + width / 2, y, label, size, color, align=0.5)
        return width


def key_width(label: str, size: float = 12) -> float:
    """Return the logical width of a key cap."""
    return max(text_width(label, size) + 12, size + 10)
