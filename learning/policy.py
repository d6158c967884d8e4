"""The interface of everything that plays, and a trained network with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import envs
from common.errors import UserError
from learning.config import FamilyConfig, LearnerConfig, ReplayConfig
from learning.heads import not_forbidden
from learning.insight import NetworkReader
from learning.networks import epsilon_greedy


@runtime_checkable
class Policy(Protocol):
    """Chooses actions for a batch of observations: a trained network, a script, a random policy."""

    name: str
    """Who plays: ``dqn``, ``karpathy_pretrained``, ``apple_chaser``, ``random``."""

    env_id: str | None
    """The environment it was made for; None: any."""

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64] | None:
        """Return the expected return of each action: (B, ...) -> (B, A); None if it has no such estimate."""
        ...

    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the actions (B,) for observations (B, ...).

        ``epsilon`` is the chance, per row, of a uniformly random action instead of the policy's own;
        ``rng`` is the only source of randomness.
        """
        ...


@dataclass(frozen=True)
class Munchausen:
    """The bonus on rewards of Vieillard et al. 2020, arXiv:2007.14430; the next action is soft with it."""

    alpha: float
    temperature: float
    floor: float
    by_online: bool = False
    """The log-probability is of the online network's policy, not the target network's."""


@dataclass(frozen=True)
class Training:
    """How a network was trained, as far as its expectations depend on it."""

    gamma: float
    """Discount per agent step."""
    clip_rewards: bool = False
    """Rewards were clipped to [-1, 1], so its expectations are of clipped rewards."""
    reward_scale: float = 1.0
    """Rewards were multiplied by this, after clipping; so are its expectations."""
    life_loss_ends: bool = False
    """Its expectations end at the loss of the next life."""
    target_network: bool = True
    """The targets came from a target network, which a saved agent does not include."""
    double: bool = False
    """The online network chose the next action."""
    n_step: int = 1
    """Rewards summed before bootstrapping, agent steps."""
    q_lambda: float | None = None
    """Lambda of Peng's Q(lambda) returns; None: n-step returns."""
    trace_decay: float | None = None
    """Lambda of eligibility traces; None: no traces."""
    head: str = "expected"
    """What its outputs mean: a name of `learning.heads.HEADS`."""
    munchausen: Munchausen | None = None

    def learnt(self, reward: float) -> float:
        """Return a reward as the agent learnt from it."""
        clipped = min(max(reward, -1.0), 1.0) if self.clip_rewards else reward
        return clipped * self.reward_scale

    @property
    def of_rewards(self) -> str:
        """What was done to the rewards; empty: nothing."""
        clipped = "rewards clipped to [-1, 1]" if self.clip_rewards else ""
        if self.reward_scale == 1.0:
            return clipped
        return f"{clipped or 'rewards'} times {self.reward_scale:g}"

    @classmethod
    def of(cls, config: LearnerConfig, life_loss_ends: bool = False) -> Training:
        """Return this for some settings; ``life_loss_ends`` is the protocol's."""
        family = config if isinstance(config, FamilyConfig) else FamilyConfig()
        return cls(
            gamma=config.gamma,
            clip_rewards=config.clip_rewards,
            reward_scale=config.reward_scale or 1.0,
            life_loss_ends=life_loss_ends,
            target_network=isinstance(config, ReplayConfig),
            double=family.double,
            n_step=config.n_step if isinstance(config, ReplayConfig) else 1,
            q_lambda=getattr(config, "q_lambda", None),
            trace_decay=getattr(config, "trace_decay", None),
            head=family.head,
            munchausen=Munchausen(
                family.munchausen_alpha,
                family.munchausen_temperature,
                family.munchausen_floor,
                family.munchausen_network == "online",
            )
            if family.munchausen
            else None,
        )


class NetworkPolicy:
    """A Q network that plays: the action with the highest expectation, or a random one.

    ``training`` is how it was trained; None: unknown.
    """

    def __init__(
        self,
        name: str,
        env_id: str | None,
        network: nn.Module,
        num_actions: int,
        default_epsilon: float = 0.0,
        env_options: Mapping[str, Any] | None = None,
        protocol: str = "default",
        training: Training | None = None,
        eval_max_steps: int | None = None,
    ) -> None:
        self.name, self.env_id, self.num_actions = name, env_id, num_actions
        self.default_epsilon, self.protocol = default_epsilon, protocol
        self.env_options = dict(env_options or {})  # of the environment in which it is evaluated
        self.eval_max_steps = eval_max_steps  # the cap that its evaluations were asked for
        self.training = training
        self.network = network
        self.masked = bool(getattr(network, "choices", 0))  # its observations say which actions are allowed
        self.device = next(network.parameters()).device

    @torch.inference_mode()
    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the expected discounted return of each action, (B, ...) -> (B, A); -inf where it is not allowed."""
        q = self.network(torch.from_numpy(obs).to(self.device)).q_values
        q_values: NDArray[np.float64] = q.cpu().numpy().astype(np.float64)
        return np.where(not_forbidden(q_values), q_values, -np.inf) if self.masked else q_values

    @torch.inference_mode()
    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return epsilon-greedy actions, (B, ...) -> (B,)."""
        if self.masked:
            return self.choose(self.q_values(obs), epsilon, rng)
        best = self.network(torch.from_numpy(obs).to(self.device)).q_values.argmax(1)
        return epsilon_greedy(best.cpu().numpy(), self.num_actions, epsilon, rng)

    def choose(self, q_values: NDArray[np.float64], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the actions of `act`, (B,), for expectations (B, A) computed before."""
        allowed = not_forbidden(q_values) if self.masked else None
        return epsilon_greedy(q_values.argmax(1), self.num_actions, epsilon, rng, allowed)

    def reader(self) -> NetworkReader:
        """Return the reader of its network."""
        return NetworkReader(self.network)


def player(name: str, config: LearnerConfig, env_id: str, network: nn.Module, num_actions: int) -> NetworkPolicy:
    """Return a network as a policy, under the protocol that its settings name."""
    rules = protocol(env_id, config)
    epsilon = rules.eval_epsilon if config.eval_epsilon is None else config.eval_epsilon
    return NetworkPolicy(
        name,
        env_id,
        network,
        num_actions,
        epsilon,
        env_options(env_id, config, evaluation=True),
        rules.name,
        Training.of(config, rules.life_loss_cuts),
        config.eval_max_steps,
    )


def protocol(env_id: str, config: LearnerConfig) -> envs.Protocol:
    """Return the rules of the episodes that the settings ask for."""
    variant = [*config.env_kwargs]
    if envs.is_atari(env_id):
        variant += ["full_action_space"] if config.full_action_space else []
        variant += [
            f"{name}={value}" for name in ("mode", "difficulty") if (value := getattr(config, name)) is not None
        ]
    return envs.protocol(env_id, config.protocol, variant)


def env_options(env_id: str, config: LearnerConfig, evaluation: bool) -> dict[str, Any]:
    """Return the options of the environments that the settings ask for.

    Raises:
        UserError: an action shall last several steps where it can't.
    """
    if config.action_repeat > 1 and (envs.is_atari(env_id) or envs.is_world(env_id)):
        why = "an action of an Atari game lasts four frames" if envs.is_atari(env_id) else "its actions last one step"
        raise UserError(f"--action-repeat {config.action_repeat} is not for {env_id}: {why}")
    if envs.is_atari(env_id):
        preprocessing: dict[str, Any] = {"frame_size": config.frame_size, "frame_stack": config.frame_stack}
        if envs.is_ram(env_id):
            preprocessing = {}
        asked = {"full_action_space": config.full_action_space, "mode": config.mode, "difficulty": config.difficulty}
        preprocessing |= {name: value for name, value in asked.items() if value not in (None, False)}
    elif envs.is_world(env_id):
        preprocessing = {}
    else:
        preprocessing = {
            "picture_size": config.picture_size,
            "picture_grayscale": config.picture_grayscale,
            "picture_stack": config.frame_stack,
            **({"action_mask": False} if config.action_mask == "off" else {}),
            **({"action_repeat": config.action_repeat} if config.action_repeat > 1 else {}),
        }
    return {
        **envs.options(env_id, config.protocol, evaluation),
        **preprocessing,
        **envs.arguments(env_id, config.env_kwargs),
    }
