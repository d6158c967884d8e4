"""N worlds as plain arrays, and the same as a Gymnasium vector environment."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from common.errors import UserError
from envs.geometry import AGE, F32, F64, HEIGHT, I64, RADIUS, TYPE, U64, VX, VY, WIDTH, X, Y, kernel, mix, spawn

MOVING = (X, Y, VX, VY, TYPE, AGE)
STATIC = (X, Y, TYPE, AGE)
TICKS_PER_SECOND = 33  # the demos tick every 30 ms at normal speed


class Eyes(NamedTuple):
    """What the eyes of one agent see; each array has one entry an eye.

    ``angle`` in radians (an eye looks along (sin, cos), y grows downwards), ``distance`` in pixels,
    ``kind``: -1 nothing, 0 wall, 1 apple, 2 poison.
    """

    angle: F64
    distance: F64
    kind: I64


@kernel
def reset_worlds(mask, start, clock, pos, vel, angle, items, count, rng, speed):  # type: ignore[no-untyped-def]
    """Give every masked world a fresh agent at ``start`` and fresh items from its own generator."""
    for i in range(mask.shape[0]):
        if mask[i]:
            clock[i] = 0
            pos[i, 0], pos[i, 1] = start[0], start[1]
            vel[i, 0], vel[i, 1] = 0.0, 0.0
            angle[i] = 0.0
            count[i] = 0
            for _ in range(items.shape[1]):
                spawn(i, items, count, rng, speed)


class Worlds(ABC):
    """N independent worlds; ``step`` moves all of them, ``obs`` is what their agents see now.

    Attributes:
        pos, vel: (N, 2) pixels and pixels per tick. angle: (N,) radians.
        items: (N, capacity, 6) x, y, vx, vy, type (1 apple, 2 poison), age in ticks.
        count: (N,) live items. clock: (N,) ticks. rng: (N,) generator words.
        reward: (N,) of the last tick. eaten: (N, 2) apples and poison of the last tick.
        obs: (N, size) float32.
    """

    size: ClassVar[tuple[int, int]] = (int(WIDTH), int(HEIGHT))
    radius: ClassVar[float] = RADIUS
    coast: ClassVar[int] = -1  # the action of a player who presses no key
    capacity: ClassVar[int]
    num_eyes: ClassVar[int]
    eye_range: ClassVar[float]
    start: ClassVar[tuple[float, float]]
    item_speed: ClassVar[float]
    action_names: ClassVar[tuple[str, ...]]
    state_columns: ClassVar[tuple[int, ...]]
    pays: ClassVar[tuple[float, float]]  # reward of an apple and of a poison, as the kernels have it
    walls: F64
    inner_walls: F64  # those that can stand between a body and an item

    def __init__(self, num_worlds: int) -> None:
        n = num_worlds
        self.num_worlds = n
        self.clock = np.zeros(n, np.int64)
        self.pos, self.vel = np.zeros((n, 2)), np.zeros((n, 2))
        self.angle = np.zeros(n)
        self.items = np.zeros((n, self.capacity, 6))
        self.count = np.zeros(n, np.int64)
        # Until a seed comes, as Gymnasium has it: from the operating system.
        self.rng: U64 = np.random.SeedSequence().generate_state(n, np.uint64).astype(np.uint64)
        self.reward = np.zeros(n)
        self.eaten = np.zeros((n, 2), np.int64)
        self.kind = np.zeros((n, self.num_eyes), np.int64)
        self.distance = np.zeros((n, self.num_eyes))
        self.which = np.zeros((n, self.num_eyes), np.int64)
        space = self.observation_space()
        self.obs: F32 = np.zeros((n, *space.shape), np.float32)

    @abstractmethod
    def observation_space(self) -> spaces.Box:
        """Return the space of one world's observation."""

    @abstractmethod
    def sense(self, mask: NDArray[np.bool_] | None = None) -> None:
        """Bring ``obs`` up to date with the arrays; ``mask``: the worlds that did not come here by a tick."""

    @abstractmethod
    def _tick(self, actions: I64) -> None:
        """Move every world by one tick."""

    @abstractmethod
    def eye_angles(self, i: int) -> F64:
        """Return the direction of each eye of world ``i`` in radians, (E,)."""

    def reset(self, mask: NDArray[np.bool_], seeds: Sequence[int | None]) -> None:
        """Begin a fresh world wherever ``mask`` holds; a seed of None continues the world's own random stream."""
        for i in np.flatnonzero(mask):
            seed = seeds[int(i)]
            if seed is not None:
                self.rng[i] = mix(np.uint64(int(seed) & 0xFFFFFFFFFFFFFFFF))
        reset_worlds(
            mask,
            np.array(self.start),
            self.clock,
            self.pos,
            self.vel,
            self.angle,
            self.items,
            self.count,
            self.rng,
            self.item_speed,
        )
        self.sense(mask)

    def step(self, actions: NDArray[np.integer[Any]]) -> None:
        """Move every world by one tick; ``actions`` (N,) in 0 .. A-1, or -1 to coast."""
        chosen = np.asarray(actions, np.int64)
        if chosen.shape != (self.num_worlds,):
            raise ValueError(f"actions have shape {chosen.shape}, expected ({self.num_worlds},)")
        if chosen.min() < self.coast or chosen.max() >= len(self.action_names):
            raise ValueError(f"action out of range: allowed are -1 (coast) to {len(self.action_names) - 1}")
        self._tick(chosen)
        self.sense()

    def eyes(self, i: int = 0) -> Eyes:
        """Return what the agent of world ``i`` sees."""
        return Eyes(self.eye_angles(i), self.distance[i].copy(), self.kind[i].copy())

    def get_state(self, i: int = 0) -> dict[str, Any]:
        """Return world ``i`` as plain values, all that `set_state` needs to make it again."""
        live = self.items[i, : self.count[i]]
        return {
            "clock": int(self.clock[i]),
            "pos": self.pos[i].copy(),
            **self._motion(i),
            "items": live[:, self.state_columns].copy(),
            "rng": int(self.rng[i]),
            "reward": float(self.reward[i]) if self.clock[i] else 0.0,  # of the last tick: a picture shows it
        }

    @abstractmethod
    def _motion(self, i: int) -> dict[str, Any]:
        """Return the agent's own motion: ``vel`` or ``angle``."""

    def set_state(self, state: Mapping[str, Any], i: int = 0) -> None:
        """Make world ``i`` what `get_state` described; without ``rng`` its own generator continues.

        ``reward`` may be missing too.

        Raises:
            UserError: a key is missing, or an array has the wrong shape.
        """
        items = np.asarray(_need(state, "items"), np.float64).reshape(-1, len(self.state_columns))
        if len(items) > self.capacity:
            raise UserError(f"a world holds {self.capacity} items at most, the state has {len(items)}")
        motion = {name: _need(state, name) for name in self._motion(i)}
        self.clock[i] = int(_need(state, "clock"))
        self.pos[i] = np.asarray(_need(state, "pos"), np.float64).reshape(2)
        for name, value in motion.items():
            getattr(self, name)[i] = value
        self.items[i] = 0.0
        self.items[i, : len(items), self.state_columns] = items.T
        self.count[i] = len(items)
        if "rng" in state:
            self.rng[i] = np.uint64(state["rng"])
        self.reward[i] = float(state.get("reward", 0.0))
        self.sense(np.arange(self.num_worlds) == i)


def _need(state: Mapping[str, Any], key: str) -> Any:
    if key not in state:
        raise UserError(f"the state of a world needs '{key}'; it has {', '.join(state)}")
    return state[key]


WORLDS: dict[str, Callable[..., Worlds]] = {}
"""How N worlds of each id are made; each world's own file adds a line."""


class WorldVectorEnv(VectorEnv[F32, NDArray[np.int64], NDArray[Any]]):
    """N worlds stepped by one kernel call.

    Nothing is reset behind the caller's back (`AutoresetMode.DISABLED`): finished worlds are reset by
    ``reset(seed=[...], options={"reset_mask": mask})``, ``mask`` (N,) bool. World i equals the single
    environment with the same seed, bit for bit.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["rgb_array"],
        "render_fps": TICKS_PER_SECOND,
        "autoreset_mode": AutoresetMode.DISABLED,
    }

    def __init__(
        self,
        world: str,
        num_envs: int = 1,
        max_episode_steps: int | None = None,
        render_mode: str | None = None,
        **options: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs {num_envs} is out of range; at least 1 is needed")
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.worlds = WORLDS[world](num_envs, **options)
        self.max_episode_steps = max_episode_steps
        self.single_observation_space = self.worlds.observation_space()
        self.single_action_space = spaces.Discrete(len(self.worlds.action_names))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._elapsed = np.zeros(num_envs, np.int64)

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[F32, dict[str, Any]]:
        """Begin fresh worlds: all of them, or those in ``options["reset_mask"]``; an int seed s means s + i."""
        first = seed if isinstance(seed, int | np.integer) else None
        super().reset(seed=None if first is None else int(first))
        if first is not None:
            seeds: list[int | None] = [int(first) + i for i in range(self.num_envs)]
        elif seed is None:
            seeds = [None] * self.num_envs
        else:
            seeds = [None if one is None else int(one) for one in seed]  # type: ignore[union-attr]
        if len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds were given for {self.num_envs} environments")
        mask = np.asarray((options or {}).get("reset_mask", np.ones(self.num_envs, np.bool_)))
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_:
            raise ValueError(f"reset_mask must be bool of shape ({self.num_envs},), not {mask.dtype} {mask.shape}")
        self.worlds.reset(mask, seeds)
        self._elapsed[mask] = 0
        return self.worlds.obs.copy(), {}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[F32, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Move all worlds by one tick; ``info`` has ``apples`` and ``poison``, (N,) each."""
        worlds = self.worlds
        worlds.step(actions)
        self._elapsed += 1
        limit = self.max_episode_steps
        truncated = self._elapsed >= limit if limit else np.zeros(self.num_envs, np.bool_)
        info = {"apples": worlds.eaten[:, 0].copy(), "poison": worlds.eaten[:, 1].copy()}
        return worlds.obs.copy(), worlds.reward.copy(), np.zeros(self.num_envs, np.bool_), truncated, info

    def get_state(self, i: int) -> dict[str, Any]:
        """Return world ``i`` as plain values."""
        return self.worlds.get_state(i)

    def set_state(self, i: int, state: Mapping[str, Any]) -> F32:
        """Set world ``i`` up as described and return its observation."""
        self.worlds.set_state(state, i)
        seen: F32 = self.worlds.obs[i].copy()
        return seen
