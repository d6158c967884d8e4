"""BTR, Beyond the Rainbow: Clark et al. 2024, arXiv:2411.03820.

This is Rainbow with: implicit quantiles in place of C51, Munchausen's rewards, the wider IMPALA encoder with adaptive
max pooling and spectral normalisation, and 64 environments: high scores on one desktop GPU.

The Munchausen log-probability is the online network's, as in the authors' code (github.com/VIPTankz/
BeyondTheRainbowICML).

Deviations: the 8 quantile fractions that it acts by are fixed (theirs are drawn), and the Munchausen log-probability is
read at the prediction's own fractions (theirs at 8 others).
"""

from __future__ import annotations

from agents.atari_presets import NATURE
from agents.family import SLOWER_TARGET, member

# The defaults of the authors' code, VIPTankz/BeyondTheRainbowICML, Agent.py and PER.py.
PUBLISHED = {
    **NATURE.settings,
    "protocol": "clark2024",
    "eval_epsilon": 0.0,
    "stagger": 1_000,
    "total_timesteps": 50_000_000,
    "encoder": "impala",
    "impala_width": 2,
    "impala_pool": 6,
    "spectral_norm": True,
    "hidden": (),
    "head_hidden": (512,),
    "num_quantiles": 8,
    "acting_quantiles": 8,  # the code draws as many fractions to act as to learn (Agent.choose_action, networks.py)
    "gamma": 0.997,
    "num_envs": 64,
    "batch_size": 256,
    "replay_ratio": 4.0,  # one update a vector step
    "capacity": 2**20,
    "learning_starts": 200_000,
    "target_period": 500,
    "priority_exponent": 0.2,
    # PER.sample weighs by the priorities' exponent, not by its beta, and says that this was an accident that helped
    "importance_exponent": 0.2,
    "final_importance_exponent": 0.2,
    "priority": "pairwise",
    "optimizer": "adam",
    "learning_rate": 1e-4,
    "final_learning_rate": 1e-4,
    "optimizer_epsilon": 0.005 / 256,
    "max_grad_norm": 10.0,
    "epsilon_schedule": "exponential",
    "epsilon_waits": False,
    "epsilon_share": 0.5,  # none after half of the run
    "epsilon_final": 0.01,
    "epsilon_steps": 2_000_000,  # 8 million frames
}

# the embedding multiplies what the first layer found; 8 fractions do nearly as well as 64 (IQN, figure 2)
VECTORS = {"hidden": (128,), "head_hidden": (128,), "num_quantiles": 8}

# Where much is to be learnt, two wide layers before the fractions, as DQN has, and none behind them, which would be run
# once a fraction: with `VECTORS` LunarLander's agent hovered to the last step, with these it lands.
GENERAL = {"hidden": (256, 256), "head_hidden": ()}

RECIPE = member(
    name="btr",
    paper="Clark et al. 2024, arXiv:2411.03820",
    switches={
        "prioritized": True,
        "dueling": True,
        "n_step": 3,
        "noisy": True,
        "noisy_epsilon": True,
        "munchausen": True,
        "munchausen_network": "online",
        "head": "implicit_quantile",
    },
    published=PUBLISHED,
    control=SLOWER_TARGET,
    vectors=VECTORS,
    general=GENERAL,
)
