"""Tiny environments whose optimal action values are known, registered for the learning tests."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class Corridor(gymnasium.Env[NDArray[np.float32], np.int64]):
    """States 0..4; action 1 goes right, 0 goes left; the step to 4 is rewarded with 1 and terminates.

    With discount g the optimal values are Q*(s, right) = g^(3-s) and Q*(s, left) = g * g^(3 - max(s-1, 0)).
    """

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (5,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.state = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.state = int(self.np_random.integers(4))
        return self._obs(), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        self.state = self.state + 1 if action == 1 else max(self.state - 1, 0)
        done = self.state == 4
        return self._obs(), float(done), done, False, {}

    def _obs(self) -> NDArray[np.float32]:
        obs: NDArray[np.float32] = np.eye(5, dtype=np.float32)[self.state]
        return obs

    @staticmethod
    def q_star(g: float) -> NDArray[np.float64]:
        return np.array([[g * g ** (3 - max(s - 1, 0)), g ** (3 - s)] for s in range(4)])


class Loop(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One state, a reward of 1 per step for any action, never terminates: Q* = 1 / (1 - g).

    Registered with a limit of 5 steps, so that treating truncation as termination shows at once.
    """

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        return np.array([1.0, 0.0], np.float32), {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        return np.array([1.0, 0.0], np.float32), 1.0, False, False, {}


class Trap(Loop):
    """Action 0 stays, for a reward of 1 a step and without an end; action 1 terminates. Registered without a limit."""

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        return np.array([1.0, 0.0], np.float32), 1.0, bool(action == 1), False, {}


CORRIDOR, LOOP, TRAP = "tidepool-tests/Corridor-v0", "tidepool-tests/Loop-v0", "tidepool-tests/Trap-v0"


def register() -> None:
    for name, entry, limit in ((CORRIDOR, "Corridor", 50), (LOOP, "Loop", 5), (TRAP, "Trap", None)):
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point=f"tests.tiny:{entry}", max_episode_steps=limit)
