"""Fast Rainbow: Schmidt and Schmied 2021, arXiv:2111.10247.

This is Rainbow with: the wider IMPALA encoder with spectral normalisation, 64 environments and batches of 256, but
expectations in place of distributions, so that it trains on one GPU in a day.

Deviations: environments start up to 1,000 random steps apart (theirs, up to the length of a random game of that kind).
"""

from __future__ import annotations

from agents.atari_presets import ZOO
from agents.family import SLOWER_TARGET, member

# The defaults of the authors' code, schmidtdominik/Rainbow, common/argp.py and common/replay_buffer.py.
PUBLISHED = {
    **ZOO,
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
    "priority_exponent": 0.5,  # the buffer takes the square root
    "importance_exponent": 0.45,
    "importance_norm": "replay",
    "optimizer": "adam",
    "learning_rate": 2.5e-4,
    "final_learning_rate": 2.5e-4,
    "optimizer_epsilon": 0.005 / 256,
    "max_grad_norm": 10.0,
    # with noisy layers, in place of 1 to 0.01 over 500,000 steps without
    "epsilon_start": 0.002,
    "epsilon_final": 0.0,
    "epsilon_steps": 20_000,
    "epsilon_waits": False,
    "eval_epsilon": 0.0,
    "stagger": 1_000,
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
