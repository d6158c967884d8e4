"""BTR for short runs: 10 to 40 million frames. Clark et al. 2024, arXiv:2411.03820.

This is BTR with: each transition learnt from twice as often, a shorter burn-in and a shorter fall of epsilon. As
published, BTR is slow to begin: -6 in Pong after 10 million frames. The three values are ours, so the preset is not
called `paper`.
"""

from __future__ import annotations

from agents import btr
from agents.family import SLOWER_TARGET, member
from learning.recipe import Preset

SHORT = {
    **btr.PUBLISHED,
    "total_timesteps": 10_000_000,
    "replay_ratio": 8.0,
    "learning_starts": 50_000,
    "epsilon_steps": 250_000,
}

RECIPE = member(
    name="btr_short",
    paper="Clark et al. 2024, arXiv:2411.03820, shortened here",
    switches=btr.RECIPE.switches,
    presets={"short": Preset("BTR tuned here for 10 to 40 million frames", "atari", {**SHORT, **btr.RECIPE.switches})},
    vectors=btr.VECTORS,
    general=btr.GENERAL,
    control=SLOWER_TARGET,
)
