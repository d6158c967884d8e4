"""The settings that every recipe shares; an agent's config extends this and gives the values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from common.settings import Between

Steps = Annotated[int, Between(1, 10**11)]


@dataclass(frozen=True)
class LearnerConfig:
    """Everything that the trainer and the learner read; units stand beside each field."""

    total_timesteps: Steps = 1_000_000
    """Agent steps of the whole run, over all environments."""
    num_envs: Annotated[int, Between(1, 4096)] = 16
    """Environments stepped side by side."""
    gamma: Annotated[float, Between(0.0, 1.0)] = 0.99
    """Discount per agent step."""
    optimizer: Literal["adam", "radam", "rmsprop"] = "adam"
    """Adam (arXiv:1412.6980), RAdam (arXiv:1908.03265) or the centred RMSProp of the first DQN."""
    learning_rate: Annotated[float, Between(1e-8, 1.0)] = 5e-4
    """The optimiser's step size at the start."""
    final_learning_rate: Annotated[float, Between(0.0, 1.0)] = 5e-5
    """The optimiser's step size at the end; it falls linearly over the run."""
    optimizer_epsilon: Annotated[float, Between(1e-12, 1.0)] = 1e-8
    """The optimiser's guard against division by zero: Adam adds it to the root, RMSProp under it."""
    rmsprop_decay: Annotated[float, Between(0.0, 1.0)] = 0.95
    """What RMSProp keeps of its running means, per update."""
    max_grad_norm: Annotated[float, Between(1e-6, 1e9)] | None = 10.0
    """Gradients longer than this are cut to it; None: never."""
    epsilon_start: Annotated[float, Between(0.0, 1.0)] = 1.0
    """Share of random actions at the start."""
    epsilon_final: Annotated[float, Between(0.0, 1.0)] = 0.03
    """Share of random actions after the schedule."""
    epsilon_steps: Steps = 60_000
    """Agent steps after learning began over which the share of random actions falls linearly."""
    eval_epsilon: Annotated[float, Between(0.0, 1.0)] | None = None
    """Share of random actions in evaluation; by default the protocol's."""
    clip_rewards: bool = False
    """Learn from the sign-preserving clip of rewards to [-1, 1]; what is logged stays raw."""
    protocol: str = "default"
    """Rules of the episodes. Atari: machado2018 (the default), mnih2015 or dqn_zoo."""
    frame_size: Annotated[int, Between(20, 210)] = 84
    """Atari: height and width of the frames that the network sees, pixels."""
    frame_stack: Annotated[int, Between(1, 16)] = 4
    """Atari: newest frames that make an observation."""


@dataclass(frozen=True)
class ReplayConfig(LearnerConfig):
    """Settings of agents that learn from a replay."""

    learning_starts: Annotated[int, Between(0, 10**9)] = 1_000
    """Agent steps before the first update."""
    n_step: Annotated[int, Between(1, 100)] = 1
    """Rewards summed before bootstrapping, agent steps."""
    capacity: Annotated[int, Between(100, 10**9)] = 200_000
    """Observations that the replay holds."""
    batch_size: Annotated[int, Between(1, 65_536)] = 128
    """Transitions an update learns from."""
    replay_ratio: Annotated[float, Between(0.001, 1024)] = 16.0
    """Transitions learnt from per new transition; independent of the number of environments."""
    target_period: Annotated[int, Between(1, 10**7)] = 500
    """Updates between two copies of the online network to the target network."""


@dataclass(frozen=True)
class RolloutConfig(LearnerConfig):
    """Settings of agents that learn from what was just lived."""

    rollout_steps: Annotated[int, Between(1, 4096)] = 32
    """Steps of every environment that are learnt from together, agent steps."""
    minibatches: Annotated[int, Between(1, 4096)] = 32
    """Parts of a rollout, one update each."""
    epochs: Annotated[int, Between(1, 100)] = 2
    """Times that each transition is learnt from."""
    q_lambda: Annotated[float, Between(0.0, 1.0)] = 0.65
    """Weight of the return that came over the value expected: 0 looks one step ahead, 1 to the rollout's end."""
