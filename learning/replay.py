"""The replay: what was lived, each observation stored once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from common.errors import UserError

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


@njit(cache=True, nogil=True)
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


class Replay:
    """A ring of records for each environment; sampling is uniform over all transitions held.

    A record is an observation and, unless the episode ended there, what was done next. So an episode
    is a run of records whose last one has no action, and the newest record of an environment, its
    present observation, has none *yet*. n-step windows simply stop at a record without action: they
    never cross an episode's end, nor the ring's seam, and no transition is lost there; a truncated
    episode keeps its discount and bootstraps from its true last observation.
    """

    def __init__(
        self, capacity: int, num_envs: int, space: spaces.Box, n_step: int = 1, device: torch.device | str = "cpu"
    ) -> None:
        if capacity < 2 * num_envs:
            raise UserError(f"--capacity {capacity} is too small for {num_envs} environments; at least {2 * num_envs}")
        if space.dtype not in TORCH_TYPES:
            raise UserError(f"observations of type {space.dtype} can't be stored; uint8 or float32 can")
        self.num_envs, self.n_step = num_envs, n_step
        self.slots = -(-capacity // num_envs)  # records per environment
        dtype = TORCH_TYPES[np.dtype(space.dtype)]
        # observations lie on the learner's device; everything else is small and stays with the host
        self.obs = torch.zeros((num_envs * self.slots, *space.shape), dtype=dtype, device=device)
        shape = (num_envs * self.slots,)
        self.action = np.zeros(shape, np.int64)
        self.reward = np.zeros(shape, np.float32)
        self.discount = np.zeros(shape, np.float32)
        self.acted = np.zeros(shape, np.bool_)
        self.cursor = np.full(num_envs, -1, np.int64)  # slot of each environment's present observation
        self.filled = 0  # slots in use in the longest ring
        self._base = np.arange(num_envs) * self.slots

    @staticmethod
    def bytes_needed(capacity: int, space: spaces.Box) -> int:
        """Return the memory that a replay takes, bytes."""
        assert space.dtype is not None
        return capacity * (int(np.prod(space.shape)) * space.dtype.itemsize + RECORD_BYTES)

    def __len__(self) -> int:
        """Return the number of transitions that can be sampled."""
        return int(self.acted.sum())

    def reset(self, obs: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> None:
        """Take the first observations of new episodes, ``obs`` (N, ...), where ``mask`` (N,) holds."""
        envs = np.arange(self.num_envs) if mask is None else np.flatnonzero(mask)
        self._open(envs, obs[envs])

    def add(self, action: NDArray[Any], reward: NDArray[Any], discount: NDArray[Any], next_obs: NDArray[Any]) -> None:
        """Take one step of all environments, (N, ...) each; ``discount`` is gamma * (1 - terminated)."""
        here = self._base + self.cursor
        self.action[here], self.reward[here], self.discount[here] = action, reward, discount
        self.acted[here] = True
        self._open(slice(None), next_obs)

    def _open(self, envs: NDArray[np.int64] | slice, obs: NDArray[Any]) -> None:
        """Write the present observation of some environments into their next slots."""
        self.cursor[envs] = (self.cursor[envs] + 1) % self.slots
        here = self._base[envs] + self.cursor[envs]
        self.obs[torch.from_numpy(here)] = torch.from_numpy(obs).to(self.obs)
        self.acted[here] = False
        self.filled = min(max(self.filled, int(self.cursor.max()) + 1), self.slots)

    def sample(self, batch_size: int, rng: np.random.Generator) -> Batch:
        """Return a batch drawn uniformly, with replacement, from all transitions held."""
        start = self._draw(batch_size, rng)
        reward, discount = np.empty(batch_size, np.float32), np.empty(batch_size, np.float32)
        end = np.empty(batch_size, np.int64)
        follow(start, self.slots, self.n_step, self.acted, self.reward, self.discount, reward, discount, end)
        device = self.obs.device
        return Batch(
            obs=self._gather(start),
            action=torch.from_numpy(self.action[start]).to(device),
            reward=torch.from_numpy(reward).to(device),
            discount=torch.from_numpy(discount).to(device),
            next_obs=self._gather(end),
        )

    def _draw(self, batch_size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return flat indices of records with an action: drawn from all, drawn again where there is none."""
        if not self.acted.any():
            raise ValueError("the replay is empty")

        def any_record(count: int) -> NDArray[np.int64]:
            draw = rng.integers(0, self.num_envs * self.filled, count)
            return draw // self.filled * self.slots + draw % self.filled

        flat = any_record(batch_size)
        while len(empty := np.flatnonzero(~self.acted[flat])):
            flat[empty] = any_record(len(empty))
        return flat

    def _gather(self, index: NDArray[np.int64]) -> Tensor:
        return self.obs.index_select(0, torch.from_numpy(index).to(self.obs.device))

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that `load` needs to make this replay again, without the slots never used."""
        used = (self._base[:, None] + np.arange(self.filled)).ravel()
        arrays = {name: getattr(self, name)[used] for name in ("action", "reward", "discount", "acted")}
        return {**arrays, "obs": self._gather(used).cpu().numpy(), "cursor": self.cursor.copy()}

    def load(self, state: dict[str, NDArray[Any]]) -> None:
        """Become the replay that `state` described; it must have the same capacity and environments."""
        self.filled = len(state["acted"]) // self.num_envs
        used = (self._base[:, None] + np.arange(self.filled)).ravel()
        for name in ("action", "reward", "discount", "acted"):
            getattr(self, name)[used] = state[name]
        self.obs[torch.from_numpy(used)] = torch.from_numpy(state["obs"]).to(self.obs)
        self.cursor[:] = state["cursor"]
