"""The settings that every recipe shares, the schedules they describe, and the random streams of a seed.

An agent's config extends one of these classes and gives the values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from common.errors import UserError
from common.settings import Between, Needs

Steps = Annotated[int, Between(1, 10**11)]
Units = tuple[Annotated[int, Between(1, 8192)], ...]
IMPALA = Needs("encoder", "impala")
PRIORITIZED = Needs("prioritized", True)
NORMALISED = Needs("layer_norm", True)


"""Values that change over a run."""


def linear(start: float, end: float, duration: float, now: float) -> float:
    """Return the value on the line from ``start`` to ``end``, which it reaches after ``duration`` and keeps."""
    return start + (end - start) * min(max(now / duration, 0.0), 1.0)


def exponential(start: float, end: float, duration: float, now: float) -> float:
    """Return what is left of ``start`` when each step takes 1 / ``duration`` of its distance to ``end``.

    As in BTR's code, Clark et al. 2024, arXiv:2411.03820.
    """
    return end + (start - end) * math.pow(1.0 - 1.0 / duration, max(now, 0.0))


SCHEDULES: dict[str, Callable[[float, float, float, float], float]] = {"linear": linear, "exponential": exponential}


@dataclass(frozen=True)
class LearnerConfig:
    """Everything that the trainer and the learner read; units stand beside each field."""

    total_timesteps: Steps = 1_000_000
    """Agent steps of the whole run, over all environments."""
    schedule_timesteps: Steps | None = None
    """Agent steps over which learning rate and importance exponent change; by default the whole run."""
    num_envs: Annotated[int, Between(1, 4096)] = 16
    """Environments stepped side by side."""
    hidden: Units = (128, 128)
    """Units of each fully connected layer between encoder and head."""
    head_hidden: Units = ()
    """Units of each hidden layer of the head; with --dueling, of each of its two streams."""
    encoder: Literal["auto", "mlp", "nature", "mnih2013", "small", "impala"] = "auto"
    """What precedes the hidden layers: convolutions for frames, nothing (mlp) for vectors."""
    impala_width: Annotated[int, Between(1, 16), IMPALA] = 1
    """Multiplier of the 16, 32 and 32 channels of Espeholt et al. 2018, arXiv:1802.01561."""
    impala_pool: Annotated[int, Between(0, 64), IMPALA] = 0
    """Height and width of the features after adaptive max pooling; 0: no pooling. arXiv:2411.03820."""
    spectral_norm: Annotated[bool, IMPALA] = False
    """Normalise the residual blocks' convolutions by their largest singular value. arXiv:1802.05957."""
    layer_norm: bool = False
    """Normalise every layer's output before its ReLU. arXiv:1607.06450."""
    norm_epsilon: Annotated[float, Between(1e-12, 1.0), NORMALISED] = 1e-5
    """Added to the variance that layer normalisation divides by; torch's, flax has 1e-6."""
    last_layer: Annotated[Literal["orthogonal", "lecun"], NORMALISED] = "orthogonal"
    """First weights of a normalised network's last layer: small ones, or LeCun's, normal with variance 1 / inputs."""
    on_nan: Literal["stop", "skip"] = "stop"
    """What a NaN or infinite loss or gradient does: end the run, or its update is left out, and counted."""
    bf16: bool = False
    """Compute the convolutions in bfloat16 on a GPU: faster for large ones, and less exact; elsewhere no effect."""
    compile: bool = False
    """Join the kernels between convolutions by torch.compile on a GPU: half a minute at the start; else no effect."""
    dueling: bool = False
    """Separate streams for value and advantages. Wang et al. 2015, arXiv:1511.06581."""
    gamma: Annotated[float, Between(0.0, 1.0)] = 0.99
    """Discount per agent step."""
    optimizer: Literal["adam", "radam", "rmsprop"] = "adam"
    """Adam (arXiv:1412.6980), RAdam (arXiv:1908.03265) or the centred RMSProp of the first DQN."""
    learning_rate: Annotated[float, Between(1e-8, 1.0)] = 5e-4
    """The optimiser's step size at the start."""
    final_learning_rate: Annotated[float, Between(0.0, 1.0)] = 5e-5
    """The optimiser's step size at the end; it falls linearly over the run."""
    optimizer_epsilon: Annotated[float, Between(1e-12, 1.0)] = 1e-8
    """Added to the denominator: by Adam outside the square root, by RMSProp inside it."""
    rmsprop_decay: Annotated[float, Between(0.0, 1.0)] = 0.95
    """Decay of RMSProp's running means, per update."""
    max_grad_norm: Annotated[float, Between(1e-6, 1e9)] | None = 10.0
    """Gradients with a larger norm are clipped to it; None: never."""
    epsilon_start: Annotated[float, Between(0.0, 1.0)] = 1.0
    """Share of random actions at the start."""
    epsilon_final: Annotated[float, Between(0.0, 1.0)] = 0.03
    """Share of random actions after the schedule."""
    epsilon_steps: Steps = 60_000
    """Agent steps over which the share of random actions falls; exponential: in which it would, at its first pace."""
    epsilon_schedule: Literal["linear", "exponential"] = "linear"
    """How it falls: along a line, or by 1 / epsilon_steps of what is left to fall, at each step."""
    epsilon_waits: bool = True
    """It begins to fall when learning begins; else at the first step."""
    epsilon_share: Annotated[float, Between(0.0, 1.0)] = 1.0
    """Share of the run after which no action is random any more; 1: there is no such end."""
    eval_epsilon: Annotated[float, Between(0.0, 1.0)] | None = None
    """Share of random actions in evaluation; by default the protocol's."""
    eval_max_steps: Annotated[int, Between(1, 10**9)] | None = None
    """Agent steps after which an evaluation cuts an episode; by default 10,000, where the environment has no limit."""
    clip_rewards: bool = False
    """Clip the rewards that are learnt from to [-1, 1]; logged returns stay raw."""
    action_mask: Literal["auto", "off"] = "auto"
    """Choose among the allowed actions where the environment names them: info["action_mask"] or action_masks()."""
    reward_scale: Annotated[float, Between(1e-12, 1e12)] | None = 1.0
    """Factor of the rewards that are learnt from, and so of expectations; None: random play finds one."""
    protocol: str = "default"
    """Rules of the episodes: machado2018 (the default), mnih2015, dqn_zoo, gallici2024 or clark2024."""
    stagger: Annotated[int, Between(0, 10**6)] = 0
    """Random steps that part the environments before the run: of N the i-th (from 0) takes i / N of them, uncounted."""
    frame_size: Annotated[int, Between(20, 210)] = 84
    """Height and width of the frames that the network sees, pixels."""
    full_action_space: bool = False
    """All 18 actions of the joystick in place of those that the game uses; so asks Machado et al. 2018."""
    mode: Annotated[int, Between(0, 255)] | None = None
    """Mode of the Atari game, by its number; None: the first. Machado et al. 2018, arXiv:1709.06009."""
    difficulty: Annotated[int, Between(0, 3)] | None = None
    """Difficulty of the Atari game, by its number; None: the first."""
    frame_stack: Annotated[int, Between(1, 16)] = 4
    """Newest frames stacked into an observation, of Atari games and of other environments that give pictures."""
    env_kwargs: tuple[str, ...] = ()
    """KEY=VALUE: arguments of the environment's constructor, as is_slippery=False."""
    picture_size: Annotated[int, Between(16, 512)] | None = None
    """Height and width that an environment's pictures are resized to, pixels; None: as they are. Not for Atari."""
    picture_grayscale: bool = False
    """Pictures in colour become grey; not for Atari, whose frames are."""
    action_repeat: Annotated[int, Between(1, 100)] = 1
    """Steps of the environment that an action lasts; their rewards are added up. Not for Atari: four frames there."""

    def learnt_rewards(self, reward: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return rewards as they are learnt from, same shape."""
        clipped = np.clip(reward, -1.0, 1.0) if self.clip_rewards else reward
        return clipped if self.reward_scale in (1.0, None) else clipped * self.reward_scale

    def epsilon(self, steps: int, learning_starts: int = 0) -> float:
        """Return the share of random actions after so many agent steps; learning began after ``learning_starts``."""
        if self.epsilon_share < 1.0 and steps >= self.epsilon_share * self.schedule_steps:
            return 0.0
        falling = steps - learning_starts if self.epsilon_waits else steps
        schedule = SCHEDULES[self.epsilon_schedule]
        return schedule(self.epsilon_start, self.epsilon_final, self.epsilon_steps, falling)

    def learning_rate_at(self, steps: int) -> float:
        """Return the optimiser's step size after so many agent steps."""
        return linear(self.learning_rate, self.final_learning_rate, self.schedule_steps, steps)

    @property
    def schedule_steps(self) -> int:
        """Agent steps over which the schedules go that go over the run."""
        return self.schedule_timesteps or self.total_timesteps

    def notes(self) -> list[str]:
        """Return notes that are printed before a run with these settings."""
        return []


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
    """Transitions in an update."""
    replay_ratio: Annotated[float, Between(0.001, 1024)] = 16.0
    """Transitions learnt from per new transition; independent of the number of environments."""
    target_period: Annotated[int, Between(1, 10**7)] = 500
    """Updates between two copies of the online network to the target network."""
    prioritized: bool = False
    """Sample transitions in proportion to their priority. Schaul et al. 2015, arXiv:1511.05952."""
    priority_exponent: Annotated[float, Between(0.0, 10.0), PRIORITIZED] = 0.6
    """A transition is sampled in proportion to its priority to this power; 0 is uniform."""
    importance_exponent: Annotated[float, Between(0.0, 1.0), PRIORITIZED] = 0.4
    """How much of the sampling bias the importance weights correct, at the start of the run."""
    final_importance_exponent: Annotated[float, Between(0.0, 1.0), PRIORITIZED] = 1.0
    """The same at the end; it changes linearly."""
    uniform_share: Annotated[float, Between(0.0, 1.0), PRIORITIZED] = 0.0
    """Share of the samples that are drawn uniformly all the same."""
    importance_norm: Annotated[Literal["batch", "replay"], PRIORITIZED] = "batch"
    """What has the importance weight 1: the least likely transition of the batch, or of the whole replay."""
    priority: Annotated[Literal["td_error", "loss", "pairwise"], PRIORITIZED] = "td_error"
    """What a priority is: the size of the mean's TD error (with atoms: the divergence), the loss, or the sum over
    predicted quantiles of the mean size of their errors to all target quantiles (without quantiles: as td_error)."""


ATOMS, QUANTILES = Needs("head", "categorical", "histogram"), Needs("head", "quantile", "implicit_quantile")
NOISY, MUNCHAUSEN = Needs("noisy", True), Needs("munchausen", True)
Real = Between(-1e9, 1e9)


@dataclass(frozen=True)
class FamilyConfig(ReplayConfig):
    """The switches of DQN's family, all off, and their settings.

    The defaults learn Waterworld-v1 within three minutes on two CPU cores; each was measured there.
    """

    total_timesteps: Steps = 900_000
    num_envs: Annotated[int, Between(1, 4096)] = 32
    replay_ratio: Annotated[float, Between(0.001, 1024)] = 8.0
    gamma: Annotated[float, Between(0.0, 1.0)] = 0.98
    learning_rate: Annotated[float, Between(1e-8, 1.0)] = 1e-3
    final_learning_rate: Annotated[float, Between(0.0, 1.0)] = 5e-5
    canonical: bool = False
    """See one of an observation's mirror images in place of all, where the environment has such: Waterworld-v1."""
    double: bool = False
    """The online network chooses the next action, the target network evaluates it. arXiv:1509.06461."""
    noisy: bool = False
    """Fully connected layers with learnt noise explore in place of random actions. arXiv:1706.10295."""
    noisy_sigma: Annotated[float, Between(0.0, 10.0), NOISY] = 0.5
    """Initial standard deviation of the noise, in units of 1 / sqrt(inputs of the layer)."""
    noisy_epsilon: Annotated[bool, NOISY] = False
    """Keep epsilon-greedy exploration beside the noise."""
    munchausen: bool = False
    """Add the action's log-probability to its reward, and bootstrap from a softmax policy. arXiv:2007.14430."""
    munchausen_alpha: Annotated[float, Between(0.0, 1.0), MUNCHAUSEN] = 0.9
    """Share of the log-probability that is added."""
    munchausen_temperature: Annotated[float, Between(1e-6, 1e3), MUNCHAUSEN] = 0.03
    """Temperature of the softmax policy."""
    munchausen_floor: Annotated[float, Between(-1e6, 0.0), MUNCHAUSEN] = -1.0
    """Lower bound of temperature * log-probability."""
    munchausen_network: Annotated[Literal["target", "online"], MUNCHAUSEN] = "target"
    """Network that the log-probability is taken from: the target network (paper) or the online one (BTR)."""
    head: Literal["expected", "categorical", "quantile", "implicit_quantile", "histogram"] = "expected"
    """What the network outputs for each action: its expected return, or a distribution of returns."""
    loss: Annotated[Literal["huber", "mse"], Needs("head", "expected")] = "huber"
    """Huber's (errors beyond 1 count linearly; Mnih et al. 2015 clip them) or squared errors."""
    num_atoms: Annotated[int, Between(2, 10_001), ATOMS] = 51
    """Returns between v_min and v_max that get a probability."""
    v_min: Annotated[float, Real, ATOMS] | None = None
    """Lowest return; None: -v_max, and without that chosen as v_max is."""
    v_max: Annotated[float, Real, ATOMS] | None = None
    """Highest return; None: what is known of the world, or chosen from the rewards of random play, and recorded."""
    bin_sigma: Annotated[float, Between(0.01, 100.0), Needs("head", "histogram")] = 0.75
    """Width of the Gaussian that a value is smeared with, bins."""
    bin_range: Annotated[Literal["edges", "centres"], Needs("head", "histogram")] = "edges"
    """What lies at v_min and v_max: the outer edges of the outer bins, or their centres, as in versions before this."""
    num_quantiles: Annotated[int, Between(1, 1000), QUANTILES] = 32
    """Quantiles that the network outputs, or quantile fractions sampled in learning."""
    acting_quantiles: Annotated[int, Between(1, 1000), Needs("head", "implicit_quantile")] = 32
    """Quantile fractions whose mean is the expectation when it acts; K of Dabney et al. 2018, arXiv:1806.06923."""
    policy_quantiles: Annotated[int, Between(0, 1000), Needs("head", "implicit_quantile")] = 0
    """Fractions drawn apart for the policy that is learnt about: the next action, and Munchausen's log-probability by
    the target network; 0: those that the returns are read at do for both."""

    def epsilon(self, steps: int, learning_starts: int = 0) -> float:
        """Return the share of random actions: none where noise explores."""
        return 0.0 if self.noisy and not self.noisy_epsilon else super().epsilon(steps, learning_starts)

    def with_range(self, known: tuple[float, float] | None) -> FamilyConfig:
        """Return the settings with a known range of returns, unless one was given."""
        if known is None or self.v_min is not None or self.v_max is not None:
            return self
        return replace(self, v_min=known[0], v_max=known[1])

    @property
    def has_range(self) -> bool:
        """Whether the head covers a range of returns."""
        return self.head in ATOMS.values

    @property
    def support(self) -> tuple[float, float]:
        """The lowest and the highest return that have a probability; without any, as for rewards of at most 1."""
        high = 1.2 / (1 - min(self.gamma, 0.9999)) if self.v_max is None else self.v_max
        return (-high if self.v_min is None else self.v_min), high

    def check(self) -> None:
        """Raise `UserError` for incompatible settings."""
        low, high = self.support
        if self.has_range and low >= high:
            raise UserError(f"--v-min {low:g} is not below --v-max {high:g}")

    def notes(self) -> list[str]:
        """Return notes that are printed before a run with these settings."""
        if self.noisy and self.epsilon(0) > 0:
            return ["both noisy layers and random actions explore; --no-noisy-epsilon turns the random actions off"]
        return []


@dataclass(frozen=True)
class RolloutConfig(LearnerConfig):
    """Settings of agents that learn from the newest transitions only."""

    rollout_steps: Annotated[int, Between(1, 4096)] = 32
    """Steps of every environment in a rollout, agent steps."""
    minibatches: Annotated[int, Between(1, 4096)] = 32
    """Minibatches of a rollout, one update each."""
    epochs: Annotated[int, Between(1, 100)] = 2
    """Passes over each rollout."""
    q_lambda: Annotated[float, Between(0.0, 1.0)] = 0.65
    """Lambda of the returns: 0 bootstraps after one step, 1 at the rollout's end."""

    @property
    def batch_size(self) -> int:
        """Transitions of a minibatch, at most."""
        return -(-self.num_envs * self.rollout_steps // self.minibatches)


# ------------------------------------------------------------------ random streams

# Names of the streams; a new one is appended, so that old runs stay reproducible.
STREAMS = ("network", "exploration", "replay", "episodes", "evaluation", "noise", "range", "stagger")


def _sequence(seed: int, stream: str, *more: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, STREAMS.index(stream), *more])


def numpy_generator(seed: int, stream: str) -> np.random.Generator:
    """Return the NumPy generator of a stream."""
    return np.random.default_rng(_sequence(seed, stream))


def torch_generator(seed: int, stream: str) -> torch.Generator:
    """Return the torch generator (on the CPU) of a stream."""
    generator = torch.Generator()
    generator.manual_seed(torch_seed(seed, stream))
    return generator


def torch_seed(seed: int, stream: str) -> int:
    """Return the seed of a torch generator of a stream, 63 bits."""
    return int(_sequence(seed, stream).generate_state(1, np.uint64)[0]) >> 1


def episode_generator(seed: int, stream: str, episode: int) -> np.random.Generator:
    """Return the NumPy generator of one episode, for the random actions in it."""
    return np.random.default_rng(_sequence(seed, stream, 1, episode))


def episode_seed(seed: int, stream: str, env: int, episode: int) -> int:
    """Return the seed of environment ``env``'s ``episode``-th episode, 32 bits.

    A running episode is this seed and its actions: that is all a checkpoint keeps of it.
    """
    return int(_sequence(seed, stream, env, episode).generate_state(1)[0])
