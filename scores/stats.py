"""Means and their 95 % intervals, with the method and the number of values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

RESAMPLES = 10_000
MOST_AT_ONCE = 100  # values that are resampled so often in one piece: 8 MB
LEAST_EQUAL = 10  # values that are all the same: fewer give no interval, which would have no width


class Interval(NamedTuple):
    """A mean, its uncertainty, and how that was computed."""

    mean: float
    standard_error: float | None  # None: a single value
    ci95: tuple[float, float] | None  # None: a single value
    size: int  # number of values
    method: str  # "Student t", "bootstrap over runs" or "none: one value"


def student_interval(values: Sequence[float]) -> Interval:
    """Return the mean of one run's episodes with the 95 % interval of Student's t distribution.

    The interval is for the one network that played, over more episodes; not for the algorithm.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    numbers = _finite(values)
    mean, count = float(numbers.mean()), len(numbers)
    if count == 1:
        return Interval(mean, None, None, 1, "none: one value")
    error = float(numbers.std(ddof=1)) / math.sqrt(count)
    if error == 0 and count < LEAST_EQUAL:  # that a few are the same does not show that all are
        return Interval(mean, error, None, count, "none: a few equal values")
    return Interval(mean, error, around(mean, error, count), count, "Student t")


def around(mean: float, standard_error: float, count: int | None) -> tuple[float, float]:
    """Return the 95 % interval of a mean with a standard error from ``count`` values (None: very many)."""
    quantile = 1.959963984540054 if count is None else float(special.stdtrit(count - 1, 0.975))
    return mean - quantile * standard_error, mean + quantile * standard_error


def bootstrap_interval(run_means: Sequence[float]) -> Interval:
    """Return the mean over independent runs (seeds) with the percentile bootstrap's 95 % interval.

    Runs are resampled, not episodes: episodes of one network are not independent evidence about its
    algorithm. With fewer than about 5 runs the interval is too narrow.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    numbers = _finite(run_means)
    mean, count = float(numbers.mean()), len(numbers)
    if count == 1:
        return Interval(mean, None, None, 1, "none: one value")
    error = float(numbers.std(ddof=1)) / math.sqrt(count)
    if numbers.min() == numbers.max():  # nothing to resample
        return Interval(mean, error, (mean, mean), count, "bootstrap over runs")
    from scipy import stats  # here, because it takes half a second, and most tables have no bootstrap

    batch = None if count <= MOST_AT_ONCE else max(MOST_AT_ONCE * RESAMPLES // count, 1)
    drawn = stats.bootstrap(
        (numbers,), np.mean, n_resamples=RESAMPLES, batch=batch, method="percentile", rng=np.random.default_rng(0)
    )
    low, high = drawn.confidence_interval
    return Interval(mean, error, (float(low), float(high)), count, "bootstrap over runs")


def _finite(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    numbers = np.asarray(values, dtype=np.float64).reshape(-1)
    if numbers.size == 0 or not np.isfinite(numbers).all():
        raise ValueError(f"{numbers.size} values, all of which must be finite, and at least one")
    return numbers
