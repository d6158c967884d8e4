"""Rainbow-IQN is Rainbow with another head and other priorities."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces

from agents import AGENTS
from learning.config import FamilyConfig
from learning.learner import Learner
from learning.replay import Batch

RECIPE, RAINBOW = AGENTS["rainbow_iqn"], AGENTS["rainbow"]


def test_it_differs_from_rainbow_in_the_head_and_tuned_settings() -> None:
    iqn, rainbow = (recipe.config(**recipe.presets["paper"].settings) for recipe in (RECIPE, RAINBOW))
    assert isinstance(iqn, FamilyConfig)
    differs = {name for name in FamilyConfig.__dataclass_fields__ if getattr(iqn, name) != getattr(rainbow, name)}
    assert differs == {
        "head",
        "num_quantiles",
        "policy_quantiles",
        "priority",
        "learning_starts",
        "target_period",
        "max_grad_norm",
        "full_action_space",
        "v_min",
        "v_max",
        "priority_exponent",
        "uniform_share",
        "learning_rate",
        "final_learning_rate",
        "optimizer_epsilon",
        "protocol",
    }


def test_priorities_are_absolute_errors_of_the_mean() -> None:
    """Terminal transitions with rewards 1 and 5; an untrained network predicts about 0."""
    config = RECIPE.config(**RECIPE.presets["default"].settings)
    space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    learner = Learner(RECIPE, config, space, 2, seed=1)
    obs, zeros = torch.zeros(2, 3), torch.zeros(2)
    batch = Batch(obs, torch.tensor([0, 0]), torch.tensor([1.0, 5.0]), zeros, obs, torch.ones(2))
    priority = learner.update(batch, 1e-3).priority
    torch.testing.assert_close(priority, torch.tensor([1.0, 5.0]), atol=0.6, rtol=0.0)
