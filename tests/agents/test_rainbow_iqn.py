"""Rainbow-IQN is Rainbow with another head, and priorities that mean something else."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces

from agents import AGENTS
from learning.config import FamilyConfig
from learning.learner import Learner
from learning.replay import Batch

RECIPE, RAINBOW = AGENTS["rainbow_iqn"], AGENTS["rainbow"]


def test_it_differs_from_rainbow_in_the_head_and_in_what_the_authors_tuned() -> None:
    ours, theirs = (recipe.config(**recipe.presets["paper"].settings) for recipe in (RECIPE, RAINBOW))
    assert isinstance(ours, FamilyConfig)
    differs = {name for name in FamilyConfig.__dataclass_fields__ if getattr(ours, name) != getattr(theirs, name)}
    assert differs == {
        "head",
        "num_quantiles",
        "v_min",
        "v_max",
        "priority_exponent",
        "uniform_share",
        "learning_rate",
        "final_learning_rate",
        "optimizer_epsilon",
        "protocol",
    }


def test_a_transition_is_as_surprising_as_its_mean_is_wrong() -> None:
    """Terminal transitions with rewards far from what a fresh network, near 0, expects: 1 and 5."""
    config = RECIPE.config(**RECIPE.presets["default"].settings)
    space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    learner = Learner(RECIPE, config, space, 2, seed=1)
    obs, zeros = torch.zeros(2, 3), torch.zeros(2)
    batch = Batch(obs, torch.tensor([0, 0]), torch.tensor([1.0, 5.0]), zeros, obs, torch.ones(2))
    priority = learner.update(batch, 1e-3).priority
    torch.testing.assert_close(priority, torch.tensor([1.0, 5.0]), atol=0.6, rtol=0.0)
