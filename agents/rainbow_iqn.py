"""Rainbow-IQN: Toromanoff, Wirbel and Moutarde 2019, arXiv:1908.04683.

This is Rainbow with: the implicit quantile head in place of the categorical one, so no range of returns has to be
known; priorities count for less, and on Atari are the loss itself.

Deviations: one actor, where the authors' Ape-X may have several, and a new transition has the largest priority so far
(there its actor computes one); the protocol is machado2018, whose games end after 30 minutes (theirs, SABER, after 100
hours or 5 minutes without reward). Rainbow's 80,000 and 32,000 frames are agent steps in their code, and so they are
here.
"""

from __future__ import annotations

from agents import iqn, rainbow
from agents.family import SLOWER_TARGET, member

# The defaults of the authors' code, valeoai/rainbow-iqn-apex, args.py; atoms and their range go with Rainbow's head.
PUBLISHED = {
    **{name: value for name, value in rainbow.PUBLISHED.items() if name not in ("num_atoms", "v_min", "v_max")},
    "num_quantiles": 64,
    "policy_quantiles": 32,
    "priority_exponent": 0.2,  # where Rainbow has 0.5
    "priority": "loss",
    "uniform_share": 0.0,
    "learning_starts": 80_000,
    "target_period": 8_000,  # 32,000 agent steps
    "max_grad_norm": None,
    "learning_rate": 5e-5,  # IQN's
    "final_learning_rate": 5e-5,
    "optimizer_epsilon": 0.01 / 32,
    "protocol": "machado2018",  # sticky actions
    "full_action_space": True,
}

RECIPE = member(
    name="rainbow_iqn",
    paper="Toromanoff et al. 2019, arXiv:1908.04683",
    switches={**rainbow.RECIPE.switches, "head": "implicit_quantile"},
    published=PUBLISHED,
    control=SLOWER_TARGET,
    vectors=iqn.VECTORS,
)
