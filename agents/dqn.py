"""DQN: deep Q-learning, Mnih et al. 2015, doi:10.1038/nature14236.

A network outputs, for each action, the expected discounted return; its error is the distance to the
reward that came plus what a slower copy of it expects of the next observation.

Deviations from the paper, all of them switches or settings below: by default the recipe for vector
observations is a fully connected network with double Q-learning (arXiv:1509.06461), a dueling head
(arXiv:1511.06581) and n-step returns (Sutton 1988), trained by Adam (arXiv:1412.6980) from many
environments at once. `--no-double --no-dueling --n-step 1` is the plain algorithm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from gymnasium import spaces

from agents.atari_presets import ATARI
from common.settings import Between
from learning.config import ReplayConfig, Steps
from learning.losses import Loss, Network, td_loss
from learning.networks import QNetwork
from learning.recipe import Preset, Recipe
from learning.replay import Batch


@dataclass(frozen=True)
class DQNConfig(ReplayConfig):
    """The defaults learn Waterworld-v1 within three minutes on two CPU cores; each was measured there."""

    hidden: tuple[Annotated[int, Between(1, 8192)], ...] = (128, 128)
    """Units of each hidden layer."""
    encoder: Literal["auto", "mlp", "nature", "workshop", "small"] = "auto"
    """What comes before the hidden layers: convolutions for frames, nothing for vectors."""
    loss: Literal["huber", "mse"] = "huber"
    """Huber's (errors beyond 1 count linearly; Mnih et al. 2015 clip them) or squared errors."""
    double: bool = True
    """The online network chooses the next action, the target network judges it. arXiv:1509.06461."""
    dueling: bool = True
    """Value and advantages apart. arXiv:1511.06581."""
    total_timesteps: Steps = 800_000
    num_envs: Annotated[int, Between(1, 4096)] = 32
    replay_ratio: Annotated[float, Between(0.001, 1024)] = 8.0
    gamma: Annotated[float, Between(0.0, 1.0)] = 0.98
    n_step: Annotated[int, Between(1, 100)] = 3
    learning_rate: Annotated[float, Between(1e-8, 1.0)] = 1e-3
    final_learning_rate: Annotated[float, Between(0.0, 1.0)] = 5e-5


# Four times the network, six times the experience.
LONG = {
    "total_timesteps": 5_000_000,
    "num_envs": 64,
    "hidden": (256, 256),
    "batch_size": 256,
    "capacity": 500_000,
    "learning_rate": 7e-4,
    "final_learning_rate": 1e-5,
    "epsilon_final": 0.02,
}


def network(space: spaces.Box, num_actions: int, config: DQNConfig, generator: torch.Generator) -> QNetwork:
    """Return a freshly drawn Q network."""
    return QNetwork(space, num_actions, config.encoder, config.hidden, config.dueling, generator)


def loss(online: Network, target: Network, batch: Batch, config: DQNConfig) -> Loss:
    """Return the loss of the temporal difference error."""
    return td_loss(online, target, batch, config.double, config.loss)


RECIPE = Recipe(
    name="dqn",
    paper="Mnih et al. 2015, doi:10.1038/nature14236",
    config=DQNConfig,
    presets={
        "default": Preset("Waterworld-v1 in about 2 minutes on two CPU cores", frames=False, settings={}),
        "long": Preset("Waterworld-v1 in about 17 minutes on two CPU cores", frames=False, settings=LONG),
        **ATARI,
    },
    network=network,
    loss=loss,
)
