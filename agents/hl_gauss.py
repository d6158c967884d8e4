"""HL-Gauss: Farebrother et al. 2024, arXiv:2403.03950.

This is DQN with: the histogram head. The expectation is learnt by classification: the network outputs probabilities of
bins between v_min and v_max, and the target, one number, is smeared over its neighbours. The distribution is not that
of the return.

The head itself is in learning/heads.py.
"""

from __future__ import annotations

from agents.atari_presets import MODERN
from agents.family import member

PUBLISHED = {
    **MODERN.settings,
    "double": False,
    "num_envs": 1,
    "total_timesteps": 50_000_000,
    "num_atoms": 51,  # bins
    "bin_sigma": 0.75,
    "v_min": -10.0,
    "v_max": 10.0,
    "eval_epsilon": 0.001,
}

RECIPE = member(
    name="hl_gauss",
    paper="Farebrother et al. 2024, arXiv:2403.03950",
    switches={
        "head": "histogram",
    },
    published=PUBLISHED,
    # a gap between two actions is a fraction of a bin, and takes larger changes of 51 outputs than of one: see its page
    worlds={"learning_rate": 3e-3},
)
