"""Rainbow: Hessel et al. 2017, arXiv:1710.02298.

This is DQN with: double Q-learning, prioritized replay, dueling streams, three-step returns, the categorical head
and noisy layers, all at once; priorities are the divergence that the head learns from.

Deviations: a thousandth of the draws is uniform, and the spread of the noise is 0.1, as in DQN Zoo.
"""

from __future__ import annotations

from agents.atari_presets import ZOO
from agents.family import member

PUBLISHED = {
    **ZOO,
    "hidden": (),
    "head_hidden": (512,),  # each stream
    "noisy_sigma": 0.1,  # DQN Zoo; the paper's 0.5 is of another normalisation
    "num_atoms": 51,
    "v_min": -10.0,
    "v_max": 10.0,
    "priority_exponent": 0.5,  # table 1
    "importance_exponent": 0.4,
    "uniform_share": 1e-3,  # DQN Zoo
    "optimizer": "adam",
    "learning_rate": 6.25e-5,
    "final_learning_rate": 6.25e-5,
    "optimizer_epsilon": 1.5e-4,
    "max_grad_norm": 10.0,  # DQN Zoo
    "learning_starts": 20_000,  # 80,000 frames
    "target_period": 2_000,  # 32,000 frames
    "eval_epsilon": 0.0,
}

RECIPE = member(
    name="rainbow",
    paper="Hessel et al. 2017, arXiv:1710.02298",
    switches={
        "double": True,
        "prioritized": True,
        "dueling": True,
        "n_step": 3,
        "head": "categorical",
        "noisy": True,
    },
    published=PUBLISHED,
)
