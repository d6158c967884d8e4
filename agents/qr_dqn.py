"""QR-DQN: Dabney et al. 2017, arXiv:1710.10044.

This is DQN with: the quantile head. Where C51 fixes the returns and learns their probabilities, this fixes the
probabilities and learns the returns: no range has to be guessed before anything was played.

The head itself is in learning/heads.py.
"""

from __future__ import annotations

from agents.atari_presets import ZOO
from agents.family import member

PUBLISHED = {
    **ZOO,
    "num_quantiles": 200,  # section 5
    "optimizer": "adam",
    "learning_rate": 5e-5,  # section 5
    "final_learning_rate": 5e-5,
    "optimizer_epsilon": 0.01 / 32,
    "max_grad_norm": 10.0,  # DQN Zoo
    "epsilon_final": 0.01,
    "eval_epsilon": 0.001,
}

RECIPE = member(
    name="qr_dqn",
    paper="Dabney et al. 2017, arXiv:1710.10044",
    switches={
        "head": "quantile",
    },
    published=PUBLISHED,
)
