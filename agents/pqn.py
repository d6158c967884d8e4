"""PQN: parallelised Q-network, Gallici et al. 2024, arXiv:2407.04811.

This is Q-learning without replay and without target network: many environments give fresh experience,
Peng's Q(lambda) returns look far ahead, and layer normalisation keeps the values from running away. The
network moves its expectation of each action taken towards the return, a few times, and discards the data.

Deviations from the paper: LayerNorm has one scale and shift a channel in convolutions and is taken over
channels, height and width (as CleanRL does; purejaxql normalises the channels of each pixel); normal weights are not
truncated (flax's are); after the loss of a life the game goes on at once (envpool idles and presses FIRE again).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from gymnasium import spaces

from common.settings import Between
from learning.config import RolloutConfig, Steps
from learning.heads import select, squared
from learning.losses import Loss, Network
from learning.networks import QNetwork
from learning.recipe import Preset, Recipe
from learning.replay import Batch
from learning.rollout import Rollout


@dataclass(frozen=True)
class PQNConfig(RolloutConfig):
    """The defaults are for vectors on a CPU."""

    layer_norm: bool = True
    """Normalise every layer's output before its ReLU: what lets it do without a target network."""
    num_envs: Annotated[int, Between(1, 4096)] = 32
    minibatches: Annotated[int, Between(1, 4096)] = 8
    total_timesteps: Steps = 1_000_000
    optimizer: Literal["adam", "radam", "rmsprop"] = "radam"


# The paper's table of Atari settings, as in its code (purejaxql).
TABLE = {
    "total_timesteps": 50_000_000,  # 200 million frames
    "num_envs": 128,
    "rollout_steps": 32,
    "minibatches": 32,
    "epochs": 2,
    "q_lambda": 0.65,
    "gamma": 0.99,
    "learning_rate": 2.5e-4,
    "final_learning_rate": 2.5e-4,  # constant
    "max_grad_norm": 10.0,
    "epsilon_final": 0.001,
    "epsilon_steps": 5_000_000,  # a tenth of the run
    "encoder": "nature",
    "hidden": (512,),
    "clip_rewards": True,
}
PAPER = {
    **TABLE,
    "optimizer_epsilon": 1e-8,  # optax
    "last_layer": "lecun",  # flax's default for dense layers
    "norm_epsilon": 1e-6,  # and for LayerNorm
    "protocol": "gallici2024",  # no-ops and FIRE, no sticky actions, life loss cuts the bootstrap
    "eval_epsilon": 0.0,
}

# Found by measuring on two AMD Zen 3 cores; see docs/atari.md.
CPU = {
    **TABLE,
    "protocol": "dqn_zoo",
    "total_timesteps": 2_000_000,
    "num_envs": 32,
    "minibatches": 8,
    "q_lambda": 0.9,
    "learning_rate": 5e-4,
    "final_learning_rate": 1e-5,
    "epsilon_final": 0.01,
    "epsilon_steps": 150_000,
    "encoder": "mnih2013",  # Mnih et al. 2013: a third of Nature's work
    "hidden": (256,),
}


# What D3QN's family has there: every transition is learnt from eight times, with its step size. Twice, as in Atari,
# learnt less than half as much in as many steps: see its page.
WORLDS = {
    "epochs": 8,
    "learning_rate": 1e-3,
}

# For small tasks whose whole return matters.
CONTROL = {
    "total_timesteps": 300_000,
    "gamma": 0.99,
    "rollout_steps": 16,
    "epochs": 4,
    "learning_rate": 1e-3,
    "final_learning_rate": 1e-4,
    "epsilon_final": 0.05,
    "epsilon_steps": 30_000,
}


def network(space: spaces.Box, num_actions: int, config: PQNConfig, generator: torch.Generator) -> QNetwork:
    """Return a freshly initialised Q network."""
    return QNetwork(space, num_actions, config, generator)


def loss(online: Network, target: Network, batch: Batch, config: PQNConfig) -> Loss:
    """Return the squared error of the expectations against the whole returns, without a target network."""
    q = select(online(batch.obs).q_values, batch.action)
    error = batch.reward - q
    return Loss(squared(error), error.detach().abs(), q.detach())


RECIPE = Recipe(
    name="pqn",
    paper="Gallici et al. 2024, arXiv:2407.04811",
    config=PQNConfig,
    presets={
        "default": Preset("Tidepool's worlds, on a CPU", suits="worlds", settings=WORLDS),
        "control": Preset("CartPole and other small control tasks, on a CPU", suits="control", settings=CONTROL),
        "paper": Preset("PQN as published, for a GPU (200 million frames)", suits="atari", settings=PAPER),
        "cpu": Preset(
            "the small network of 2013, no replay, no sticky actions: what learns fastest on two CPU cores",
            suits="atari",
            settings=CPU,
        ),
    },
    network=network,
    loss=loss,
    experience=Rollout,
    switches={"layer_norm": True, "q_lambda": 0.65},
    target_network=False,
)
