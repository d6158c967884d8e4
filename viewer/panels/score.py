"""The score of this episode so far, beside those of random actions, of people, and of the episodes before."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pygame

from common.text import number_of
from viewer.drawing.canvas import MINUS, Area, Canvas, text_width
from viewer.drawing.theme import Color, Theme
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import WIDTH, Panel
from viewer.panels.pieces import MARGIN, SMALL, TITLE_Y, heading
from viewer.panels.plots import Scale, draw_scale, gutter, render
from viewer.playing.marks import Mark, marks_of
from viewer.playing.session import Session
from viewer.view import View

TOP, LINE, PROGRESS = 38.0, 18.0, 12.0  # heights: of the title, a line of text, the episode's progress
PLOT, TALLEST = 58.0, 330.0  # least and largest height of the curve
APART = 10.0  # width between two facts
FOOT, BOTTOM = 30.0, 8.0  # below the curve: the axis of steps; below the numbers without one


class ScorePanel(Panel):
    """The return, what was eaten, the episode's progress, the share of human steps, and the curve of the return."""

    name: ClassVar[str] = "score"
    title: ClassVar[str] = PANEL_TITLES["score"]

    def height(self, view: View, width: float = WIDTH) -> float:
        """Return its least height: the numbers, without a curve."""
        return self._numbers_height(view, width) + BOTTOM

    def whole(self, view: View, width: float = WIDTH) -> float:
        """Return the least height with a curve."""
        return self._numbers_height(view, width) + PLOT + FOOT

    def most(self, view: View, width: float = WIDTH) -> float:
        """Return the height with the highest curve."""
        return self._numbers_height(view, width) + TALLEST + FOOT

    def useful(self, view: View, width: float, height: float) -> float:
        """Return the height, or that without a curve if it is too little for one."""
        return height if height >= self.whole(view, width) - 0.5 else self.height(view, width)

    def _numbers_height(self, view: View, width: float) -> float:
        lines = len(self._lines(view, width))
        return TOP + LINE * lines + (PROGRESS if view.session.horizon else 0.0)

    def _lines(self, view: View, width: float) -> list[list[tuple[str, Color]]]:
        """Return the facts in as many lines as the width needs: as many at all times, so that no panel moves."""
        lines: list[list[tuple[str, Color]]] = []
        used = 0.0
        for text, longest, color in self._facts(view.session):
            wide = max(text_width(longest, 13), text_width(text, 13)) * 1.05
            if not lines or used + wide > width - 2 * MARGIN:
                lines.append([])
                used = 0.0
            lines[-1].append((text, color))
            used += wide + APART
        return lines

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw the numbers from the top, and the curve into the rest."""
        canvas.card(area)
        session = view.session
        used = heading(canvas, area, "Score")
        number = number_text(session.score.episode_return)
        right = area.right - MARGIN - canvas.text(area.right - MARGIN, area.y + 23, number, 18, bold=True, align=1)
        self._draw_asides(canvas, area.x + MARGIN + used + 14, right - 14, area.y + TITLE_Y, session)
        y = area.y + TOP + LINE / 2
        for line in self._lines(view, area.w):
            left = area.x + MARGIN
            for text, color in line:
                left += canvas.text(left, y, text, 13, color) + APART
            y += LINE
        y -= LINE / 2
        if session.horizon:
            self._draw_progress(canvas, Area(area.x + MARGIN, y + 3, area.w - 2 * MARGIN, 5), session)
            y += PROGRESS
        room = Area(area.x + MARGIN, y + 14, area.w - 2 * MARGIN, area.bottom - FOOT - y - 14)
        if room.h >= 40:
            self._draw_curve(canvas, room, area, view)

    def _facts(self, session: Session) -> list[tuple[str, str, Color]]:
        """Return each fact, the longest text that it may become in this episode, and its colour."""
        score = session.score
        facts: list[tuple[str, str, Color]] = []
        if score.apples is not None and score.poison is not None:
            facts = [
                (number_of(score.apples, "apple"), "88 apples", Theme.text),
                (f"{score.poison} poison", "88 poison", Theme.text),
            ]
        if score.lives is not None:
            facts.append((f"{score.lives} {'life' if score.lives == 1 else 'lives'}", "8 lives", Theme.text))
        second_player = _second_player(session)
        if second_player is not None:
            eaten = f"you: {number_of(second_player.apples, 'apple')}, {second_player.poison} poison"
            facts.append((eaten, "you: 88 apples, 88 poison", Theme.human))
        return [*facts, (steps_text(session), longest_steps_text(session), Theme.soft)]

    def _draw_asides(self, canvas: Canvas, x: float, right: float, y: float, session: Session) -> None:
        """Write what comes and goes beside the title, as far as there is room: a line of its own would move panels."""
        score = session.score
        if score.human_steps and _second_player(session) is None:
            share = canvas.choose([f"{score.human_share:.0%} by you", ""], right - x)
            x += canvas.text(x, y, share, 13, Theme.human) + 14
        canvas.text(x, y, canvas.choose(_past(session), right - x), 13, Theme.soft)

    def _draw_progress(self, canvas: Canvas, area: Area, session: Session) -> None:
        canvas.rounded(area, Theme.track, 2)
        done = min(session.score.steps / (session.horizon or 1), 1.0)
        canvas.rounded(Area(area.x, area.y, area.w * done, area.h), Theme.soft, 2)

    def _draw_curve(self, canvas: Canvas, room: Area, card: Area, view: View) -> None:
        """Draw the return over the episode's steps, again after every pixel's worth of steps."""
        session = view.session
        box = Area(card.x + 4, room.y - 8, card.w - 8, card.bottom - 4 - room.y + 8)
        width = max(session.horizon or 0, len(session.history), 50)
        stride = max(1, width // max(round(room.w * canvas.scale), 1))
        marks = self.marks(view)
        pixels = canvas.pixels(box)
        key = (session.score.episode, session.score.steps // stride, session.score.finished, marks, tuple(pixels))

        def draw(on: Canvas) -> None:
            on.rect(box, Theme.card)
            _curve(on, room, session, width, marks)

        canvas.surface.blit(view.cached("score", key, lambda: render(canvas, box, draw)), pixels)

    def marks(self, view: View) -> tuple[Mark, ...]:
        """Return the references, and the best episode of this window."""
        known = view.cached(
            "marks", (view.env_id, view.protocol), lambda: marks_of(view.env_id, view.protocol, view.runs_dir)
        )
        past = [result.episode_return for result in view.session.results if result is not view.session.score]
        return (*known, Mark("best here", max(past))) if past else known


def _second_player(session: Session) -> Any:
    """Return the second player of a world; None where there is none."""
    return getattr(session.env.unwrapped, "second_player", None)


def _past(session: Session) -> list[str]:
    """Return the mean of the episodes before this one, in several lengths."""
    past = [result for result in session.results if result is not session.score]
    if not past:
        return [""]
    mean = number_text(sum(result.episode_return for result in past) / len(past))
    return [f"before: {mean}", ""] if len(past) == 1 else [f"mean of {len(past)} before: {mean}", f"mean {mean}", ""]


def _curve(canvas: Canvas, room: Area, session: Session, width: int, marks: Sequence[Mark]) -> None:
    """Draw the curve, blue where the agent acted, orange where the human did, over a line for each mark.

    ``width``: steps along the whole axis.
    """
    rewards = np.array([step.reward for step in session.history])
    by_human = np.array([step.by_human for step in session.history], bool)
    # of a very long episode only the last steps are stored: the curve starts with the return before them
    start = session.score.episode_return - rewards.sum()
    totals = np.concatenate([[start], start + np.cumsum(rewards)])  # (T + 1,)
    values = [0.0, float(totals.min()), float(totals.max()), *(mark.value for mark in marks)]
    scale = Scale.around(min(values), max(values), 3)
    left = gutter(scale)
    tags = widest_tag(marks)
    zone = Area(room.x + left, room.y, room.w - left - tags, room.h)
    draw_scale(canvas, zone, scale)
    draw_marks(canvas, zone, scale, marks)
    x = zone.x + np.arange(len(totals)) / width * zone.w
    y = zone.bottom - (totals - scale.low) / (scale.high - scale.low) * zone.h
    turns = [0, *(np.flatnonzero(np.diff(by_human)) + 1).tolist(), len(by_human)]
    stride = max(1, len(totals) // 400)
    for first, last in itertools.pairwise(turns):
        shown = [*range(first, last, stride), last]
        color = Theme.human if len(by_human) and by_human[first] else Theme.agent
        if len(shown) > 1:
            points = [canvas.point(*point) for point in zip(x[shown].tolist(), y[shown].tolist(), strict=True)]
            pygame.draw.aalines(canvas.surface, color, False, points)
            pygame.draw.aalines(canvas.surface, color, False, [(px, py + 1) for px, py in points])
    low = zone.bottom + 13
    canvas.text(zone.x, low, "0", SMALL, Theme.soft, align=0.5)
    end = f"{width:,} steps"
    canvas.text(zone.right + tags, low, end, SMALL, Theme.soft, align=1)


def widest_tag(marks: Sequence[Mark]) -> float:
    """Return the width of the names on the right of a plot."""
    return max((text_width(mark.name, SMALL) * 1.05 + 8 for mark in marks), default=0.0)


def draw_marks(canvas: Canvas, zone: Area, scale: Scale, marks: Sequence[Mark]) -> None:
    """Draw a dashed line for each mark, and its name on the right; names keep a line's distance from each other."""
    pitch, lowest = SMALL + 3.0, zone.bottom - 2
    ordered = sorted(marks, key=lambda mark: mark.value)
    ys = [zone.bottom - scale.place(mark.value) * zone.h for mark in ordered]
    places: list[float] = []
    for y in ys:  # from the lowest up
        places.append(min(y, lowest if not places else places[-1] - pitch))
    if places and places[-1] < zone.y + 2:
        places = [place + zone.y + 2 - places[-1] for place in places]
    for mark, y, place in zip(ordered, ys, places, strict=True):
        for x in np.arange(zone.x, zone.right - 3, 7.0).tolist():
            canvas.line((x, y), (x + 3, y), Theme.soft)
        canvas.text(zone.right + 6, place, mark.name, SMALL, Theme.soft)


def number_text(value: float) -> str:
    """Return a score as text: without decimals if it is whole, with a typographic minus."""
    text = f"{value:,.0f}" if abs(value - round(value)) < 1e-6 or abs(value) >= 1000 else f"{value:.1f}"
    return text.replace("-", MINUS)


def steps_text(session: Session) -> str:
    """Return the episode's progress: agent steps, and emulator frames where they differ."""
    steps = f"step {session.score.steps:,}" + (f" of {session.horizon:,}" if session.horizon else "")
    return steps if session.score.frames is None else f"{steps} · frame {session.score.frames:,}"


def longest_steps_text(session: Session) -> str:
    """Return the longest text that `steps_text` becomes; without a horizon, in a very long episode."""
    steps = f"step {session.horizon:,} of {session.horizon:,}" if session.horizon else f"step {88_888:,}"
    return steps if session.score.frames is None else f"{steps} · frame {888_888:,}"
