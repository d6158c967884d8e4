"""The fused engine: a whole update of a fully connected network as one compiled function over one flat array.

PyTorch spends most of an update of so small a network between its kernels. Here nothing lies between the products. The
networks stay PyTorch modules, but all their parameters are views into one array, so acting, saving and the window see
no difference. `learning.losses.td_loss` and `learning.learner.Learner.update` say the same in a way that is easier to
read; tests hold both to float32 rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from common import machine
from common.errors import UserError
from envs import MaskedBox
from learning.blas import ALIGNMENT, aligned
from learning.config import FamilyConfig, LearnerConfig
from learning.fused_kernels import (
    DUE,
    F32,
    I64,
    MERGED,
    NONE,
    PARTS,
    SEPARATE,
    Job,
    Network,
    Schedule,
    acting_room_size,
    q_values,
    room_size,
    serve,
    work,
)
from learning.graphs import GraphLearner, use_tensor_cores
from learning.heads import Expected
from learning.learner import Learner, Update
from learning.losses import td_loss
from learning.networks import Canonical, DuelingHead, QNetwork, Scale, automatic_encoder
from learning.recipe import Experience, Recipe
from learning.replay import Batch, Draws, ReplayExperience
from learning.signals import SIGNALS, claim, post

# beside the first thread's
SPARE_CORES = machine.cores() - 1


def keep_to_one_core() -> None:
    """Let no learner of this process have a second thread: its cores are for other runs."""
    global SPARE_CORES
    SPARE_CORES = 0


class Moments:
    """What torch's Adam keeps of each parameter; torch would import its compiler with it, 0.9 s at every start."""

    def __init__(self) -> None:
        self.state: dict[Tensor, dict[str, Tensor]] = {}

    def state_dict(self) -> dict[str, dict[int, dict[str, Tensor]]]:
        """Return the state of each parameter by its number, as torch does."""
        return {"state": dict(enumerate(self.state.values()))}


class FusedLearner(Learner):
    """A learner whose updates are compiled loops; see `objection` for what it takes."""

    engine = "fused"

    def __init__(
        self,
        recipe: Recipe,
        config: LearnerConfig,
        space: spaces.Box,
        num_actions: int,
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(recipe, config, space, num_actions, seed, device)
        assert isinstance(self.online, QNetwork)
        assert isinstance(config, FamilyConfig)
        assert self.online.scale is not None
        threadpool_limits(1, user_api="blas")  # so small products gain nothing from more
        self._flat = flatten(self.online)
        mean, square = np.zeros_like(self._flat), np.zeros_like(self._flat)
        layers, trunk = layout(self.online)
        dueling = SEPARATE if self.online.output.separate else MERGED if config.dueling else NONE
        self.network = Network(
            self._flat,
            flatten(self.target),
            mean,
            square,
            aligned((PARTS, len(mean))),
            layers,
            *images(self.online, num_actions),
            trunk,
            dueling,
            num_actions,
            config.double,
            config.loss == "mse",
        )
        self._steps = np.zeros(len(self.parameters), np.float32)  # of Adam, all the same
        for parameter, *moments in zip(
            self.parameters,
            torch.from_numpy(self._steps),
            views(mean, self.parameters),
            views(square, self.parameters),
            strict=True,
        ):
            # views again: the optimiser's state is saved and loaded as that of any learner
            self.optimizer.state[parameter] = dict(zip(("step", "exp_avg", "exp_avg_sq"), moments, strict=True))
        self._acting_room = aligned(0)
        self._acting, self._held = self._flat, aligned(len(self._flat))
        self._thread: ThreadPoolExecutor | None = None  # joined when the program ends, as a daemon would not be
        self._watch: Future[None] | None = None  # that thread's
        self._job: Job | None = None
        self._posted = False  # the job is under way
        self._rounds: Iterator[Draws] | None = None  # begun

    def _make_optimizer(self) -> Moments:
        return Moments()

    @property
    def busy(self) -> bool:
        """Whether updates were begun and not ended."""
        return self._rounds is not None

    def load_optimizer(self, state: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Take the optimiser's state of each parameter, by its number; zeros for those that are missing."""
        for number, parameter in enumerate(self.parameters):
            for name, value in self.optimizer.state[parameter].items():
                value.copy_(state[number][name]) if number in state else value.zero_()

    def noisy_q_values(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the expectations by which it explores, (B, ...) -> (B, A)."""
        if len(self._acting_room) < (size := acting_room_size(self.network, len(obs))):
            self._acting_room = aligned(size)
        expected = np.empty((len(obs), self.num_actions), np.float32)
        q_values(self.network, self._acting, obs.reshape(len(obs), -1), self._acting_room, expected)
        return expected.astype(np.float64)

    def begin(self, experience: Experience, learning_rate: float) -> None:
        """Begin to learn in a second thread; until `learn` ends it, acting goes by the parameters of now."""
        if SPARE_CORES < 1 or not isinstance(experience, ReplayExperience):
            return
        self._rounds = experience.draws()
        if (draws := next(self._rounds, None)) is None:
            return
        if self._thread is None:
            # what vanishes is flushed to 0 there too, as in the caller's
            self._thread = ThreadPoolExecutor(1, "learner", torch.set_flush_denormal, (True,))
        self._held[:] = self._flat
        self._acting = self._held
        self._post(draws, experience, learning_rate)

    def learn(
        self,
        experience: Experience,
        q_values: NDArray[np.float64],
        learning_rate: float,
        on_update: Callable[[Update], None],
    ) -> None:
        """Make the updates that are due, or help to end those that were begun."""
        if not isinstance(experience, ReplayExperience):
            super().learn(experience, q_values, learning_rate, on_update)
            return
        rounds = experience.draws() if self._rounds is None else self._rounds
        self._rounds = None
        if self._posted:
            self._end_job(experience, on_update)
        for draws in rounds:
            self._post(draws, experience, learning_rate)
            self._end_job(experience, on_update)

    def _post(self, draws: Draws, experience: ReplayExperience, learning_rate: float) -> None:
        """Write the next updates down, for both threads if there are two."""
        obs = experience.replay.obs.numpy()
        job = self._job
        if job is None or len(job.turns[0]) < len(draws.start) or not np.shares_memory(job.obs, obs):
            job = self._job = self._make_job(draws.start.shape, obs)
        number = claim(job.signals)
        self._write(job, draws, learning_rate)
        watched = post(job.signals, number)
        if not watched and self._thread is not None and (self._watch is None or self._watch.done()):
            self._watch = self._thread.submit(serve, self.network, job)
        self._posted = True

    def _end_job(self, experience: ReplayExperience, on_update: Callable[[Update], None]) -> None:
        """Help with the updates under way, and report them."""
        job = self._job
        assert job is not None
        work(self.network, job)  # returns when all updates are made, whoever made them
        self._acting, self._posted = self._flat, False
        for index, priority, update in zip(job.draws.start, job.priority, self._reports(job), strict=False):
            experience.set_priorities(index, priority)
            self.updates += 1
            on_update(update)

    def _make_job(self, shape: tuple[int, ...], obs: NDArray[Any]) -> Job:
        """Return room for so many updates of so large batches, (U, B)."""
        updates, batch = shape
        size = -(-room_size(self.network, -(-batch // PARTS)) // ALIGNMENT) * ALIGNMENT
        whole, real = np.zeros((3, updates, batch), np.int64), np.zeros((4, updates, batch), np.float32)
        loss, mean_q = np.zeros((2, updates, PARTS), np.float32)
        return Job(
            np.zeros(len(Schedule._fields)),
            Draws(*whole, *real[:3]),
            obs.reshape(len(obs), -1),
            aligned((PARTS, size)),
            np.zeros((3, updates), np.int64),
            loss,
            mean_q,
            real[3],
            np.zeros(SIGNALS, np.int64),
        )

    def _write(self, job: Job, draws: Draws, learning_rate: float) -> None:
        """Write down what is to be learnt."""
        count = len(draws.start)
        job.schedule[:] = np.array(
            Schedule(
                count,
                float(self._steps[0]),
                learning_rate,
                self.config.optimizer_epsilon,
                self.config.max_grad_norm or 0.0,
                self.updates,
                self.target_period,
            )
        )
        rooms: list[NDArray[Any]] = list(job.draws)
        for room, drawn in zip(rooms, draws, strict=True):
            room[:count] = drawn
        job.turns[:] = 0

    def _reports(self, job: Job) -> list[Update]:
        """Return the reports of updates that were made; the next job overwrites their priorities."""
        count, batch = int(job.schedule[DUE]), job.draws.start.shape[1]
        self._steps += count
        losses = (job.loss[:count].sum(1) / batch).tolist()
        expectations = (job.mean_q[:count].sum(1) / batch).tolist()
        return list(map(Update, losses, expectations, torch.from_numpy(job.priority).unbind()))

    def update(self, batch: Batch, learning_rate: float) -> Update:
        """Learn from one batch; copies the target network when its period is over."""
        size = len(batch.action)
        first = np.arange(size)[None]
        arrays = (batch.action, batch.reward, batch.discount, batch.weight)
        draws = Draws(first, first + size, *(array.numpy()[None] for array in arrays))
        job = self._make_job((1, size), torch.cat([batch.obs, batch.next_obs]).numpy())
        self._write(job, draws, learning_rate)
        work(self.network, job)
        self.updates += 1
        return self._reports(job)[0]


def make_learner(
    recipe: Recipe,
    config: LearnerConfig,
    space: spaces.Box,
    num_actions: int,
    seed: int,
    device: torch.device | str = "cpu",
    engine: str = "auto",
) -> Learner:
    """Return a learner with the engine of that name; "auto": graphs on a GPU, the fused one where it can, else PyTorch.

    Raises:
        UserError: an engine was asked for that can't learn with these settings.
    """
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        use_tensor_cores()
    if engine == "graphs" or (engine == "auto" and on_gpu):
        reason = f"{recipe.name} has a learner of its own" if recipe.learner else None if on_gpu else "it needs CUDA"
        if config.on_nan == "skip":
            reason = "it can't leave out an update, as --on-nan skip asks"
        if reason is None:
            return GraphLearner(recipe, config, space, num_actions, seed, device)
        if engine == "graphs":
            raise UserError(f"--engine graphs can't train this: {reason}; --engine torch can")
    if engine in ("auto", "fused"):
        reason = objection(recipe, config, space, str(device))
        if reason is None:
            return FusedLearner(recipe, config, space, num_actions, seed, device)
        if engine == "fused":
            raise UserError(f"--engine fused can't train this: {reason}; --engine torch can")
    return (recipe.learner or Learner)(recipe, config, space, num_actions, seed, device)


def objection(recipe: Recipe, config: LearnerConfig, space: spaces.Box, device: str) -> str | None:
    """Return why the fused engine can't learn with these settings; None if it can."""
    if device != "cpu":
        return f"it works on the CPU, not on {device}"
    if recipe.loss is not td_loss or recipe.learner is not None or not isinstance(config, FamilyConfig):
        return f"{recipe.name} has a loss or a learner of its own"
    if isinstance(space, MaskedBox):
        return "it lacks masks of actions"
    if (automatic_encoder(space) if config.encoder == "auto" else config.encoder) != "mlp":
        return "frames go through convolutions, which it lacks"
    lacking = {
        f"--head {config.head}": config.head != "expected",
        "--noisy": config.noisy,
        "--munchausen": config.munchausen,
        f"--priority {config.priority}": config.prioritized and config.priority == "loss",
        "--layer-norm": config.layer_norm,
        f"--optimizer {config.optimizer}": config.optimizer != "adam",
        f"--on-nan {config.on_nan}": config.on_nan == "skip",
    }
    if option := next((option for option, there in lacking.items() if there), None):
        return f"it lacks {option}"
    network = recipe.network(space, 2, config, torch.Generator())
    known = {QNetwork, Canonical, Scale, nn.ModuleList, nn.Linear, Expected, DuelingHead}
    strange = next((type(module).__name__ for module in network.modules() if type(module) not in known), None)
    return strange and f"it lacks layers of type {strange}"


def images(network: QNetwork, num_actions: int) -> tuple[F32, I64, I64, I64]:
    """Return what the kernels know of mirror images: factors, what decides, order, actions; or of the one image."""
    assert network.scale is not None
    factor, mirrors = network.scale.factor.numpy().ravel(), network.canonical
    if mirrors is None:
        one, actions = np.arange(len(factor))[None], np.arange(num_actions)[None]
        return factor[None], np.zeros(0, np.int64), one, actions
    tables = (mirrors.by.numpy(), mirrors.order.numpy(), mirrors.action.numpy())
    return factor * mirrors.sign.numpy(), *tables


def layout(network: QNetwork) -> tuple[I64, int]:
    """Return a row a layer, (L, 5), in the order of the network's parameters, and how many come before the head."""
    output = network.output
    trunk, head = list(network.layers), [*output.layers, output.linear]
    value = [*output.value_layers, output.value] if output.separate else []
    rows, at, units_before = [], 0, 0
    for layer in [*trunk, *head, *value]:
        assert isinstance(layer, nn.Linear)
        inputs, outputs = layer.in_features, layer.out_features
        rows.append((inputs, outputs, at, at + inputs * outputs, units_before))
        at += inputs * outputs + outputs
        units_before += outputs
    return np.array(rows, np.int64), len(trunk)


def flatten(network: nn.Module) -> F32:
    """Return one array with all parameters of a network, which become views into it."""
    parameters = list(network.parameters())
    flat = aligned(sum(parameter.numel() for parameter in parameters))
    np.concatenate([parameter.detach().numpy().ravel() for parameter in parameters], out=flat)
    for parameter, view in zip(parameters, views(flat, parameters), strict=True):
        parameter.data = view
    return flat


def views(flat: F32, parameters: list[nn.Parameter]) -> list[torch.Tensor]:
    """Return tensors of the parameters' shapes, one after the other in a flat array."""
    parts = torch.split(torch.from_numpy(flat), [parameter.numel() for parameter in parameters])
    return [part.view(parameter.shape) for part, parameter in zip(parts, parameters, strict=True)]
