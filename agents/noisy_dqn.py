"""NoisyNet-DQN: Fortunato et al. 2017, arXiv:1706.10295.

This is DQN with: noise in the weights of the fully connected layers, whose spread is learnt, in place of random
actions. The agent explores consistently, where it is uncertain, and stops by itself where noise only costs.

The noise is factorised (section 3). Every row of a batch has its own here; the paper draws once for a batch.
"""

from __future__ import annotations

from agents.atari_presets import ZOO
from agents.family import member

PUBLISHED = {
    **ZOO,
    "noisy_sigma": 0.5,  # section 3.2
    "eval_epsilon": 0.0,
}

RECIPE = member(
    name="noisy_dqn",
    paper="Fortunato et al. 2017, arXiv:1706.10295",
    switches={
        "noisy": True,
    },
    published=PUBLISHED,
)
