"""M-IQN: Vieillard et al. 2020, arXiv:2007.14430.

This is Munchausen DQN with: the implicit quantile head of IQN.
"""

from __future__ import annotations

from agents.atari_presets import MUNCHAUSEN
from agents.family import member

PUBLISHED = {
    **MUNCHAUSEN,
    "hidden": (),  # as in IQN
    "head_hidden": (512,),
    "num_quantiles": 64,
    "policy_quantiles": 32,
}

# the embedding multiplies what the first layer found; 8 fractions do nearly as well as 64 (IQN, figure 2)
VECTORS = {"hidden": (128,), "head_hidden": (128,), "num_quantiles": 8}

RECIPE = member(
    name="m_iqn",
    paper="Vieillard et al. 2020, arXiv:2007.14430",
    switches={
        "munchausen": True,
        "head": "implicit_quantile",
    },
    published=PUBLISHED,
    vectors=VECTORS,
    worlds={"munchausen_alpha": 0.5},  # as in munchausen_dqn
)
