"""The smoothed reward, as on Karpathy's pages, and the returns of the episodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from viewer.drawing.canvas import MINUS, Area, Canvas
from viewer.drawing.theme import Theme
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import WIDTH, Panel
from viewer.panels.pieces import MARGIN, TITLE_Y, heading
from viewer.panels.plots import BAND, Array, Scale, draw_scale, render, runs, steps_between, strong_curve
from viewer.panels.score import number_text
from viewer.playing.session import Session
from viewer.playing.timeline import Score, Timeline
from viewer.view import View

HEIGHT, TALLEST = 158.0, 260.0
HEAD, FOOT, GUTTER = 61.0, 14.0, 40.0
STRIP, GAP = 30.0, 22.0  # height of the bars of episodes, and of the gap above them
SMOOTH = 500  # steps of the running mean
EARLY = 100  # steps before the first mean
BAR, LEAST_BAR = 9.0, 3.0  # largest and least width of an episode's bar with its gap, logical pixels
PER_SECOND = 4.0  # drawings per second while time runs
DRAWINGS = 400  # at most, while the whole timeline passes


class Curve(NamedTuple):
    """The running mean of the reward at each step of the timeline, and whether a human acted; both (M,)."""

    mean: Array
    human: NDArray[np.bool_]


def curve_of(timeline: Timeline, smooth: int = SMOOTH) -> Curve:
    """Return the mean reward over the last ``smooth`` steps up to each one; at the start over fewer, `EARLY` at least.

    Once the oldest steps have been dropped from the timeline, it starts with the first full mean.
    """
    done = [moment for moment in timeline if moment.action is not None]
    rewards = np.fromiter((moment.reward for moment in done), float, len(done))
    rewards[~np.isfinite(rewards)] = 0.0
    human = np.fromiter((moment.by_human for moment in done), bool, len(done))
    totals = np.concatenate([[0.0], np.cumsum(rewards)])
    ends = np.arange(1, len(done) + 1)
    starts = np.maximum(ends - smooth, 0)
    mean = (totals[ends] - totals[starts]) / (ends - starts)
    begin = min(smooth, EARLY if timeline.first == 0 else smooth) - 1
    return Curve(mean[begin:], human[begin:])


class RewardsPanel(Panel):
    """The running mean of the reward, orange where a human acted, and a bar for each episode."""

    name: ClassVar[str] = "rewards"
    title: ClassVar[str] = PANEL_TITLES["rewards"]
    place = "below"

    def height(self, view: View, width: float = WIDTH) -> float:
        """Return its least height."""
        return HEIGHT

    def most(self, view: View, width: float = WIDTH) -> float:
        """Return the largest height that the plot has use for."""
        return TALLEST

    def zone(self, area: Area, session: Session) -> Area:
        """Return where the curve is, which leaves room for the episodes once there are any."""
        below = FOOT + (STRIP + GAP if session.results else 0.0)
        return Area(area.x + MARGIN + GUTTER, area.y + HEAD, area.w - 2 * MARGIN - GUTTER, area.h - HEAD - below)

    def strip(self, area: Area) -> Area:
        """Return where the episodes' bars are."""
        return Area(area.x + MARGIN + GUTTER, area.bottom - FOOT - STRIP, area.w - 2 * MARGIN - GUTTER, STRIP)

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw the newest mean, the curve and the episodes, a few times a second."""
        session, box = view.session, canvas.pixels(area)
        step = 1 if session.paused else max(steps_between(session, PER_SECOND), len(session.timeline) // DRAWINGS)
        key = (session.total_steps // step, step, session.score.episode, session.finished, box.size)
        picture = view.cached("rewards", key, lambda: render(canvas, area, lambda on: self._draw(on, area, session)))
        canvas.surface.blit(picture, box)

    def _draw(self, canvas: Canvas, area: Area, session: Session) -> None:
        curve = curve_of(session.timeline)
        canvas.card(area)
        wide = heading(canvas, area, "Reward per step")
        if len(curve.mean) and area.w - 2 * MARGIN - wide > 60:
            canvas.text(area.right - MARGIN, area.y + TITLE_Y, per_step(curve.mean[-1]), 13, align=1, bold=True)
        about = f"running mean of {SMOOTH} steps"
        if session.timeline.first > 0:
            about = canvas.choose([f"{about} · the last {len(curve.mean):,}", about], area.w - 2 * MARGIN, 12)
        canvas.text(area.x + MARGIN, area.y + 43, about, 12, Theme.soft)
        _draw_curve(canvas, self.zone(area, session), curve)
        if session.results:
            _draw_episodes(canvas, self.strip(area), list(session.results))


def per_step(value: float) -> str:
    """Return a reward per step as text, with two significant digits."""
    return f"{value:+.2g}".replace("-", MINUS) if abs(value) >= 5e-5 else "0"


def _draw_curve(canvas: Canvas, zone: Area, curve: Curve) -> None:
    """Draw the mean, orange where a human acted."""
    mean, human = curve
    low, high = float(mean.min(initial=0.0)), float(mean.max(initial=0.0))
    scale = Scale.around(low, high, 2)
    draw_scale(canvas, zone, scale)
    if len(mean) < 2:
        canvas.text(zone.x + zone.w / 2, zone.y + zone.h / 2, f"after {EARLY} steps", 12, Theme.soft, align=0.5)
        return
    every = max(1, int(len(mean) / zone.w))
    xs = zone.x + np.arange(len(mean)) / (len(mean) - 1) * zone.w
    ys = zone.bottom - (mean - scale.low) / (scale.high - scale.low) * zone.h
    for marked, color in ((~human, Theme.agent), (human, Theme.human)):
        for start, end in runs(marked):
            start = max(start - 1, 0)  # joins the run before
            places = np.array([*range(start, end - 1, every), end - 1])
            strong_curve(canvas, xs[places], ys[places], color)
    for start, end in runs(human):
        canvas.rect(Area(xs[start], zone.bottom, max(xs[end - 1] - xs[start], 1.0), BAND), Theme.human)


def _draw_episodes(canvas: Canvas, strip: Area, results: Sequence[Score]) -> None:
    """Draw a bar for each episode, the newest on the right, orange by the share of human steps; and their mean."""
    shown = results[-int(strip.w / LEAST_BAR) :]
    returns = [score.episode_return for score in shown]
    mean = sum(returns) / len(returns)
    low, high = min(0.0, *returns), max(0.0, *returns)
    unit = strip.h / (high - low or 1.0)
    wide = min(BAR, strip.w / len(shown))
    zero = strip.bottom + low * unit
    for place, score in enumerate(shown):
        x, tall = strip.x + place * wide, score.episode_return * unit
        bar = Area(x, zero - max(tall, 0.0), max(wide - 1.0, wide * 0.7), max(abs(tall), 1.0))
        canvas.rect(bar, Theme.agent)
        canvas.rect(Area(bar.x, bar.bottom - bar.h * score.human_share, bar.w, bar.h * score.human_share), Theme.human)
    canvas.line((strip.x, zero), (strip.right, zero), Theme.edge)
    for value, y in ((high, strip.y), (low, strip.bottom)):
        if value != 0.0:
            canvas.text(strip.x - 6, y, number_text(value), 12, Theme.soft, align=1)
    about = episodes_text(len(shown), mean)
    text = canvas.choose([about, about.replace("return of ", ""), f"mean {number_text(mean)}"], strip.w, 12)
    canvas.text(strip.x, strip.y - 9, text, 12, Theme.soft)


def episodes_text(count: int, mean: float) -> str:
    """Return the number of episodes shown, and their mean return."""
    if count == 1:
        return f"return of one episode: {number_text(mean)}"
    return f"return of {count:,} episodes, mean {mean:.1f}".replace("-", MINUS)
