"""Who is in control, and how fast time runs."""

from __future__ import annotations

import math
from typing import ClassVar

from viewer.drawing.canvas import TIMES, Area, Canvas, Theme
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import Panel
from viewer.playing.human_control import HAND_BACK_SECONDS
from viewer.playing.session import HUMAN
from viewer.view import View


class ControlPanel(Panel):
    """One coloured card: blue while the agent plays, orange while you do."""

    name: ClassVar[str] = "control"
    title: ClassVar[str] = PANEL_TITLES["control"]

    def height(self, view: View) -> float:
        """Return the height of three lines."""
        return 84.0

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw who plays, how to return control, and the speed."""
        human = view.session.control == HUMAN
        color = Theme.human if human else Theme.agent
        title = "You play" if human else "The agent plays"
        if view.versus is not None:
            color, title = Theme.text, "You against the agent"
        canvas.rounded(area, color, 8)
        x, white, pale = area.x + 18, Theme.card, Theme.human_pale if human else (214, 232, 243)
        canvas.text(x, area.y + 28, title, 20, white, bold=True)
        canvas.text(x, area.y + 57, self._below(view), 12.5, pale, width=area.w - 100)
        back = view.human_control.hands_back_in
        if back is not None:
            track = Area(x, area.bottom - 11, area.w - 36, 3)
            canvas.rect(Area(track.x, track.y, track.w * back / HAND_BACK_SECONDS, track.h), white)
        canvas.text(area.right - 18, area.y + 28, speed_text(view.game.speed), 20, white, bold=True, align=1)
        canvas.text(
            area.right - 18,
            area.y + 57,
            "paused" if view.game.paused else "speed",
            12.5,
            pale,
            align=1,
            bold=view.game.paused,
        )

    def _below(self, view: View) -> str:
        session = view.session
        if view.versus is not None:
            lead = view.versus.scores.lead
            standing = f"you are {'ahead' if lead > 0 else 'behind'} by {abs(lead):g}" if lead else "even"
            return f"{standing} · {view.agent_name.replace('_', ' ')}"
        if session.control != HUMAN:
            name = view.agent_name.replace("_", " ")
            if session.epsilon > 0:
                return f"{name} · {session.epsilon:.0%} random"
            return f"{name} · best action" if session.q_values() is not None else name
        if view.scored_play is not None:
            return f"scored episode {view.scored_play.number} of {view.scored_play.episodes}"
        if view.human_control.locked:
            return "no agent is loaded"
        back = view.human_control.hands_back_in
        return "Enter: hand back" if back is None else f"agent resumes in {math.ceil(back)} s · Enter: now"


def speed_text(speed: float) -> str:
    """Return a speed as text, with fractions below 1; "max" without a limit."""
    if math.isinf(speed):
        return "max"
    return {0.25: "¼", 0.5: "½"}.get(speed, f"{speed:g}") + TIMES
