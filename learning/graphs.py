"""The GPU's engine: acting and whole updates as CUDA graphs, and nobody waits but for the actions.

An update of Nature DQN is 81 of PyTorch's operations, one of BTR 715, most of them small: launched one by one they
may well take longer to launch than to run. A graph is captured once and launched whole. It reads and writes fixed
addresses, so what changes lies in buffers that stay: the draws of a batch (`Inputs`), the present observations
(`Present`), replay, rollout and parameters. `learning.losses` and `learning.learner` say what is computed; here is
only how it gets there. Off the GPU the same code runs without graphs; tests compare that with the PyTorch engine.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, cuda

from learning import compiled
from learning.config import LearnerConfig
from learning.encoders import SpectralConv2d
from learning.learner import CentredRMSProp, Learner, Update, make_optimizer, radam_sizes
from learning.networks import sampling_noise
from learning.recipe import Experience, Recipe
from learning.replay import Batch, Picks
from learning.transfer import Inputs, Present, Result, event

WARM_UP = 3  # calls before a capture: libraries choose their kernels, optimisers make their state
T = TypeVar("T")


@runtime_checkable
class DeviceExperience(Protocol):
    """An experience whose observations lie with the learner, or may; batches are assembled there."""

    def follow(self, present: Present) -> None:
        """Take observations from there from now on, and keep it up to date."""

    def picks(self, q_values: NDArray[np.float64]) -> Iterator[Picks]:
        """Yield what the batches consist of that are due now; ``q_values`` (N, A) are of the present observations."""

    def assemble(self, inputs: Mapping[str, Tensor]) -> Batch:
        """Return the batch with these picks; by the device alone."""

    def updated_late(self, index: NDArray[np.int64] | None, priority: Tensor) -> None:
        """Take the priorities of one update, (B,), and set those of the one before."""


class Graph(Generic[T]):
    """A function of tensors at fixed addresses: called as it is a few times, then captured, then replayed.

    A call returns the same tensors each time, with new values. What can't be captured is called as it is.

    Args:
        function: without arguments; what it decides in Python it decides once.
        device: anything but a CUDA device runs the function itself.
        generator: that it draws from.
        failed: called with the generator's state if the function can't be captured; the generator is of no use then.
    """

    def __init__(
        self,
        function: Callable[[], T],
        device: torch.device,
        generator: torch.Generator,
        failed: Callable[[Tensor], None],
    ) -> None:
        self.function, self.generator, self.failed = function, generator, failed
        self.calls = 0
        self.objection: str | None = None if device.type == "cuda" else f"{device.type} has no graphs"
        self._stream: Any = None if self.objection else cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graph: cuda.CUDAGraph | None = None
        self._result: T

    @property
    def captured(self) -> bool:
        """Whether calls are replays."""
        return self._graph is not None

    def __call__(self) -> T:
        """Call the function, or replay what it did."""
        self.calls += 1
        if self.objection is None and self._graph is None:
            if self.calls <= WARM_UP:
                return self._beside()
            self._capture()
        if self._graph is None:
            return self.function()
        self._graph.replay()
        return self._result

    def give_up(self, objection: str) -> None:
        """Call the function itself from now on."""
        self._graph, self.objection = None, objection

    def _beside(self) -> T:
        """Call the function in another stream, as a capture will."""
        self._stream.wait_stream(cuda.current_stream())
        with cuda.stream(self._stream):
            result = self.function()
        cuda.current_stream().wait_stream(self._stream)
        return result

    def _capture(self) -> None:
        """Record what the function does, without doing it."""
        graph, stream, state = cuda.CUDAGraph(), cuda.current_stream(), self.generator.get_state()
        graph.register_generator_state(self.generator)
        try:
            with cuda.graph(graph):
                self._result = self.function()
        except RuntimeError as error:
            cuda.set_stream(stream)
            self.give_up(" ".join(str(error).split())[:200])
            self.failed(state)
        else:
            self._graph = graph


class Report(NamedTuple):
    """What an update computes."""

    means: Tensor  # (2,) loss, expectation of the actions taken; (3,) with the share cut off by a head's range
    priority: Tensor  # (B,)


class Learning(NamedTuple):
    """An update of batches of one shape."""

    inputs: Inputs
    graph: Graph[Report]


class GraphLearner(Learner):
    """A learner whose updates and actions are CUDA graphs; see `DeviceExperience` for what it learns from.

    Attributes:
        graphs_wanted: False before the first call: every call launches its kernels itself.
    """

    graphs_wanted = True
    engine = "graphs"
    warm_up = WARM_UP + 2

    def __init__(
        self,
        recipe: Recipe,
        config: LearnerConfig,
        space: spaces.Box,
        num_actions: int,
        seed: int,
        device: torch.device | str = "cuda",
    ) -> None:
        super().__init__(recipe, config, space, num_actions, seed, device)
        self.present = Present(self.device)
        self._experience: DeviceExperience | None = None
        self._spectral = [layer for layer in self.online.modules() if isinstance(layer, SpectralConv2d)]
        self._spectral_target = [layer for layer in self.target.modules() if isinstance(layer, SpectralConv2d)]
        self._learning: dict[tuple[Any, ...], Learning] = {}
        self._acting: dict[int, Graph[Tensor]] = {}  # by the address of the observations
        self._learnt = event(self.device)
        if isinstance(self.optimizer, CentredRMSProp | ScheduledRAdam):
            self.optimizer.joined = self._compiles
        self._rate: float | None = None  # the step size that the device knows

    def _make_optimizer(self) -> torch.optim.Optimizer:
        if self.config.optimizer == "radam":
            return ScheduledRAdam(self.parameters, self.config.learning_rate, self.config.optimizer_epsilon)
        rate = torch.tensor(self.config.learning_rate, device=self.device)  # read by the graph
        return make_optimizer(self.online, self.config, rate)

    @property
    def _compiles(self) -> bool:
        return self.config.compile and self.device.type == "cuda"

    def _set_learning_rate(self, learning_rate: float) -> None:
        if isinstance(self.optimizer, ScheduledRAdam):
            self.optimizer.schedule(learning_rate)
        elif learning_rate != self._rate:
            self._rate = learning_rate
            for group in self.optimizer.param_groups:
                group["lr"].fill_(learning_rate)

    def load_optimizer(self, state: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Take the optimiser's state of each parameter, by its number; it lies elsewhere then, so graphs begin anew."""
        super().load_optimizer(state)
        self._learning.clear()

    def sync_target(self) -> None:
        """Copy the online network to the target network."""
        super().sync_target()
        for layer in getattr(self, "_spectral_target", []):
            layer.fixed_weight(again=True)

    def attach(self, experience: Experience) -> None:
        """Let an experience and acting share the observations on the device."""
        if isinstance(experience, DeviceExperience):
            self._experience = experience
            experience.follow(self.present)
            self._learning.clear()

    @torch.inference_mode()
    def noisy_q_values(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the expectations by which it explores, (B, ...) -> (B, A): noisy layers sample their noise."""
        present = self.present.of(obs)
        if (graph := self._acting.get(present.data_ptr())) is None:
            graph = self._graph(self._explore)
            self._acting = {present.data_ptr(): graph}  # observations of another shape lie elsewhere
        q_values = Result(graph())
        # both were queued; waiting for updates is part of learning
        began = time.perf_counter()
        self._learnt.synchronize()
        self.waited += time.perf_counter() - began
        return q_values.numpy().astype(np.float64)

    def _explore(self) -> Tensor:
        assert self.present.tensor is not None
        with sampling_noise(self._noisy, self.generator), self._joined():
            q_values: Tensor = self.online(self.present.tensor).q_values
        return q_values

    def learn(
        self,
        experience: Experience,
        q_values: NDArray[np.float64],
        learning_rate: float,
        on_update: Callable[[Update], None],
    ) -> None:
        """Queue the updates that are due; priorities are set one update late, so that none is waited for."""
        assert isinstance(experience, DeviceExperience)
        if experience is not self._experience:
            self.attach(experience)
        for picks in experience.picks(q_values):
            report = self._replay(picks.arrays, learning_rate)
            self._count()
            experience.updated_late(picks.index, report.priority)
            loss, mean_q, *cut_off = report.means.clone()  # the next update overwrites the report
            on_update(Update(loss, mean_q, report.priority, cut_off[0] if cut_off else None))
        self._learnt.record()

    def _replay(self, arrays: Mapping[str, NDArray[Any]], learning_rate: float) -> Report:
        shapes = tuple((name, array.shape) for name, array in arrays.items())
        self._set_learning_rate(learning_rate)
        if (learning := self._learning.get(shapes)) is None:
            inputs = Inputs(arrays, self.device)
            learning = Learning(inputs, self._graph(lambda: self._learn_from(inputs)))
            self._learning[shapes] = learning
        else:
            learning.inputs.load(arrays)
        return learning.graph()

    def _learn_from(self, inputs: Inputs) -> Report:
        assert self._experience is not None
        with self._joined():
            update = self._descend(self._experience.assemble(inputs.tensors))
        means = [part for part in (update.loss, update.q_values, update.cut_off) if part is not None]
        return Report(torch.stack([torch.as_tensor(part) for part in means]), update.priority)

    def _descend(self, batch: Batch) -> Update:
        update = super()._descend(batch)
        for layer in self._spectral:  # acting uses them, and does not see that the weights have changed
            layer.fixed_weight(again=True)
        return update

    def _joined(self) -> AbstractContextManager[None]:
        return compiled.joined(
            (getattr(network, "convolutions", None) for network in (self.online, self.target)), self._compiles
        )

    def _graph(self, function: Callable[[], T]) -> Graph[T]:
        graph = Graph(function, self.device, self.generator, self._give_up)
        if not self.graphs_wanted:
            graph.give_up("not wanted")
        return graph

    def _give_up(self, state: Tensor) -> None:
        """Launch every kernel by itself from now on; a failed capture leaves a generator that can't be drawn from."""
        reason = next(iter(self.objections), "")
        warnings.warn(f"no CUDA graphs, so every kernel is launched by itself: {reason}", stacklevel=2)
        self.graphs_wanted = False
        for graph in self._graphs:
            graph.give_up(graph.objection or "another one could not be captured")
        self.generator = torch.Generator(self.device)
        self.generator.set_state(state)

    @property
    def _graphs(self) -> list[Graph[Any]]:
        return [*self._acting.values(), *(one.graph for one in self._learning.values())]

    @property
    def captured(self) -> bool:
        """Whether acting and every update that was made often enough are replays."""
        return all(graph.captured for graph in self._graphs if graph.calls > WARM_UP)

    @property
    def objections(self) -> list[str]:
        """Why graphs could not be captured; empty if they could, or were not yet."""
        return [graph.objection for graph in self._graphs if graph.objection]


class ScheduledRAdam(torch.optim.Optimizer):
    """RAdam, Liu et al. 2019, arXiv:1908.03265, for graphs: two numbers on the device change from step to step.

    The host computes them, in double precision; torch's own, inside a graph, launches dozens of kernels for each
    parameter to do so. Its state has the names of torch's, so either continues what the other has saved.
    """

    joined = False  # whether `learning.compiled` makes one kernel of a step

    def __init__(self, parameters: list[Any], lr: float, eps: float) -> None:
        super().__init__(parameters, {"lr": lr, "betas": (0.9, 0.999), "eps": eps})
        self.steps = 0
        device = parameters[0].device
        self._coefficients = Inputs({"coefficients": np.zeros(2, np.float32)}, device)
        for parameter in parameters:
            self.state[parameter] = {
                "step": torch.tensor(0.0),
                "exp_avg": torch.zeros_like(parameter),
                "exp_avg_sq": torch.zeros_like(parameter),
            }

    def schedule(self, learning_rate: float) -> None:
        """Prepare the next step: of size ``learning_rate``."""
        self.steps += 1
        size, adaptive = radam_sizes(self.steps, *self.param_groups[0]["betas"])
        size *= -learning_rate
        rectified, plain = (size, 0.0) if adaptive else (0.0, size)
        self._coefficients.load({"coefficients": np.array([rectified, plain], np.float32)})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move all parameters, by what was scheduled: mean * rectified / (sqrt(square) + eps) + mean * plain."""
        group = self.param_groups[0]
        moved = [parameter for parameter in group["params"] if parameter.grad is not None]
        gradients = [parameter.grad for parameter in moved]
        means = [self.state[parameter]["exp_avg"] for parameter in moved]
        squares = [self.state[parameter]["exp_avg_sq"] for parameter in moved]
        betas: tuple[float, float] = group["betas"]
        move = compiled.compiled(radam_step) if self.joined else radam_step
        move(moved, gradients, means, squares, self._coefficients.tensors["coefficients"], *betas, group["eps"])

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each parameter by its number, as torch does."""
        for state in self.state.values():
            state["step"].fill_(self.steps)
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a saved state: its own or torch's."""
        super().load_state_dict(state_dict)
        for parameter in self.param_groups[0]["params"]:
            state = self.state[parameter]
            state["step"] = state["step"].cpu()
            self.steps = int(state["step"])


def radam_step(
    moved: list[Tensor],
    gradients: list[Tensor],
    means: list[Tensor],
    squares: list[Tensor],
    coefficients: Tensor,
    mean_decay: float,
    square_decay: float,
    epsilon: float,
) -> None:
    """Move parameters by one step of `ScheduledRAdam`; ``coefficients`` (2,) are `rectified` and `plain`."""
    rectified, plain = coefficients
    torch._foreach_lerp_(means, gradients, 1 - mean_decay)
    torch._foreach_mul_(squares, square_decay)
    torch._foreach_addcmul_(squares, gradients, gradients, 1 - square_decay)
    change = torch._foreach_sqrt(squares)
    torch._foreach_add_(change, epsilon)
    torch._foreach_reciprocal_(change)
    torch._foreach_mul_(change, rectified)
    torch._foreach_addcmul_(moved, means, change)
    # not `_foreach_add_` of a number on the device, which may wait for it
    torch._foreach_add_(moved, torch._foreach_mul(means, plain))


def use_tensor_cores() -> None:
    """Let products and convolutions round their factors to TF32, and cuDNN choose kernels by timing them.

    TF32 has 10 bits of mantissa and float32's range, and needs no casts; sums, losses, normalisation and the optimiser
    stay float32. bfloat16 has 8 bits, and 0.4 % of an expectation is as much as two actions often differ by: only
    convolutions use it, with --bf16.
    """
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
