"""Rainbow-IQN: Toromanoff, Wirbel and Moutarde 2019, arXiv:1908.04683.

This is Rainbow with: the implicit quantile head in place of the categorical one, so no range of returns has to be
known; priorities count for less, and are the absolute error of the mean.

Deviations: one actor, where the authors' Ape-X has several; the protocol is machado2018, whose games end after 30
minutes (theirs, SABER, after 100 hours or 5 minutes without reward).
"""

from __future__ import annotations

from agents import iqn, rainbow
from agents.family import SLOWER_TARGET, member

# The defaults of the authors' code, valeoai/rainbow-iqn-apex; atoms and their range go with Rainbow's head.
PUBLISHED = {
    **{name: value for name, value in rainbow.PUBLISHED.items() if name not in ("num_atoms", "v_min", "v_max")},
    "num_quantiles": 64,
    "priority_exponent": 0.2,  # where Rainbow has 0.5
    "uniform_share": 0.0,
    "learning_rate": 5e-5,  # IQN's
    "final_learning_rate": 5e-5,
    "optimizer_epsilon": 0.01 / 32,
    "protocol": "machado2018",  # sticky actions
}

RECIPE = member(
    name="rainbow_iqn",
    paper="Toromanoff et al. 2019, arXiv:1908.04683",
    switches={**rainbow.RECIPE.switches, "head": "implicit_quantile"},
    published=PUBLISHED,
    control=SLOWER_TARGET,
    vectors=iqn.VECTORS,
)
