"""Stream Q(lambda), Elsayed, Vasan and Mahmood 2024, arXiv:2410.14606: each transition is learnt from once.

No replay, no batch, no target network, one environment. What keeps it from falling apart: sparse first weights,
normalised layers, observations and rewards, and steps that never overshoot. Eligibility traces (Watkins 1989) carry
each error back to what led to it, until the episode ends or an action is random. Method and network: stream.py
and obgd.py in learning/.

Deviations from the paper: the next action is chosen before the present step is learnt from (so that a game may go on
meanwhile); entries of observations are cut at ten standard deviations; a unit of few inputs keeps one weight; an
episode cut short still bootstraps; no clock among the observations; and the network multiplies its output by the
scale of rewards: it expects the environment's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from gymnasium import spaces

from common.errors import UserError
from common.settings import Between, option_name
from learning.config import LearnerConfig, Steps
from learning.heads import select
from learning.losses import Loss, Network
from learning.recipe import Preset, Recipe
from learning.replay import Batch
from learning.stream import Stream, StreamLearner, StreamNetwork

# The network and the optimiser are the method; these settings would change neither.
MEANINGLESS = (
    "head_hidden",
    "spectral_norm",
    "layer_norm",
    "bf16",
    "compile",
    "dueling",
    "optimizer",
    "optimizer_epsilon",
    "rmsprop_decay",
    "max_grad_norm",
)


@dataclass(frozen=True)
class StreamConfig(LearnerConfig):
    """The defaults are for the worlds: 19.7 in Waterworld-v1 after 400,000 steps (one seed, epsilon over 80,000)."""

    num_envs: Annotated[int, Between(1, 1)] = 1
    """A stream has one environment."""
    total_timesteps: Steps = 1_000_000  # about 20 minutes
    gamma: Annotated[float, Between(0.0, 1.0)] = 0.98
    learning_rate: Annotated[float, Between(1e-8, 1.0)] = 1.0  # the paper's
    final_learning_rate: Annotated[float, Between(0.0, 1.0)] = 1.0
    trace_decay: Annotated[float, Between(0.0, 1.0)] = 0.8
    """Lambda: what a trace keeps each step, beside gamma. The paper's."""
    kappa: Annotated[float, Between(0.1, 1000.0)] = 2.0
    """How far within the bound on overshooting a step stays. The paper's."""
    epsilon_final: Annotated[float, Between(0.0, 1.0)] = 0.01  # the paper's
    epsilon_steps: Steps = 200_000  # a fifth of the run, as in the paper

    def check(self) -> None:
        """Raise `UserError` for what the method leaves no room for."""
        for name in MEANINGLESS:
            if getattr(self, name) != getattr(LearnerConfig, name):
                raise UserError(f"{option_name(name)} has no effect on stream_q, whose network and optimiser are fixed")
        if self.encoder == "impala":
            raise UserError("--encoder impala is not available for stream_q")


# All of 100 evaluation episodes of CartPole-v1 lasted to the end, 500 steps, for each of the seeds 1 to 5.
CONTROL = {
    "total_timesteps": 150_000,
    "gamma": 0.99,
    "hidden": (64, 64),
    "epsilon_steps": 30_000,  # a fifth of the run, as in the paper
}

# The defaults of the authors' code for Atari, stream_q_atari.py.
PAPER = {
    "total_timesteps": 10_000_000,  # 40 million frames
    "encoder": "auto",  # 32 8x8/5, 64 4x4/3, 64 3x3/2
    "hidden": (256,),
    "gamma": 0.99,
    "trace_decay": 0.8,
    "kappa": 2.0,
    "learning_rate": 1.0,
    "final_learning_rate": 1.0,
    "epsilon_start": 1.0,
    "epsilon_final": 0.01,
    "epsilon_steps": 500_000,  # a twentieth of the run
    "clip_rewards": False,  # they are scaled
    "protocol": "gallici2024",  # no-ops and FIRE, no sticky actions, a lost life is an end
    "eval_epsilon": 0.01,  # the authors' scores are those of training
    "frame_size": 84,
    "frame_stack": 4,
}


def network(space: spaces.Box, num_actions: int, config: StreamConfig, generator: torch.Generator) -> StreamNetwork:
    """Return a freshly initialised network."""
    return StreamNetwork(space, num_actions, config, generator)


def loss(online: Network, target: Network, batch: Batch, config: StreamConfig) -> Loss:
    """Return the temporal difference error itself, whose gradient the learner's traces remember."""
    both = online(torch.cat((batch.obs, batch.next_obs))).q_values  # (2 B, A), at the price of one
    here, ahead = both.chunk(2)
    q = select(here, batch.action)
    error = batch.reward + batch.discount * ahead.detach().amax(1) - q
    return Loss(error, error.detach().abs(), q.detach())


RECIPE = Recipe(
    name="stream_q",
    paper="Elsayed et al. 2024, arXiv:2410.14606",
    config=StreamConfig,
    presets={
        "default": Preset("Tidepool's worlds, on a CPU", suits="worlds", settings={}),
        "control": Preset("CartPole and other small control tasks, on a CPU", suits="control", settings=CONTROL),
        "paper": Preset("as published (40 million frames)", suits="atari", settings=PAPER),
    },
    network=network,
    loss=loss,
    experience=Stream,
    learner=StreamLearner,
    gains_from_gpu=False,
    switches={"trace_decay": 0.8},
    target_network=False,
)
