"""Five games instead of 57: an estimate of the human-normalised median over all, with its measured error.

Aitchison et al. 2023, arXiv:2210.02019: scores are transformed to log10(1 + percent of human), those below random to
0, and a linear regression without intercept on five games predicts the median over 57. The games are theirs; the
coefficients are fitted here, on the final scores of our own table. The error is measured by cross-validation that
leaves out one lineage of agents at a time: the Dopamine agents, for example, are near duplicates of each other.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scores.atari import normalization
from scores.atari.published import load

GAMES = ("BattleZone", "DoubleDunk", "NameThisGame", "Phoenix", "Qbert")
NEEDED_GAMES = 54  # of the 57: an agent of the table with fewer has no such median
FRESH_FRAMES = 10_000_000  # early in the learning curves, where the fit is tested on low scores
NO_AGENTS = (normalization.RECORD, "human", "random")
Numbers = NDArray[np.float64]


class Fit(NamedTuple):
    """The regression and its errors, all as factors: 1.25 is "up to a quarter more or a fifth less"."""

    coefficients: Numbers  # (5,), in the order of GAMES
    agents: int  # in the fit
    lineages: int
    error: float  # root mean square, of agents whose lineage was left out of the fit
    median_error: float  # half of the agents are within this factor
    fresh_error: float  # root mean square at 10 million frames, with their lineage left out


class Estimate(NamedTuple):
    """The 57-game median that the five games predict."""

    median: float  # human-normalised: 1 is human
    low: float  # one error below
    high: float
    fit: Fit


def estimate(normalised: Mapping[str, float]) -> Estimate | None:
    """Return the estimate from human-normalised scores (57-game baseline) by game; None unless all five are given."""
    if not all(game in normalised for game in GAMES):
        return None
    found = fit()
    log = float(_log([normalised[game] for game in GAMES]) @ found.coefficients)
    spread = float(np.log10(found.error))
    return Estimate(_back(log), max(_back(log - spread), 0.0), _back(log + spread), found)


@functools.cache
def fit() -> Fit:
    """Return the regression on the reference table."""
    final = _examples(None)
    fresh = _examples(FRESH_FRAMES)
    left_out: Numbers = _left_out(final, final)
    return Fit(
        coefficients=_solve(final.x, final.y),
        agents=len(final.y),
        lineages=len(set(final.lineages)),
        error=_factor(np.sqrt(np.mean(left_out**2))),
        median_error=_factor(np.median(np.abs(left_out))),
        fresh_error=_factor(np.sqrt(np.mean(_left_out(final, fresh) ** 2))),
    )


class _Examples(NamedTuple):
    x: Numbers  # (agents, 5)
    y: Numbers  # (agents,)
    lineages: list[str]


def _examples(frames: int | None) -> _Examples:
    """Return the agents of the table, with their final scores or those of their learning curves at ``frames``."""
    tables = load()
    if frames is None:
        scores = tables.scores
    else:
        scores = {
            agent: {game: curve.points[frames] for game, curve in curves.items() if frames in curve.points}
            for agent, curves in tables.curves.items()
        }
    x, y, lineages = [], [], []
    for name, by_game in scores.items():
        agent = tables.agents[name]
        if agent.baseline != normalization.LONG or name in NO_AGENTS:
            continue
        found = {game: normalization.human_or_none(score, game, normalization.LONG) for game, score in by_game.items()}
        known = {game: value for game, value in found.items() if value is not None}
        if len(known) >= NEEDED_GAMES and all(game in known for game in GAMES):
            x.append(_log([known[game] for game in GAMES]))
            y.append(_log([float(np.median(list(known.values())))])[0])
            lineages.append(agent.lineage)
    return _Examples(np.array(x), np.array(y), lineages)


def _left_out(train: _Examples, test: _Examples) -> Numbers:
    """Return the errors on ``test`` (log10), each agent predicted by a fit without its lineage."""
    errors: Numbers = np.zeros(len(test.y))
    for lineage in set(test.lineages):
        mine = np.array([other == lineage for other in test.lineages])
        others = np.array([other != lineage for other in train.lineages])
        errors[mine] = test.x[mine] @ _solve(train.x[others], train.y[others]) - test.y[mine]
    return errors


def _solve(x: Numbers, y: Numbers) -> Numbers:
    return np.asarray(np.linalg.lstsq(x, y, rcond=None)[0], dtype=np.float64)


def _log(normalised: Sequence[float]) -> Numbers:
    logs: Numbers = np.log10(1 + np.maximum(100 * np.asarray(normalised, dtype=np.float64), 0))
    return logs


def _back(log: float) -> float:
    return float((10**log - 1) / 100)


def _factor(log: np.floating) -> float:
    return float(10**log)
