"""The learner: the one place where a loss becomes a step of the network."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.config import LearnerConfig
from learning.layers import Drawing, NoisyLinear, drawing
from learning.optimizers import make_optimizer
from learning.policy import NetworkPolicy, player
from learning.recipe import Recipe
from learning.replay import Batch
from learning.seeding import torch_generator, torch_seed


class Update(NamedTuple):
    """What one update reports, still on the device: reading it would make a GPU wait."""

    loss: Tensor  # ()
    q_values: Tensor  # () mean expectation of the actions taken
    priority: Tensor  # (B,) how surprising each transition was


class Learner:
    """Online and target network, optimiser and schedules of any recipe."""

    def __init__(
        self, recipe: Recipe, config: LearnerConfig, space: spaces.Box, num_actions: int, seed: int,
        device: torch.device | str = "cpu",
    ) -> None:  # fmt: skip
        self.recipe, self.config, self.device = recipe, config, torch.device(device)
        generator = torch_generator(seed, "network")
        self.online = recipe.network(space, num_actions, config, generator).to(self.device)
        self.target = self.online
        if recipe.target_network:
            self.target = recipe.network(space, num_actions, config, generator).to(self.device)
            self.target.requires_grad_(False)
            self.sync_target()
        self.target_period = getattr(config, "target_period", 0)  # updates; 0: there is no copy to be made
        self.num_actions = num_actions
        # of noise in weights and of quantile fractions
        self.generator = torch.Generator(self.device)
        self.generator.manual_seed(torch_seed(seed, "noise"))
        self._noisy = [layer for layer in self.online.modules() if isinstance(layer, NoisyLinear)]
        both = [*self.online.modules(), *self.target.modules()]
        self._drawing = list(dict.fromkeys(layer for layer in both if isinstance(layer, Drawing)))
        self.parameters = list(self.online.parameters())
        self.optimizer = make_optimizer(self.online, config)
        self.updates = 0

    def sync_target(self) -> None:
        """Copy the online network to the target network."""
        self.target.load_state_dict(self.online.state_dict())

    def policy(self, env_id: str) -> NetworkPolicy:
        """Return the online network as a player; it keeps learning while it plays."""
        return player(self.recipe.name, self.config, env_id, self.online, self.num_actions)

    def explore(self, policy: NetworkPolicy, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return a player's expectations, (B, A), as they are in exploring: with noise, if there is any."""
        with drawing(self._noisy, self.generator):
            return policy.q_values(obs)

    def update(self, batch: Batch, learning_rate: float) -> Update:
        """Learn from one batch; copies the target network when its period is over."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        with drawing(self._drawing, self.generator):
            loss = self.recipe.loss(self.online, self.target, batch, self.config)
        assert loss.per_sample.shape == batch.weight.shape, "every transition has one loss and one importance weight"
        mean = (batch.weight * loss.per_sample).mean()
        self.optimizer.zero_grad()
        mean.backward()  # type: ignore[no-untyped-call]
        if self.config.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        self.optimizer.step()
        self.updates += 1
        if self.target_period and self.updates % self.target_period == 0:
            self.sync_target()
        return Update(mean.detach(), loss.q_values.mean(), loss.priority)
