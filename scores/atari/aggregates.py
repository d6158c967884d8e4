"""Aggregates over many games, with intervals: Agarwal et al. 2021, arXiv:2108.13264.

Scores are one sequence of runs (seeds) per game, already normalised. All games have the same weight, whatever their
number of runs. Intervals are a stratified bootstrap: runs are resampled within each game; a single run cannot be
resampled, so there is no interval then. Checked against the numbers of the authors' `rliable`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
RunsByGame = Mapping[str, Sequence[float]]
RESAMPLES = 2000
MOST_REPEATS = 60  # of a run, to give games with unequal numbers of runs the same weight


class Aggregates(NamedTuple):
    """Human-normalised scores (1 is human) over the games of one column."""

    median: float
    mean: float
    capped_mean: float  # every game counts at most 1, so that no game dominates
    iqm: float  # interquartile mean: of the middle half of all runs of all games
    iqm_ci95: tuple[float, float] | None  # None: a game has a single run
    games: int
    games_at_human_level: int


class Profile(NamedTuple):
    """Fraction of runs that score above each threshold, mean over games."""

    thresholds: Numbers  # (T,)
    fraction: Numbers  # (T,)
    low: Numbers | None  # (T,) pointwise 95 % band; None: a game has a single run
    high: Numbers | None


class Improvement(NamedTuple):
    """Probability that a run of one is better than a run of the other, in a game drawn at random."""

    probability: float
    ci95: tuple[float, float] | None  # None: a game has a single run of either
    games: int


def aggregate(runs: RunsByGame, resamples: int = RESAMPLES, seed: int = 0) -> Aggregates:
    """Return the aggregates over games; median, mean and capped mean are of the games' means.

    Raises:
        ValueError: no game, a game without runs, or a score that is not finite.
    """
    games = _checked(runs)
    means = np.array([values.mean() for values in games])
    interval = None
    if _can_resample(games):
        interval = _percentiles(iqm(_equal(_resampled(games, resamples, np.random.default_rng(seed)))))
    return Aggregates(
        median=float(np.median(means)),
        mean=float(means.mean()),
        capped_mean=float(np.minimum(means, 1).mean()),
        iqm=float(iqm(_equal(games))),
        iqm_ci95=interval,
        games=len(games),
        games_at_human_level=int((means >= 1).sum()),
    )


def iqm(table: Numbers) -> Numbers:
    """Return the mean over the last axis, (..., N) -> (...), with a quarter (rounded down) cut at each end."""
    from scipy import stats  # here, because it takes half a second, and most tables have no aggregates

    mean: Numbers = np.asarray(stats.trim_mean(table, 0.25, axis=-1))
    return mean


def performance_profile(
    runs: RunsByGame, thresholds: Sequence[float], resamples: int = RESAMPLES, seed: int = 0
) -> Profile:
    """Return the score distribution over runs: at each threshold the fraction of runs above it, mean over games.

    Raises:
        ValueError: as `aggregate`.
    """
    games, at = _checked(runs), np.asarray(thresholds, dtype=np.float64)

    def fraction(sample: Sequence[Numbers]) -> Numbers:
        above = [(values[..., None] > at).mean(-2) for values in sample]  # (..., runs, T) -> (..., T)
        fractions: Numbers = np.mean(above, axis=0)
        return fractions

    if not _can_resample(games):
        return Profile(at, fraction(games), None, None)
    low, high = np.percentile(fraction(_resampled(games, resamples, np.random.default_rng(seed))), [2.5, 97.5], axis=0)
    return Profile(at, fraction(games), low, high)


def probability_of_improvement(
    better: RunsByGame, worse: RunsByGame, resamples: int = RESAMPLES, seed: int = 0
) -> Improvement:
    """Return P(a run of ``better`` > a run of ``worse``), a tie being half, mean over the games of both.

    The Mann-Whitney U statistic divided by the number of pairs. Raw and normalised scores give the same result.

    Raises:
        ValueError: no game in common, or as `aggregate`.
    """
    common = [game for game in better if game in worse]
    first, second = _checked({game: better[game] for game in common}), _checked({game: worse[game] for game in common})

    def probability(ours: Sequence[Numbers], theirs: Sequence[Numbers]) -> Numbers:
        pairs = zip(ours, theirs, strict=True)
        # (..., n, m) comparisons of every run with every run -> (...)
        wins = [(np.sign(a[..., :, None] - b[..., None, :]) + 1).mean((-2, -1)) / 2 for a, b in pairs]
        mean: Numbers = np.mean(wins, axis=0)
        return mean

    interval = None
    if _can_resample(first) and _can_resample(second):
        rng = np.random.default_rng(seed)
        interval = _percentiles(probability(_resampled(first, resamples, rng), _resampled(second, resamples, rng)))
    return Improvement(float(probability(first, second)), interval, len(common))


def _checked(runs: RunsByGame) -> list[Numbers]:
    games = [np.asarray(values, dtype=np.float64).reshape(-1) for values in runs.values()]
    if not games or not all(values.size and np.isfinite(values).all() for values in games):
        raise ValueError("at least one game is needed, each with at least one run, all of whose scores are finite")
    return games


def _can_resample(games: Sequence[Numbers]) -> bool:
    return all(values.size > 1 for values in games)


def _resampled(games: Sequence[Numbers], resamples: int, rng: np.random.Generator) -> list[Numbers]:
    """Return each game's runs, resampled with replacement within the game: (resamples, runs) per game."""
    return [values[rng.integers(values.size, size=(resamples, values.size))] for values in games]


def _equal(games: Sequence[Numbers]) -> Numbers:
    """Return all runs of all games in one last axis, (..., runs) per game -> (..., N), with equal weight per game.

    If games have unequal numbers of runs, each run is repeated until all have the same number.
    """
    sizes = [values.shape[-1] for values in games]
    most = math.lcm(*sizes)
    if most > MOST_REPEATS:  # nearly equal weights are enough where exact ones are expensive
        most = max(MOST_REPEATS, *sizes)
    spread = [values[..., np.arange(most) * values.shape[-1] // most] for values in games]
    return np.concatenate(spread, axis=-1)


def _percentiles(drawn: Numbers) -> tuple[float, float]:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)
