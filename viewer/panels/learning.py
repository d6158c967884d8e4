"""The learner's progress, and two sliders: the share of random actions and the learning rate."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

from common.text import significant
from viewer.drawing.canvas import Area, Canvas
from viewer.drawing.theme import Theme
from viewer.drawing.widgets import Slider, button, contains, grabs
from viewer.learning import controls
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import WIDTH, Drag, Panel
from viewer.panels.pieces import MARGIN, heading, paragraph, paragraph_height
from viewer.view import View

EPSILON = Slider(0.0, 1.0)
LEARNING_RATE = Slider(1e-6, 1e-2, logarithmic=True)
TOP, FACT, SLIDER, FOOT = 44.0, 20.0, 26.0, 10.0  # heights: of the title, a row of facts, a slider, below all
LABEL, NUMBER = 92.0, 58.0  # widths beside a slider
LEARNS, STOPPED = "It learns from every step, also yours.", "It has stopped learning. S saves it."
TWO_COLUMNS = 300.0  # from this width on facts stand in two columns


class Place(NamedTuple):
    """Where a slider is, and what it moves."""

    name: str
    slider: Slider
    track: Area


class LearningPanel(Panel):
    """Steps, replay and errors of the agent that learns, in this window or in the attached run."""

    name: ClassVar[str] = "learning"
    title: ClassVar[str] = PANEL_TITLES["learning"]

    def height(self, view: View, width: float = WIDTH) -> float:
        """Return its height: less where no agent can learn, 0 in scored episodes."""
        if view.scored_play is not None or view.session.policy is None:
            return 0.0
        line = max(paragraph_height(text, width - 2 * MARGIN) for text in self._status_lines(view))
        return TOP + self._facts_height(view, width) + line + 8 + SLIDER * len(self._names(view)) + FOOT

    def _facts_height(self, view: View, width: float) -> float:
        return FACT * math.ceil(len(self._facts(view)) / (2 if width >= TWO_COLUMNS else 1))

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw the facts about the learner, then the sliders and the button."""
        canvas.card(area)
        heading(canvas, area, "Learning")
        if self.has_button(view):
            active = controls.learning(view)
            button(canvas, self.button(area), "L", "stop" if active else "start", pressed=active)
        y, columns = area.y + TOP + FACT / 2 - 2, 2 if area.w >= TWO_COLUMNS else 1
        half = (area.w - 2 * MARGIN) / columns
        for number, (name, text) in enumerate(self._facts(view)):
            x = area.x + MARGIN + (number % columns) * half
            canvas.text(x, y, name, 12, Theme.soft)
            canvas.text(x + half - (16 if number % columns < columns - 1 else 0), y, text, 12, align=1)
            y += FACT if number % columns == columns - 1 else 0
        top = area.y + TOP + self._facts_height(view, area.w)
        paragraph(canvas, area.x + MARGIN, top, self.status_line(view), area.w - 2 * MARGIN)
        for place in self.sliders(area, view):
            self._draw_slider(canvas, area, view, place)

    def has_button(self, view: View) -> bool:
        """Return whether learning can be started and stopped here."""
        return controls.can_learn(view)

    def button(self, area: Area) -> Area:
        """Return where the button is."""
        return Area(area.right - MARGIN - 84, area.y + 9, 84, 26)

    def _names(self, view: View) -> list[tuple[str, Slider]]:
        names = [(controls.EPSILON, EPSILON)]
        if controls.learning_rate(view) is not None:
            names.append((controls.LEARNING_RATE, LEARNING_RATE))
        return names

    def sliders(self, area: Area, view: View) -> list[Place]:
        """Return the sliders and their places."""
        names = self._names(view)
        first, left = area.bottom - FOOT - SLIDER * len(names), area.x + MARGIN + LABEL
        return [
            Place(name, slider, Area(left, first + SLIDER * row + 10, area.right - MARGIN - NUMBER - left, 5))
            for row, (name, slider) in enumerate(names)
        ]

    def _draw_slider(self, canvas: Canvas, area: Area, view: View, place: Place) -> None:
        value, y = _value(view, place.name), place.track.y + 2.5
        canvas.text(area.x + MARGIN, y, place.name.replace("_", " "), 12)
        place.slider.draw(canvas, place.track, value)
        text = f"{value:.0%}" if place.name == controls.EPSILON and value >= 0.01 else f"{value:.2g}"
        canvas.text(area.right - MARGIN, y, text, 12, align=1)

    def status_line(self, view: View) -> str:
        """Return one line on who learns from what."""
        if view.live is not None:
            status = view.live.status()
            if not status.is_training and status.agent_steps is not None:
                return f"{status.text}: {controls.NOTHING_TRAINS}; {controls.LEARN_ON}."
            return status.rejected or status.text
        learner = controls.online_learner(view)
        if learner is None:
            if not self.has_button(view):
                return "It only plays."
            if view.session.q_values() is None:
                return "It expects nothing and learns nothing. L starts a new agent that learns here."
            return "It only plays. L lets it learn from here on."
        if learner.stop_reason:
            return learner.stop_reason
        return LEARNS if learner.learning else STOPPED

    def _status_lines(self, view: View) -> list[str]:
        """Return the lines that this player may have next: room is kept for them, so that no panel moves."""
        lines = [self.status_line(view)]
        if controls.is_trained(view):
            assert view.live is not None
            return [*lines, f"saved at step {view.live.total_steps:,}, waiting for live weights"]
        return lines if controls.online_learner(view) is None else [*lines, LEARNS, STOPPED]

    def _facts(self, view: View) -> list[tuple[str, str]]:
        if view.live is not None:
            return _facts_of_run(view)
        learner = controls.online_learner(view)
        if learner is None:
            return []
        replay_size = "none" if learner.replay_size is None else f"{learner.replay_size:,}"
        return [
            ("steps learnt", f"{learner.steps_learnt:,}"),
            ("replay", replay_size),
            ("updates", f"{learner.updates:,}"),
            ("TD error", _number(learner.td_error)),
            ("loss", _number(learner.loss)),
            ("agent", learner.name.replace("_", " ")),
        ]

    def press(self, view: View, area: Area, x: float, y: float) -> Drag | None:
        """Start or stop learning with the button; move a slider."""
        if self.has_button(view) and contains(self.button(area), x, y):
            controls.toggle_learning(view)
            return None
        for place in self.sliders(area, view):
            if grabs(place.track, x, y):

                def follow(x: float, y: float, place: Place = place) -> None:
                    _set(view, place.name, place.slider.value_at(place.track, x))

                follow(x, y)
                return follow
        return None


def _facts_of_run(view: View) -> list[tuple[str, str]]:
    assert view.live is not None
    status = view.live.status()
    metrics = status.metrics

    def whole(name: str) -> str:
        return f"{metrics[name]:,.0f}" if name in metrics else "none yet"

    return [
        ("steps", whole("agent_steps")),
        ("steps/s", whole("sps")),
        ("updates", whole("updates")),
        ("TD loss", _number(metrics.get("td_loss"))),
        ("return", _number(metrics.get("episodic_return"))),
        ("evaluated", _number(metrics.get("eval_return"))),
    ]


def _number(value: float | None) -> str:
    return "none yet" if value is None else significant(value)


def _value(view: View, name: str) -> float:
    return controls.epsilon(view) if name == controls.EPSILON else controls.learning_rate(view) or 0.0


def _set(view: View, name: str, value: float) -> None:
    (controls.set_epsilon if name == controls.EPSILON else controls.set_learning_rate)(view, value)
