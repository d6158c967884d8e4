"""The truth meter: the return that the network expected at each step against the actual discounted return.

The rule. A step is *measured* when the agent took its greedy action there. From then on its rewards are summed,
discounted, until one of these closes the measurement:

1. The episode terminates (for an agent whose returns end with a life: that life is lost). Nothing is missing.
2. The weight of the remaining rewards falls below 1 % (gamma^k < 0.01).
3. An action other than the greedy one is taken, by a human player or at random. What follows is not the return of the
   agent's own policy.
4. The episode is truncated or interrupted.

In cases 2 to 4 the remainder, of weight gamma^k, is bootstrapped: it is replaced by the network's own value of the
state reached. An unbiased network then shows no error on average, wherever its measurements were closed. A network
with a constant bias b shows b (1 - gamma^k), because the remainder has the same bias; so the errors are summed and
divided by the sum of the observed shares 1 - gamma^k. That recovers b, and a measurement with a small observed share
counts little.

Why not use only the steps closed by 1 and 2, whose return is *known* (`known` has them)? Because a random action may
occur at any step, the known returns are mostly those of episodes that ended soon, and ends are bad: a biased sample.
The pretrained Breakout agent expects 0.16 too much at epsilon 0, where all returns are known. At epsilon 0.01 the
known returns alone would give 0.40; the rule above gives 0.08 (3000 steps each, one seed).

(In theory the measured step may take any action: Q(s, a) is the return of taking a and greedy actions after it. But an
agent has hardly learnt the actions that it hardly ever takes; the number is about what it does.)
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from viewer.playing.timeline import Moment

if TYPE_CHECKING:  # a human plays without torch
    from learning.policy import Training

NEGLIGIBLE = 0.01  # weight of the unobserved remainder below which a return counts as known
PAIRS = 1_000  # over which the calibration error is averaged
SERIES = 10_000  # pairs kept for a plot
MIN_WEIGHT = 1e-6  # of the running weight: below it, it is rescaled to 1 before precision is lost


class Pair(NamedTuple):
    """An expected return and the actual one."""

    number: int  # of the moment
    expected: float  # Q(s, a) as the network computed it then
    observed: float  # discounted sum of the rewards, up to where the measurement was closed
    remaining: float  # weight of the rewards after that, 0 to 1
    value: float  # the network's value of the state reached there

    @property
    def realised(self) -> float:
        """Return the discounted return, its remainder bootstrapped."""
        return self.observed + self.remaining * self.value

    @property
    def error(self) -> float:
        """Return by how much the network expected too much."""
        return self.expected - self.realised

    @property
    def known(self) -> bool:
        """Return whether the unobserved remainder is negligible."""
        return self.remaining < NEGLIGIBLE


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Averages over pairs, by the rule above; numbers in units of the (clipped) reward, NaN without pairs."""

    pairs: int
    """How many."""
    error: float
    """Mean absolute difference: the calibration error."""
    bias: float
    """Mean difference: above 0, the network expects too much."""
    bootstrapped: float
    """Mean share of a return that is the network's own value, 0 to 1."""


class RunningCalibration:
    """Running sums over the last pairs."""

    def __init__(self, size: int) -> None:
        """Take the number of pairs."""
        self.pairs: deque[Pair] = deque()
        self.size = size
        self._added = 0
        self._reset()

    def _reset(self) -> None:
        self._errors = self._biases = self._shares = 0.0

    def add(self, pair: Pair) -> None:
        """Add a pair; the oldest is dropped when there are too many."""
        self.pairs.append(pair)
        self._count(pair, 1.0)
        if len(self.pairs) > self.size:
            self._count(self.pairs.popleft(), -1.0)
        self._added += 1
        if self._added % self.size == 0:
            # restores the precision that one huge error, dropped since, has cost
            self._reset()
            for kept in self.pairs:
                self._count(kept, 1.0)

    def _count(self, pair: Pair, sign: float) -> None:
        error = sign * pair.error
        self._errors += sign * abs(error)
        self._biases += error
        self._shares += sign * (1.0 - pair.remaining)

    def mean(self) -> Calibration:
        """Return the averages, each pair weighted by its observed share."""
        count, observed = len(self.pairs), self._shares
        if not observed > 0:
            return Calibration(count, math.nan, math.nan, math.nan)
        return Calibration(count, self._errors / observed, self._biases / observed, 1.0 - observed / count)


@dataclasses.dataclass(slots=True)
class _Measurement:
    """A measured step whose return is not complete yet."""

    number: int
    expected: float
    weight: float  # the running weight when it was opened
    total: float  # the running total then


class TruthMeter:
    """Opens a measurement at each greedy step and closes it by the rule above; O(1) a step, on average.

    One running total of discounted rewards serves all open measurements: the discounted rewards since one was opened
    are the growth of the total, divided by the weight that a reward had then.

    Args:
        gamma: discount per step.
        learnt: what a reward was for the agent in learning.
        life_loss_ends: its returns end with a life.
        pairs: the number of most recent pairs that the calibration error is averaged over.
    """

    def __init__(
        self,
        gamma: float,
        learnt: Callable[[float], float] = float,
        life_loss_ends: bool = False,
        pairs: int = PAIRS,
    ) -> None:
        self.gamma, self._learnt, self.life_loss_ends = gamma, learnt, life_loss_ends
        self.series: deque[Pair] = deque(maxlen=SERIES)
        """Closed measurements in the order of their moments, for a plot."""
        self._by_number: dict[int, Pair] = {}
        self._all, self._known = RunningCalibration(pairs), RunningCalibration(pairs)
        self._open: deque[_Measurement] = deque()
        self._weight, self._total = 1.0, 0.0

    def add(self, moment: Moment) -> None:
        """Add a moment in which an action was taken; one without Q values measures nothing."""
        value = best_value(moment.q_values)
        self._close_known(value, moment.greedy)
        if not self._open:
            self._weight, self._total = 1.0, 0.0
        elif self._weight < MIN_WEIGHT:
            self._rescale()
        expected = moment.expectation
        if moment.greedy and expected is not None and math.isfinite(expected):
            self._open.append(_Measurement(moment.number, expected, self._weight, self._total))
        self._total += self._weight * self._learnt(moment.reward)
        self._weight *= self.gamma
        if ends_return(moment, self.life_loss_ends):
            self._weight = 0.0  # nothing is missing
            self._close(len(self._open), 0.0)

    def end(self, q_values: NDArray[np.float64] | None) -> None:
        """Close all measurements: the episode was truncated or interrupted in a state of these Q values, (A,)."""
        self._close(len(self._open), best_value(q_values))

    def calibration(self) -> Calibration:
        """Return the calibration error and the bias over the last pairs."""
        return self._all.mean()

    def known(self) -> Calibration:
        """Return the same over the last pairs with known returns; a biased sample where some actions are not greedy."""
        return self._known.mean()

    def pair(self, number: int) -> Pair | None:
        """Return the pair of a moment; None: its measurement is still open, or it was not measured."""
        return self._by_number.get(number)

    def open(self) -> list[Pair]:
        """Return the open measurements with the rewards observed so far; nothing is bootstrapped (value 0)."""
        return [self._pair(measurement, 0.0) for measurement in self._open]

    def _close_known(self, value: float, greedy: bool) -> None:
        """Close, in a state just reached, the measurements known by now; all of them if another action is taken."""
        due = len(self._open)
        if greedy:
            # the oldest have the smallest remainder
            due = next((k for k, one in enumerate(self._open) if self._weight / one.weight >= NEGLIGIBLE), due)
        self._close(due, value)

    def _close(self, count: int, value: float) -> None:
        for _ in range(count):
            pair = self._pair(self._open.popleft(), value)
            if not math.isfinite(pair.error):
                continue  # the value of the state reached is not finite
            self._store(pair)
            self._all.add(pair)
            if pair.known:
                self._known.add(pair)

    def _pair(self, measurement: _Measurement, value: float) -> Pair:
        observed = (self._total - measurement.total) / measurement.weight
        return Pair(measurement.number, measurement.expected, observed, self._weight / measurement.weight, value)

    def _store(self, pair: Pair) -> None:
        if len(self.series) == SERIES:
            del self._by_number[self.series[0].number]
        self.series.append(pair)
        self._by_number[pair.number] = pair

    def _rescale(self) -> None:
        """Set the running weight to 1 and rescale the open measurements accordingly."""
        for measurement in self._open:
            measurement.total = (measurement.total - self._total) / self._weight
            measurement.weight /= self._weight
        self._weight, self._total = 1.0, 0.0


def meter_for(training: Training | None) -> TruthMeter | None:
    """Return a meter for an agent trained like this; None where its training is not known."""
    if training is None:
        return None
    return TruthMeter(training.gamma, training.learnt, training.life_loss_ends)


def ends_return(moment: Moment, life_loss_ends: bool) -> bool:
    """Return whether the action taken in a moment ended the return."""
    return moment.terminated or (life_loss_ends and moment.life_lost)


def best_value(q_values: NDArray[np.float64] | None) -> float:
    """Return the value of a state, its best action's; NaN without Q values, or if one of them is NaN."""
    return math.nan if q_values is None else float(q_values.max())


def return_since(moments: Iterable[Moment], training: Training) -> tuple[float, float]:
    """Return the discounted return since the first of some moments of one round, and the weight still to come.

    All rewards count, whoever acted: this explains a single step, it is no part of the calibration error.
    """
    total, weight = 0.0, 1.0
    for moment in moments:
        if moment.action is None or weight < MIN_WEIGHT:
            break
        total += weight * training.learnt(moment.reward)
        weight *= training.gamma
        if ends_return(moment, training.life_loss_ends):
            return total, 0.0
    return total, weight
