"""The inputs of a network as bars: what each eye sees, and any other numbers."""

from __future__ import annotations

import math
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import pygame

from envs.drawing import APPLE, GREY, POISON, WALL, WATERWORLD, look_of
from envs.rldemo import EYE_OFFSETS, RLDemo
from viewer.drawing import water
from viewer.drawing.canvas import Area, Canvas, text_width
from viewer.drawing.theme import Color, Theme
from viewer.inspecting.inputs import EYE_DISTANCES, EYE_VELOCITIES, Inputs
from viewer.inspecting.inspector import Inspector
from viewer.panels.pieces import Array, cell, draw_cells, signed, tint
from viewer.view import View

LABEL = 54.0  # width of a lane's name
NEAR, COMPASS, LANE = 46.0, 15.0, 17.0  # heights: lane of distances, words for directions, other lanes
OWN_GAP, OWN = 10.0, 24.0  # the gap before the own speed, and its width
ROW, FEW, MANY_HEIGHT = 19.0, 8, 46.0  # up to FEW inputs have a row each, with a name
NUMBER = 50.0
WIDEST_NAME = 0.5  # of a row: share of its width
DARK: Color = (60, 70, 82)  # of marks, visible on every colour of a bar

_largest: WeakKeyDictionary[Inspector, Array] = WeakKeyDictionary()


class Style(NamedTuple):
    """How the bars of one environment look."""

    colors: tuple[Color, Color, Color]
    """Of walls, apples, poison."""
    bearings: tuple[tuple[float, str], ...]
    """Directions: the index of the eye, which may lie between two, and its word."""


def style_of(view: View) -> Style:
    """Return the colours of the world as it is drawn, and the directions of its eyes."""
    session = view.session
    state = session.timeline.current.state
    look = WATERWORLD if state is None else look_of(state)
    if view.env_id.endswith("Waterworld-v1"):
        look = water.LOOK
    worlds = getattr(session.env.unwrapped, "worlds", None)
    bearings: list[tuple[float, str]] = []
    if isinstance(worlds, RLDemo):
        ahead = int(np.argmin(np.abs(EYE_OFFSETS)))
        bearings = [(0.0, "right"), (float(ahead), "ahead"), (len(EYE_OFFSETS) - 1.0, "left")]
    elif worlds is not None:
        angles = np.asarray(worlds.eye_angles(0))
        turns = (0.0, "down"), (math.pi / 2, "right"), (math.pi, "up"), (1.5 * math.pi, "left")
        bearings = [(float(np.interp(turn, angles, np.arange(len(angles)))), word) for turn, word in turns]
    return Style((GREY, look.apple, look.poison), tuple(bearings))


def sizes_of(view: View, values: Array) -> Array:
    """Return the value (D,) that fills a bar: the bound in Waterworld and RLDemo, else the largest value so far."""
    space = view.session.env.observation_space
    low, high = np.asarray(getattr(space, "low", values)), np.asarray(getattr(space, "high", values))
    inputs = view.inspector.inputs()
    if inputs is not None and inputs.eyes and low.shape == values.shape:
        return np.asarray(np.maximum(np.abs(low), np.abs(high)), np.float64)
    largest = _largest.get(view.inspector)
    size = np.where(np.isfinite(values), np.abs(values), 0.0)
    if largest is not None and largest.shape == size.shape:
        size = np.maximum(largest, size)
    _largest[view.inspector] = size
    return size


def inputs_height(inputs: Inputs) -> float:
    """Return the height that `draw_inputs` needs."""
    if not inputs.eyes:
        count = len(inputs.rest)
        return ROW * count if count <= FEW else MANY_HEIGHT
    return NEAR + COMPASS + LANE * len(_lanes(inputs))


def _lanes(inputs: Inputs) -> list[str]:
    """Return the names of the lanes below the eyes' distances."""
    if _has_velocities(inputs):
        return [kind.removeprefix("its ") for kind in EYE_VELOCITIES]
    past, others = _rest(inputs)
    return ["1 ago"] * bool(past) + ["action"] * bool(others)


def _has_velocities(inputs: Inputs) -> bool:
    """Return whether the eyes see velocities; then the rest is the agent's own."""
    return inputs.kinds[len(EYE_DISTANCES) :] == EYE_VELOCITIES


def _rest(inputs: Inputs) -> tuple[list[int], list[int]]:
    """Return the indices of the eyes' values one step ago, and of what no eye saw (with a window: one step ago too)."""
    ago = [place for place, name in enumerate(inputs.rest) if name.endswith(", 1 step ago")]
    past = [place for place in ago if inputs.rest[place].startswith("eye ")]
    others = [place for place in ago if place not in past]
    return past, others or ([] if ago else list(range(len(inputs.rest))))


# ------------------------------------------------------------------------------------ drawing


def draw_inputs(
    canvas: Canvas, area: Area, inputs: Inputs, values: Array, sizes: Array, style: Style, *, names: bool = True
) -> None:
    """Draw inputs (D,) into an area; ``sizes`` (D,) are the values that fill a bar. ``names``: label the lanes."""
    draw_frame(canvas, area, inputs, style, names=names)
    draw_bars(canvas, area, inputs, values, sizes, style, names=names)


class Lane(NamedTuple):
    """A row of bars, one for each eye or action."""

    name: str
    area: Area
    own: Area | None
    """Where the agent's own speed is, beside those that the eyes see."""


def lanes_in(area: Area, inputs: Inputs, names: bool) -> list[Lane]:
    """Return the lanes from the top: how near things are, then those that `_lanes` names."""
    lower = _lanes(inputs)
    compass = COMPASS if names else 0.0
    unit = (area.h - compass) / (NEAR + LANE * len(lower))
    left, own = area.x + (LABEL if names else 0.0), OWN_GAP + OWN if _has_velocities(inputs) else 0.0
    width, y = area.right - left - own, area.y + NEAR * unit + compass
    lanes = [Lane("near", Area(left, area.y, width, NEAR * unit), None)]
    for name in lower:
        place = Area(left, y, width, LANE * unit - 2)
        lanes.append(Lane(name, place, Area(area.right - OWN, y, OWN, place.h) if own else None))
        y += LANE * unit
    return lanes


def draw_frame(canvas: Canvas, area: Area, inputs: Inputs, style: Style, *, names: bool = True) -> None:
    """Draw the parts that do not depend on the values: the lanes and their names."""
    if not inputs.eyes:
        rows = len(inputs.rest) if names and len(inputs.rest) <= FEW else 0
        if not rows:
            canvas.rect(area, Theme.track)
        for place in range(rows):
            zone = row_zone(area, place, rows, names_width(inputs, area))
            canvas.text(area.x, zone.y + zone.h / 2, inputs.rest[place], 12, width=zone.x - area.x - 4)
            canvas.rect(zone, Theme.track)
        return
    lanes = lanes_in(area, inputs, names)
    for lane in lanes:
        canvas.rect(lane.area, Theme.track)
        if lane.own is not None:
            canvas.rect(lane.own, Theme.track)
        if names:
            canvas.text(area.x, lane.area.y + lane.area.h / 2, lane.name, 12, Theme.soft, width=LABEL - 2)
    if names:
        near = lanes[0].area
        _draw_bearings(canvas, Area(near.x, near.bottom, near.w, COMPASS), inputs.eyes, style)
        if lanes[-1].own is not None:
            canvas.text(area.right - OWN / 2, near.bottom + COMPASS / 2, "own", 12, Theme.soft, align=0.5)


def draw_bars(
    canvas: Canvas, area: Area, inputs: Inputs, values: Array, sizes: Array, style: Style, *, names: bool = True
) -> None:
    """Draw the bars of inputs (D,) into the lanes of `draw_frame`."""
    values = np.nan_to_num(np.asarray(values, np.float64), posinf=0.0, neginf=0.0)
    shares = np.clip(values / np.where(sizes > 0, sizes, 1.0), -1.0, 1.0)
    if not inputs.eyes:
        if names and len(values) <= FEW:
            _draw_rows(canvas, area, shares, values, names_width(inputs, area))
        else:
            _draw_signed(canvas, area, shares)
        return
    past, others = _rest(inputs)
    rest, rest_shares = inputs.others(values), inputs.others(shares)
    near, *lanes = lanes_in(area, inputs, names)
    draw_near(canvas, near.area, inputs.by_eye(values)[:, : len(EYE_DISTANCES)], style)
    for number, lane in enumerate(lanes):
        if lane.name == "1 ago":
            draw_near(canvas, lane.area, rest[past].reshape(inputs.eyes, len(EYE_DISTANCES)), style)
        elif lane.name == "action":
            _draw_action(canvas, lane.area, [inputs.rest[other] for other in others], rest_shares[others])
        else:
            _draw_signed(canvas, lane.area, inputs.by_eye(shares)[:, len(EYE_DISTANCES) + number])
        if lane.own is not None:
            _draw_signed(canvas, lane.own, rest_shares[others[number] : others[number] + 1])


def _draw_bearings(canvas: Canvas, area: Area, eyes: int, style: Style) -> None:
    free = area.x  # from here on
    for place, word in style.bearings:
        align = 0.0 if place < 1 else 1.0 if place > eyes - 2 else 0.5
        x, wide = area.x + (place + align) / eyes * area.w, canvas.wide(word, 12)
        if x - align * wide >= free:
            canvas.text(x, area.y + area.h / 2, word, 12, Theme.soft, align=align)
            free = x + (1 - align) * wide + 4


def _column(box: pygame.Rect, place: int, count: int) -> tuple[int, int]:
    """Return left edge and width of a bar, pixels; with a gap of a pixel after it if there is room."""
    left, right = box.left + place * box.w // count, box.left + (place + 1) * box.w // count
    return left, max(1, right - left - (right - left > 3))


def draw_near(canvas: Canvas, area: Area, distances: Array, style: Style) -> None:
    """Draw the distances of each eye (E, 3: wall, apple, poison; 1 is far): the nearer, the higher the bar."""
    box = canvas.pixels(area)
    highs = np.rint(np.clip(1.0 - distances, 0.0, 1.0) * box.h).astype(int)
    several = (highs > 0).sum(1) > 1
    for eye, kind in np.argwhere(highs > 0).tolist():
        high, low = int(highs[eye, kind]), 0
        if several[eye]:  # only in synthetic inputs; the lower bars are in front, so that all tips are visible
            low = max((int(other) for other in highs[eye] if other < high), default=0)
        left, width = _column(box, eye, len(highs))
        canvas.surface.fill(style.colors[kind], (left, box.bottom - high, width, high - low))
        radius = min(0.3 * width, 0.35 * (high - low), 3.2 * canvas.scale)
        if kind != WALL and radius >= 1.2:
            draw_mark(canvas.surface, kind, left + width / 2, box.bottom - high + 1.5 * radius, radius)


def draw_mark(surface: pygame.Surface, kind: int, x: float, y: float, radius: float) -> None:
    """Mark a kind of thing for the colour-blind: a dot is an apple, a cross poison."""
    if kind == APPLE:
        pygame.draw.circle(surface, DARK, (x, y), radius)
    elif kind == POISON:
        for rise in (-radius, radius):
            pygame.draw.line(surface, DARK, (x - radius, y - rise), (x + radius, y + rise), max(1, round(radius / 2)))


def draw_legend(canvas: Canvas, right: float, y: float, style: Style) -> float:
    """Draw the legend of colours and marks in a line that ends at ``right``; return where it begins."""
    for kind, word in ((WALL, "wall"), (POISON, "poison"), (APPLE, "apple")):
        right -= canvas.text(right, y, word, 12, Theme.soft, align=1) + 14
        box = canvas.pixels(Area(right, y - 5, 10, 10))
        canvas.surface.fill(style.colors[kind], box)
        draw_mark(canvas.surface, kind, box.centerx, box.centery, box.w * 0.3)
        right -= 9
    return right


def _draw_signed(canvas: Canvas, area: Area, shares: Array) -> None:
    """Draw numbers (N,) from -1 to 1 as bars up and down from the middle."""
    box = canvas.pixels(area)
    middle, half = box.top + box.h // 2, max(box.h // 2, 1)
    canvas.surface.fill(Theme.edge, (box.left, middle, box.w, 1))
    highs = np.rint(shares * half).astype(int)
    for place in np.flatnonzero(highs).tolist():
        left, width = _column(box, place, len(highs))
        high = int(highs[place])
        canvas.surface.fill(Theme.agent, (left, middle - high if high > 0 else middle + 1, width, abs(high)))


def _draw_action(canvas: Canvas, area: Area, names: list[str], shares: Array) -> None:
    """Draw a cell for each action; that of the last action is filled and has its name."""
    draw_cells(canvas, area, tint(shares)[None])
    for place, (name, share) in enumerate(zip(names, shares, strict=True)):
        if share > 0.5:
            room = cell(area, (1, len(names)), place)
            word = name.removesuffix(", 1 step ago")
            left = room.x + room.w / 2 > area.x + area.w / 2  # beside the cell, where there is more room
            x = room.x - 4 if left else room.right + 4
            canvas.text(x, room.y + room.h / 2, word, 12, align=1.0 if left else 0.0)


def _draw_rows(canvas: Canvas, area: Area, shares: Array, values: Array, names: float) -> None:
    """Draw a row for each input: a bar from the middle to the left or right, and the number."""
    for place, (value, share) in enumerate(zip(values.tolist(), shares.tolist(), strict=True)):
        zone = row_zone(area, place, len(values), names)
        middle = zone.x + zone.w / 2
        length = abs(share) * zone.w / 2
        canvas.rect(Area(middle - (length if share < 0 else 0.0), zone.y, length, zone.h), Theme.agent)
        canvas.line((middle, zone.y - 1), (middle, zone.bottom), Theme.soft)
        canvas.text(area.right, zone.y + zone.h / 2, signed(value), 12, Theme.soft, align=1)


def names_width(inputs: Inputs, area: Area) -> float:
    """Return the width of the names of inputs that have a row each."""
    widest = max((text_width(name, 12) for name in inputs.rest), default=0.0) * 1.05 + 8
    return min(max(widest, LABEL), WIDEST_NAME * area.w)


def row_zone(area: Area, place: int, count: int, names: float) -> Area:
    """Return the area of an input's bar, of ``count`` rows, on the right of names of a width."""
    high, left = area.h / max(count, 1), area.x + names
    return Area(left, area.y + place * high + 4, area.right - NUMBER - left, high - 8)
