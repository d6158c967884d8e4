"""The truth meter: the return that the network expected at each past step, against the actual discounted return."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.text import number_of
from viewer.drawing.canvas import Area, Canvas
from viewer.drawing.theme import Color, Theme
from viewer.drawing.widgets import contains
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import WIDTH, Drag, Panel
from viewer.panels.pieces import MARGIN, TITLE_Y, heading, paragraph
from viewer.panels.plots import BAND, Scale, draw_scale, pixels_of, render, runs, signed, steps_between, strong_curve
from viewer.playing.calibration import NEGLIGIBLE, Calibration, TruthMeter
from viewer.playing.timeline import Moment, Timeline
from viewer.view import View

HEIGHT, TALLEST = 158.0, 300.0
HEAD, FOOT, GUTTER = 61.0, 14.0, 34.0  # the gutter holds the axis's numbers
POINT = 1.5  # logical pixels from one point of the line to the next
LONGEST = 3_000  # moments in the plot at most, however large gamma is
NOTHING = 0.005  # a bias that is written as 0.00
WIDE = 520.0  # from this width on there is room for longer words
EXPLAINED_SECONDS = 12.0  # that the sentence stays
PER_SECOND = 8.0  # drawings per second while time runs

Array = NDArray[np.float64]


class Stretch(NamedTuple):
    """The moments in the plot: ``points`` of them, every ``stride``-th from ``first`` on."""

    first: int
    stride: int
    points: int

    @property
    def span(self) -> int:
        """Return the number of moments between the ends of the plot."""
        return max((self.points - 1) * self.stride, 1)

    def kept(self, timeline: Timeline) -> range:
        """Return the numbers of those that exist."""
        oldest = -(-timeline.first // self.stride) * self.stride
        return range(max(self.first, oldest), min(self.first + self.span, timeline.last) + 1, self.stride)

    def x(self, zone: Area, number: int) -> float:
        """Return the x of a moment, clipped to the plot."""
        return zone.x + min(max((number - self.first) / self.span, 0.0), 1.0) * zone.w

    def number(self, zone: Area, x: float) -> int:
        """Return the number of the moment at a logical x, which may lie outside the plot."""
        return self.first + round((x - zone.x) / zone.w * self.span)


def stretch_of(timeline: Timeline, width: float, gamma: float) -> Stretch:
    """Return what a plot of ``width`` logical pixels shows: the newest moments, or the page with the cursor.

    It is twice as long as it takes until a return is known: else all of it could still be unknown.
    """
    points = max(2, int(width / POINT))
    ahead = math.log(NEGLIGIBLE) / math.log(gamma) if 0 < gamma < 1 else math.inf if gamma >= 1 else 1.0
    stride = max(1, math.ceil(min(2 * ahead, LONGEST) / points))
    length = stride * points
    end = -(-timeline.last // stride) * stride  # always the same moments, so that nothing flickers
    end -= (end - timeline.cursor) // length * length
    return Stretch(max(end - length + stride, 0), stride, points)


class Samples(NamedTuple):
    """What the plot shows of the moments, all (M,); NaN where there is nothing."""

    numbers: range
    expected: Array
    actual: Array
    so_far: Array
    """The return so far, where it is not complete."""
    human: NDArray[np.bool_]
    rounds: NDArray[np.int64]

    @property
    def scale(self) -> Scale:
        """Return the axis that holds all values, and zero."""
        values = np.concatenate([self.expected, self.actual, self.so_far])
        values = values[np.isfinite(values)]
        return Scale.around(min(0.0, values.min(initial=0.0)), max(0.0, values.max(initial=0.0)))


def samples_of(timeline: Timeline, truth: TruthMeter, stretch: Stretch) -> Samples:
    """Return the expected and the actual returns of the moments in the plot."""
    numbers = stretch.kept(timeline)
    moments = [timeline[number] for number in numbers]
    so_far = {pair.number: pair.observed for pair in truth.open()}
    pairs = [truth.pair(number) for number in numbers]
    expected = np.array([math.nan if (one := moment.expectation) is None else one for moment in moments], float)
    expected[~np.isfinite(expected)] = math.nan
    return Samples(
        numbers,
        expected,
        np.array([math.nan if pair is None else pair.realised for pair in pairs], float),
        np.array([so_far.get(number, math.nan) for number in numbers], float),
        np.array([moment.by_human for moment in moments], bool),
        np.array([moment.round for moment in moments], int),
    )


class TruthPanel(Panel):
    """A line of the expected and dots of the actual returns; a click looks at that moment."""

    name: ClassVar[str] = "truth"
    title: ClassVar[str] = PANEL_TITLES["truth"]
    place = "below"

    def height(self, view: View, width: float = WIDTH) -> float:
        """Return its least height; 0 without an agent that expects something."""
        return 0.0 if view.session.policy is None or view.session.q_values() is None else HEIGHT

    def most(self, view: View, width: float = WIDTH) -> float:
        """Return the largest height that the plot has use for."""
        return TALLEST

    def zone(self, area: Area) -> Area:
        """Return where the plot is."""
        return Area(area.x + MARGIN + GUTTER, area.y + HEAD, area.w - 2 * MARGIN - GUTTER, area.h - HEAD - FOOT)

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw numbers, line and dots, or say why there are none."""
        session, timeline = view.session, view.session.timeline
        truth, why = session.truth, self.why_not(view)
        looked_at = -1 if timeline.live else timeline.cursor
        box = canvas.pixels(area)
        if truth is None or why:
            key: tuple[object, ...] = (why, box.size)
            draw: Callable[[Canvas], None] = functools.partial(_draw_reason, area=area, why=why)
        else:
            stretch = stretch_of(timeline, self.zone(area).w, truth.gamma)
            every = 1 if session.paused else max(steps_between(session, PER_SECOND), stretch.stride)
            key = (truth, timeline.last // every, every, looked_at, session.finished, box.size)
            draw = functools.partial(self._draw, area=area, view=view, truth=truth, stretch=stretch)
        canvas.surface.blit(view.cached("truth", key, lambda: render(canvas, area, draw)), box)

    def why_not(self, view: View) -> str:
        """Return why nothing can be compared; empty if it can."""
        if view.session.q_values() is None:
            return "this player has no Q values: it expects nothing"
        return "the discount of this player is not known" if view.session.truth is None else ""

    def press(self, view: View, area: Area, x: float, y: float) -> Drag | None:
        """Pause and look at the moment below the mouse, and follow it; a click on the title says what is shown."""
        zone, truth = self.zone(area), view.session.truth
        if y < zone.y - 8:
            view.show_notice(explained(view), EXPLAINED_SECONDS)
            return None
        if truth is None or view.scored_play is not None or not contains(zone.inset(-6), x, y):
            return None
        stretch = stretch_of(view.session.timeline, zone.w, truth.gamma)

        def follow(x: float, y: float) -> None:
            view.look(stretch.number(zone, x))

        follow(x, y)
        return follow

    def _draw(self, canvas: Canvas, area: Area, view: View, truth: TruthMeter, stretch: Stretch) -> None:
        timeline, zone = view.session.timeline, self.zone(area)
        samples = samples_of(timeline, truth, stretch)
        canvas.card(area)
        _draw_head(canvas, area, truth.calibration())
        if timeline.live:
            _draw_legend(canvas, area, truth.calibration())
        else:
            room = area.w - 2 * MARGIN
            canvas.text(area.x + MARGIN, area.y + 43, canvas.choose(moment_text(timeline.current, truth), room, 12), 12)
        _draw_plot(canvas, zone, samples, stretch)
        x = stretch.x(zone, timeline.cursor)
        canvas.line((x, zone.y - 4), (x, zone.bottom + BAND), Theme.edge if timeline.live else Theme.text)


def _draw_reason(canvas: Canvas, area: Area, why: str) -> None:
    canvas.card(area)
    heading(canvas, area, "Truth meter")
    paragraph(canvas, area.x + MARGIN, area.y + 36, why, area.w - 2 * MARGIN)


def _draw_head(canvas: Canvas, area: Area, found: Calibration) -> None:
    wide = heading(canvas, area, "Truth meter")
    text, room = verdict(found), area.w - 2 * MARGIN - wide - 12
    color = Theme.text if found.pairs else Theme.soft
    variants = [text, text.replace("expects ", "").replace("nothing to compare yet", "not yet known")]
    text = canvas.choose(variants, room, bold=found.pairs > 0)
    canvas.text(area.right - MARGIN, area.y + TITLE_Y, text, 13, color, align=1, bold=found.pairs > 0)


def _draw_legend(canvas: Canvas, area: Area, found: Calibration) -> None:
    """Draw the legend of line and dots, and the calibration error, as far as there is room."""
    x, y, wide = area.x + MARGIN, area.y + 43, area.w >= WIDE
    canvas.line((x, y), (x + 14, y), Theme.agent, 2)
    x += 19 + canvas.text(x + 19, y, "expected return" if wide else "expected", 12, Theme.soft) + 12
    _draw_dots(canvas, x + np.array([0.0, 5.0, 10.0]), np.full(3, y), Theme.text)
    x += 17 + canvas.text(x + 17, y, "actual discounted return" if wide else "actual", 12, Theme.soft)
    if found.pairs and math.isfinite(found.error):
        variants = [
            f"calibration error {found.error:.2f} over {number_of(found.pairs, 'step')}",
            f"error {found.error:.2f}, {number_of(found.pairs, 'step')}",
            f"error {found.error:.2f}",
            "",
        ]
        text = canvas.choose(variants, area.right - MARGIN - x - 12, 12)
        canvas.text(area.right - MARGIN, y, text, 12, Theme.soft, align=1)


def _draw_dots(canvas: Canvas, xs: Array, ys: Array, color: Color) -> None:
    side = max(2, round(1.8 * canvas.scale))
    for x, y in (pixels_of(canvas, xs, ys) - side // 2).tolist():
        canvas.surface.fill(color, (x, y, side, side))


def _draw_plot(canvas: Canvas, zone: Area, samples: Samples, stretch: Stretch) -> None:
    scale = samples.scale
    draw_scale(canvas, zone, scale)
    if not samples.numbers:
        return
    numbers = np.asarray(samples.numbers)
    xs = zone.x + (numbers - stretch.first) / stretch.span * zone.w
    for here in np.flatnonzero(np.diff(samples.rounds)) + 1:
        canvas.line((xs[here], zone.y), (xs[here], zone.bottom), Theme.edge)
    step = zone.w / stretch.span * stretch.stride
    for start, end in runs(samples.human):
        canvas.rect(Area(xs[start], zone.bottom, min(xs[end - 1] + step, zone.right) - xs[start], BAND), Theme.human)
    ys = zone.bottom - (samples.expected - scale.low) / (scale.high - scale.low) * zone.h
    for round_ in np.unique(samples.rounds):
        for start, end in runs(~np.isnan(ys) & (samples.rounds == round_)):
            strong_curve(canvas, xs[start:end], ys[start:end], Theme.agent)
    # every second one, so that the dots stay apart
    for values, color in ((samples.so_far, Theme.edge), (samples.actual, Theme.text)):
        shown = ~np.isnan(values) & (numbers // stretch.stride % 2 == 0)
        ys = zone.bottom - (values[shown] - scale.low) / (scale.high - scale.low) * zone.h
        _draw_dots(canvas, xs[shown], ys, color)


def verdict(found: Calibration) -> str:
    """Return whether the network expects too much, in words."""
    if not found.pairs or not math.isfinite(found.bias):
        return "nothing to compare yet"
    if abs(found.bias) < NOTHING:
        return "well calibrated"
    return f"expects {abs(found.bias):.2f} too {'much' if found.bias > 0 else 'little'}"


def moment_text(moment: Moment, truth: TruthMeter) -> list[str]:
    """Return what is known of the moment looked at, in two lengths."""
    if moment.action is None:
        return ["here: no action"]
    expected = "no expectation" if moment.expectation is None else f"expected {signed(moment.expectation)}"
    pair = truth.pair(moment.number)
    if pair is not None:
        end = f"actual {signed(pair.realised)}"
    else:
        so_far = next((pair.observed for pair in truth.open() if pair.number == moment.number), None)
        not_measured = f"not measured: {'you acted' if moment.by_human else 'a random action'}"
        end = not_measured if so_far is None else f"so far {signed(so_far)}"
    return [f"here: {expected} · {end}", f"{expected} · {end}", end]


def explained(view: View) -> str:
    """Return in a sentence what the meter shows: for a click on its title."""
    found = view.session.truth.calibration() if view.session.truth is not None else None
    meaning = "Each dot is the discounted return that really followed a step; the line is what the network expected."
    if found is None or not found.pairs or not math.isfinite(found.bias):
        return f"{meaning} Dots appear when enough rewards have followed."
    if abs(found.bias) < NOTHING:
        return f"{meaning} On average they agree: you can believe this network's numbers."
    side = "above" if found.bias < 0 else "below"
    promise = "more comes than it promises" if found.bias < 0 else "it promises more than comes"
    return f"{meaning} On average the dots lie {abs(found.bias):.2f} {side} the line: {promise}."
