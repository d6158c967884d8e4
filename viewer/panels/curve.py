"""The learning curve of the run that the window is attached to, and how far an evaluation in progress is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from common.text import number_of
from viewer.drawing.canvas import Area, Canvas, text_width
from viewer.drawing.theme import Theme
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import WIDTH, Panel
from viewer.panels.pieces import MARGIN, SMALL, TITLE_Y, heading
from viewer.panels.plots import Scale, draw_scale, gutter, render, strong_curve
from viewer.panels.score import draw_marks, number_text, widest_tag
from viewer.playing.learning_curve import Point
from viewer.playing.marks import Mark, marks_of
from viewer.view import View

if TYPE_CHECKING:  # a human plays without torch
    from viewer.playing.attach import Status

HEAD, FOOT = 61.0, 28.0  # above the plot, below it
PLOT, TALLEST = 92.0, 280.0  # least and largest height of the plot
DOT = 3.0


class CurvePanel(Panel):
    """Returns of training as a line, evaluations as dots, over the marks of random actions and people."""

    name: ClassVar[str] = "curve"
    title: ClassVar[str] = PANEL_TITLES["curve"]

    def height(self, view: View, width: float = WIDTH) -> float:
        """Return its least height; 0 without a run."""
        return 0.0 if view.live is None else HEAD + PLOT + FOOT

    def most(self, view: View, width: float = WIDTH) -> float:
        """Return the largest height that the plot has use for."""
        return HEAD + TALLEST + FOOT

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw it again when the run has logged something."""
        if view.live is None:
            return
        curve, status, box = view.live.curve, view.live.status(), canvas.pixels(area)
        key = (curve.version, status.evaluation, status.is_training, tuple(box))
        picture = view.cached("curve", key, lambda: render(canvas, area, lambda on: self._draw(on, area, view, status)))
        canvas.surface.blit(picture, box)

    def _draw(self, canvas: Canvas, area: Area, view: View, status: Status) -> None:
        assert view.live is not None
        training, evaluations = tuple(view.live.curve.training), tuple(view.live.curve.evaluations)
        canvas.card(area)
        used = heading(canvas, area, "Learning curve")
        newest = evaluations[-1:] or training[-1:]
        if newest:
            word = "evaluated" if evaluations else "in training"
            number = number_text(newest[0].value)
            text = canvas.choose([f"{word} {number}", number], area.w - 2 * MARGIN - used - 12, bold=True)
            canvas.text(area.right - MARGIN, area.y + TITLE_Y, text, 13, bold=True, align=1)
        if status.evaluation is not None:
            self._draw_evaluation(canvas, area, *status.evaluation)
        else:
            _draw_legend(canvas, area)
        zone = Area(area.x + MARGIN, area.y + HEAD, area.w - 2 * MARGIN, area.h - HEAD - FOOT)
        marks = view.cached(
            "marks", (view.env_id, view.protocol), lambda: marks_of(view.env_id, view.protocol, view.runs_dir)
        )
        _draw_plot(canvas, zone, training, evaluations, marks, view.live.total_steps)

    def _draw_evaluation(self, canvas: Canvas, area: Area, finished: int, episodes: int) -> None:
        """Write how far the evaluation is, with a bar."""
        text = f"evaluating: episode {min(finished + 1, episodes):,} of {episodes:,}"
        used = canvas.text(area.x + MARGIN, area.y + 43, text, SMALL, Theme.agent, bold=True)
        track = Area(area.x + MARGIN + used + 12, area.y + 40, area.w - 2 * MARGIN - used - 12, 5)
        if track.w > 20:
            canvas.rounded(track, Theme.track, 2)
            canvas.rounded(track._replace(w=track.w * finished / max(episodes, 1)), Theme.agent, 2)


def _draw_legend(canvas: Canvas, area: Area) -> None:
    x, y = area.x + MARGIN, area.y + 43
    canvas.line((x, y), (x + 14, y), Theme.agent_pale, 2)
    x += 20 + canvas.text(x + 20, y, "training", SMALL, Theme.soft) + 14
    canvas.rounded(Area(x, y - DOT, 2 * DOT, 2 * DOT), Theme.agent, DOT)
    canvas.text(x + 12, y, "evaluations", SMALL, Theme.soft)


def _draw_plot(
    canvas: Canvas,
    room: Area,
    training: Sequence[Point],
    evaluations: Sequence[Point],
    marks: Sequence[Mark],
    total: float,
) -> None:
    points = [*training, *evaluations]
    values = [point.value for point in points] + [mark.value for mark in marks]
    scale = Scale.around(min(values, default=0.0), max(values, default=1.0), 3)
    left, tags = gutter(scale), widest_tag(marks)
    zone = Area(room.x + left, room.y, room.w - left - tags, room.h)
    draw_scale(canvas, zone, scale)
    draw_marks(canvas, zone, scale, marks)
    end = max([total, *(point.agent_steps for point in points)])

    def places(shown: Sequence[Point]) -> tuple[np.ndarray, np.ndarray]:
        steps, returns = np.array([point.agent_steps for point in shown]), np.array([point.value for point in shown])
        return zone.x + steps / end * zone.w, zone.bottom - (returns - scale.low) / (scale.high - scale.low) * zone.h

    if training:
        strong_curve(canvas, *places(training), Theme.agent_pale)
    if evaluations:
        xs, ys = places(evaluations)
        strong_curve(canvas, xs, ys, Theme.agent)
        for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
            canvas.rounded(Area(x - DOT, y - DOT, 2 * DOT, 2 * DOT), Theme.agent, DOT)
    if not points:
        canvas.text(zone.x + zone.w / 2, zone.y + zone.h / 2, "no episode has ended yet", SMALL, Theme.soft, align=0.5)
    low, text = zone.bottom + 14, number_of(round(end), "step")
    canvas.text(room.right, low, text, SMALL, Theme.soft, align=1)
    if zone.w + tags > text_width(text, SMALL) + 40:
        canvas.text(zone.x, low, "0", SMALL, Theme.soft, align=0.5)
