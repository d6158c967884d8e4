"""What DQN's family shares: the ideas that can be switched on and off, and how a member is made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from gymnasium import spaces

from agents.atari_presets import CPU
from learning.config import FamilyConfig
from learning.heads import HEADS
from learning.losses import td_loss
from learning.networks import NoisyLinear, QNetwork
from learning.recipe import Preset, Recipe


@dataclass(frozen=True)
class Idea:
    """A component that an agent may have or lack."""

    setting: str
    off: Any
    """What the setting is without it."""
    paper: str


IDEAS = {
    idea.setting: idea
    for idea in (
        Idea("double", False, "van Hasselt et al. 2015, arXiv:1509.06461"),
        Idea("dueling", False, "Wang et al. 2015, arXiv:1511.06581"),
        Idea("prioritized", False, "Schaul et al. 2015, arXiv:1511.05952"),
        Idea("n_step", 1, "Sutton 1988, doi:10.1007/BF00115009"),
        Idea("noisy", False, "Fortunato et al. 2017, arXiv:1706.10295"),
        Idea("munchausen", False, "Vieillard et al. 2020, arXiv:2007.14430"),
        Idea("head", "expected", "Bellemare et al. 2017, arXiv:1707.06887, and others"),
        Idea("spectral_norm", False, "Miyato et al. 2018, arXiv:1802.05957"),
        Idea("layer_norm", False, "Ba et al. 2016, arXiv:1607.06450"),
    )
}

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
# Which way the agent swims makes four kinds of states of one.
BEST = {**LONG, "canonical": True, "total_timesteps": 15_000_000}

# For small tasks whose whole return matters. Measured in CartPole-v1, see results/cartpole.csv: with one-step returns,
# Huber's loss or gamma 0.99 many a network forgot what it had learnt.
CONTROL = {
    "total_timesteps": 100_000,
    "num_envs": 8,
    "hidden": (256, 256),
    "gamma": 0.98,
    "loss": "mse",  # the errors that matter are large ones: an end that was not foreseen
    "capacity": 100_000,
    "target_period": 200,
    "learning_rate": 5e-4,
    "final_learning_rate": 1e-5,
    "epsilon_final": 0.02,
    "epsilon_steps": 20_000,
    "num_atoms": 101,
}
# Pictures of environments that are no Atari games: CPU's values, but for what belongs to these.
PICTURES = {
    **{name: value for name, value in CPU.items() if name not in ("clip_rewards", "protocol", "frame_size", "v_max")},
    "total_timesteps": 500_000,
    "encoder": "auto",
    "num_envs": 8,
    "capacity": 100_000,
    "learning_starts": 5_000,
    "epsilon_steps": 50_000,
}
# CarRacing with five actions, whose steps take 5 ms, most of it drawing: a decision for four of them, small grey
# pictures, and much learnt from each. Measured, see docs/environments.md.
RACING = {
    **PICTURES,
    "total_timesteps": 50_000,
    "picture_size": 48,
    "picture_grayscale": True,
    "action_repeat": 4,
    "gamma": 0.98,
    "reward_scale": 0.1,  # a lap brings 900 in 250 decisions
    "replay_ratio": 24.0,
    "learning_starts": 1_000,
    "epsilon_steps": 5_000,
}
# Any other vector environment; measured in several, see docs/environments.md. With fewer updates, or with raw rewards,
# LunarLander is not learnt; with one-step returns MountainCar is not.
GENERAL = {
    **CONTROL,
    "total_timesteps": 300_000,
    "gamma": 0.99,
    "reward_scale": None,
    "batch_size": 128,
    "replay_ratio": 64.0,
    "epsilon_final": 0.05,
    "n_step": 3,
}
# Numbered states. Returns of several steps hold the random actions in them, and what is learnt is what it is worth to
# go on exploring: CliffWalking's agent then keeps away from the edge. Here one step is enough, there is nothing to
# generalise. Squared errors give the mean of returns that vary, as FrozenLake's; Huber's loss does not.
TABULAR = {**GENERAL, "total_timesteps": 100_000, "n_step": 1}
# The same, whatever the agent itself has: random actions reach failures that good play never sees, and with the paper's
# noise of 0.5 one seed in three of Rainbow and of BTR never learnt to stay.
CONTROL_FOR_ALL = {"n_step": 10, "noisy_epsilon": True, "noisy_sigma": 0.1}
# Of those with the most ideas at once; with 200 some seeds end at 400 to 470.
SLOWER_TARGET = {"target_period": 500}


def member(
    name: str,
    paper: str,
    switches: Mapping[str, Any],
    *,
    published: Mapping[str, Any] | None = None,
    vectors: Mapping[str, Any] | None = None,
    worlds: Mapping[str, Any] | None = None,
    control: Mapping[str, Any] | None = None,
    general: Mapping[str, Any] | None = None,
    presets: Mapping[str, Preset] | None = None,
) -> Recipe:
    """Return DQN with some of its switches on.

    Args:
        name: of the agent.
        paper: where it was published.
        switches: what makes it different from DQN, in every preset.
        published: the paper's settings for Atari: the preset "paper". `agents/published.csv` has a line for each.
        vectors: further settings where observations are vectors.
        worlds: further ones for this project's worlds, in the preset "default".
        control: further ones for small tasks.
        general: further ones for any other vectors.
        presets: further ones.
    """
    plain = {**switches, **(vectors or {})}
    control = {**CONTROL, **plain, **CONTROL_FOR_ALL, **(control or {})}
    # their n-step returns are the kind of environment's, whatever the agent itself has
    others, tabular = ({**one, **plain, "n_step": one["n_step"]} for one in (GENERAL, TABULAR))
    general = {**others, **(general or {})}
    pictures = {**PICTURES, **switches}
    own = {"paper": Preset("as published, for a GPU", "atari", {**(published or {}), **switches})}
    return Recipe(
        name,
        paper,
        FamilyConfig,
        switches=switches,
        network=network,
        loss=td_loss,
        presets={
            "default": Preset("Tidepool's worlds in minutes, on two CPU cores", "worlds", {**plain, **(worlds or {})}),
            "long": Preset("four times the network, six times the steps", "worlds", {**LONG, **switches}),
            "best": Preset(
                "Waterworld-v1 as well as is known: 15 million steps, 20 minutes on one core",
                "worlds",
                {**BEST, **switches},
            ),
            "control": Preset(
                "CartPole and other small control tasks in a minute, on two CPU cores", "control", control
            ),
            "pictures": Preset(
                "pictures of other environments, as they are; smaller and grey is faster", "pictures", pictures
            ),
            "racing": Preset(
                "CarRacing with discrete actions, in half an hour on two CPU cores", "pictures", {**RACING, **switches}
            ),
            "general": Preset("any other vectors, in a few minutes on two CPU cores", "control", general),
            "tabular": Preset("numbered states, as FrozenLake's, on two CPU cores", "control", tabular),
            **(own if published else {}),
            **(presets or {}),
            "cpu": Preset("small frames and a small network, for CPUs", "atari", {**CPU, **switches}),
        },
    )


def network(space: spaces.Box, num_actions: int, config: FamilyConfig, generator: torch.Generator) -> QNetwork:
    """Return a freshly initialised Q network with the head and the layers that the switches ask for."""

    def linear(inputs: int, outputs: int) -> torch.nn.Module:
        if config.noisy:
            return NoisyLinear(inputs, outputs, config.noisy_sigma)
        return torch.nn.Linear(inputs, outputs)

    return QNetwork(space, num_actions, config, generator, HEADS[config.head](config), linear, config.canonical)
