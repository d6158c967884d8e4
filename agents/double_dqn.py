"""Double DQN: van Hasselt et al. 2015, arXiv:1509.06461.

This is DQN with: the online network selecting the next action, the target network evaluating it.

The maximum over noisy estimates is too high on average: whichever action's error is luckiest wins. When another
network evaluates the winner, its luck does not count. For Atari the tuned version of the paper.

Deviations: each action keeps a bias of its own in the last layer (the paper's tuned version shares one).
"""

from __future__ import annotations

from agents.atari_presets import ZOO
from agents.family import member

PUBLISHED = {
    **ZOO,
    "target_period": 7_500,  # appendix: three times as long as DQN's
    "epsilon_final": 0.01,  # appendix
    "eval_epsilon": 0.01,  # DQN Zoo
}

RECIPE = member(
    name="double_dqn",
    paper="van Hasselt et al. 2015, arXiv:1509.06461",
    switches={
        "double": True,
    },
    published=PUBLISHED,
)
