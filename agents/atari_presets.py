"""Settings for Atari that several agents share: the first paper's, a modern agent's, one for CPUs.

Steps are agent steps: four emulator frames each. Reward clipping, four stacked 84 x 84 frames and the
protocol of the paper come along, since a preset without them would be another experiment.
"""

from __future__ import annotations

from learning.recipe import Preset

# Mnih et al. 2015, doi:10.1038/nature14236, Extended Data Table 1, unless a line says otherwise.
NATURE = Preset(
    about="Nature DQN as published (200 million frames)",
    suits="atari",
    settings={
        "total_timesteps": 50_000_000,  # 200 million frames ("Methods": 50 million of them are 38 days of game)
        "num_envs": 1,
        "encoder": "nature",  # "Methods": 32 8x8/4, 64 4x4/2, 64 3x3/1, dense 512
        "hidden": (512,),
        "dueling": False,
        "double": False,
        "n_step": 1,
        "loss": "huber",  # "Methods": the error term is clipped to [-1, 1]
        "batch_size": 32,  # minibatch size
        "replay_ratio": 8.0,  # update frequency 4: a batch of 32 every 4 actions
        "capacity": 1_000_000,  # replay memory size
        "learning_starts": 50_000,  # replay start size
        "gamma": 0.99,  # discount factor
        # 10,000 "parameter updates" in the table, 10,000 actions in DeepMind's code: 2,500 updates; the code's
        "target_period": 2_500,
        "optimizer": "rmsprop",
        "learning_rate": 2.5e-4,
        "final_learning_rate": 2.5e-4,  # constant
        "rmsprop_decay": 0.95,  # "gradient momentum" and "squared gradient momentum"
        # min squared gradient 0.01, for gradients summed over the batch; ours are means: 0.01 / 32^2
        "optimizer_epsilon": 0.01 / 32**2,
        "max_grad_norm": None,
        "epsilon_start": 1.0,  # initial exploration
        "epsilon_final": 0.1,  # final exploration
        "epsilon_steps": 1_000_000,  # final exploration frame; DeepMind's code counts actions
        "clip_rewards": True,  # "Methods"
        "protocol": "mnih2015",
        "frame_size": 84,
        "frame_stack": 4,  # agent history length
    },
)

# What the agents that followed share, as in google-deepmind/dqn_zoo: games of 30 minutes in evaluation too. Epsilon in
# evaluation is each agent's own.
ZOO = {**NATURE.settings, "protocol": "dqn_zoo"}

# DQN with Adam and squared errors as in Obando-Ceron and Castro 2021, arXiv:2011.14826 (Dopamine's
# dqn_adam_mse), with double Q-learning, arXiv:1509.06461. Eight games at once keep a GPU busier; the
# replay ratio is the paper's.
MODERN = Preset(
    about="DQN with Adam, squared errors and double Q-learning, for a GPU (40 million frames)",
    suits="atari",
    settings={
        **NATURE.settings,
        "total_timesteps": 10_000_000,
        "num_envs": 8,
        "double": True,
        "loss": "mse",
        "learning_starts": 20_000,
        "target_period": 2_000,  # 8,000 actions
        "optimizer": "adam",
        "learning_rate": 6.25e-5,
        "final_learning_rate": 6.25e-5,
        "optimizer_epsilon": 1.5e-4,
        "epsilon_final": 0.01,
        "epsilon_steps": 250_000,
        "protocol": "machado2018",
    },
)

# For CPUs: a small network on small frames, no sticky actions. PQN learns sooner there; see docs/atari.md.
CPU = {
    "total_timesteps": 2_000_000,
    "num_envs": 16,
    "encoder": "small",
    "hidden": (256,),
    "loss": "huber",
    "batch_size": 128,
    "replay_ratio": 8.0,
    "capacity": 300_000,
    "learning_starts": 10_000,
    "gamma": 0.99,
    "v_max": 10.0,
    "target_period": 250,
    "optimizer": "adam",
    "learning_rate": 5e-4,
    "final_learning_rate": 5e-5,
    "optimizer_epsilon": 1.5e-4,
    "max_grad_norm": 10.0,
    "epsilon_start": 1.0,
    "epsilon_final": 0.01,
    "epsilon_steps": 100_000,
    "clip_rewards": True,
    "protocol": "dqn_zoo",
    "frame_size": 42,
    "frame_stack": 4,
}

# Vieillard et al. 2020, arXiv:2007.14430: Dopamine's DQN with Adam; their published settings file.
MUNCHAUSEN = {
    **NATURE.settings,
    "munchausen_alpha": 0.9,
    "munchausen_temperature": 0.03,
    "munchausen_floor": -1.0,
    "optimizer": "adam",
    "learning_rate": 5e-5,
    "final_learning_rate": 5e-5,
    "optimizer_epsilon": 0.01 / 32,
    "learning_starts": 20_000,
    "target_period": 2_000,  # 8,000 actions
    "epsilon_final": 0.01,
    "epsilon_steps": 250_000,
    "protocol": "machado2018",
    "eval_epsilon": 0.001,
}
