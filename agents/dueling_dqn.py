"""Dueling DQN: Wang et al. 2015, arXiv:1511.06581.

This is Double DQN with: two streams, the value of the state and the advantage of each action over the others.

Where no action matters much, the value is still learnt from every transition, whichever action it took.

Deviations: gradients that enter the convolutions are not rescaled by 1 / sqrt(2).
"""

from __future__ import annotations

from agents.atari_presets import ZOO
from agents.family import member

PUBLISHED = {
    **ZOO,
    "hidden": (),
    "head_hidden": (512,),  # section 4.2: each stream
    "target_period": 7_500,  # as in Double DQN, tuned
    "epsilon_final": 0.01,  # the same
    "learning_rate": 6.25e-5,  # section 4.2
    "final_learning_rate": 6.25e-5,
    "max_grad_norm": 10.0,  # section 4.2
    "eval_epsilon": 0.001,  # as in Double DQN, tuned
}

RECIPE = member(
    name="dueling_dqn",
    paper="Wang et al. 2015, arXiv:1511.06581",
    switches={
        "double": True,
        "dueling": True,
    },
    published=PUBLISHED,
)
