"""The replay: every transition, each observation stored once; of a stack of frames only the newest frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from common.errors import UserError
from common.kernels import cached_njit
from learning import replay_state
from learning.config import ReplayConfig, linear
from learning.states import Saved, Saving, States
from learning.sum_tree import PRIORITY_BYTES, SumTree
from learning.transfer import LatePriorities, Present, Result, send

kernel = cached_njit(nogil=True)

TORCH_TYPES = {np.dtype(np.uint8): torch.uint8, np.dtype(np.float32): torch.float32}
RECORD_BYTES = 8 + 4 + 4 + 1  # action, reward, discount and the mark beside each observation


class Batch(NamedTuple):
    """Transitions to learn from; B of them.

    ``reward`` is the discounted sum of up to n rewards and ``discount`` the product of their discounts,
    0 where the episode terminated: a loss only ever needs ``reward + discount * value(next_obs)``.
    """

    obs: Tensor  # (B, ...)
    action: Tensor  # (B,) int64
    reward: Tensor  # (B,) float32
    discount: Tensor  # (B,) float32
    next_obs: Tensor  # (B, ...)
    weight: Tensor  # (B,) float32 importance weights: 1 for uniform draws
    # (B,) where they are kept, for updating their priority; None: there are no priorities
    index: NDArray[np.int64] | None = None  # type: ignore[assignment]
    # of streams, B is 1:
    ends: bool = False  # the episode ended there, terminated or truncated
    explored: bool = False  # the action was not the one with the highest expectation


class Picks(NamedTuple):
    """What one batch consists of, as the host knows it, for a device that assembles it."""

    arrays: Mapping[str, NDArray[Any]]  # rows of what lies there, and the little that comes from the host
    index: NDArray[np.int64] | None = None  # type: ignore[assignment]  # as in `Batch`


class Draws(NamedTuple):
    """What U batches of B transitions are made of: indices of records instead of observations; (U, B) each."""

    start: NDArray[np.int64]  # record of the observation
    end: NDArray[np.int64]  # record of the next one
    action: NDArray[np.int64]
    reward: NDArray[np.float32]
    discount: NDArray[np.float32]
    weight: NDArray[np.float32]


@kernel
def follow(start, slots, n_step, acted, reward, discount, total, product, end):  # type: ignore[no-untyped-def]
    """Follow each window from its start until n actions or a record without one; fill total, product, end, (B,)."""
    for b in range(start.shape[0]):
        first = start[b] // slots * slots  # of this environment's ring
        here, total[b], product[b] = start[b], 0.0, 1.0
        for _ in range(n_step):
            if not acted[here]:
                break
            total[b] += product[b] * reward[here]
            product[b] *= discount[here]
            here = first + (here - first + 1) % slots
        end[b] = here


@kernel
def advance(envs, cursor, slots, acted, here):  # type: ignore[no-untyped-def]
    """Move some environments (E,) on to their next slots, fill ``here`` (E,); return how many slots these rings use."""
    most = 0
    for k in range(envs.shape[0]):
        slot = (cursor[envs[k]] + 1) % slots
        cursor[envs[k]] = slot
        here[k] = envs[k] * slots + slot
        acted[here[k]] = False
        most = max(most, slot + 1)
    return most


@kernel
def choose(draw, where, filled, slots, stack, acted, cursor, flat):  # type: ignore[no-untyped-def]
    """Fill the entries ``where`` of flat (B,) with the drawn records; return how many can't be sampled.

    Their entries are then the first ones of ``where``. See `Replay._whole`.
    """
    unfit = 0
    for k in range(draw.shape[0]):
        ring = draw[k] // filled
        slot = draw[k] - ring * filled
        record, entry = ring * slots + slot, where[k]
        flat[entry] = record
        if not acted[record] or (slot - cursor[ring] - 1) % slots < stack - 1:
            where[unfit] = entry
            unfit += 1
    return unfit


@kernel
def stacks(index, slots, acted, blank, rows):  # type: ignore[no-untyped-def]
    """Find the rows of each observation's frames, oldest first, (B, stack); ``blank`` before an episode's start."""
    newest = rows.shape[1] - 1
    for b in range(index.shape[0]):
        first = index[b] // slots * slots
        here, begun = index[b], False
        rows[b, newest] = here
        for k in range(newest - 1, -1, -1):
            here = first + (here - first - 1) % slots
            # a record without action ended another episode, or was never written
            begun = begun or not acted[here]
            rows[b, k] = blank if begun else here


class Replay:
    """A ring of records for each environment; sampling is uniform over all transitions held, or by priority.

    A record is an observation and, unless the episode ended there, what was done next. So an episode
    is a run of records whose last one has no action, and the newest record of an environment, its
    present observation, has none *yet*. n-step windows simply stop at a record without action: they
    never cross an episode's end, nor the ring's seam, and no transition is lost there; a truncated
    episode keeps its discount and bootstraps from its true last observation.

    With ``stack`` > 1 observations are stacks of so many frames along their first axis, of which each
    is the one before, moved by one frame, and an episode's first is blank but for its newest frame.
    Then a record holds one frame, and stacks are made again when sampled: one million of Atari's
    transitions take 7.1 GB, not 28 or 56. The oldest stack - 1 records of a ring have lost the frames
    before them, so they are not sampled.

    Args:
        capacity: observations held, over all environments.
        num_envs: N.
        space: of one observation, uint8 or float32.
        n_step: actions of a window.
        device: where batches are wanted.
        stack: frames of an observation; 1: each observation is a record of its own.
        storage: where observations lie; by default with the batches.
        priority_exponent: alpha, a transition is drawn in proportion to its priority to this power; None: uniformly.
        importance_norm: what has the importance weight 1, the least likely transition of the "batch" or the "replay".
    """

    def __init__(
        self,
        capacity: int,
        num_envs: int,
        space: spaces.Box,
        n_step: int = 1,
        device: torch.device | str = "cpu",
        stack: int = 1,
        storage: torch.device | str | None = None,
        priority_exponent: float | None = None,
        importance_norm: str = "batch",
    ) -> None:
        least = (stack + 1) * num_envs
        if capacity < least:
            raise UserError(f"--capacity {capacity} is too small for {num_envs} environments; at least {least}")
        if space.dtype not in TORCH_TYPES:
            raise UserError(f"observations of type {space.dtype} can't be stored; uint8 or float32 can")
        self.num_envs, self.n_step, self.stack, self.device = num_envs, n_step, stack, torch.device(device)
        self.shape = space.shape  # of an observation
        self.planes = space.shape[0] // stack  # of a frame: 1, or its colours
        self.slots = -(-capacity // num_envs)  # records per environment
        dtype = TORCH_TYPES[np.dtype(space.dtype)]
        # observations may lie on the learner's device; everything else is small and stays with the host.
        # With stacks one more row stays blank: it stands for the frames before an episode's start.
        rows = num_envs * self.slots + (stack > 1)
        self.obs = torch.zeros((rows, *_record(space, stack)), dtype=dtype, device=storage or device)
        shape = (num_envs * self.slots,)
        self.action = np.zeros(shape, np.int64)
        self.reward = np.zeros(shape, np.float32)
        self.discount = np.zeros(shape, np.float32)
        self.acted = np.zeros(shape, np.bool_)
        self.cursor = np.full(num_envs, -1, np.int64)  # slot of each environment's present observation
        self.opened = np.zeros(num_envs, np.int64)  # records that each ring has ever got; number i lies in i % slots
        self.filled = 0  # slots in use in the longest ring
        self._envs = np.arange(num_envs)
        self.base = self._envs * self.slots  # where each ring begins
        # exactly the transitions that can be sampled have a priority
        self.sum_tree = None
        if priority_exponent is not None:
            self.sum_tree = SumTree(len(self.acted), priority_exponent, importance_norm == "replay")
        self._ones = torch.ones(0)
        self._gathered: dict[str, Tensor] = {}  # a batch's observations: fresh memory would cost more than the copy

    @staticmethod
    def bytes_needed(capacity: int, space: spaces.Box, stack: int = 1, prioritized: int = 0) -> int:
        """Return the memory that a replay takes, bytes; ``prioritized``: its trees of priorities."""
        assert space.dtype is not None
        beside = RECORD_BYTES + PRIORITY_BYTES * prioritized
        return capacity * (int(np.prod(_record(space, stack))) * space.dtype.itemsize + beside)

    def __len__(self) -> int:
        """Return the number of transitions that can be sampled."""
        return int(self._whole(np.arange(len(self.acted))).sum())

    def reset(self, obs: NDArray[Any], mask: NDArray[np.bool_] | None = None, newest: Tensor | None = None) -> None:
        """Take the first observations of new episodes, ``obs`` (N, ...), where ``mask`` (N,) holds.

        ``newest`` (N, ...) is what a record keeps of them, where that is on the device already.
        """
        envs = self._envs if mask is None else np.flatnonzero(mask)
        self.open(envs, obs[envs], None if newest is None else newest[send(envs, newest.device)])

    def add(
        self,
        action: NDArray[Any],
        reward: NDArray[Any],
        discount: NDArray[Any],
        next_obs: NDArray[Any],
        newest: Tensor | None = None,
        rings: NDArray[np.int64] | None = None,
    ) -> NDArray[np.int64]:
        """Take one step of all environments, (N, ...) each; return where the transitions lie, (N,).

        Args:
            action: (N,).
            reward: (N,).
            discount: (N,) gamma * (1 - terminated).
            next_obs: (N, ...).
            newest: (N, ...) what a record keeps of the next observations, where that is on the device already.
            rings: (E,) only these environments, of which the others are (E, ...) then; None: all.
        """
        envs = self._envs if rings is None else rings
        here = self.base[envs] + self.cursor[envs]
        self.action[here], self.reward[here], self.discount[here] = action, reward, discount
        self.acted[here] = True
        if self.sum_tree is not None:
            self.sum_tree.admit(here)
        self.open(envs, next_obs, newest)
        return here

    def open(self, envs: NDArray[np.int64], obs: NDArray[Any], newest: Tensor | None = None) -> None:
        """Write the present observations (E, ...) of some environments (E,) into their next slots.

        Of stacks only the newest frame is looked at.
        """
        here = np.empty_like(envs)
        self.opened[envs] += 1
        self.filled = max(self.filled, advance(envs, self.cursor, self.slots, self.acted, here))
        kept = obs[:, -self.planes :].reshape(-1, *self.obs.shape[1:]) if self.stack > 1 else obs
        if newest is not None and newest.device == self.obs.device:
            self.obs.index_copy_(0, send(here, newest.device), newest)
        elif self.obs.device.type == "cpu":
            self.obs.numpy()[here] = kept  # torch would wake its threads for this
        else:
            self.obs[torch.from_numpy(here)] = torch.from_numpy(kept).to(self.obs)
        if self.sum_tree is not None:
            # what was written over; of stacks, the record that now became one of the oldest (see `_whole`)
            self.sum_tree.drop(self.base[envs] + (self.cursor[envs] + self.stack - 1) % self.slots)

    def sample(
        self, batch_size: int, rng: np.random.Generator, importance_exponent: float = 0.0, uniform_share: float = 0.0
    ) -> Batch:
        """Return a batch drawn with replacement from all transitions held; see `draw` and `gather`."""
        return self.gather(self.draw(1, batch_size, rng, importance_exponent, uniform_share), 0)

    def draw(
        self,
        batches: int,
        batch_size: int,
        rng: np.random.Generator,
        importance_exponent: float = 0.0,
        uniform_share: float = 0.0,
    ) -> Draws:
        """Return what some batches consist of, drawn with replacement from all transitions held.

        Args:
            batches: U.
            batch_size: B.
            rng: of the draws.
            importance_exponent: beta; with priorities, how much of the bias the weights take back, 0 to 1.
            uniform_share: with priorities, share of the draws that is uniform all the same.
        """
        shape = (batches, batch_size)
        start, weight = np.empty(shape, np.int64), np.ones(shape, np.float32)
        for drawn, weights in zip(start, weight, strict=True):
            if self.sum_tree is None:
                drawn[:] = self._draw(batch_size, rng)
            else:
                drawn[:] = self._draw_by_priority(self.sum_tree, batch_size, rng, uniform_share)
                weights[:] = self.sum_tree.weights(drawn, importance_exponent, uniform_share)
        reward, discount = np.empty(shape, np.float32), np.empty(shape, np.float32)
        end = np.empty(shape, np.int64)
        follow(
            start.ravel(),
            self.slots,
            self.n_step,
            self.acted,
            self.reward,
            self.discount,
            reward.ravel(),
            discount.ravel(),
            end.ravel(),
        )
        return Draws(start, end, self.action[start], reward, discount, weight)

    def gather(self, draws: Draws, which: int) -> Batch:
        """Return one of the batches, on the learner's device; the next one overwrites its observations."""
        start, end, action, reward, discount, weight = (array[which] for array in draws)
        return Batch(
            obs=self._observations(start, "obs").to(self.device),
            action=torch.from_numpy(action).to(self.device),
            reward=torch.from_numpy(reward).to(self.device),
            discount=torch.from_numpy(discount).to(self.device),
            next_obs=self._observations(end, "next_obs").to(self.device),
            weight=self._even(len(start)) if self.sum_tree is None else torch.from_numpy(weight).to(self.device),
            index=start,
        )

    def pick(self, draws: Draws, which: int) -> Picks:
        """Return what one of the batches consists of, for `assemble`."""
        start, end, action, reward, discount, weight = (array[which] for array in draws)
        arrays = {"action": action, "reward": reward, "discount": discount}
        if self.sum_tree is not None:
            arrays["weight"] = weight
        for role, index in (("obs", start), ("next_obs", end)):
            if self.obs.device.type == self.device.type:
                arrays[f"rows of {role}"] = self._frames(index)
            else:
                arrays[role] = self._observations(index, role).numpy()
        return Picks(arrays, start)

    def assemble(self, inputs: Mapping[str, Tensor]) -> Batch:
        """Return the batch that was picked, by the device alone: there is nothing to wait for."""

        def observations(role: str) -> Tensor:
            if role in inputs:
                return inputs[role]
            rows = inputs[f"rows of {role}"]
            return self.obs.index_select(0, rows.flatten()).view(len(rows), *self.shape)

        weight = self._even(len(inputs["action"])) if self.sum_tree is None else inputs["weight"]
        return Batch(
            observations("obs"),
            inputs["action"],
            inputs["reward"],
            inputs["discount"],
            observations("next_obs"),
            weight,
        )

    def unchanged(self, index: NDArray[np.int64], cursor: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each record, (B,), is what it was when ``cursor`` (N,) was where it says, less than a lap ago."""
        ring, slot = index // self.slots, index % self.slots
        written = (self.cursor[ring] - cursor[ring]) % self.slots
        same: NDArray[np.bool_] = (slot - cursor[ring] - 1) % self.slots >= written
        return same

    def _even(self, batch_size: int) -> Tensor:
        """Return the weights of uniform draws, (B,), always the same tensor."""
        if len(self._ones) != batch_size:
            self._ones = torch.ones(batch_size, device=self.device)
        return self._ones

    def _draw_by_priority(
        self, priorities: SumTree, batch_size: int, rng: np.random.Generator, uniform_share: float
    ) -> NDArray[np.int64]:
        """Return flat indices drawn by priority, some of them replaced by uniform draws."""
        flat = priorities.draw(batch_size, rng)
        if uniform_share > 0.0:
            replaced = np.flatnonzero(rng.random(batch_size) < uniform_share)
            flat[replaced] = self._draw(len(replaced), rng)
        return flat

    def _draw(self, batch_size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return flat indices of records with an action: drawn from all, drawn again where there is none."""
        if not self.acted.any():
            raise ValueError("the replay is empty")
        flat, where = np.empty(batch_size, np.int64), np.arange(batch_size)
        while len(where):
            draw = rng.integers(0, self.num_envs * self.filled, len(where))
            unfit = choose(draw, where, self.filled, self.slots, self.stack, self.acted, self.cursor, flat)
            where = where[:unfit]
        return flat

    def _whole(self, flat: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each record has an action, and its stack all of its frames."""
        if self.stack == 1:
            return self.acted[flat]
        age = (flat % self.slots - self.cursor[flat // self.slots] - 1) % self.slots  # 0: the ring's oldest
        # where a ring has not come round yet, its oldest slots are unused: nothing is lost there
        whole: NDArray[np.bool_] = self.acted[flat] & (age >= self.stack - 1)
        return whole

    def _observations(self, index: NDArray[np.int64], role: str) -> Tensor:
        """Return the observations of some records, (B, ...), where observations lie."""
        rows = self._frames(index)
        frames = self._rows(rows.ravel(), role)  # (B [* stack], ...)
        return frames.view(len(rows), *self.shape)

    def _frames(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of some records' observations, (B,), or of their frames, (B, stack)."""
        if self.stack == 1:
            return index
        rows = np.empty((len(index), self.stack), np.int64)
        stacks(index, self.slots, self.acted, len(self.acted), rows)
        return rows

    def _rows(self, index: NDArray[np.int64], role: str) -> Tensor:
        out = self._gathered.get(role)
        if out is None or len(out) != len(index):
            out = self._gathered[role] = self.obs.new_empty((len(index), *self.obs.shape[1:]))
        return torch.index_select(self.obs, 0, torch.from_numpy(index).to(self.obs.device), out=out)


def _record(space: spaces.Box, stack: int) -> tuple[int, ...]:
    """Return the shape of what is stored of one observation."""
    planes = space.shape[0] // stack  # 1, or the colours of a frame
    return space.shape if stack == 1 else space.shape[1:] if planes == 1 else (planes, *space.shape[1:])


class ReplayExperience:
    """Batches sampled from a replay, as many as the replay ratio asks for.

    Uniformly (Mnih et al. 2015), or in proportion to priorities (Schaul et al. 2015, arXiv:1511.05952).
    """

    label = "replay"

    def __init__(
        self,
        config: ReplayConfig,
        space: spaces.Box,
        stack: int,
        rng: np.random.Generator,
        device: str,
        storage: str | None,
        value: Callable[[NDArray[Any]], NDArray[np.float64]],
    ) -> None:
        self.config, self.rng = config, rng
        exponent = config.priority_exponent if config.prioritized else None
        shape = config.capacity, config.num_envs, space, config.n_step
        self.replay = Replay(*shape, device, stack, storage, exponent, config.importance_norm)
        self.warm_up = config.learning_starts
        self.starts = config.learning_starts  # agent steps after which it is sampled; later where it was refilled
        self.steps = 0  # agent steps
        self.updates_due = 0.0  # updates that the replay ratio asks for and that are still to be made
        self._present: Present | None = None  # where observations are on the device already
        self._late: LatePriorities | None = None  # of the update before, which are still to be set

    @staticmethod
    def bytes_needed(config: ReplayConfig, space: spaces.Box, stack: int) -> int:
        """Return the memory that the replay takes, bytes."""
        trees = config.prioritized * (2 if config.importance_norm == "replay" else 1)
        return Replay.bytes_needed(config.capacity, space, stack, trees)

    @staticmethod
    def rehearsal(config: ReplayConfig) -> ReplayConfig:
        """Return settings for timing: a small replay that is sampled at once."""
        # never larger than asked for, so that a capacity that is too small is rejected before the start
        capacity = min(config.capacity, max(20_000, 40 * config.num_envs))
        return dataclasses.replace(config, capacity=capacity, learning_starts=5 * config.num_envs, stagger=0)

    def reset(self, obs: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> None:
        """Take the first observations of new episodes."""
        if self._present is not None:
            self._present.reset(obs, mask)
        self.replay.reset(obs, mask, self._newest)

    def add(self, action: NDArray[Any], reward: NDArray[Any], discount: NDArray[Any], next_obs: NDArray[Any]) -> None:
        """Take one step of all environments."""
        if self._present is not None:
            self._present.step(next_obs)
        self.replay.add(action, reward, discount, next_obs, self._newest)
        self.steps += len(action)

    @property
    def _newest(self) -> Tensor | None:
        return None if self._present is None else self._present.newest

    def follow(self, present: Present) -> None:
        """Take observations from where they are on the device, and keep that up to date."""
        present.stack = self.replay.stack
        self._present = present

    def batches(self, q_values: NDArray[np.float64]) -> Iterator[Batch]:
        """Yield the batches that are due after one step of all environments."""
        for draws in self.draws():
            for which in range(len(draws.start)):
                yield self.replay.gather(draws, which)

    def picks(self, q_values: NDArray[np.float64]) -> Iterator[Picks]:
        """Yield what these batches consist of, for `assemble`."""
        for draws in self.draws():
            for which in range(len(draws.start)):
                yield self.replay.pick(draws, which)

    def assemble(self, inputs: Mapping[str, Tensor]) -> Batch:
        """Return the batch that was picked, by the device alone."""
        return self.replay.assemble(inputs)

    def draws(self) -> Iterator[Draws]:
        """Yield what these batches consist of: all at once, or with priorities each as those before have left them."""
        config = self.config
        if self.steps <= self.starts:
            return
        self._owe()
        while self.updates_due >= 1.0:
            count = 1 if config.prioritized else int(self.updates_due)
            self.updates_due -= count
            yield self.replay.draw(count, config.batch_size, self.rng, self.importance_exponent, config.uniform_share)

    def _owe(self) -> None:
        """Count the updates that are due for one step of all environments."""
        self.updates_due += self.config.num_envs * self.config.replay_ratio / self.config.batch_size

    def updated(self, batch: Batch, priority: Tensor) -> None:
        """Set the priorities of a batch, if there are any; before the next step is added."""
        if self.replay.sum_tree is not None:
            assert batch.index is not None
            if self._late is not None:  # from an engine that is an update behind
                self._set_late()
            self.set_priorities(batch.index, priority.detach().cpu().numpy())

    def updated_late(self, index: NDArray[np.int64] | None, priority: Tensor) -> None:
        """Take the priorities of one update, if there are any, and set those of the one before.

        Those have arrived while the device was at this one; so it always has something to do, and what is drawn
        depends on the number of updates, not on who was faster.
        """
        if self.replay.sum_tree is not None:
            assert index is not None
            if self._late is not None:
                self._set_late()
            self._late = LatePriorities(index, Result(priority), self.replay.cursor.copy())

    def _set_late(self) -> None:
        """Set the priorities that came late, but of records that are others by now."""
        assert self._late is not None
        late, self._late = self._late, None
        same = self.replay.unchanged(late.index, late.cursor)
        self.set_priorities(late.index[same], late.priority.numpy()[same])

    def set_priorities(self, index: NDArray[np.int64], priority: NDArray[Any]) -> None:
        """Set the priorities of records that were learnt from, (B,) each, if there are any."""
        if self.replay.sum_tree is not None:
            self.replay.sum_tree.update(index, priority)

    @property
    def importance_exponent(self) -> float:
        """How much of the sampling bias the importance weights correct now."""
        config = self.config
        start, end = config.importance_exponent, config.final_importance_exponent
        return linear(start, end, config.schedule_steps, self.steps)

    def save(self, into: Saving) -> None:
        """Add the replay and its counters to a state."""
        counters = replay_state.Counters(self.steps, self.updates_due, self.starts)
        replay_state.save(self.replay, self._late, counters, into)

    def write_ahead(self, states: States) -> None:
        """Write what has come since the last state, where it is much, so that the next one need not."""
        replay_state.write_ahead(self.replay, states)

    def load(self, saved: Saved, states: States | None = None) -> None:
        """Restore what `save` added; the next states of ``states`` write only what is new."""
        self._late = replay_state.load(self.replay, saved, states)
        config = self.config
        most_due = 1 + config.num_envs * config.replay_ratio / config.batch_size
        found = replay_state.load_counters(saved, self.starts, most_due)
        self.steps, self.updates_due, self.starts = found.steps, found.updates_due, found.starts

    def refill(self, steps: int) -> None:
        """Begin empty after so many agent steps: as many as at the start are taken before it is sampled again."""
        self.steps, self.starts = steps, steps + self.config.learning_starts
