"""Munchausen DQN: Vieillard et al. 2020, arXiv:2007.14430.

This is DQN with: the scaled log-probability of the action taken added to its reward, under the softmax policy of the
network's own expectations, and that softmax in place of the maximum in the next observation.

The agent pulls itself out of the swamp by its own hair: what it is sure of is rewarded, which widens the gap
between actions and keeps the policy from jumping (implicit Kullback-Leibler regularisation).
"""

from __future__ import annotations

from agents.atari_presets import MUNCHAUSEN
from agents.family import member

PUBLISHED = {
    **MUNCHAUSEN,
}

RECIPE = member(
    name="munchausen_dqn",
    paper="Vieillard et al. 2020, arXiv:2007.14430",
    switches={
        "munchausen": True,
    },
    published=PUBLISHED,
    # with the paper's 0.9 the gaps between actions grow tenfold, which takes longer than the worlds' runs: see its page
    worlds={"munchausen_alpha": 0.5},
)
