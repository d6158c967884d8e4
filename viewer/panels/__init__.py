"""The panels, in the order in which they are placed. A new one needs a file, a line here, and one in `panel_titles`."""

from __future__ import annotations

from viewer.panels.base import Panel
from viewer.panels.control import ControlPanel
from viewer.panels.curve import CurvePanel
from viewer.panels.distribution import DistributionPanel
from viewer.panels.explained import ExplainedPanel
from viewer.panels.learning import LearningPanel
from viewer.panels.neurons import NeuronsPanel
from viewer.panels.q_bars import QBarsPanel
from viewer.panels.rewards import RewardsPanel
from viewer.panels.score import ScorePanel
from viewer.panels.seen import SeenPanel
from viewer.panels.senses import SensesPanel
from viewer.panels.truth import TruthPanel
from viewer.view import View

PANELS: tuple[Panel, ...] = (
    ControlPanel(),
    CurvePanel(),
    QBarsPanel(),
    SeenPanel(),
    LearningPanel(),
    ScorePanel(),
    DistributionPanel(),
    ExplainedPanel(),
    SensesPanel(),
    NeuronsPanel(),
    TruthPanel(),
    RewardsPanel(),
)

__all__ = ["PANELS", "Panel", "View"]
