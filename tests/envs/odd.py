"""Environments that people write: most are right and unusual, some are wrong. Importing this registers them."""

from __future__ import annotations

import random
import time
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

STEPS = 20  # of an episode


class Odd(gymnasium.Env[Any, Any]):
    """Reward 1 for the last action, 0 for others, for `STEPS` steps."""

    observation_space: spaces.Space[Any] = spaces.Box(-1, 1, (2,), np.float32)
    action_space: spaces.Space[Any] = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        self.t += 1
        return self.seen(), self.reward(action), False, self.t >= STEPS, {}

    def seen(self) -> Any:
        return np.array([self.t / STEPS, 0.0], np.float32)

    def reward(self, action: Any) -> Any:
        space = self.action_space
        assert isinstance(space, spaces.Discrete)
        return float(action == space.start + space.n - 1)


class StartsBelowZero(Odd):
    action_space = spaces.Discrete(3, start=-1)


class StartsAtOne(Odd):
    action_space = spaces.Discrete(3, start=1)


class Text(Odd):
    observation_space = spaces.Dict({"place": Odd.observation_space, "mission": spaces.Text(40)})

    def seen(self) -> Any:
        return {"place": super().seen(), "mission": "go"}


class Nested(Odd):
    observation_space = spaces.Dict(
        {"a": spaces.Tuple((spaces.Discrete(3, start=1), spaces.MultiBinary(2))), "b": spaces.MultiDiscrete([2, 3])}
    )

    def seen(self) -> Any:
        return {"a": (1 + self.t % 3, np.array([1, 0], np.int8)), "b": np.array([1, 2])}


class OnlySequence(Odd):
    observation_space = spaces.Sequence(spaces.Discrete(3))


class Continuous(Odd):
    action_space = spaces.Box(-1, 1, (1,), np.float32)


class Either(Odd):
    """As CarRacing: an argument says which actions there are."""

    def __init__(self, continuous: bool = True) -> None:
        if continuous:
            self.action_space = Continuous.action_space


class Picture(Odd):
    """A bright column stands where the right action is: 0 left, 1 middle, 2 right."""

    observation_space = spaces.Box(0, 255, (40, 36, 3), np.uint8)

    place = before = 0

    def seen(self) -> Any:
        picture = np.zeros((40, 36, 3), np.uint8)
        self.place = int(self.np_random.integers(3)) if self.t % 2 == 0 else self.place
        picture[:, 12 * self.place : 12 * self.place + 12, 1] = 200
        return picture

    def reward(self, action: Any) -> Any:
        return float(action == self.before)

    def step(self, action: Any) -> Any:
        self.before = self.place
        return super().step(action)


class Grey(Odd):
    observation_space = spaces.Box(0, 255, (40, 36), np.uint8)

    def seen(self) -> Any:
        return np.full((40, 36), self.t, np.uint8)


class Wrong(Odd):
    """Does something wrong in the fifth step."""

    WHEN = 5

    @property
    def now(self) -> bool:
        return self.t == self.WHEN


class WrongShape(Wrong):
    def seen(self) -> Any:
        return np.zeros(3 if self.now else 2, np.float32)


class WrongDtype(Wrong):
    def seen(self) -> Any:
        return np.array(["a", "b"]) if self.now else super().seen()


class NanObservation(Wrong):
    def seen(self) -> Any:
        return np.array([0, np.nan if self.now else 0], np.float32)


class InfiniteFloat64(Wrong):
    """A number that is finite as float64, as the space says, and infinite as the network's float32."""

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64)

    def seen(self) -> Any:
        return np.array([0, 1e300 if self.now else 0])


class OutsideDiscrete(Wrong):
    observation_space = spaces.Discrete(4)

    def seen(self) -> Any:
        return 4 if self.now else 0


class NanReward(Wrong):
    def reward(self, action: Any) -> Any:
        return float("nan") if self.now else 0.0


class ArrayReward(Wrong):
    def reward(self, action: Any) -> Any:
        return np.zeros(2) if self.now else 0.0


class NoReward(Wrong):
    def reward(self, action: Any) -> Any:
        return None if self.now else 0.0


class FourValues(Wrong):
    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = super().step(action)
        return (obs, reward, terminated or truncated, info) if self.now else (obs, reward, terminated, truncated, info)


class Raises(Wrong):
    def reward(self, action: Any) -> Any:
        if self.now:
            raise RuntimeError("the server\nhas gone")
        return 0.0


class NoSeed(Odd):
    def reset(self) -> Any:  # type: ignore[override]
        self.t = 0
        return self.seen(), {}


class OldReset(Odd):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.t = 0
        return self.seen()


class Kwargs(Odd):
    def __init__(self, gain: float = 1.0, name: str = "a") -> None:
        if gain < 0:
            raise ValueError("gain must not be negative")
        self.gain, self.name = gain, name

    def reward(self, action: Any) -> Any:
        return self.gain


class Drawing(Odd):
    """Rewards from the global generators; an episode ends when one says so."""

    def step(self, action: Any) -> Any:
        _, _, _, truncated, info = super().step(action)
        drawn = np.random.random()  # noqa: NPY002, what people write
        return self.seen(), random.random(), bool(drawn < 0.2), truncated, info


class Slow(Odd):
    def reward(self, action: Any) -> Any:
        time.sleep(0.0025)
        return 1.0


class Hangs(Odd):
    """Where it was seeded by more than 0, as in every use but its trial."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.hangs = bool(seed)
        return super().reset(seed=seed, options=options)

    def reward(self, action: Any) -> Any:
        while self.hangs:
            time.sleep(10)
        return 1.0


class Warns(Odd):
    def __init__(self) -> None:
        gymnasium.logger.warn("this environment is old")


ODD = [
    *(StartsBelowZero, StartsAtOne, Text, Nested, OnlySequence, Continuous, Either, Picture, Grey, WrongShape),
    *(
        WrongDtype,
        NanObservation,
        InfiniteFloat64,
        OutsideDiscrete,
        NanReward,
        ArrayReward,
        NoReward,
        FourValues,
        Raises,
        NoSeed,
    ),
    *(OldReset, Kwargs, Drawing, Slow, Hangs, Warns, Odd),
]
for odd in ODD:
    gymnasium.register(f"odd/{odd.__name__}-v0", entry_point=f"{__name__}:{odd.__name__}")
