"""What everything that plays looks like from outside, and a trained network as one of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import envs
from learning.config import LearnerConfig


@runtime_checkable
class Policy(Protocol):
    """Chooses actions for a batch of observations: a trained network, a script, chance."""

    name: str
    """Who plays: ``dqn``, ``karpathy_pretrained``, ``apple_chaser``, ``random``."""

    env_id: str | None
    """The environment it was made for; None plays any."""

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64] | None:
        """Return the expected return of each action: (B, ...) -> (B, A); None when it has no such estimate."""
        ...

    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the actions (B,) for observations (B, ...).

        ``epsilon`` is the chance, per row, of a uniformly random action instead of the policy's own;
        ``rng`` is the only source of randomness.
        """
        ...


def explore(greedy: NDArray[np.int64], num_actions: int, epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the actions (B,) with each one replaced by a uniform action with chance ``epsilon``.

    Draws the same number of random numbers whatever epsilon above 0 is, so that seeds stay comparable.
    """
    if epsilon <= 0:
        return greedy
    exploring = rng.random(len(greedy)) < epsilon
    return np.where(exploring, rng.integers(0, num_actions, len(greedy)), greedy)


class NetworkPolicy:
    """A Q network that plays: the action with the highest expectation, or a random one."""

    def __init__(
        self, name: str, env_id: str | None, network: nn.Module, num_actions: int, default_epsilon: float = 0.0,
        env_options: Mapping[str, Any] | None = None, protocol: str = "default",
    ) -> None:  # fmt: skip
        self.name, self.env_id, self.num_actions = name, env_id, num_actions
        self.default_epsilon, self.protocol = default_epsilon, protocol
        self.env_options = dict(env_options or {})  # of the environment in which it is judged
        self.network = network
        self.device = next(network.parameters()).device

    @torch.inference_mode()
    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the expected discounted return of each action, (B, ...) -> (B, A)."""
        q = self.network(torch.from_numpy(obs).to(self.device)).q_values
        return q.cpu().numpy().astype(np.float64)  # type: ignore[no-any-return]

    @torch.inference_mode()
    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return epsilon-greedy actions, (B, ...) -> (B,)."""
        best = self.network(torch.from_numpy(obs).to(self.device)).q_values.argmax(1)
        return explore(best.cpu().numpy(), self.num_actions, epsilon, rng)


def player(name: str, config: LearnerConfig, env_id: str, network: nn.Module, num_actions: int) -> NetworkPolicy:
    """Return a network as a player, under the protocol that its settings name."""
    rules = envs.protocol(env_id, config.protocol)
    epsilon = rules.eval_epsilon if config.eval_epsilon is None else config.eval_epsilon
    return NetworkPolicy(
        name, env_id, network, num_actions, epsilon, env_options(env_id, config, evaluation=True), rules.name
    )


def env_options(env_id: str, config: LearnerConfig, evaluation: bool) -> dict[str, Any]:
    """Return the options of the environments that the settings ask for."""
    return envs.options(
        env_id, config.protocol, evaluation, frame_size=config.frame_size, frame_stack=config.frame_stack
    )
