"""Detects a game that has stalled, such as Breakout when nobody serves. No pygame here."""

from __future__ import annotations

from collections import deque
from typing import Any

from numpy.typing import NDArray

STALL_SECONDS = 10  # of game time
# Distinct frames in that time. A ball in flight makes about a hundred; an agent that never serves makes one, or a
# few when its paddle jitters.
MAX_STALLED_FRAMES = 8


class StallDetector:
    """Keeps hashes of the frames of the last seconds; a reward clears them."""

    def __init__(self, tick_seconds: float) -> None:
        """Take the length of a step."""
        self._frames: deque[int] = deque(maxlen=max(1, round(STALL_SECONDS / tick_seconds)))

    def clear(self) -> None:
        """Start again."""
        self._frames.clear()

    def add(self, obs: NDArray[Any], reward: float) -> None:
        """Add a step's observation and reward; of a stack (F, H, W) only the newest frame counts."""
        if reward:
            self._frames.clear()
        self._frames.append(hash((obs[-1] if obs.ndim == 3 else obs).tobytes()))

    @property
    def stalled(self) -> bool:
        """Return whether the last seconds had few distinct frames and no reward."""
        return len(self._frames) == self._frames.maxlen and len(set(self._frames)) <= MAX_STALLED_FRAMES
