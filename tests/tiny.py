"""Tiny environments whose optimal action values are known, registered for the learning tests."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

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


class Payday(Loop):
    """The same with a reward of 10 per step: Q* = 10 / (1 - g)."""

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        obs, reward, *rest = super().step(action)
        return obs, 10 * reward, *rest  # type: ignore[return-value]


class Warner(Corridor):
    """The corridor, with a warning from each environment when it is made, and another one in each step."""

    def __init__(self) -> None:
        super().__init__()
        warnings.warn("made without care", UserWarning, stacklevel=2)

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        gymnasium.logger.warn("stepped without care")
        return super().step(action)


class Undrawn(Corridor):
    """The corridor, which takes any render mode and draws in none."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["human"]}  # type: ignore[misc]

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.render_mode = render_mode


class Picky(Corridor):
    """The corridor with masks: left is not allowed in state 0, and a third action, which breaks it, never is.

    ``by`` says how it tells: "info" or "method" (``action_masks()``), or with a mask of the "wrong" shape.
    """

    def __init__(self, by: str = "info") -> None:
        super().__init__()
        self.action_space, self.by = spaces.Discrete(3), by
        if by == "method":
            self.action_masks = self._mask

    def _mask(self) -> NDArray[np.int8]:
        return np.array([self.state > 0, self.state < 4, 0], np.int8)[: 2 if self.by == "wrong" else 3]

    def _info(self) -> dict[str, Any]:
        return {} if self.by == "method" else {"action_mask": self._mask()}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[NDArray[np.float32], dict[str, Any]]:
        return super().reset(seed=seed)[0], self._info()

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        assert self._mask()[action], f"action {action} is not allowed in state {self.state}"
        obs, *rest, _ = super().step(action)
        return obs, *rest, self._info()  # type: ignore[return-value]


CORRIDOR, LOOP, PAYDAY = "tidepool-tests/Corridor-v0", "tidepool-tests/Loop-v0", "tidepool-tests/Payday-v0"
WARNER, PICKY, TRAP = "tidepool-tests/Warner-v0", "tidepool-tests/Picky-v0", "tidepool-tests/Trap-v0"
UNDRAWN = "tidepool-tests/Undrawn-v0"


def register() -> None:
    for name, entry, limit in (
        (CORRIDOR, "Corridor", 50),
        (LOOP, "Loop", 5),
        (PAYDAY, "Payday", 5),
        (WARNER, "Warner", 50),
        (PICKY, "Picky", 50),
        (TRAP, "Trap", None),
        (UNDRAWN, "Undrawn", 50),
    ):
        if name not in gymnasium.registry:
            gymnasium.register(name, entry_point=f"tests.tiny:{entry}", max_episode_steps=limit)
