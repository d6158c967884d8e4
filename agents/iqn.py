"""IQN: Dabney et al. 2018, arXiv:1806.06923.

This is DQN with: the implicit quantile head. The network is asked "below which return do 30 % of what may happen
lie?" for any fraction, drawn anew in each update; its features are multiplied with an embedding of the fraction.

Deviations: in acting the expectation is the mean over 32 evenly spaced fractions, which makes it deterministic
(the paper draws 32). On vectors the next action is chosen by the same fractions that its return is read at.
"""

from __future__ import annotations

from agents.atari_presets import ZOO
from agents.family import member

PUBLISHED = {
    **ZOO,
    "hidden": (),  # the embedding multiplies the convolutions' features, section 3.1
    "head_hidden": (512,),
    "num_quantiles": 64,  # DQN Zoo; the paper's N and N' are 64 in its figure 2's best corner
    "optimizer": "adam",
    "learning_rate": 5e-5,  # appendix
    "final_learning_rate": 5e-5,
    "optimizer_epsilon": 0.01 / 32,
    "policy_quantiles": 32,  # K, in learning as in acting
    "learning_starts": 20_000,  # DQN Zoo
    "epsilon_final": 0.01,
    "eval_epsilon": 0.001,
}

# the embedding multiplies what the first layer found; 8 fractions do nearly as well as 64 (paper, figure 2)
VECTORS = {"hidden": (128,), "head_hidden": (128,), "num_quantiles": 8}

RECIPE = member(
    name="iqn",
    paper="Dabney et al. 2018, arXiv:1806.06923",
    switches={
        "head": "implicit_quantile",
    },
    published=PUBLISHED,
    vectors=VECTORS,
)
