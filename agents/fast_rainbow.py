"""Fast Rainbow: Schmidt and Schmied 2021, arXiv:2111.10247.

This is Rainbow with: the wider IMPALA encoder with spectral normalisation, 64 environments and batches of 256, but
expectations in place of distributions, so that it trains on one GPU in a day.
"""

from __future__ import annotations

from agents.atari_presets import NATURE
from agents.family import SLOWER_TARGET, member

PUBLISHED = {
    **NATURE.settings,
    "total_timesteps": 10_000_000,
    "encoder": "impala",
    "impala_width": 2,
    "spectral_norm": True,
    "hidden": (),
    "impala_pool": 8,  # the authors' code
    "head_hidden": (256,),
    "num_envs": 64,
    "batch_size": 256,
    "replay_ratio": 8.0,
    "capacity": 2**20,
    "learning_starts": 100_000,
    "target_period": 1_000,  # 32,000 agent steps
    "importance_exponent": 0.45,
    "optimizer": "adam",
    "learning_rate": 2.5e-4,
    "final_learning_rate": 2.5e-4,
    "optimizer_epsilon": 0.005 / 256,
    "max_grad_norm": 10.0,
    "epsilon_final": 0.01,
    "epsilon_steps": 500_000,
}

RECIPE = member(
    name="fast_rainbow",
    paper="Schmidt and Schmied 2021, arXiv:2111.10247",
    switches={
        "double": True,
        "prioritized": True,
        "dueling": True,
        "n_step": 3,
        "noisy": True,
        "noisy_epsilon": True,
    },
    published=PUBLISHED,
    control=SLOWER_TARGET,
)
