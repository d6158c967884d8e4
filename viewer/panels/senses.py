"""The network's inputs and its layers' activations, as in Karpathy's demos."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
import pygame

from common.text import number_of
from viewer.drawing.canvas import Area, Canvas
from viewer.drawing.pixels import to_surface
from viewer.drawing.theme import Theme
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import WIDTH, Drag, Panel
from viewer.panels.inputs import draw_bars, draw_frame, draw_legend, inputs_height, sizes_of, style_of
from viewer.panels.pieces import (
    MARGIN,
    Array,
    Identity,
    Picture,
    cell,
    cell_at,
    draw_cached,
    draw_cells,
    grid_for,
    heading,
    outline,
    scaled,
    tint,
)
from viewer.view import View

HEAD, FOOT = 38.0, 10.0
CAPTION, AFTER = 17.0, 6.0  # heights of a layer's name above its strip, and of the gap below
FEW_UNITS, LOW_STRIP, STRIP, MAPS_STRIP = 160, 14.0, 24.0, 36.0
LEGEND, HIGHER = 20.0, 70.0


class Strip(NamedTuple):
    """One layer and where it is drawn."""

    layer: str
    values: Array
    """(D,) or feature maps (C, H, W)."""
    caption: Area
    area: Area
    grid: tuple[int, int]
    """Rows and columns of cells."""

    @property
    def units(self) -> int:
        """Return the number of neurons, or of feature maps."""
        return len(self.values)


class SensesPanel(Panel):
    """A bar for each input, a cell for each unit, a small picture for each feature map; a click picks the neuron."""

    name: ClassVar[str] = "senses"
    title: ClassVar[str] = PANEL_TITLES["senses"]

    def height(self, view: View, width: float = WIDTH) -> float:
        """Return the height of the inputs and all layers; without a network only eyes are shown."""
        layers = _layers(view)
        inputs = view.inspector.inputs()
        if not layers and (inputs is None or not inputs.eyes):
            return 0.0
        return HEAD + self._inputs_height(view) + sum(_height(values) for _, values in layers) + FOOT

    def most(self, view: View, width: float = WIDTH) -> float:
        """Return the height with high bars."""
        least, inputs = self.height(view, width), view.inspector.inputs()
        return least + HIGHER if least and inputs is not None and inputs.eyes else least

    def _more(self, area: Area, view: View) -> float:
        """Return how much higher than the least height the inputs are."""
        return min(max(area.h - self.height(view, area.w), 0.0), HIGHER) if view.inspector.inputs() is not None else 0.0

    def _inputs_height(self, view: View) -> float:
        inputs = view.inspector.inputs()
        if inputs is None:
            return 0.0
        return (LEGEND if inputs.eyes else 0.0) + inputs_height(inputs) + 8.0

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw the inputs of this moment, and the activations, which may be a tenth of a second old."""
        inspector = view.inspector
        insight = inspector.insight()
        tall = min(HEAD + self._inputs_height(view) + self._more(area, view), area.h)
        top, rest = Area(area.x, area.y, area.w, tall), Area(area.x, area.y + tall, area.w, area.h - tall)
        number = view.session.timeline.cursor if inspector.inputs() is not None else -1
        draw_cached(canvas, top, view, "senses inputs", number, lambda own: self._draw_inputs(own, top, area, view))
        key = (Identity(insight), inspector.neuron)
        draw_cached(canvas, rest, view, "senses layers", key, lambda own: self._draw_layers(own, rest, area, view))

    def inputs_area(self, area: Area, view: View) -> Area:
        """Return where the bars of the inputs are."""
        inputs = view.inspector.inputs()
        top = area.y + HEAD + (LEGEND if inputs is not None and inputs.eyes else 0.0)
        high = 0.0 if inputs is None else inputs_height(inputs) + self._more(area, view)
        return Area(area.x + MARGIN, top, area.w - 2 * MARGIN, high)

    def strips(self, area: Area, view: View) -> list[Strip]:
        """Return the layers from the input on, and their places."""
        top = area.y + HEAD + self._inputs_height(view) + self._more(area, view)
        found, y, width = [], top, area.w - 2 * MARGIN
        for layer, values in _layers(view):
            high = _strip(values)
            grid = grid_for(len(values), width, high)
            if values.ndim == 3:  # maps keep their shape
                side = min(width / grid[1], high / grid[0])
                place = Area(area.x + MARGIN, y + CAPTION, side * grid[1], side * grid[0])
            else:
                place = Area(area.x + MARGIN, y + CAPTION, width, high)
            found.append(Strip(layer, values, Area(area.x + MARGIN, y, width, CAPTION), place, grid))
            y += _height(values)
        return found

    def press(self, view: View, area: Area, x: float, y: float) -> Drag | None:
        """Pick the neuron at a point."""
        for strip in self.strips(area, view):
            unit = cell_at(strip.area, strip.grid, x, y)
            if unit is not None and unit < strip.units:
                from learning.insight import Neuron  # here: a human plays without torch

                view.inspector.neuron = Neuron(strip.layer, unit)
        return None

    # ------------------------------------------------------------------------------- drawing

    def _draw_inputs(self, canvas: Canvas, top: Area, area: Area, view: View) -> None:
        inspector = view.inspector
        inputs, style = inspector.inputs(), style_of(view)
        key = (style, inspector.insight() is not None)
        draw_cached(canvas, top, view, "senses frame", key, lambda own: self._draw_frame(own, area, view))
        if inputs is not None:
            values = np.asarray(inspector.moment.obs, np.float64)
            draw_bars(canvas, self.inputs_area(area, view), inputs, values, sizes_of(view, values), style)

    def _draw_frame(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw the parts that do not depend on the values: the upper part of the card, the title, the legend."""
        canvas.card(area)
        inputs, layers, style = view.inspector.inputs(), view.inspector.insight() is not None, style_of(view)
        title = "Inputs and activations" if inputs and layers else "Activations" if layers else "What the eyes see"
        heading(canvas, area, title)
        if inputs is None:
            return
        place = self.inputs_area(area, view)
        if inputs.eyes:
            left = draw_legend(canvas, place.right, area.y + HEAD + 7, style)
            about = canvas.choose([f"{inputs.eyes} eyes: how near", f"{inputs.eyes} eyes", ""], left - place.x - 10, 12)
            canvas.text(place.x, area.y + HEAD + 7, about, 12, Theme.soft)
        draw_frame(canvas, place, inputs, style)

    def _draw_layers(self, canvas: Canvas, rest: Area, area: Area, view: View) -> None:
        draw_cached(canvas, rest, view, "senses below", "", lambda own: own.card(area))
        picked = view.inspector.neuron
        for strip in self.strips(area, view):
            if strip.area.bottom > area.bottom - 2:
                break  # more layers than the panel has room for
            caption = strip.caption
            y = caption.y + caption.h / 2 - 1
            used = canvas.text(caption.x, y, strip.layer, 12, width=0.5 * caption.w)
            active = active_text(strip.values)
            variants = [active, active.replace(" units", ""), ""]
            canvas.text(caption.right, y, canvas.choose(variants, caption.w - used - 10, 12), 12, Theme.soft, align=1)
            if strip.values.ndim == 3:
                self._draw_maps(canvas, strip)
            else:
                cells = np.full((strip.grid[0] * strip.grid[1], 3), Theme.card, np.uint8)
                cells[: strip.units] = shades(strip.values)
                draw_cells(canvas, strip.area, cells.reshape(*strip.grid, 3))
            if picked is not None and picked.layer == strip.layer and picked.unit < strip.units:
                outline(canvas, cell(strip.area, strip.grid, picked.unit))

    def _draw_maps(self, canvas: Canvas, strip: Strip) -> None:
        """Draw each feature map as a small picture, all on one scale."""
        count, height, width = strip.values.shape
        pixels = canvas.pixels(cell(strip.area, strip.grid, 0))
        side = max(1, min(pixels.size) - max(1, round(1.5 * canvas.scale)))
        # stacked in one surface, so that all are scaled at once
        column = to_surface(shades(strip.values).reshape(count * height, width, 3))
        column = pygame.transform.smoothscale(column, (side, side * count))
        for unit in range(count):
            corner = canvas.pixels(cell(strip.area, strip.grid, unit)).topleft
            canvas.surface.blit(column, corner, (0, side * unit, side, side))


def shades(values: Array) -> Picture:
    """Return activations (...) as colours (..., 3), the largest the darkest; square roots make weak ones visible."""
    share = scaled(values)
    return tint(np.sign(share) * np.sqrt(np.abs(share)))


def _layers(view: View) -> list[tuple[str, Array]]:
    insight = view.inspector.insight()
    return [] if insight is None else [(name, values) for name, values in insight.activations if len(values)]


def _strip(values: Array) -> float:
    """Return the height of a layer's cells."""
    return MAPS_STRIP if values.ndim == 3 else LOW_STRIP if len(values) <= FEW_UNITS else STRIP


def _height(values: Array) -> float:
    return CAPTION + _strip(values) + AFTER


def active_text(values: Array) -> str:
    """Return how many units (D,), or maps (C, H, W), are active: above zero, a map anywhere."""
    above = values > 0
    if values.ndim == 3:
        return f"{int(above.any((1, 2)).sum())} of {len(values)} maps active"
    # tanh units are never inactive
    word = "active" if not (values < 0).any() else "above zero"
    return f"{int(above.sum())} of {number_of(len(values), 'unit')} {word}"
