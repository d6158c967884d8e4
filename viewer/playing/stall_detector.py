"""Tells a game that waits for somebody from one that is played. No pygame here."""

from __future__ import annotations

from collections import deque
from typing import Any

from numpy.typing import NDArray

STALL_SECONDS = 10  # of game time
# Different sights in that time. A ball in flight makes a hundred; an agent that never serves makes one, or a
# few when its paddle trembles.
FEW_SIGHTS = 8


class StallDetector:
    """Remembers the sights of the last seconds; a reward makes it forget them."""

    def __init__(self, tick_seconds: float) -> None:
        """Take the length of a step."""
        self._sights: deque[int] = deque(maxlen=max(1, round(STALL_SECONDS / tick_seconds)))

    def clear(self) -> None:
        """Begin anew."""
        self._sights.clear()

    def add(self, obs: NDArray[Any], reward: float) -> None:
        """Note what a step brought; of a stack (F, H, W) only the newest frame is a sight of its own."""
        if reward:
            self._sights.clear()
        self._sights.append(hash((obs[-1] if obs.ndim == 3 else obs).tobytes()))

    @property
    def frozen(self) -> bool:
        """Return whether the same few sights have been all there was, without a reward."""
        return len(self._sights) == self._sights.maxlen and len(set(self._sights)) <= FEW_SIGHTS
