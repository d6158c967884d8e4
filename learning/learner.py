# mypy: disable-error-code="untyped-decorator"
# numba's decorator has no types: kernels are typed by hand and checked by their tests
"""The learner: the one place where a loss becomes a step of the network; and the agent, which feeds it transitions."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from common.kernels import cached_njit
from envs import EnvironmentFault, MaskedBox
from learning.compiled import compiled
from learning.config import LearnerConfig, torch_generator, torch_seed
from learning.episodes import Step
from learning.heads import not_forbidden
from learning.networks import NoisyLinear, StochasticLayer, epsilon_greedy, laid_out_as, sampling_noise
from learning.policy import NetworkPolicy, player
from learning.recipe import Experience, Recipe
from learning.replay import Batch
from learning.split import ACTING, LEARNING, divide, sum_up, threads_for


class Update(NamedTuple):
    """What one update reports, still on the device: reading it would make a GPU wait."""

    loss: Tensor | float  # ()
    q_values: Tensor | float  # () mean expectation of the actions taken
    priority: Tensor  # (B,) |TD error| of each transition, or what a head has in its place
    cut_off: Tensor | None = None  # () share of the targets beyond the range that a head covers; None: it has none
    left_out: bool = False  # nothing was learnt: its loss or gradient was NaN or infinite


class Learner:
    """Online network, target network and optimiser of any recipe; PyTorch computes its updates.

    Attributes:
        engine: what computes them.
        warm_up: updates after which they take as long as they always will.
        left_out: updates that were left out, because of a NaN or infinite loss or gradient.
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
        self.num_actions, self.masked = num_actions, isinstance(space, MaskedBox)
        # for noisy layers and quantile fractions
        self.generator = torch.Generator(self.device)
        self.generator.manual_seed(torch_seed(seed, "noise"))
        self._noisy = [layer for layer in self.online.modules() if isinstance(layer, NoisyLinear)]
        both = [*self.online.modules(), *self.target.modules()]
        self._stochastic = list(dict.fromkeys(layer for layer in both if isinstance(layer, StochasticLayer)))
        self.parameters = list(self.online.parameters())
        self.optimizer = self._make_optimizer()
        self.updates = self.left_out = 0
        self.waited = 0.0
        self._threads = threads_for(self.online, self.device, getattr(config, "batch_size", 1))

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
        with self._own_threads():
            for batch in experience.batches(q_values):
                update = self.update(batch, learning_rate)
                if update.left_out:
                    self.left_out += 1
                    continue
                experience.updated(batch, update.priority)
                on_update(update)

    def _own_threads(self) -> AbstractContextManager[None]:
        """Where the learner has threads, torch has none meanwhile."""
        return nullcontext() if self._threads is None else self._threads.instead_of_torchs()

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
        with sampling_noise(self._noisy, self.generator), self._own_threads():
            if self._threads is None:
                q_values = self._expectations(torch.from_numpy(obs).to(self.device))
            else:
                parts = torch.split(torch.from_numpy(obs), self._threads.sizes(len(obs), ACTING))
                q_values = torch.cat(self._threads.map(self._expectations, parts))
        return q_values.cpu().numpy().astype(np.float64)

    @torch.inference_mode()  # which each thread has for itself
    def _expectations(self, obs: Tensor) -> Tensor:
        return self.online(obs).q_values  # type: ignore[no-any-return]

    def update(self, batch: Batch, learning_rate: float) -> Update:
        """Learn from one batch; copies the target network when its period is over."""
        self._set_learning_rate(learning_rate)
        update = self._descend(batch)
        if not update.left_out:
            self._count()
        return update

    def _set_learning_rate(self, learning_rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

    def _count(self) -> None:
        """Count an update; copies the target network when its period is over."""
        self.updates += 1
        if self.target_period and self.updates % self.target_period == 0:
            self.sync_target()

    def _descend(self, batch: Batch) -> Update:
        """Make one step down the gradient of a batch's loss."""
        with self._own_threads():
            update = self._set_gradients(batch)
            if self.config.on_nan == "skip" and not self._finite(update):
                return update._replace(left_out=True)
            if self.config.max_grad_norm is not None:
                nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
            self.optimizer.step()
        return update

    def _finite(self, update: Update) -> bool:
        """Whether a loss and its gradients are finite."""
        numbers = [torch.as_tensor(update.loss), *(one.grad for one in self.parameters if one.grad is not None)]
        return bool(torch.stack([number.isfinite().all().to(self.device) for number in numbers]).all())

    def strange_weights(self) -> str:
        """Return which weights are NaN or infinite, in words; empty: none."""
        found = []
        for name, value in self.online.named_parameters():
            if count := int((~value.detach().isfinite()).sum()):
                found.append(f"{name} ({count:,} of {value.numel():,} values)")
        return ", ".join(found[:2]) + (f" and {len(found) - 2} more" if len(found) > 2 else "")

    def _set_gradients(self, batch: Batch) -> Update:
        """Give every parameter its gradient by the loss, the mean over the batch."""
        size = len(batch.action)

        def learn_part(part: Batch) -> tuple[Update, tuple[Tensor | None, ...]]:
            loss = self.recipe.loss(self.online, self.target, part, self.config)
            assert loss.per_sample.shape == part.weight.shape, "a transition has one loss and one importance weight"
            share = len(part.action) / size
            mean = (part.weight * loss.per_sample).mean() * share
            gradients = torch.autograd.grad(mean, self.parameters, allow_unused=True)
            cut_off = None if loss.cut_off is None else loss.cut_off * share
            return Update(mean.detach(), loss.q_values.mean() * share, loss.priority, cut_off), gradients

        if self._threads is None:
            with sampling_noise(self._stochastic, self.generator):
                update, gradients = learn_part(batch)
        else:
            found = self._threads.map(learn_part, divide(batch, self._threads.sizes(size, LEARNING)))
            updates, of_parts = zip(*found, strict=True)
            cut_off = None if updates[0].cut_off is None else sum(one.cut_off for one in updates)
            update = Update(
                sum(one.loss for one in updates),
                sum(one.q_values for one in updates),
                torch.cat([one.priority for one in updates]),
                cut_off,
            )
            gradients = tuple(None if parts[0] is None else sum_up(parts) for parts in zip(*of_parts, strict=True))
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = None if gradient is None else laid_out_as(parameter, gradient)
        return update


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
        self._q_values: NDArray[np.float64] = np.zeros((0, 0))  # of the transition in progress
        self.watch = Stopwatch("acting", "environment", "learning")
        learner.attach(experience)

    @property
    def epsilon(self) -> float:
        """Probability of a random action now."""
        if (override := self.overrides.get("epsilon")) is not None:
            return override
        return self.learner.config.epsilon(self.steps, self.experience.warm_up)

    @property
    def learning_rate(self) -> float:
        """The optimiser's step size now."""
        if (override := self.overrides.get("learning_rate")) is not None:
            return override
        return self.learner.config.learning_rate_at(self.steps)

    def act(self, q_values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return epsilon-greedy actions, (N,), for expectations (N, A)."""
        allowed = not_forbidden(q_values) if self.learner.masked else None
        return epsilon_greedy(q_values.argmax(1), self.learner.num_actions, self.epsilon, rng, allowed)

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
        self._q_values = q_values
        if not begun:  # environments with threads of their own step meanwhile
            self._learn(q_values)
        try:
            with self.watch("environment"):
                step = receive()
        except EnvironmentFault:
            if begun:
                self._learn(q_values)  # a state without updates in progress can be saved
            raise
        if begun:
            self._learn(q_values)
        cut = step.terminated | step.life_lost if self.life_loss_cuts else step.terminated
        # truncation ends an episode and leaves its discount alone
        self.experience.add(actions, config.learnt_rewards(step.reward), config.gamma * (1.0 - cut), step.obs)
        self.steps += len(actions)
        return step

    def end_learning(self) -> None:
        """End the updates that were begun, from another thread, where the environment hangs in `transition`."""
        if self.learner.busy:
            self._learn(self._q_values)

    def learn(self) -> None:
        """Learn what is due, where nobody acts here."""
        self._learn(self._q_values)

    def _learn(self, q_values: NDArray[np.float64]) -> None:
        with self.watch("learning"):
            self.learner.learn(self.experience, q_values, self.learning_rate, self.on_update)
        self.watch.move("acting", "learning", self.learner.waited)
        self.learner.waited = 0.0


# ------------------------------------------------------------------ optimisers
#
# PyTorch has Adam in one walk over the parameters. Its RAdam, and the RMSProp of the first DQN written with its
# operations, walk a dozen times over arrays that are larger than the caches, which took a seventh of PQN's update and a
# fifth of Nature DQN's.

F32 = NDArray[np.float32]
kernel = cached_njit(nogil=True, fastmath={"contract"}, error_model="numpy")


class CentredRMSProp(torch.optim.Optimizer):
    """RMSProp that divides by the gradients' running standard deviation, as DeepMind's DQN did.

    step = lr * g / sqrt(mean(g^2) - mean(g)^2 + eps). torch's own adds eps after the root, which is
    another algorithm where gradients are small. Graves 2013, arXiv:1308.0850; Mnih et al. 2015.
    """

    joined = False  # whether `learning.compiled` makes one kernel of a step

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
            lr, decay, eps = group["lr"], group["decay"], group["eps"]
            if one_walk(moved) and not isinstance(lr, Tensor):
                for parameter in moved:
                    centred_rmsprop(*flat(parameter, self.state[parameter], "mean", "square"), lr, decay, eps)
                continue
            means = [self.state[parameter]["mean"] for parameter in moved]
            squares = [self.state[parameter]["square"] for parameter in moved]
            move = compiled(centred_step) if self.joined else centred_step
            move(moved, gradients, means, squares, lr, decay, eps)


def centred_step(
    moved: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    lr: float | Tensor,
    decay: float,
    eps: float,
) -> None:
    """Move parameters by one step of `CentredRMSProp`."""
    torch._foreach_lerp_(means, gradients, 1 - decay)
    torch._foreach_mul_(squares, decay)
    torch._foreach_addcmul_(squares, gradients, gradients, 1 - decay)
    spread = torch._foreach_addcmul(squares, means, means, -1.0)
    torch._foreach_add_(spread, eps)
    torch._foreach_sqrt_(spread)
    if isinstance(lr, Tensor):
        change = torch._foreach_div(gradients, spread)
        torch._foreach_mul_(change, lr)
        torch._foreach_sub_(moved, change)
    else:
        torch._foreach_addcdiv_(moved, gradients, spread, -lr)


class RAdam(torch.optim.RAdam):
    """torch's RAdam, arXiv:1908.03265, with its state. On a CPU the same steps in one walk."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move all parameters that have a gradient."""
        if not one_walk([parameter for group in self.param_groups for parameter in group["params"]]):
            super().step(closure)
            return
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.tensor(0.0)
                    state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                state["step"] += 1
                size, adaptive = radam_sizes(state["step"].item(), *group["betas"])
                arrays = flat(parameter, state, "exp_avg", "exp_avg_sq")
                radam(*arrays, group["lr"] * size, *group["betas"], group["eps"], adaptive)


class Adam(torch.optim.Adam):
    """torch's Adam, arXiv:1412.6980; torch's own step loads its compiler first: see `spare_the_compiler`."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


def radam_sizes(step: float, beta1: float, beta2: float) -> tuple[float, bool]:
    """Return the factor of the learning rate, and whether the step is divided by the root of the mean square."""
    correction1, correction2 = 1 - beta1**step, 1 - beta2**step
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / correction2  # of the average that the mean square is
    if length <= 5.0:
        return 1 / correction1, False
    variance = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return math.sqrt(variance * correction2) / correction1, True


def one_walk(parameters: list[Tensor]) -> bool:
    """Whether the kernels below take these parameters."""
    return all(parameter.device.type == "cpu" and parameter.dtype == torch.float32 for parameter in parameters)


def flat(parameter: Tensor, state: dict[str, Any], *names: str) -> list[F32]:
    """Return a parameter, its gradient and entries of its state, which may be laid out anew, in memory's order."""
    assert parameter.grad is not None
    state |= {name: laid_out_as(parameter, state[name]) for name in names}
    tensors = [parameter.detach(), laid_out_as(parameter, parameter.grad), *(state[name] for name in names)]
    return [tensor.as_strided((tensor.numel(),), (1,)).numpy() for tensor in tensors]


@kernel
def centred_rmsprop(
    parameter: F32, gradient: F32, mean: F32, square: F32, rate: float, decay: float, epsilon: float
) -> None:
    """Move a parameter (n,) by one step of `CentredRMSProp`."""
    lr, keep, take = np.float32(rate), np.float32(decay), np.float32(1.0 - decay)
    small = np.float32(epsilon)
    for i in range(parameter.size):
        g = gradient[i]
        m = mean[i] + take * (g - mean[i])
        s = keep * square[i] + take * (g * g)
        mean[i], square[i] = m, s
        parameter[i] -= lr * g / np.sqrt(s - m * m + small)


@kernel
def radam(
    parameter: F32,
    gradient: F32,
    mean: F32,
    square: F32,
    rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    adaptive: bool,
) -> None:
    """Move a parameter (n,) by one step of RAdam, ``rate`` with all corrections."""
    lr, small = np.float32(rate), np.float32(epsilon)
    take1, keep2, take2 = np.float32(1.0 - beta1), np.float32(beta2), np.float32(1.0 - beta2)
    for i in range(parameter.size):
        g = gradient[i]
        m = mean[i] + take1 * (g - mean[i])
        s = keep2 * square[i] + take2 * (g * g)
        mean[i], square[i] = m, s
        parameter[i] -= lr * m / (np.sqrt(s) + small) if adaptive else lr * m


def make_optimizer(network: nn.Module, config: LearnerConfig, rate: Tensor | None = None) -> torch.optim.Optimizer:
    """Return the optimiser that the settings name, over all parameters of the network.

    ``rate`` is a step size on the device, which a CUDA graph reads each time; by default a number.
    """
    parameters: Any = list(network.parameters())
    lr: Any = config.learning_rate if rate is None else rate
    if config.optimizer == "rmsprop":
        return CentredRMSProp(parameters, lr, config.rmsprop_decay, config.optimizer_epsilon)
    if config.optimizer == "radam":
        return RAdam(parameters, lr, eps=config.optimizer_epsilon)
    device = parameters[0].device.type
    fused = device != "mps"  # one kernel instead of a dozen: 6 times faster on a CPU
    captured = rate is not None and device == "cuda"
    return Adam(parameters, lr, eps=config.optimizer_epsilon, fused=fused, capturable=captured)


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
        self._cut_off: list[Tensor | float] = []

    def add(self, update: Update) -> None:
        """Keep one update's report."""
        self._losses.append(_kept(update.loss))
        self._q_values.append(_kept(update.q_values))
        if update.cut_off is not None:
            self._cut_off.append(_kept(update.cut_off))

    @property
    def cut_off(self) -> float:
        """The share of the targets that a head's range cut off; 0 where there is no range, or no update."""
        return float(_numbers(self._cut_off).mean()) if self._cut_off else 0.0

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

    def state(self) -> list[list[float]]:
        """Return what was not read yet, as JSON's types."""
        return [_numbers(part).tolist() for part in (self._losses, self._q_values, self._cut_off)]

    def load(self, state: Sequence[Sequence[float]]) -> None:
        """Restore what `state` returned."""
        self.clear()
        for mine, numbers in zip((self._losses, self._q_values, self._cut_off), state, strict=True):
            mine.extend(map(float, numbers))

    def clear(self) -> None:
        """Discard all reports."""
        self._losses.clear()
        self._q_values.clear()
        self._cut_off.clear()


def _kept(scalar: Tensor | float) -> Tensor | float:
    """Return a number where it can be read at once.

    A small tensor that stays between the large ones of two updates is in the way of those of the next: where rows of
    metrics are rare, the heap grew by gigabytes.
    """
    return float(scalar) if isinstance(scalar, Tensor) and scalar.device.type == "cpu" else scalar


def _numbers(scalars: Sequence[Tensor | float]) -> NDArray[np.float64]:
    """Return scalars as an array; those on a device come over in one transfer."""
    tensors = [(at, scalar) for at, scalar in enumerate(scalars) if isinstance(scalar, Tensor)]
    numbers = np.array([0.0 if isinstance(scalar, Tensor) else scalar for scalar in scalars], np.float64)
    if tensors:
        places, found = zip(*tensors, strict=True)
        numbers[list(places)] = torch.stack(found).double().cpu().numpy()
    return numbers
