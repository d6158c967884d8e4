"""The training environments and their running episodes: explicit seeds, no automatic resets."""

from __future__ import annotations

import base64
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from numpy.typing import NDArray

import envs
from common.checked import AtMost, fit
from common.errors import UserError
from common.settings import Between
from learning.config import episode_seed, numpy_generator
from learning.networks import random_actions

RESET = -1  # among the actions of a chain of episodes: here a new one began


def pack(actions: array[int]) -> dict[str, Any]:
    """Return a chain of actions as JSON's types: a text, because a list of millions takes JSON a minute."""
    data = np.asarray(actions, f"<i{actions.itemsize}").tobytes()
    return {"bytes_each": actions.itemsize, "base64": base64.b64encode(data).decode()}


def unpack(packed: Mapping[str, Any] | list[int]) -> list[int]:
    """Return what `pack` packed; older states have the list itself."""
    if isinstance(packed, list):
        return packed
    data = base64.b64decode(packed["base64"], validate=True)
    actions: list[int] = np.frombuffer(data, f"<i{packed['bytes_each']}").tolist()
    return actions


Numbers = Annotated[tuple[Annotated[int, Between(0, 10**12)], ...], AtMost(4096)]


@dataclass(frozen=True)
class Saved:
    """What `Episodes.state` returns, in JSON's types."""

    number: Numbers
    seeded: Numbers
    actions: Annotated[tuple[Any, ...], AtMost(4096)]
    finished: Annotated[int, Between(0, 10**12)]


class Step(NamedTuple):
    """The result of one step of all N environments."""

    obs: NDArray[Any]  # (N, ...) the true next observations, also where an episode ended
    reward: NDArray[np.float64]  # (N,) raw
    terminated: NDArray[np.bool_]  # (N,)
    life_lost: NDArray[np.bool_]  # (N,) and the episode goes on
    done: NDArray[np.bool_]  # (N,) terminated or truncated
    finished: list[tuple[float, int]]  # return and length of each episode that ended


class Episodes:
    """N environments whose finished episodes are reset at once, each with the next seed of the run.

    A running episode is its seed and its actions, so that is what ``state`` keeps of it: no emulator
    snapshot, and exact for every environment that is deterministic given its seed. Where a seeded reset
    is expensive (as much as ``vec.reseed_after`` agent steps) short episodes follow each other on one
    seed's stream; then the whole chain since that seed is kept.

    A step is split into `send` and `receive`: environments with threads of their own (Atari) work in
    between, while the caller learns.
    """

    def __init__(
        self,
        env_id: str,
        num_envs: int,
        seed: int,
        options: Mapping[str, Any] | None = None,
        vec: VectorEnv[Any, Any, Any] | None = None,
    ) -> None:
        """``vec``: such environments that were already made; None: they are made."""
        self.env_id = env_id
        self.vec = envs.make_vec(env_id, num_envs, **(options or {})) if vec is None else vec
        self.stack = int(getattr(self.vec, "frame_stack", 1))  # frames that an observation is made of
        self.overlaps = hasattr(self.vec, "send")
        space, actions = self.vec.single_observation_space, self.vec.single_action_space
        assert isinstance(space, spaces.Box)
        assert isinstance(actions, spaces.Discrete)
        self.space, self.num_actions = space, int(actions.n)
        self.seed, self.num_envs = seed, num_envs
        self.reseed_after = int(getattr(self.vec, "reseed_after", 0))
        self.number = np.zeros(num_envs, np.int64)  # of each environment's running episode
        self.seeded = np.zeros(num_envs, np.int64)  # the episode for which it was last given a seed
        self.returns = np.zeros(num_envs)
        self.lengths = np.zeros(num_envs, np.int64)
        # two bytes each where they fit: an episode without an end has millions
        self._typecode = "h" if self.num_actions <= np.iinfo(np.int16).max else "q"
        # since that seed; `RESET` between episodes
        self.actions: list[array[int]] = [array(self._typecode) for _ in range(num_envs)]
        self.finished = 0
        self.restored = 1.0  # share of the running episodes that `load` has played again
        self.abandoned = False
        self._sent = np.zeros(num_envs, np.int64)
        self.obs: NDArray[Any] = np.zeros((num_envs, *space.shape), space.dtype)

    def begin(self, stagger: int = 0) -> NDArray[Any]:
        """Reset all environments and return their first observations, (N, ...).

        With ``stagger`` the i-th of N environments is i / N of so many random steps ahead of its first observation, so
        that they are not all at the same place of a game. They count nowhere, but the running episodes hold them.
        """
        obs = self._seed_all(np.ones(self.num_envs, np.bool_))
        return self._stagger(stagger) if stagger else obs

    def _stagger(self, steps: int) -> NDArray[Any]:
        ahead = np.arange(self.num_envs) * steps // self.num_envs
        rng = numpy_generator(self.seed, "stagger")
        # all step together, so one with k steps to take is seeded k steps before the end
        for left in range(int(ahead.max()), -1, -1):
            if (starting := ahead == left).any():
                self.number[starting] = 0
                self._seed_all(starting)
            if left:
                self.step(random_actions(self.num_envs, self.num_actions, rng, envs.allowed(self.space, self.obs)))
        self.finished = 0
        return self.obs

    def step(self, actions: NDArray[np.int64]) -> Step:
        """Step all environments and begin new episodes where one ended; ``self.obs`` is what to act on next."""
        self.send(actions)
        return self.receive()

    def send(self, actions: NDArray[np.int64]) -> None:
        """Send the actions, (N,)."""
        self._sent = actions
        if self.overlaps:
            self.vec.send(actions)  # type: ignore[attr-defined]

    def receive(self) -> Step:
        """Return the result of the actions sent, as `step` does."""
        actions = self._sent
        try:
            answer = self.vec.recv() if self.overlaps else self.vec.step(actions)  # type: ignore[attr-defined]
        except (UserError, AssertionError):
            raise
        except Exception as error:  # of an emulator's thread, say: anything
            detail = " ".join(f"{type(error).__name__}: {error}".split())
            steps = f"step {int(self.lengths.max()) + 1:,} of its episode at most"
            raise envs.EnvironmentFault(f"{self.env_id}: one of {self.num_envs}, {steps}: {detail}") from error
        obs, reward, terminated, truncated, info = answer
        self.returns += reward
        self.lengths += 1
        for played, action in zip(self.actions, actions.tolist(), strict=True):
            played.append(action)
        self.obs = obs
        life_lost = info.get("life_lost", np.zeros(self.num_envs, np.bool_))
        done = terminated | truncated
        ended = [(float(self.returns[i]), int(self.lengths[i])) for i in np.flatnonzero(done)]
        if ended:
            self.finished += len(ended)
            self.number[done] += 1
            due = done & np.array([len(played) >= self.reseed_after for played in self.actions])
            for mask, begin in ((due, self._seed_all), (done & ~due, self._chain)):
                if mask.any():
                    begin(mask)
        return Step(obs, reward, terminated, life_lost, done, ended)

    def _seed_all(self, mask: NDArray[np.bool_]) -> NDArray[Any]:
        """Begin the masked environments' episodes with seeds of their own."""
        seeds = [self._seed(i) if mask[i] else None for i in range(self.num_envs)]
        self.seeded[mask] = self.number[mask]
        for i in np.flatnonzero(mask):
            self.actions[i] = array(self._typecode)
        return self._reset(seeds, mask)

    def _chain(self, mask: NDArray[np.bool_]) -> NDArray[Any]:
        """Begin the masked environments' next episodes on the stream of their last seed."""
        for i in np.flatnonzero(mask):
            self.actions[i].append(RESET)
        return self._reset([None] * self.num_envs, mask)

    def _reset(self, seeds: list[int | None], mask: NDArray[np.bool_]) -> NDArray[Any]:
        self.obs, _ = self.vec.reset(seed=seeds, options={"reset_mask": mask})  # type: ignore[arg-type]
        self.returns[mask], self.lengths[mask] = 0.0, 0
        return self.obs

    def _seed(self, i: int) -> int:
        return episode_seed(self.seed, "episodes", i, int(self.number[i]))

    def abandon(self) -> None:
        """Give up all running episodes, after a fault in one: `load` of the state begins the next ones."""
        self.number += 1
        self.seeded[:] = self.number
        self.actions = [array(self._typecode) for _ in range(self.num_envs)]
        self.abandoned = True

    def state(self) -> dict[str, Any]:
        """Return what `load` needs, as JSON's types."""
        return {
            "number": self.number.tolist(),
            "seeded": self.seeded.tolist(),
            "actions": [pack(played) for played in self.actions],
            "finished": self.finished,
            "abandoned": self.abandoned,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Play the running episodes again, up to where they were.

        All environments step together, so one with k steps to play is seeded k steps before the end;
        until then it waits.
        """
        self._check(state)
        self.finished = state["finished"]
        past = [unpack(played) for played in state["actions"]]
        for played in past:
            self._check_actions(np.asarray(played, np.int64))
        to_play = np.array([sum(action != RESET for action in played) for played in past])
        upcoming = [iter(played) for played in past]
        self.begin()
        longest = int(to_play.max())
        for left in range(longest, -1, -1):
            self.restored = 1 - left / max(longest, 1)
            if (starting := to_play == left).any():
                self.number[starting] = np.array(state["seeded"])[starting]
                self._seed_all(starting)
            if left:
                self._replay(upcoming, waiting=to_play < left)
        if (just_begun := np.array([next(rest, None) == RESET for rest in upcoming])).any():
            self._chain(just_begun)
        self.number[:] = state["number"]

    def load_next(self, state: dict[str, Any]) -> None:
        """Begin the episodes after those that were running, from their first observations."""
        self._check(state)
        self.finished = state["finished"]
        self.number[:] = np.array(state["number"]) + 1
        self.begin()

    def _check(self, state: dict[str, Any]) -> None:
        """Raise `ValueError` for a state that isn't this many environments'."""
        found: Saved = fit(state, Saved, "its episodes'")
        lengths = {len(found.number), len(found.seeded), len(found.actions)}
        if lengths != {self.num_envs}:
            raise ValueError(f"its episodes are of {sorted(lengths)} environments, not {self.num_envs}")

    def _check_actions(self, played: NDArray[np.int64]) -> None:
        """Raise `ValueError` for a chain that can't have been played."""
        resets = played == RESET
        if ((played < RESET) | (played >= self.num_actions)).any() or (resets[1:] & resets[:-1]).any():
            raise ValueError(f"its episodes have other actions than 0 to {self.num_actions - 1}")

    def _replay(self, upcoming: list[Iterator[int]], waiting: NDArray[np.bool_]) -> None:
        """Step all environments once: the waiting ones with any action, the others with their recorded actions."""
        actions = envs.idle(self.space, self.obs)
        resets = np.zeros(self.num_envs, np.bool_)
        for i in np.flatnonzero(~waiting):
            actions[i] = next(upcoming[i])
            if actions[i] == RESET:
                resets[i], actions[i] = True, next(upcoming[i])
        if resets.any():
            self._chain(resets)
        self.obs, reward, terminated, truncated, _ = self.vec.step(actions)
        self.returns += reward
        self.lengths += 1
        for i in np.flatnonzero(~waiting):
            self.actions[i].append(int(actions[i]))
        if (over := waiting & (terminated | truncated)).any():
            self._reset([None] * self.num_envs, over)

    def close(self) -> None:
        """Close the environments."""
        self.vec.close()
