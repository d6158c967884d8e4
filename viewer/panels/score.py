"""The score of this episode so far, and of the ones before."""

from __future__ import annotations

import itertools
from typing import ClassVar

import numpy as np
import pygame

from viewer.drawing.canvas import MINUS, Area, Canvas, Theme
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import Panel
from viewer.playing.session import Session
from viewer.view import View

MARGIN = 18.0


class ScorePanel(Panel):
    """The return, what was eaten, the episode's progress, the share of human steps, and the curve of the return."""

    name: ClassVar[str] = "score"
    title: ClassVar[str] = PANEL_TITLES["score"]
    stretches: ClassVar[bool] = True

    def height(self, view: View) -> float:
        """Return its least height."""
        return 150.0 if view.session.horizon else 134.0  # without the bar of the episode's progress

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw the numbers from the top, and the curve into the rest."""
        canvas.card(area)
        session = view.session
        score = session.score
        left = area.x + MARGIN
        canvas.text(left, area.y + 24, "Score", 16, bold=True)
        number = number_text(score.episode_return)
        canvas.text(area.right - MARGIN, area.y + 27, number, 24, bold=True, align=1)
        y = area.y + 56
        for text, color in self._facts(session):
            left += canvas.text(left, y, text, 12.5, color) + 16
        if session.horizon:
            self._draw_progress(canvas, Area(area.x + MARGIN, area.y + 74, area.w - 2 * MARGIN, 5), session)
        y = area.y + (96 if session.horizon else 80)
        canvas.text(area.x + MARGIN, y, steps_text(session), 11.5, Theme.soft)
        past = self._past(session)
        if past:
            canvas.text(area.right - MARGIN, y, past, 11.5, Theme.soft, align=1)
        room = Area(area.x + MARGIN, y + 16, area.w - 2 * MARGIN, area.bottom - y - 28)
        if room.h >= 24:
            self._draw_curve(canvas, room, view)

    def _facts(self, session: Session) -> list[tuple[str, tuple[int, int, int]]]:
        score = session.score
        facts = []
        if score.apples is not None and score.poison is not None:
            facts = [(f"apples {score.apples}", Theme.text), (f"poison {score.poison}", Theme.text)]
        if score.lives is not None:
            facts.append((f"{score.lives} {'life' if score.lives == 1 else 'lives'}", Theme.text))
        second_player = getattr(session.env.unwrapped, "second_player", None)
        if second_player is not None:
            facts.append((f"you: {second_player.apples} apples, {second_player.poison} poison", Theme.human))
        elif score.human_steps:
            facts.append((f"by you {score.human_share:.0%}", Theme.human))
        elif session.policy is not None:
            facts.append(("all by the agent", Theme.agent))
        return facts

    def _past(self, session: Session) -> str:
        """Return the mean of the episodes before this one."""
        past = [result for result in session.results if result is not session.score]
        if not past:
            return ""
        mean = sum(result.episode_return for result in past) / len(past)
        return f"before: {number_text(mean)}" if len(past) == 1 else f"mean of {len(past)} before: {mean:.1f}"

    def _draw_progress(self, canvas: Canvas, area: Area, session: Session) -> None:
        canvas.rounded(area, Theme.track, 2)
        done = min(session.score.steps / (session.horizon or 1), 1.0)
        canvas.rounded(Area(area.x, area.y, area.w * done, area.h), Theme.soft, 2)

    def _draw_curve(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw the return over the episode's steps, again after every pixel's worth of steps."""
        session, box = view.session, canvas.pixels(area)
        width = max(session.horizon or 0, len(session.history), 50)
        stride = max(1, width // max(box.w, 1))
        key = (session.score.episode, session.score.steps // stride, session.score.finished, box.size, canvas.scale)
        canvas.surface.blit(view.cached("score", key, lambda: _curve(canvas, area, session, width)), box)


def _curve(canvas: Canvas, area: Area, session: Session, width: int) -> pygame.Surface:
    """Return the curve on a card's colour, blue where the agent acted, orange where the human did.

    Args:
        canvas: for its scale.
        area: the curve's place.
        session: the session whose return is drawn.
        width: steps along the whole axis.
    """
    surface = pygame.Surface(canvas.pixels(area).size, depth=24)
    surface.fill(Theme.card)
    wide, high = surface.get_width() - 1, surface.get_height() - 1
    rewards = np.array([step.reward for step in session.history])
    by_human = np.array([step.by_human for step in session.history], bool)
    # of a very long episode only the last steps are stored: the curve starts with the return before them
    start = session.score.episode_return - rewards.sum()
    totals = np.concatenate([[start], start + np.cumsum(rewards)])  # (T + 1,)
    low, high_value = min(0.0, totals.min()), max(0.0, totals.max())
    x = np.arange(len(totals)) / width * wide
    y = high - (totals - low) / max(high_value - low, 1.0) * high
    zero = round(high + low / max(high_value - low, 1.0) * high)
    pygame.draw.line(surface, Theme.border, (0, zero), (wide, zero))
    turns = [0, *(np.flatnonzero(np.diff(by_human)) + 1).tolist(), len(by_human)]
    stride = max(1, len(totals) // 400)
    for first, last in itertools.pairwise(turns):
        shown = [*range(first, last, stride), last]
        color = Theme.human if len(by_human) and by_human[first] else Theme.agent
        if len(shown) > 1:
            pygame.draw.aalines(surface, color, False, list(zip(x[shown].tolist(), y[shown].tolist(), strict=True)))
    return surface


def number_text(value: float) -> str:
    """Return a score as text: without decimals if it is whole, with a typographic minus."""
    text = f"{value:.0f}" if abs(value - round(value)) < 1e-6 else f"{value:.1f}"
    return text.replace("-", MINUS)


def steps_text(session: Session) -> str:
    """Return the episode's progress: agent steps, and emulator frames where they differ."""
    steps = f"step {session.score.steps:,}" + (f" of {session.horizon:,}" if session.horizon else "")
    return steps if session.score.frames is None else f"{steps} · frame {session.score.frames:,}"
