"""The distribution of returns of each action, for agents that learn one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import pygame
from numpy.typing import NDArray

from viewer.drawing.canvas import NOT_ALLOWED, Area, Canvas
from viewer.drawing.theme import Theme
from viewer.inspecting.explain import distribution_line
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import WIDTH, Panel
from viewer.panels.pieces import MARGIN, heading, paragraph, paragraph_height
from viewer.panels.plots import Scale, render, signed
from viewer.playing.axis import Axis
from viewer.playing.keys import short, words
from viewer.view import View

if TYPE_CHECKING:  # a human plays without torch
    from learning.insight import Distribution, Insight

HEAD, AXIS, FOOT = 56.0, 22.0, 10.0
NAME, NUMBER = 88.0, 52.0  # widths
ROWS, TALL, TALLEST = 130.0, 34.0, 56.0  # least height of all rows; of one, with the usual and with much room
LEAST = 16.0  # height of a row
ALL, BEST = 9, 6  # up to ALL actions are all shown; of more, the BEST ones
TAIL = 0.005  # probability that may lie beyond each end of the axis
SHRINK = 0.7  # the axis shrinks only to less than this share of its width
BINS, BLUR = 120, 0.02  # of the density of equally likely returns; standard deviation of the blur, share of the axis

Array = NDArray[np.float64]


class StableAxis:
    """An axis for the returns shown lately that changes seldom."""

    def __init__(self) -> None:
        self._recent = Axis()
        self.scale = Scale.around(0.0, 0.0)

    def include(self, low: float, high: float) -> None:
        """Include one more range: widen at once if necessary, narrow slowly, and only by much."""
        self._recent.widen(np.array([low, high]))
        ends = self._recent.range
        wanted, now = Scale.around(*ends), self.scale
        if ends[0] < now.low or ends[1] > now.high or wanted.high - wanted.low <= SHRINK * (now.high - now.low):
            self.scale = wanted


class DistributionPanel(Panel):
    """A density for each action over a common axis of returns, with a tick at its mean, the expectation."""

    name: ClassVar[str] = "returns"
    title: ClassVar[str] = PANEL_TITLES["returns"]
    _text = max(distribution_line("quantile"), distribution_line("histogram"), key=len)

    def height(self, view: View, width: float = WIDTH) -> float:
        """Return its least height; 0 for networks that output expectations only."""
        if not distribution_line(head_of(view)):
            return 0.0
        count = rows_of(view.session.num_actions)
        return HEAD + row_height(count) * count + AXIS + paragraph_height(self._text, width - 2 * MARGIN) + FOOT

    def most(self, view: View, width: float = WIDTH) -> float:
        """Return the height with high rows."""
        count = rows_of(view.session.num_actions)
        least = self.height(view, width)
        return least + max(TALLEST - row_height(count), 0.0) * count if least else 0.0

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw the rows, the axis and the text, again only when the network's output has changed."""
        head, box = head_of(view), canvas.pixels(area)
        if not distribution_line(head):
            return
        insight = view.inspector.insight()
        distribution = () if insight is None or insight.distribution is None else insight.distribution
        key = (head, *(part.tobytes() for part in distribution), box.size)

        def make() -> pygame.Surface:
            return render(canvas, area, lambda on: self._draw(on, area, view, insight))

        picture = view.cached("returns", key, make)
        canvas.surface.blit(picture, box)

    def _draw(self, canvas: Canvas, area: Area, view: View, insight: Insight | None) -> None:
        canvas.card(area)
        head, left, wide = head_of(view), area.x + MARGIN, area.w - 2 * MARGIN
        bins = head == "histogram"
        heading(canvas, area, "Bins of each action" if bins else "Returns of each action")
        count = view.session.num_actions
        about = "how the expectation is spread over them" if bins else "how likely each return is"
        about = f"{about} · tick: mean" if count <= ALL else f"the best {BEST} of {count} actions · tick: mean"
        about = canvas.choose([about, about.replace("how the expectation is spread over them", "tick: mean")], wide, 12)
        canvas.text(left, area.y + 43, about, 12, Theme.soft, width=wide)
        if insight is None or insight.distribution is None:
            text = "this network's distributions can't be read"
            canvas.text(left, area.y + HEAD + 12, text, 12, Theme.soft, width=wide)
        else:
            self._draw_rows(canvas, area, view, insight, insight.distribution)
        text = distribution_line(head)
        paragraph(canvas, left, area.bottom - FOOT - paragraph_height(text, wide), text, wide)

    def _draw_rows(self, canvas: Canvas, area: Area, view: View, insight: Insight, found: Distribution) -> None:
        q_values = insight.q_values
        shown = shown_actions(q_values)
        known = [k for k in shown if not np.isneginf(q_values[k])]  # the others are not allowed
        finite = [k for k in known if np.isfinite(found.returns[k]).all() and np.isfinite(found.probabilities[k]).all()]
        scale = self._scale(view, found, finite)
        densities = {k: density_of(found.returns[k], found.probabilities[k], scale) for k in finite}
        top = max((float(density.heights.max()) for density in densities.values()), default=0.0) or 1.0
        best = best_of(q_values)
        first = self.row_area(area, 0, len(shown))
        last = self.row_area(area, len(shown) - 1, len(shown))
        _draw_axis(canvas, self.zone(first), self.zone(last).bottom, scale)
        for place, action in enumerate(shown):
            row = self.row_area(area, place, len(shown))
            name = view.session.action_names[action]
            label = words(name) if len(q_values) <= ALL else short(name)  # as beside the bars of the expectations
            _draw_text(canvas, row, label, float(q_values[action]), action == best)
            zone = self.zone(row)
            if action in densities:
                _draw_density(canvas, zone, densities[action], top, action == best)
            canvas.line((zone.x, zone.bottom), (zone.right, zone.bottom), Theme.edge)
            mean = scale.place(float(q_values[action]))
            if action in densities and 0.0 <= mean <= 1.0:
                x = zone.x + mean * zone.w
                canvas.line((x, zone.y + zone.h * 0.35), (x, zone.bottom + 2), Theme.text, 2 if action == best else 1)

    def _scale(self, view: View, found: Distribution, actions: list[int]) -> Scale:
        """Return the common axis of all rows."""
        axis = view.cached("returns' axis", view.session.policy, StableAxis)
        if actions:
            low, high = ends_of(found.returns[actions], found.probabilities[actions])
            blurred = 2 * BLUR * (max(high, 0.0) - min(low, 0.0))  # the blur widens a density by that
            axis.include(low - blurred if low < 0 else low, high + blurred if high > 0 else high)
        return axis.scale

    def row_area(self, area: Area, place: int, rows: int) -> Area:
        """Return where a row is."""
        text = paragraph_height(self._text, area.w - 2 * MARGIN)
        high = max(min((area.h - HEAD - AXIS - text - FOOT) / rows, TALLEST), LEAST)
        return Area(area.x + MARGIN, area.y + HEAD + place * high, area.w - 2 * MARGIN, high)

    def zone(self, row: Area) -> Area:
        """Return the part of a row that the axis spans."""
        return Area(row.x + NAME, row.y + 2, row.w - NAME - NUMBER, row.h - 4)


def head_of(view: View) -> str:
    """Return the kind of head of the network that plays: a name of `learning.heads.HEADS`."""
    training = view.session.training
    return "expected" if training is None else training.head


def row_height(rows: int) -> float:
    """Return the height of one of so many rows."""
    return max(min(TALL, ROWS / rows), LEAST)


def rows_of(actions: int) -> int:
    """Return the number of rows for so many actions."""
    return actions if actions <= ALL else BEST


def best_of(q_values: Array) -> int:
    """Return the action with the highest expectation; -1 where there is none."""
    return -1 if np.isnan(q_values).all() else int(np.nanargmax(q_values))


def shown_actions(q_values: Array) -> list[int]:
    """Return the actions that are shown: all, or the best ones of many, in their order."""
    if len(q_values) <= ALL:
        return list(range(len(q_values)))
    order = np.argsort(-np.nan_to_num(q_values, nan=-math.inf), kind="stable")
    return sorted(int(action) for action in order[:BEST])


def ends_of(returns: Array, probabilities: Array) -> Array:
    """Return the two ends, (2,), between which nearly all returns (A, K) of the actions lie."""
    order = np.argsort(returns, axis=None, kind="stable")
    share = np.cumsum(probabilities.ravel()[order])
    places = np.searchsorted(share, np.array([TAIL, 1.0 - TAIL]) * share[-1])
    return np.asarray(returns.ravel()[order][np.minimum(places, len(order) - 1)])


class Density(NamedTuple):
    """How likely returns are: a density at places on the axis, 0 to 1, both (N,)."""

    places: Array
    heights: Array
    smooth: bool


def density_of(returns: Array, probabilities: Array, scale: Scale) -> Density:
    """Return the density of one action's return.

    Evenly spaced atoms become bars. Equally likely returns (quantiles) are spread over bins and blurred.
    """
    places = (returns - scale.low) / (scale.high - scale.low)
    if not equally_likely(probabilities):
        return Density(places, probabilities / max(float(places[-1] - places[0]) / (len(places) - 1), 1e-9), False)
    at = np.clip(places * BINS - 0.5, -1.0, float(BINS))
    below = np.floor(at).astype(int)
    heights = np.zeros(BINS + 3)  # a bin before the first and two after the last hold what lies beyond
    np.add.at(heights, below + 1, probabilities * (1 - at + below))
    np.add.at(heights, below + 2, probabilities * (at - below))
    reach = np.arange(-BINS // 8, BINS // 8 + 1)
    blur = np.exp(-0.5 * (reach / (BLUR * BINS)) ** 2)
    heights = np.convolve(heights[1:-2], blur / blur.sum(), "same")
    return Density((np.arange(BINS) + 0.5) / BINS, heights * BINS, True)


def equally_likely(probabilities: Array) -> bool:
    """Return whether all probabilities are equal, as those of quantiles are."""
    return bool(probabilities.max() - probabilities.min() < 1e-12)


def _draw_density(canvas: Canvas, zone: Area, density: Density, top: float, best: bool) -> None:
    """Fill a density from its base line up; the highest of all is as high as a row."""
    color = Theme.agent if best else Theme.agent_pale
    half = (density.places[1] - density.places[0]) / 2 if len(density.places) > 1 else 0.005
    columns = list(zip(density.places.tolist(), (density.heights / top * zone.h).tolist(), strict=True))
    if density.smooth:
        line = [canvas.point(zone.x + place * zone.w, zone.bottom - height) for place, height in columns]
        ends = [canvas.point(zone.right, zone.bottom), canvas.point(zone.x, zone.bottom)]
        pygame.draw.polygon(canvas.surface, color, [*line, *ends])
        pygame.draw.aalines(canvas.surface, color, False, line)
        return
    for place, height in columns:
        left, right = max(place - half, 0.0), min(place + half, 1.0)
        if right > left:
            canvas.rect(Area(zone.x + left * zone.w, zone.bottom - height, (right - left) * zone.w, height), color)


def _draw_text(canvas: Canvas, row: Area, label: str, expectation: float, best: bool) -> None:
    middle, size = row.y + row.h / 2, 13.0 if row.h >= 20 else 12.0
    canvas.text(row.x, middle, label, size, bold=best, width=NAME - 4)
    number = signed(expectation) if math.isfinite(expectation) else str(expectation).replace("-inf", NOT_ALLOWED)
    canvas.text(row.right, middle, number, size, Theme.text if best else Theme.soft, align=1, bold=best)


def _draw_axis(canvas: Canvas, zone: Area, bottom: float, scale: Scale) -> None:
    """Draw a vertical line through all rows for each tick, and its number below."""
    ticks = scale.ticks()
    every = 1
    widest = max(canvas.wide(scale.label(tick), 12) for tick in ticks) + 8
    while len(ticks) > 2 and zone.w / (len(ticks) - 1) * every < widest:
        every += 1
    first = next((place for place, tick in enumerate(ticks) if abs(tick) < scale.step / 2), 0) % every
    for place, tick in enumerate(ticks):
        x = zone.x + scale.place(tick) * zone.w
        canvas.line((x, zone.y), (x, bottom + 3), Theme.edge if abs(tick) < scale.step / 2 else Theme.track)
        if place % every == first:
            canvas.text(x, bottom + 13, scale.label(tick), 12, Theme.soft, align=0.5)
