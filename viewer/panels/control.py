"""Who is in control, and how fast time runs."""

from __future__ import annotations

import math
from typing import ClassVar

from viewer.drawing.canvas import TIMES, Area, Canvas
from viewer.drawing.theme import Theme
from viewer.learning import controls
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import WIDTH, Panel
from viewer.playing.human_control import HAND_BACK_SECONDS
from viewer.playing.session import HUMAN
from viewer.view import View

MARGIN = 16.0


class ControlPanel(Panel):
    """One coloured card: blue while the agent plays, orange while you do."""

    name: ClassVar[str] = "control"
    title: ClassVar[str] = PANEL_TITLES["control"]

    def height(self, view: View, width: float = WIDTH) -> float:
        """Return the height of two lines."""
        return 76.0

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw who plays, how to return control, and the speed."""
        human = view.session.control == HUMAN
        color = Theme.human if human else Theme.agent
        titles = ["You play"] if human else ["The agent plays"]
        if view.versus is not None:
            color, titles = Theme.chip, ["You against the agent", "Against the agent"]
        canvas.rounded(area, color, 8)
        x, right, white, pale = area.x + MARGIN, area.right - MARGIN, Theme.on_color, Theme.on_pale
        used = canvas.text(right, area.y + 26, speed_text(view.game.speed), 18, white, bold=True, align=1)
        title = canvas.choose(titles, right - used - 10 - x, 18, bold=True)
        canvas.text(x, area.y + 26, title, 18, white, bold=True, width=right - used - 10 - x)
        word = "paused" if view.game.paused else "speed"
        used = canvas.text(right, area.y + 52, word, 13, pale, align=1, bold=view.game.paused)
        about = canvas.choose(self.about(view), right - used - 14 - x)
        canvas.text(x, area.y + 52, about, 13, pale, width=right - used - 14 - x)
        back = view.human_control.hands_back_in
        if back is not None:
            track = Area(x, area.bottom - 8, area.w - 2 * MARGIN, 3)
            canvas.rect(Area(track.x, track.y, track.w * back / HAND_BACK_SECONDS, track.h), white)

    def about(self, view: View) -> list[str]:
        """Return what stands below who plays, in several lengths, the longest first."""
        session = view.session
        if view.versus is not None:
            lead = view.versus.scores.lead
            standing = f"you are {'ahead' if lead > 0 else 'behind'} by {abs(lead):g}" if lead else "even"
            return [f"{standing} · {plain_name(view)}", standing]
        if session.control != HUMAN:
            return self._about_agent(view)
        if view.scored_play is not None:
            number, episodes = view.scored_play.number, view.scored_play.episodes
            return ["a scored episode" if episodes == 1 else f"scored episode {number} of {episodes}"]
        if view.human_control.locked:
            return ["no agent is loaded"]
        back = view.human_control.hands_back_in
        if back is None:
            return ["Enter: hand back"]
        seconds = math.ceil(back)
        return [f"agent resumes in {seconds} s · Enter: now", f"agent in {seconds} s · Enter: now", "Enter: now"]

    def _about_agent(self, view: View) -> list[str]:
        """Return the agent's name, and how it chooses: by the epsilon that it acts with."""
        session, name = view.session, plain_name(view)
        if view.live is not None:
            status = view.live.status().text
            return [f"{name} · {status}", status, name]
        learner = controls.online_learner(view)
        learning = learner is not None and learner.learning
        epsilon = learner.epsilon if learner is not None and learner.learning else session.epsilon
        if epsilon > 0:
            share = f"{epsilon:.0%}" if epsilon >= 0.01 else f"{epsilon:.1%}"
            return [f"{name} · {share} random" + ", learning" * learning, f"{name} · {share} random", f"{share} random"]
        if session.q_values() is None:
            return [name]
        how = "learning" if learning else "best action"
        return [f"{name} · {how}", how]


def plain_name(view: View) -> str:
    """Return the agent's name without what is known of its weights."""
    return view.agent_name.partition(" (")[0].replace("_", " ")


def speed_text(speed: float) -> str:
    """Return a speed as text, with fractions below 1; "max" without a limit."""
    if math.isinf(speed):
        return "max"
    return {0.25: "¼", 0.5: "½"}.get(speed, f"{speed:g}") + TIMES
