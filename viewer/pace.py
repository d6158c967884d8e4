"""How fast play runs: speeds, and how many steps an amount of real time is worth. No pygame here."""

from __future__ import annotations

import math
from typing import Any

import gymnasium

SPEEDS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, math.inf)
TICK_SECONDS = 0.03  # one tick of Karpathy's demos at normal speed


def next_speed(speed: float, by: int) -> float:
    """Return the speed ``by`` places along the speeds; from one between two of them, from the nearer one."""
    nearest = min(range(len(SPEEDS)), key=lambda place: _apart(SPEEDS[place], speed))
    return SPEEDS[min(max(nearest + by, 0), len(SPEEDS) - 1)]


def steps_due(left: float, seconds: float, speed: float, tick_seconds: float) -> float:
    """Return how many steps are due after so much real time, with those that were ``left``; without limit infinity."""
    left = 0.0 if math.isinf(left) else left
    return left + seconds * speed / tick_seconds if seconds > 0 else left


def _apart(one: float, other: float) -> float:
    """Return how far two speeds are apart, by their ratio: 0 if they are equal."""
    if one == other:
        return 0.0
    return math.inf if math.isinf(one) or math.isinf(other) else abs(math.log(one / other))


def tick_seconds(env: gymnasium.Env[Any, Any]) -> float:
    """Return how long a step lasts at normal speed: 30 ms in our worlds, else what the environment says."""
    fps = env.metadata.get("render_fps")
    if hasattr(env.unwrapped, "coast") or not fps:
        return TICK_SECONDS
    return 1.0 / float(fps)
