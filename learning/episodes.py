"""The training environments and their running episodes: explicit seeds, no resets behind anyone's back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

import envs
from learning.seeding import episode_seed


class Step(NamedTuple):
    """What one step of all N environments brought."""

    obs: NDArray[Any]  # (N, ...) the true next observations, also where an episode ended
    reward: NDArray[np.float64]  # (N,) raw
    terminated: NDArray[np.bool_]  # (N,)
    life_lost: NDArray[np.bool_]  # (N,) and the episode goes on
    done: NDArray[np.bool_]  # (N,) terminated or truncated
    finished: list[tuple[float, int]]  # return and length of each episode that ended


class Episodes:
    """N environments whose finished episodes are reset at once, each with the next seed of the run.

    A running episode is its seed and its actions, so that is what ``state`` keeps of it: no emulator
    snapshot, and exact for every environment that is deterministic given its seed.

    A step is split into `send` and `receive`: environments with threads of their own (Atari) work in
    between, while the caller learns.
    """

    def __init__(self, env_id: str, num_envs: int, seed: int, options: Mapping[str, Any] | None = None) -> None:
        self.vec = envs.make_vec(env_id, num_envs, **(options or {}))
        self.stack = int(getattr(self.vec, "frame_stack", 1))  # frames that an observation is made of
        self.overlaps = hasattr(self.vec, "send")
        space, actions = self.vec.single_observation_space, self.vec.single_action_space
        assert isinstance(space, spaces.Box)
        assert isinstance(actions, spaces.Discrete)
        self.space, self.num_actions = space, int(actions.n)
        self.seed, self.num_envs = seed, num_envs
        self.number = np.zeros(num_envs, np.int64)  # of each environment's running episode
        self.returns = np.zeros(num_envs)
        self.actions: list[list[int]] = [[] for _ in range(num_envs)]
        self.finished = 0
        self._sent = np.zeros(num_envs, np.int64)
        self.obs: NDArray[Any] = np.zeros((num_envs, *space.shape), space.dtype)

    def begin(self) -> NDArray[Any]:
        """Reset all environments and return their first observations, (N, ...)."""
        return self._reset(np.ones(self.num_envs, np.bool_))

    def step(self, actions: NDArray[np.int64]) -> Step:
        """Step all environments and begin new episodes where one ended; ``self.obs`` is what to act on next."""
        self.send(actions)
        return self.receive()

    def send(self, actions: NDArray[np.int64]) -> None:
        """Hand over what to do, (N,)."""
        self._sent = actions
        if self.overlaps:
            self.vec.send(actions)  # type: ignore[attr-defined]

    def receive(self) -> Step:
        """Return what `send`'s actions brought, as `step`."""
        actions = self._sent
        answer = self.vec.recv() if self.overlaps else self.vec.step(actions)  # type: ignore[attr-defined]
        obs, reward, terminated, truncated, info = answer
        self.returns += reward
        for played, action in zip(self.actions, actions.tolist(), strict=True):
            played.append(action)
        self.obs = obs
        life_lost = info.get("life_lost", np.zeros(self.num_envs, np.bool_))
        done = terminated | truncated
        ended = [(float(self.returns[i]), len(self.actions[i])) for i in np.flatnonzero(done)]
        if ended:
            self.finished += len(ended)
            self.number[done] += 1
            self._reset(done)
        return Step(obs, reward, terminated, life_lost, done, ended)

    def _reset(self, mask: NDArray[np.bool_]) -> NDArray[Any]:
        seeds = [self._seed(i) if mask[i] else None for i in range(self.num_envs)]
        self.obs, _ = self.vec.reset(seed=seeds, options={"reset_mask": mask})  # type: ignore[arg-type]
        self.returns[mask] = 0.0
        for i in np.flatnonzero(mask):
            self.actions[i] = []
        return self.obs

    def _seed(self, i: int) -> int:
        return episode_seed(self.seed, "episodes", i, int(self.number[i]))

    def state(self) -> dict[str, Any]:
        """Return what `load` needs, as JSON's types."""
        return {"number": self.number.tolist(), "actions": self.actions, "finished": self.finished}

    def load(self, state: dict[str, Any]) -> None:
        """Play the running episodes again, up to where they were.

        All environments step together, so an episode of k steps is begun k steps before the end.
        """
        self.number[:] = state["number"]
        self.finished = state["finished"]
        past: list[list[int]] = state["actions"]
        longest = max(map(len, past))
        self.begin()
        for now in range(longest + 1):
            starting = np.array([len(played) == longest - now for played in past])
            if starting.any():
                self._reset(starting)
            if now < longest:
                # those not begun yet stand at the start of an episode and mark time there
                waiting = np.array([longest - now > len(played) for played in past])
                upcoming = [
                    played[now - longest] if not wait else 0 for played, wait in zip(past, waiting, strict=True)
                ]
                self._replay(np.array(upcoming, np.int64), waiting)

    def _replay(self, actions: NDArray[np.int64], waiting: NDArray[np.bool_]) -> None:
        obs, reward, _terminated, _truncated, _ = self.vec.step(actions)
        self.obs = obs
        self.returns += reward
        for i in np.flatnonzero(~waiting):
            self.actions[i].append(int(actions[i]))
        if waiting.any():
            self._reset(waiting)

    def close(self) -> None:
        """Close the environments."""
        self.vec.close()
