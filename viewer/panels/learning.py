"""The learner's progress, and two sliders: the share of random actions and the learning rate."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from viewer.drawing.canvas import Area, Canvas, Theme
from viewer.drawing.widgets import Slider, button, contains, grabs
from viewer.learning import controls
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import Drag, Panel
from viewer.view import View

MARGIN = 18.0
EPSILON = Slider(0.0, 1.0)
LEARNING_RATE = Slider(1e-6, 1e-2, logarithmic=True)
HEIGHT, HEIGHT_OF_PLAYERS = 196.0, 112.0


class Place(NamedTuple):
    """Where a slider is, and what it moves."""

    name: str
    slider: Slider
    track: Area


class LearningPanel(Panel):
    """Steps, replay and errors of the agent that learns, in this window or in the attached run."""

    name: ClassVar[str] = "learning"
    title: ClassVar[str] = PANEL_TITLES["learning"]

    def height(self, view: View) -> float:
        """Return its height: less where no agent can learn, 0 in scored episodes."""
        if view.scored_play is not None or view.session.policy is None:
            return 0.0
        return HEIGHT if self._facts(view) else HEIGHT_OF_PLAYERS

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw the facts about the learner, then the sliders and the button."""
        canvas.card(area)
        canvas.text(area.x + MARGIN, area.y + 24, "Learning", 16, bold=True)
        if self.has_button(view):
            active = controls.learning(view)
            button(canvas, self.button(area), "L", "stop" if active else "start", pressed=active)
        y = area.y + 50
        facts = self._facts(view)
        for number, (name, text) in enumerate(facts):
            x = area.x + MARGIN + (number % 2) * (area.w - 2 * MARGIN) / 2
            canvas.text(x, y, name, 11.5, Theme.soft)
            canvas.text(x + 82, y, text, 11.5, width=(area.w - 2 * MARGIN) / 2 - 88)
            y += 20 if number % 2 else 0
        wide = area.w - 2 * MARGIN
        canvas.text(area.x + MARGIN, self._line(area, view), self.status_line(view), 11.5, Theme.soft, width=wide)
        for place in self.sliders(area, view):
            self._draw_slider(canvas, area, view, place)

    def _line(self, area: Area, view: View) -> float:
        return area.y + (50 if not self._facts(view) else 116)

    def has_button(self, view: View) -> bool:
        """Return whether learning can be started and stopped here."""
        return controls.can_change(view) or view.live is not None

    def button(self, area: Area) -> Area:
        """Return where the button is."""
        return Area(area.right - MARGIN - 92, area.y + 11, 92, 26)

    def sliders(self, area: Area, view: View) -> list[Place]:
        """Return the sliders and their places."""
        names = [(controls.EPSILON, EPSILON)]
        if controls.learning_rate(view) is not None:
            names.append((controls.LEARNING_RATE, LEARNING_RATE))
        first = area.bottom - 12 - 26 * len(names)
        return [
            Place(name, slider, Area(area.x + MARGIN + 96, first + 26 * row + 10, area.w - 2 * MARGIN - 96 - 62, 5))
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
            return status.rejected or status.text
        learner = controls.online_learner(view)
        if learner is None:
            return "It only plays. L starts learning from here on." if self.has_button(view) else "It only plays."
        if learner.stop_reason:
            return learner.stop_reason
        return "It learns from every step, also yours." if learner.learning else "It has stopped learning. S saves it."

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
            ("agent", learner.name),
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
        ("agent steps", whole("agent_steps")),
        ("steps/s", whole("sps")),
        ("updates", whole("updates")),
        ("TD loss", _number(metrics.get("td_loss"))),
        ("return", _number(metrics.get("episodic_return"))),
        ("evaluated", _number(metrics.get("eval_return"))),
    ]


def _number(value: float | None) -> str:
    return "none yet" if value is None else f"{value:.3g}"


def _value(view: View, name: str) -> float:
    return controls.epsilon(view) if name == controls.EPSILON else controls.learning_rate(view) or 0.0


def _set(view: View, name: str, value: float) -> None:
    (controls.set_epsilon if name == controls.EPSILON else controls.set_learning_rate)(view, value)
