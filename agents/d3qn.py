"""D3QN: the double dueling DQN of Wang et al. 2015, arXiv:1511.06581, with three-step returns.

This is Dueling DQN with: the rewards of three steps summed before it bootstraps (Sutton 1988), as in Rainbow. No other
agent learns Waterworld-v1 as well within two minutes on two CPU cores, so it is what `train.py` takes for vectors.
"""

from __future__ import annotations

from agents import dueling_dqn
from agents.family import member

RECIPE = member(
    name="d3qn",
    paper="Wang et al. 2015, arXiv:1511.06581; Sutton 1988",
    switches={**dueling_dqn.RECIPE.switches, "n_step": 3},
)
