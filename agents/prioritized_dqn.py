"""Prioritized DQN: Schaul et al. 2015, arXiv:1511.05952.

This is Double DQN with: transitions drawn in proportion to how wrong the network was about them, the last time.

What is drawn too often is weighed down again ("importance weights"), more so towards the end of the run: the
beginning may be biased, the fixed point should not be. The proportional variant of the paper.

Deviations: a thousandth of the draws is uniform, as in DQN Zoo.
"""

from __future__ import annotations

from agents.atari_presets import ZOO
from agents.family import member

PUBLISHED = {
    **ZOO,
    "priority_exponent": 0.6,  # table 3, proportional
    "importance_exponent": 0.4,  # the same; to 1 at the end
    "uniform_share": 1e-3,  # DQN Zoo
    "target_period": 7_500,  # as in Double DQN, tuned
    "epsilon_final": 0.01,  # the same
    "eval_epsilon": 0.01,  # DQN Zoo
    "learning_rate": 6.25e-5,  # section 4: a quarter of DQN's
    "final_learning_rate": 6.25e-5,
    "optimizer_epsilon": 0.01 / 32**2 / 4**2,  # DQN Zoo: the largest effective step stays the same
}

RECIPE = member(
    name="prioritized_dqn",
    paper="Schaul et al. 2015, arXiv:1511.05952",
    switches={
        "double": True,
        "prioritized": True,
    },
    published=PUBLISHED,
)
