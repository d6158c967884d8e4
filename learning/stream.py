"""Learning from a stream: each transition once, as it arrives, and never again."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from envs import MaskedBox
from learning.config import LearnerConfig
from learning.encoders import CONVOLUTIONS, Conv
from learning.heads import QOutput, allow, squared
from learning.learner import Learner, Update
from learning.networks import InspectableLayer
from learning.recipe import Recipe
from learning.replay import RECORD_BYTES, Batch
from learning.states import Saved, Saving, States

# For 84 x 84 frames: 256 features, where Mnih et al. 2015 have 3,136. Elsayed et al. 2024, arXiv:2410.14606.
FRAMES = (Conv(32, 8, 5), Conv(64, 4, 3), Conv(64, 3, 2))
FARTHEST = 10.0  # standard deviations; see `StreamNetwork`
TINY = 1e-8  # added to variances, as in the authors' code
SPARSITY = 0.9


class Running(nn.Module):
    """Mean and variance of everything seen so far, entry by entry. Welford 1962, doi:10.2307/1266577."""

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("variance", torch.ones(shape))  # of a sample; 1 until there are two

    def observe(self, new: Tensor) -> None:
        """Update with one value, of the shape given."""
        count = int(self.count.add_(1))
        change = new - self.mean
        self.mean.add_(change, alpha=1 / count)
        if count > 1:
            # the variance, not Welford's sum: that would outgrow float32 in a long life
            self.variance.lerp_(change.mul_(new - self.mean), 1 / (count - 1))


class RewardScale(nn.Module):
    """Standard deviation of the discounted return so far, over the whole run; rewards are divided by it.

    As in the authors' code, the reward that ends an episode is the first of the next return.
    """

    total: Tensor
    value: Tensor

    def __init__(self, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.returns = Running(())
        self.register_buffer("total", torch.zeros(()))
        self.register_buffer("value", torch.ones(()))

    def observe(self, reward: Tensor, ends: bool) -> None:
        """Update with one reward, (), and whether it ended its episode."""
        self.total.mul_(0.0 if ends else self.gamma).add_(reward)
        self.returns.observe(self.total)
        torch.sqrt(self.returns.variance + TINY, out=self.value)


class StreamNetwork(nn.Module):
    """Normalised observation -> sparse layers, each normalised before its LeakyReLU -> expected returns.

    Normalisation has nothing to learn here. The statistics of observations (of frames: for each pixel, of the newest
    frame) and of rewards belong to the network, so that a saved one plays by itself; playing leaves them alone.
    Entries beyond ten standard deviations count as ten: what was never seen to change, such as the black frames
    before an episode's start, would otherwise lie millions of them away.

    Args:
        space: of one observation.
        num_actions: A.
        config: encoder, layers and gamma.
        generator: of the first weights.
    """

    def __init__(self, space: spaces.Box, num_actions: int, config: LearnerConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.choices = space.num_actions if isinstance(space, MaskedBox) else 0  # numbers at an observation's end
        space = space.plain if isinstance(space, MaskedBox) else space
        self.frames = len(space.shape) == 3 and space.dtype == np.uint8
        self.observations = Running(space.shape[1:] if self.frames else space.shape)
        self.rewards = RewardScale(config.gamma)
        kernels = FRAMES if config.encoder == "auto" else CONVOLUTIONS.get(config.encoder, ())
        channels, shape = space.shape[0], space.shape
        self.convolutions = nn.ModuleList()
        for conv in kernels if self.frames else ():
            self.convolutions.append(nn.Conv2d(channels, conv.filters, conv.kernel, conv.stride))
            channels = conv.filters
            shape = (channels, *((side - conv.kernel) // conv.stride + 1 for side in shape[1:]))
        widths = [math.prod(shape), *config.hidden]
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        self.head = nn.Linear(widths[-1], num_actions)
        initialise_sparse(self, generator)

    def observe(self, obs: Tensor) -> None:
        """Update the statistics with an observation, (...)."""
        self.observations.observe((obs[-1] if self.frames else obs[: len(obs) - self.choices]).float())

    def forward(self, obs: Tensor) -> QOutput:
        """Return the expected returns of all actions, in the environment's units, (B, A), for observations (B, ...)."""
        if self.choices:  # that say which actions are allowed
            return allow(self._expect(obs[:, : -self.choices]), obs[:, -self.choices :])
        return self._expect(obs)

    def _expect(self, obs: Tensor) -> QOutput:
        seen = self.observations
        x = (obs.float() - seen.mean) * torch.rsqrt(seen.variance + TINY)
        x = x.clamp(-FARTHEST, FARTHEST)
        for layer in self.convolutions:
            x = normalised(layer(x))
        x = x.flatten(1)
        for layer in self.dense:
            x = normalised(layer(x))
        return QOutput(self.head(x) * self.rewards.value)

    def inspectable_layers(self) -> list[InspectableLayer]:
        """Return the layers whose activations can be shown, from the input on."""
        groups = (("convolution", self.convolutions), ("hidden", self.dense))
        return [
            InspectableLayer(f"{name} {number}", module, functional.leaky_relu, normalise)
            for name, modules in groups
            for number, module in enumerate(modules, 1)
        ]


def normalise(x: Tensor) -> Tensor:
    """Return x with mean 0 and variance 1 over all but the batch, (B, ...)."""
    return functional.layer_norm(x, x.shape[1:])


def normalised(x: Tensor) -> Tensor:
    """Return LeakyReLU of the normalised x, (B, ...)."""
    return functional.leaky_relu(normalise(x))


@torch.no_grad()
def initialise_sparse(network: nn.Module, generator: torch.Generator) -> None:
    """Draw weights as LeCun, U(-1/sqrt(inputs), 1/sqrt(inputs)), nine in ten of each unit's then 0; biases 0.

    A unit of few inputs keeps one. Elsayed et al. 2024, arXiv:2410.14606, algorithm 1.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            units = module.weight.view(len(module.weight), -1)  # (units, inputs)
            inputs = units.shape[1]
            units.uniform_(-1 / math.sqrt(inputs), 1 / math.sqrt(inputs), generator=generator)
            dropped = min(math.ceil(SPARSITY * inputs), inputs - 1)
            order = torch.rand(units.shape, generator=generator).argsort(1)
            units.scatter_(1, order[:, :dropped], 0.0)
            assert module.bias is not None
            module.bias.zero_()


class Stream:
    """The last transition, learnt from once, before the next one is taken; there is one environment."""

    label = "last step"

    def __init__(
        self,
        config: LearnerConfig,
        space: spaces.Box,
        stack: int,
        rng: np.random.Generator,
        device: str,
        storage: str | None,
        value: Callable[[NDArray[Any]], NDArray[np.float64]],
    ) -> None:
        self.device = device
        self.warm_up = 0
        self.present, self.obs, self.next_obs = (np.zeros((1, *space.shape), space.dtype) for _ in range(3))
        self.action = np.zeros(1, np.int64)
        self.reward, self.discount = np.zeros(1, np.float32), np.zeros(1, np.float32)
        # of the last step: there is one, it ended its episode, its action was not the best
        self.held, self.ends, self.explored = (np.zeros(1, np.bool_) for _ in range(3))
        self._q_values: NDArray[np.float64] = np.zeros(0)  # (A,) of the present observation

    @staticmethod
    def bytes_needed(config: LearnerConfig, space: spaces.Box, stack: int) -> int:
        """Return the memory that it takes, bytes."""
        assert space.dtype is not None
        return 3 * int(np.prod(space.shape)) * space.dtype.itemsize + RECORD_BYTES

    @staticmethod
    def rehearsal(config: LearnerConfig) -> LearnerConfig:
        """Return the settings as they are: learning begins at once."""
        return config

    def reset(self, obs: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> None:
        """Take the first observation of a new episode."""
        self.ends[:] = mask is not None  # also where it was truncated
        self.present[:] = obs

    def batches(self, q_values: NDArray[np.float64]) -> Iterator[Batch]:
        """Yield the last step; ``q_values`` (1, A) are those by which the next action is chosen."""
        self._q_values = q_values[0]
        if not self.held[0]:
            return
        obs, action, reward, discount, next_obs = (
            torch.from_numpy(part).to(self.device)
            for part in (self.obs, self.action, self.reward, self.discount, self.next_obs)
        )
        yield Batch(
            obs,
            action,
            reward,
            discount,
            next_obs,
            torch.ones_like(reward),
            ends=bool(self.ends[0]),
            explored=bool(self.explored[0]),
        )

    def updated(self, batch: Batch, priority: Tensor) -> None:
        """Do nothing: no transition is used twice."""

    def add(self, action: NDArray[Any], reward: NDArray[Any], discount: NDArray[Any], next_obs: NDArray[Any]) -> None:
        """Take one step."""
        self.obs[:] = self.present
        self.action[:], self.reward[:], self.discount[:] = action, reward, discount
        self.next_obs[:] = self.present[:] = next_obs
        self.held[:], self.ends[:] = True, discount == 0
        self.explored[:] = self._q_values[action] < self._q_values.max()

    def refill(self, steps: int) -> None:
        """Do nothing: the next step is learnt from."""

    def write_ahead(self, states: States) -> None:
        """Do nothing: a state takes all of it."""

    def save(self, into: Saving) -> None:
        """Add the last step, not yet learnt from, and the present observation to a state."""
        into.add_arrays(FILE, {name: getattr(self, name) for name in SAVED})

    def load(self, saved: Saved, states: States | None = None) -> None:
        """Restore what `save` added."""
        named = saved.arrays(FILE)
        for name in SAVED:
            getattr(self, name)[:] = named[name]


FILE = "stream.safetensors"
SAVED = ("present", "obs", "action", "reward", "discount", "next_obs", "held", "ends", "explored")


class ObGD(torch.optim.Optimizer):
    """Overshooting-bounded gradient descent. Elsayed, Vasan and Mahmood 2024, arXiv:2410.14606, algorithm 3.

    A trace z is a decaying sum of past gradients; a TD error e then moves everything that led to it,
    w -= step * e * z. The step is the largest, up to ``lr``, at which kappa * step * max(|e|, 1) * |z|_1 <= 1: for a
    function that is linear enough the error then shrinks, but does not change its sign.

    The traces lie where autograd adds gradients, in each parameter's ``grad``, and all of them lie in one vector, as
    do the parameters: a step is three operations, however many layers there are. So a learner calls `decay`, then
    backward from the error, then `move`.

    Args:
        parameters: of the network; they become views of one vector.
        lr: largest step.
        decay: what a trace keeps each time, gamma * lambda.
        kappa: how far within the bound a step stays, above 1.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, decay: float, kappa: float) -> None:
        parts = list(parameters)
        flat = torch.cat([part.detach().reshape(-1) for part in parts])
        self.trace = torch.zeros_like(flat)
        first = 0
        for part in parts:
            here = slice(first, first := first + part.numel())
            part.data, part.grad = flat[here].view_as(part), self.trace[here].view_as(part)
        super().__init__([flat], {"lr": lr, "decay": decay, "kappa": kappa})
        self.flat = flat
        self.state[flat]["trace"] = self.trace

    def decay(self) -> None:
        """Decay the traces by one time step; the gradient of a backward pass then adds to them."""
        self.trace.mul_(self.param_groups[0]["decay"])

    def reset_traces(self) -> None:
        """Set the traces to zero: past actions did not lead to what follows."""
        self.trace.zero_()

    @torch.no_grad()
    def move(self, error: float) -> None:
        """Move all parameters against the traces, in proportion to ``error``, the number whose gradients they hold."""
        group = self.param_groups[0]
        length = torch.linalg.vector_norm(self.trace, 1).item()
        bound = group["kappa"] * group["lr"] * max(abs(error), 1.0) * length
        self.flat.add_(self.trace, alpha=-error * group["lr"] / max(bound, 1.0))

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Set the traces to zero; the gradients stay in place."""
        self.reset_traces()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load saved traces, in place: the parameters' gradients remain views of them."""
        super().load_state_dict(state_dict)
        self.state[self.flat]["trace"] = self.trace.copy_(self.state[self.flat]["trace"])


class StreamLearner(Learner):
    """Learns from one step at a time: the error's gradient joins the traces, the error moves along them.

    A recipe's loss here is the error itself, in the environment's units, and its gradient; the learner divides both
    by the scale of rewards, because the bound on steps has a unit: an error of 1 is one standard deviation.
    """

    online: StreamNetwork
    optimizer: ObGD

    def __init__(
        self,
        recipe: Recipe,
        config: Any,
        space: spaces.Box,
        num_actions: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(recipe, config, space, num_actions, seed, device)
        decay = config.gamma * config.trace_decay
        self.optimizer = ObGD(self.parameters, config.learning_rate, decay, config.kappa)

    def noisy_q_values(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the expectations, (1, A), for an observation, which first updates the running statistics."""
        self.online.observe(torch.from_numpy(obs[0]).to(self.device))
        return super().noisy_q_values(obs)

    def update(self, batch: Batch, learning_rate: float) -> Update:
        """Learn from one step; the traces end with an episode, and where chance chose the action."""
        network, optimizer = self.online, self.optimizer
        network.rewards.observe(batch.reward[0], batch.ends)
        loss = self.recipe.loss(network, network, batch, self.config)
        error = loss.per_sample.squeeze(0) / network.rewards.value
        optimizer.decay()
        error.backward()  # type: ignore[no-untyped-call]
        if self.config.on_nan == "skip" and not bool(
            torch.cat([error.detach()[None], optimizer.trace]).isfinite().all()
        ):
            optimizer.reset_traces()
            return Update(error.detach(), loss.q_values.mean(), loss.priority, left_out=True)
        optimizer.param_groups[0]["lr"] = learning_rate
        optimizer.move(error.item())
        if batch.ends or batch.explored:
            optimizer.reset_traces()
        self.updates += 1
        return Update(squared(loss.priority).mean(), loss.q_values.mean(), loss.priority)
