"""C51: Bellemare et al. 2017, arXiv:1707.06887.

This is DQN with: the categorical head. The network outputs the probabilities of 51 returns, its expectation is
their mean, and what it learns is a distribution: how likely is each return, not only how large on average.

The head itself is in learning/heads.py.
"""

from __future__ import annotations

from agents.atari_presets import ZOO
from agents.family import member

PUBLISHED = {
    **ZOO,
    "num_atoms": 51,  # section 5
    "v_min": -10.0,  # section 5
    "v_max": 10.0,
    "optimizer": "adam",  # appendix
    "learning_rate": 2.5e-4,
    "final_learning_rate": 2.5e-4,
    "optimizer_epsilon": 0.01 / 32,
    "max_grad_norm": 10.0,  # DQN Zoo
    "epsilon_final": 0.01,
    "eval_epsilon": 0.001,
}

RECIPE = member(
    name="c51",
    paper="Bellemare et al. 2017, arXiv:1707.06887",
    switches={
        "head": "categorical",
    },
    published=PUBLISHED,
)
