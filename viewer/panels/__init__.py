"""The panels of the window's side column, from top to bottom. A new one: its file, and a line here."""

from __future__ import annotations

from viewer.panels.base import Panel, View
from viewer.panels.control import ControlPanel
from viewer.panels.q_bars import QBarsPanel
from viewer.panels.score import ScorePanel
from viewer.panels.seen import SeenPanel

SIDE: tuple[Panel, ...] = (
    ControlPanel(),
    QBarsPanel(),
    SeenPanel(),
    ScorePanel(),
)

__all__ = ["SIDE", "Panel", "View"]
