"""The range of an axis that follows what is shown: wide at once, narrow again slowly. No pygame here."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

CALMS = 0.02  # an axis comes back by this share a state after an outlier has widened it


class Axis:
    """Holds 0 and all finite numbers shown lately."""

    def __init__(self) -> None:
        self._low = self._high = 0.0

    def widen(self, values: NDArray[np.float64]) -> None:
        """Take the numbers of one more state, of any shape; those that are none do not count."""
        finite = [float(value) for value in values.ravel() if math.isfinite(value)]
        self._low = min([self._low * (1 - CALMS), *finite])
        self._high = max([self._high * (1 - CALMS), *finite])

    @property
    def range(self) -> tuple[float, float]:
        """Return its ends, low <= 0 <= high."""
        return min(self._low, 0.0), max(self._high, 0.0)
