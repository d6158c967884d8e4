"""What single neurons respond to: weights, the states that excite one most, and an input optimised to excite it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pygame

from envs.drawing import draw_state
from viewer.drawing.canvas import Area, Canvas
from viewer.drawing.theme import Theme
from viewer.drawing.widgets import contains
from viewer.inspecting.neuron_search import ENOUGH, SHOWN, Searches, searches_of
from viewer.inspecting.neurons import FirstLayer
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import WIDTH, Drag, Panel
from viewer.panels.inputs import draw_inputs, inputs_height, style_of
from viewer.panels.pieces import (
    MARGIN,
    Array,
    Identity,
    cell,
    cell_at,
    draw_cached,
    draw_cells,
    draw_image,
    heading,
    outline,
    paragraph,
    signed,
    tint,
)
from viewer.panels.world import is_world
from viewer.playing.timeline import Moment
from viewer.view import View

HEAD = 56.0
TILE_GAP = 4.0
WEIGHT, WEIGHTS_WIDTH = 4.0, (24.0, 94.0)  # height of an eye's weight; widths that a tile of eyes may have
FILTER = 24.0  # side of the tile of frames' filters
VECTOR = (10.0, 24.0, 94.0, 14.0)  # of other vectors: width of a weight, least and largest width of a tile, its height
TILES, MORE_TILES, FRAMES_A_ROW, FRAME_ROWS = 72.0, 168.0, 16, 2  # height of all tiles; of frames, filters in rows
TITLE, THUMB_GAP, NUMBER, CAPTION, FOOT = 48.0, 8.0, 18.0, 20.0, 12.0
OPTIMISED, OPTIMISED_FRAMES = 76.0, 66.0  # height of the input that gradient ascent found
SIGHT = 1.25  # half the width of a world that a thumbnail shows, in ranges of the eyes


class NeuronsPanel(Panel):
    """First-layer weights as pictures; for one neuron the states that excite it most, and the input found by ascent.

    A click on a tile picks its neuron, one on a state looks back at it, and one on "again" restarts the search.
    """

    name: ClassVar[str] = "neurons"
    title: ClassVar[str] = PANEL_TITLES["neurons"]

    def height(self, view: View, width: float = WIDTH) -> float:
        """Return the height of weights, states and input; 0 without a hidden layer."""
        insight = view.inspector.insight()
        if insight is None or not insight.activations:
            return 0.0
        optimised = OPTIMISED_FRAMES if view.session.stack() is not None else OPTIMISED
        return HEAD + self._least_tiles(view) + TITLE + self._thumb(view, width) + NUMBER + CAPTION + optimised + FOOT

    def most(self, view: View, width: float = WIDTH) -> float:
        """Return the height with more rows of weights."""
        least = self.height(view, width)
        return least + (MORE_TILES - TILES if least and view.session.stack() is None else 0.0)

    def _thumb(self, view: View, width: float) -> float:
        """Return the height of a state's picture."""
        return (width - 2 * MARGIN - (SHOWN - 1) * THUMB_GAP) / SHOWN * self._shape(view)

    def _least_tiles(self, view: View) -> float:
        insight = view.inspector.insight()
        if view.session.stack() is None or insight is None or not insight.activations:
            return TILES
        return min(-(-len(insight.activations[0][1]) // FRAMES_A_ROW), FRAME_ROWS) * (FILTER + 2 * TILE_GAP)

    def _tiles_height(self, view: View, area: Area) -> float:
        """Return the height of all tiles in an area."""
        return self._least_tiles(view) + max(area.h - self.height(view, area.w), 0.0)

    def _shape(self, view: View) -> float:
        """Return a thumbnail's height for a width of 1."""
        return 5 / 7 if view.session.stack() is None else 3 / 4

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Continue the searches, and draw what they have found so far."""
        searches = searches_of(view.inspector)
        if not searches.follow(view.inspector):
            return
        timeline = view.session.timeline
        searches.advance(timeline)
        looked_at = -1 if timeline.live else timeline.cursor
        marked = next((place for place, one in enumerate(searches.best) if one.number == looked_at), -1)
        key = (searches.version, marked, len(timeline) >= ENOUGH)
        draw_cached(canvas, area, view, "neurons", key, lambda own: self._draw(own, area, view, searches, marked))

    # ---------------------------------------------------------------------------------- places

    def tiles(self, area: Area, layer: FirstLayer, view: View) -> tuple[Area, tuple[int, int]]:
        """Return where the tiles of the first layer are, and in how many rows and columns."""
        room = Area(area.x + MARGIN, area.y + HEAD, area.w - 2 * MARGIN, self._tiles_height(view, area))
        wide, high = tile_size(layer)
        columns = max(1, int((room.w + TILE_GAP) / (wide + TILE_GAP)))
        rows = max(1, int((room.h + TILE_GAP) / (high + TILE_GAP)))
        rows = min(rows, -(-len(layer.pictures) // columns))
        return Area(room.x, room.y, room.w + TILE_GAP, rows * (high + TILE_GAP)), (rows, columns)

    def again_area(self, area: Area, view: View) -> Area:
        """Return the place of the word that restarts the searches."""
        y = area.y + HEAD + self._tiles_height(view, area)
        return Area(area.right - MARGIN - 44, y + 6, 44, 18)

    def thumbs(self, area: Area, view: View) -> list[Area]:
        """Return the places of the states, the most exciting first."""
        y = area.y + HEAD + self._tiles_height(view, area) + TITLE
        wide = (area.w - 2 * MARGIN - (SHOWN - 1) * THUMB_GAP) / SHOWN
        left = area.x + MARGIN
        return [Area(left + place * (wide + THUMB_GAP), y, wide, wide * self._shape(view)) for place in range(SHOWN)]

    def optimised_area(self, area: Area, view: View) -> Area:
        """Return the place of the input that gradient ascent found."""
        y = self.thumbs(area, view)[0].bottom + NUMBER + CAPTION
        return Area(area.x + MARGIN, y, area.w - 2 * MARGIN, area.bottom - FOOT - y)

    def press(self, view: View, area: Area, x: float, y: float) -> Drag | None:
        """Pick the neuron of a tile, look back at a state and pause there, or search again."""
        searches = searches_of(view.inspector)
        if not searches.follow(view.inspector) or searches.layer is None:
            return None
        place, grid = self.tiles(area, searches.layer, view)
        unit = cell_at(place, grid, x, y)
        if unit is not None and unit < len(searches.layer.pictures):
            from learning.insight import Neuron  # here: a human plays without torch

            view.inspector.neuron = Neuron(searches.first, unit)
        elif contains(self.again_area(area, view), x, y):
            searches.restart()
        for thumb, found in zip(self.thumbs(area, view), searches.best, strict=False):
            if contains(thumb, x, y) and found.number >= view.session.timeline.first:
                view.game.paused = True
                view.session.timeline.to(found.number)
        return None

    # --------------------------------------------------------------------------------- drawing

    def _draw(self, canvas: Canvas, area: Area, view: View, searches: Searches, marked: int) -> None:
        canvas.card(area)
        left, width = area.x + MARGIN, area.w - 2 * MARGIN
        heading(canvas, area, canvas.choose([self.title, "Neurons"], width, 15, bold=True))
        if searches.layer is not None:
            self._draw_tiles(canvas, area, view, searches, searches.layer)
        assert searches.neuron is not None
        again = self.again_area(area, view)
        y = again.y + again.h / 2
        number = f"neuron {searches.neuron.unit + 1}"
        names = [f"{searches.neuron.layer}, {number}", number]
        used = canvas.text(left, y, canvas.choose(names, 0.6 * width, 12, bold=True), 12, bold=True)
        if searches.layer is not None and searches.neuron.layer == searches.first:
            wide, high = tile_size(searches.layer)
            high = min(high, 18.0)
            draw_tile(canvas, Area(left + used + 10, y - high / 2, wide, high), searches.layer, searches.neuron.unit)
        canvas.text(again.right, y, "again", 12, Theme.agent, align=1)
        if 0 < searches.share < 1 and width > 300:
            canvas.text(again.x - 2, y, f"search {searches.share:.0%}", 12, Theme.soft, align=1)
        thumbs = self.thumbs(area, view)
        about = ["the states of the timeline that excite it most", "the states that excite it most"]
        canvas.text(left, thumbs[0].y - 10, canvas.choose(about, width, 12), 12, Theme.soft)
        for place, thumb in enumerate(thumbs):
            canvas.rect(thumb, Theme.track)
            if place < len(searches.best):
                self._draw_state(canvas, thumb, view, searches, place)
                outline(canvas, thumb, *((Theme.text, 2.0) if place == marked else (Theme.border, 1.0)))
        self._draw_optimised(canvas, self.optimised_area(area, view), view, searches)

    def _draw_tiles(self, canvas: Canvas, area: Area, view: View, searches: Searches, layer: FirstLayer) -> None:
        place, grid = self.tiles(area, layer, view)
        shown, count = min(grid[0] * grid[1], len(layer.pictures)), len(layer.pictures)
        about = about_tiles(layer)
        share = f"{shown} of {count}" if shown < count else f"all {count}"
        used = canvas.text(area.right - MARGIN, area.y + 43, share, 12, Theme.soft, align=1)
        variants = [about, about.replace("weights of the first layer", "first layer's weights"), "weights, layer 1"]
        room_left = area.w - 2 * MARGIN - used - 10
        canvas.text(area.x + MARGIN, area.y + 43, canvas.choose(variants, room_left, 12), 12, Theme.soft)
        room = Area(place.x, place.y, place.w - TILE_GAP, place.h)

        def tile(unit: int) -> Area:
            slot = cell(place, grid, unit)
            return Area(slot.x, slot.y, slot.w - TILE_GAP, slot.h - TILE_GAP)

        def draw(own: Canvas) -> None:
            own.rect(room, Theme.card)
            for unit in range(shown):
                draw_tile(own, tile(unit), layer, unit)

        draw_cached(canvas, room, view, "neurons tiles", Identity(layer), draw)
        neuron = searches.neuron
        if neuron is not None and neuron.layer == searches.first and neuron.unit < shown:
            outline(canvas, tile(neuron.unit))

    def _draw_state(self, canvas: Canvas, place: Area, view: View, searches: Searches, number: int) -> None:
        timeline, found, sizes = view.session.timeline, searches.best[number], input_sizes(searches)
        if found.number >= timeline.first:
            draw_cached(
                canvas,
                place,
                view,
                f"neurons state {number}",
                found.number,
                lambda own: draw_moment(own, place, view, timeline[found.number], sizes),
            )
        canvas.text(place.x + place.w / 2, place.bottom + 9, signed(found.excitation), 12, Theme.soft, align=0.5)

    def _draw_optimised(self, canvas: Canvas, area: Area, view: View, searches: Searches) -> None:
        if area.h < 8:
            return
        y = area.y - CAPTION / 2
        ascent = searches.ascent
        if ascent is None or not ascent.excitations:
            waits = len(view.session.timeline) < ENOUGH
            text = f"the searches start after {ENOUGH} steps" if waits else "searching for an input that excites it"
            canvas.text(area.x, y, canvas.choose([text, "searching"], area.w, 12), 12, Theme.soft)
            return
        used = canvas.text(area.right, y, signed(ascent.best_excitation), 12, bold=True, align=1)
        variants = ["an input made to excite it, by gradient ascent", "an input made to excite it", "a made input"]
        canvas.text(area.x, y, canvas.choose(variants, area.w - used - 8, 12), 12, Theme.soft)
        optimised, inputs = ascent.best, view.inspector.inputs()
        if inputs is not None:
            sizes = input_sizes(searches)
            high = min(area.h, inputs_height(inputs))
            draw_inputs(
                canvas, Area(area.x, area.y, area.w, high), inputs, optimised, sizes, style_of(view), names=high > 40
            )
        elif optimised.ndim == 3:
            draw_frames(canvas, area, optimised)
            left = area.x + len(optimised) * (area.h + 6.0) + 6.0
            if len(optimised) > 1 and area.right - left > 60:
                text = "the frames of one observation, the newest last"
                paragraph(canvas, left, area.y, text, area.right - left, bottom=area.bottom)


def input_sizes(searches: Searches) -> Array:
    """Return the value (D,) that fills a bar: the largest that gradient ascent may reach."""
    return np.maximum(np.abs(searches.low), np.abs(searches.high))


def tile_size(layer: FirstLayer) -> tuple[float, float]:
    """Return the logical width and height of a unit's tile."""
    shape = layer.pictures.shape
    if layer.pictures.ndim == 4:
        return FILTER, FILTER
    if shape[1] == 1:
        return min(max(VECTOR[0] * shape[2], VECTOR[1]), VECTOR[2]), VECTOR[3]
    low, high = WEIGHTS_WIDTH
    return min(max(1.5 * shape[1], low), high), WEIGHT * shape[2]


def draw_tile(canvas: Canvas, area: Area, layer: FirstLayer, unit: int) -> None:
    """Draw a unit's weights: blue above zero, orange below."""
    if unit < len(layer.pictures):
        draw_cells(canvas, area, tint(tile_weights(layer, unit)), gaps=False)


def tile_weights(layer: FirstLayer, unit: int) -> Array:
    """Return a unit's weights as its tile shows them, (rows, columns): of the newest frame, or a row per thing seen."""
    picture = layer.pictures[unit]
    if picture.ndim == 3:
        return np.asarray(picture[-1])
    return picture if picture.shape[0] == 1 else np.asarray(picture.T)


def about_tiles(layer: FirstLayer) -> str:
    """Return what the tiles show, in words."""
    if layer.pictures.ndim == 4:
        return "weights of the first layer, for the newest frame"
    if layer.pictures.shape[1] == 1:
        return "weights of the first layer, by input"
    return "weights of the first layer, one column per eye"


def draw_moment(canvas: Canvas, area: Area, view: View, moment: Moment, sizes: Array) -> None:
    """Draw a small picture of a moment: the world around the agent, the newest frame, or the inputs as bars.

    ``sizes``, (D,), are the values that fill a bar.
    """
    world: Any = view.session.env.unwrapped
    obs = moment.obs
    if moment.state is not None and is_world(view.session):
        _draw_around(canvas, area, world, moment.state)
    elif obs.ndim == 3:
        draw_frames(canvas, area, obs[-1:].astype(np.float64))
    else:
        inputs = view.inspector.inputs()
        if inputs is not None:
            values = np.asarray(obs, np.float64)
            draw_inputs(canvas, area, inputs, values, sizes, style_of(view), names=False)


def _draw_around(canvas: Canvas, area: Area, world: Any, state: Any) -> None:
    """Draw the world as far as the agent sees, the agent in the middle; grey beyond the world's edge."""
    box = canvas.pixels(area)
    scale = box.w / (2 * SIGHT * world.eye_range)
    whole = pygame.Surface((round(world.size[0] * scale), round(world.size[1] * scale)), 0, canvas.surface)
    draw_state(whole, world, state)
    x, y = (float(value) * scale for value in state["pos"])
    canvas.surface.fill(Theme.border, box)
    before = canvas.surface.get_clip()
    canvas.surface.set_clip(box)
    canvas.surface.blit(whole, (round(box.centerx - x), round(box.centery - y)))
    canvas.surface.set_clip(before)


def draw_frames(canvas: Canvas, area: Area, frames: Array) -> None:
    """Draw grey frames (F, H, W), 0 to 255, in a row from the left, the oldest first; one alone in the middle."""
    count = len(frames)
    side = min(area.h, (area.w - (count - 1) * 6.0) / count)
    left = area.x + (area.w - side) / 2 if count == 1 else area.x
    for place, frame in enumerate(np.clip(frames, 0, 255).astype(np.uint8)):
        draw_image(canvas, Area(left + place * (side + 6.0), area.y, side, side), frame)
