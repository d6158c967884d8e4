"""The learner: the one place where a loss becomes a step of the network; and the agent, which feeds it transitions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from learning.config import LearnerConfig, torch_generator, torch_seed
from learning.episodes import Step
from learning.networks import NoisyLinear, StochasticLayer, epsilon_greedy, sampling_noise
from learning.policy import NetworkPolicy, player
from learning.recipe import Experience, Recipe
from learning.replay import Batch


class Update(NamedTuple):
    """What one update reports, still on the device: reading it would make a GPU wait."""

    loss: Tensor | float  # ()
    q_values: Tensor | float  # () mean expectation of the actions taken
    priority: Tensor  # (B,) |TD error| of each transition, or what a head has in its place


class Learner:
    """Online network, target network and optimiser of any recipe; PyTorch computes its updates.

    Attributes:
        engine: what computes them.
        warm_up: updates after which they take as long as they always will.
        waited: seconds for which acting waited for a device to end updates, not yet counted as learning.
    """

    engine: ClassVar[str] = "torch"
    warm_up: ClassVar[int] = 2

    def __init__(
        self,
        recipe: Recipe,
        config: LearnerConfig,
        space: spaces.Box,
        num_actions: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
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
        # for noisy layers and quantile fractions
        self.generator = torch.Generator(self.device)
        self.generator.manual_seed(torch_seed(seed, "noise"))
        self._noisy = [layer for layer in self.online.modules() if isinstance(layer, NoisyLinear)]
        both = [*self.online.modules(), *self.target.modules()]
        self._stochastic = list(dict.fromkeys(layer for layer in both if isinstance(layer, StochasticLayer)))
        self.parameters = list(self.online.parameters())
        self.optimizer = self._make_optimizer()
        self.updates = 0
        self.waited = 0.0

    def _make_optimizer(self) -> Any:
        return make_optimizer(self.online, self.config)

    def sync_target(self) -> None:
        """Copy the online network to the target network."""
        self.target.load_state_dict(self.online.state_dict())

    def load_optimizer(self, state: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Take the optimiser's state of each parameter, by its number; nothing of those that are missing."""
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})

    def attach(self, experience: Experience) -> None:
        """Get to know what will be learnt from."""

    @property
    def busy(self) -> bool:
        """Whether updates were begun and not ended."""
        return False

    def begin(self, experience: Experience, learning_rate: float) -> None:
        """Begin to learn what is due, if another thread can do it while the caller acts; `learn` ends it.

        Until then `noisy_q_values` goes by the parameters as they are now, as if the caller acted first.
        """

    def learn(
        self,
        experience: Experience,
        q_values: NDArray[np.float64],
        learning_rate: float,
        on_update: Callable[[Update], None],
    ) -> None:
        """Make the updates that are due; ``q_values`` (N, A) are of the present observations."""
        for batch in experience.batches(q_values):
            update = self.update(batch, learning_rate)
            experience.updated(batch, update.priority)
            on_update(update)

    def policy(self, env_id: str) -> NetworkPolicy:
        """Return the online network as a player; it keeps learning while it plays."""
        return player(self.recipe.name, self.config, env_id, self.online, self.num_actions)

    @torch.inference_mode()
    def noisy_q_values(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the expectations by which it explores, (B, ...) -> (B, A): noisy layers sample their noise."""
        if self.device.type != "cpu":
            began = time.perf_counter()
            torch.accelerator.synchronize()
            self.waited += time.perf_counter() - began
        with sampling_noise(self._noisy, self.generator):
            q_values = self.online(torch.from_numpy(obs).to(self.device)).q_values
        return q_values.cpu().numpy().astype(np.float64)  # type: ignore[no-any-return]

    def update(self, batch: Batch, learning_rate: float) -> Update:
        """Learn from one batch; copies the target network when its period is over."""
        self._set_learning_rate(learning_rate)
        update = self._descend(batch)
        self._count()
        return update

    def _set_learning_rate(self, learning_rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

    def _descend(self, batch: Batch) -> Update:
        """Compute the loss of a batch and make one step down its gradient."""
        with sampling_noise(self._stochastic, self.generator):
            loss = self.recipe.loss(self.online, self.target, batch, self.config)
        assert loss.per_sample.shape == batch.weight.shape, "every transition has one loss and one importance weight"
        mean = (batch.weight * loss.per_sample).mean()
        self.optimizer.zero_grad()
        mean.backward()  # type: ignore[no-untyped-call]
        if self.config.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        self.optimizer.step()
        return Update(mean.detach(), loss.q_values.mean(), loss.priority)

    def _count(self) -> None:
        """Count an update; copies the target network when its period is over."""
        self.updates += 1
        if self.target_period and self.updates % self.target_period == 0:
            self.sync_target()


class Agent:
    """What the trainer and the window both drive: a learner, the experience it learns from, and the schedules.

    Attributes:
        steps: agent steps taken so far; the schedules go by them.
        overrides: values of "epsilon" and "learning_rate" set by the user in place of the schedules.
        on_update: called with the report of each update.
        watch: the time spent acting, learning and in the environment.
    """

    def __init__(
        self, learner: Learner, experience: Experience, life_loss_cuts: bool, on_update: Callable[[Update], None]
    ) -> None:
        self.learner, self.experience, self.on_update = learner, experience, on_update
        self.life_loss_cuts = life_loss_cuts
        self.steps = 0
        self.overrides: dict[str, float] = {}
        self.watch = Stopwatch("acting", "environment", "learning")
        learner.attach(experience)

    @property
    def epsilon(self) -> float:
        """Probability of a random action now."""
        if (override := self.overrides.get("epsilon")) is not None:
            return override
        return self.learner.config.epsilon(self.steps - self.experience.warm_up)

    @property
    def learning_rate(self) -> float:
        """The optimiser's step size now."""
        if (override := self.overrides.get("learning_rate")) is not None:
            return override
        return self.learner.config.learning_rate_at(self.steps)

    def act(self, q_values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return epsilon-greedy actions, (N,), for expectations (N, A)."""
        return epsilon_greedy(q_values.argmax(1), self.learner.num_actions, self.epsilon, rng)

    def learn_beside(self) -> None:
        """Let updates that are due begin in a second thread, where the learner can; `transition` ends them.

        A run is the same with and without it.
        """
        self.learner.begin(self.experience, self.learning_rate)

    def transition(
        self, q_values: NDArray[np.float64], actions: NDArray[np.int64], receive: Callable[[], Step]
    ) -> Step:
        """Learn what is due, then store what the actions brought: every transition, in training and in the window.

        Args:
            q_values: (N, A) by which the actions were chosen.
            actions: (N,) taken.
            receive: waits for what they brought, and returns it.
        """
        config, begun = self.learner.config, self.learner.busy
        if not begun:  # environments with threads of their own step meanwhile
            self._learn(q_values)
        with self.watch("environment"):
            step = receive()
        if begun:
            self._learn(q_values)
        cut = step.terminated | step.life_lost if self.life_loss_cuts else step.terminated
        reward = np.clip(step.reward, -1.0, 1.0) if config.clip_rewards else step.reward
        # truncation ends an episode and leaves its discount alone
        self.experience.add(actions, reward, config.gamma * (1.0 - cut), step.obs)
        self.steps += len(actions)
        return step

    def _learn(self, q_values: NDArray[np.float64]) -> None:
        with self.watch("learning"):
            self.learner.learn(self.experience, q_values, self.learning_rate, self.on_update)
        self.watch.move("acting", "learning", self.learner.waited)
        self.learner.waited = 0.0


# ------------------------------------------------------------------ optimisers


class CentredRMSProp(torch.optim.Optimizer):
    """RMSProp that divides by the gradients' running standard deviation, as DeepMind's DQN did.

    step = lr * g / sqrt(mean(g^2) - mean(g)^2 + eps). torch's own adds eps after the root, which is
    another algorithm where gradients are small. Graves 2013, arXiv:1308.0850; Mnih et al. 2015.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float | Tensor, decay: float, eps: float) -> None:
        super().__init__(parameters, {"lr": lr, "decay": decay, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move all parameters that have a gradient."""
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            gradients = [parameter.grad for parameter in moved]
            for parameter in moved:
                if not self.state[parameter]:
                    self.state[parameter] = {"mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
            means = [self.state[parameter]["mean"] for parameter in moved]
            squares = [self.state[parameter]["square"] for parameter in moved]
            torch._foreach_lerp_(means, gradients, 1 - group["decay"])
            torch._foreach_mul_(squares, group["decay"])
            torch._foreach_addcmul_(squares, gradients, gradients, 1 - group["decay"])
            spread = torch._foreach_addcmul(squares, means, means, -1.0)
            torch._foreach_add_(spread, group["eps"])
            torch._foreach_sqrt_(spread)
            if isinstance(lr := group["lr"], Tensor):
                change = torch._foreach_div(gradients, spread)
                torch._foreach_mul_(change, lr)
                torch._foreach_sub_(moved, change)
            else:
                torch._foreach_addcdiv_(moved, gradients, spread, -lr)


def make_optimizer(network: nn.Module, config: LearnerConfig, rate: Tensor | None = None) -> torch.optim.Optimizer:
    """Return the optimiser that the settings name, over all parameters of the network.

    ``rate`` is a step size on the device, which a CUDA graph reads each time; by default a number.
    """
    parameters: Any = list(network.parameters())
    lr: Any = config.learning_rate if rate is None else rate
    if config.optimizer == "rmsprop":
        return CentredRMSProp(parameters, lr, config.rmsprop_decay, config.optimizer_epsilon)
    if config.optimizer == "radam":
        return torch.optim.RAdam(parameters, lr, eps=config.optimizer_epsilon)
    device = parameters[0].device.type
    fused = device != "mps"  # one kernel instead of a dozen: 6 times faster on a CPU
    captured = rate is not None and device == "cuda"
    return torch.optim.Adam(parameters, lr, eps=config.optimizer_epsilon, fused=fused, capturable=captured)


# ------------------------------------------------------------------ what is measured on the way


class Stopwatch:
    """Adds up the seconds spent in named parts of a loop."""

    def __init__(self, *parts: str) -> None:
        self.seconds = dict.fromkeys(parts, 0.0)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Count the time of a ``with`` block to a part."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - began

    def move(self, part: str, to: str, seconds: float) -> None:
        """Count some of one part's time to another."""
        self.seconds[part] -= seconds
        self.seconds[to] += seconds

    def shares(self) -> dict[str, float]:
        """Return each part's share of all time counted; zeros before there is any."""
        total = sum(self.seconds.values()) or 1.0
        return {part: seconds / total for part, seconds in self.seconds.items()}


class NonFiniteLoss(NamedTuple):
    """A loss that is NaN or infinite."""

    loss: float
    updates_ago: int  # 0: the last one


class UpdateLog:
    """Losses and expectations of the updates since the last row of metrics.

    They are read in one go and seldom, so that a GPU need not wait for each update.
    """

    def __init__(self) -> None:
        self._losses: list[Tensor | float] = []
        self._q_values: list[Tensor | float] = []

    def add(self, update: Update) -> None:
        """Keep one update's report."""
        self._losses.append(update.loss)
        self._q_values.append(update.q_values)

    def non_finite(self) -> NonFiniteLoss | None:
        """Return the first loss that is NaN or infinite; None if all are finite."""
        losses = _numbers(self._losses)
        bad = np.flatnonzero(~np.isfinite(losses))
        return NonFiniteLoss(float(losses[bad[0]]), len(losses) - 1 - int(bad[0])) if len(bad) else None

    def read(self) -> tuple[float | None, float | None]:
        """Return mean loss and mean Q value, and clear the log; None where there were no updates."""
        if not self._losses:
            return None, None
        means = float(_numbers(self._losses).mean()), float(_numbers(self._q_values).mean())
        self.clear()
        return means

    def clear(self) -> None:
        """Discard all reports."""
        self._losses.clear()
        self._q_values.clear()


def _numbers(scalars: Sequence[Tensor | float]) -> NDArray[np.float64]:
    """Return scalars as an array; those on a device come over in one transfer."""
    if scalars and isinstance(scalars[0], Tensor):
        return torch.stack([torch.as_tensor(scalar) for scalar in scalars]).double().cpu().numpy()
    return np.array(scalars, np.float64)
