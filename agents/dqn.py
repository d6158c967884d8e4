"""DQN: deep Q-learning, Mnih et al. 2015, doi:10.1038/nature14236.

A network outputs, for each action, the expected discounted return; its TD error is the distance to the reward
received plus what a slower copy of it expects of the next observation. The loss of the whole family is a page,
learning/losses.py: every other member of it is this one with some switches on.

Deviations from the paper: for vectors a fully connected network learns by Adam (arXiv:1412.6980) from many
environments at once. For Atari, `--preset nature` is the paper's own.
"""

from __future__ import annotations

from agents.atari_presets import MODERN, NATURE
from agents.family import member

RECIPE = member(
    name="dqn",
    paper="Mnih et al. 2015, doi:10.1038/nature14236",
    switches={},
    presets={"nature": NATURE, "modern": MODERN},
)
