"""The range of an axis that follows the values shown: it widens at once and narrows slowly. No pygame here."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

DECAY = 0.02  # the share by which an axis narrows again with each state after an outlier


class Axis:
    """A range that includes 0 and all finite numbers shown lately."""

    def __init__(self) -> None:
        self._low = self._high = 0.0

    def widen(self, values: NDArray[np.float64]) -> None:
        """Include the numbers of one more state, of any shape; NaN and infinity are ignored."""
        finite = [float(value) for value in values.ravel() if math.isfinite(value)]
        self._low = min([self._low * (1 - DECAY), *finite])
        self._high = max([self._high * (1 - DECAY), *finite])

    @property
    def range(self) -> tuple[float, float]:
        """Return its ends, low <= 0 <= high."""
        return min(self._low, 0.0), max(self._high, 0.0)
