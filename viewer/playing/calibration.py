"""The truth meter: what the network expected at each step against the discounted return that then really came.

The rule. A step is *measured* when the agent did there what it expected most of. From then on its rewards are added
up, discounted, until one of these closes the account:

1. the episode terminates (for an agent whose returns end with a life: that life is lost). Nothing is missing.
2. what is still to come weighs less than 1 % (gamma^k < 0.01).
3. somebody does something else than the agent thinks best: a person, or chance. What comes afterwards is not what
   the agent would have made of it.
4. the episode is truncated, or broken off.

Under 2 to 4 the rest, of weight gamma^k, is filled in with the network's own value of the state it had come to. A
network that is right then shows no error on average, wherever the accounts were closed. One that is off by b everywhere
shows b (1 - gamma^k), because the rest is its own word; so the errors are added up and divided by the sum of the
shares 1 - gamma^k that really came. That finds b, and an account of which little came counts little.

Why not only the steps closed by 1 and 2, of which all is *known* (`known` has them)? Because chance may strike in any
step, what is known by then is mostly what ended soon, and ends are bad. The Breakout agent that ships expects 0.16 too
much at epsilon 0, where all is known. At epsilon 0.01 it would seem to be 0.40 by what is known; the rule above says
0.08 (3000 steps each, one seed).

(In theory the measured step itself may be any action: Q(s, a) is of taking a and then the best ones. But what an agent
hardly ever does it has hardly learnt; the number is about what it does.)
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from viewer.playing.timeline import Moment

if TYPE_CHECKING:  # a person plays without torch
    from learning.policy import Training

NEGLIGIBLE = 0.01  # weight of what is not known
PAIRS = 1_000  # over which the calibration error is taken
SERIES = 10_000  # pairs kept for a plot
FADED = 1e-6  # of the running weight: from here on it counts from 1 again, before digits are lost


class Pair(NamedTuple):
    """An expectation and what came of it."""

    number: int  # of the moment
    expected: float  # Q(s, a) as the network said it then
    came: float  # discounted sum of the rewards, up to where the account was closed
    rest: float  # weight of what came after that, 0 to 1
    value: float  # what the network expected there

    @property
    def realised(self) -> float:
        """Return the discounted return, the rest filled in."""
        return self.came + self.rest * self.value

    @property
    def error(self) -> float:
        """Return by how much the network expected too much."""
        return self.expected - self.realised

    @property
    def known(self) -> bool:
        """Return whether what came is the return, for all that matters."""
        return self.rest < NEGLIGIBLE


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Pairs summed up, by the rule above; numbers in units of the (clipped) reward, NaN without pairs."""

    pairs: int
    """How many."""
    error: float
    """Mean absolute difference: the calibration error."""
    bias: float
    """Mean difference: above 0, the network expects too much."""
    rest: float
    """Mean share of a return that is the network's own word, 0 to 1."""


class Tally:
    """Running sums over the last pairs."""

    def __init__(self, size: int) -> None:
        """Take the number of pairs."""
        self.pairs: deque[Pair] = deque()
        self.size = size
        self._added = 0
        self._forget()

    def _forget(self) -> None:
        self._errors = self._biases = self._shares = 0.0

    def add(self, pair: Pair) -> None:
        """Take one more pair; the oldest goes when there are too many."""
        self.pairs.append(pair)
        self._count(pair, 1.0)
        if len(self.pairs) > self.size:
            self._count(self.pairs.popleft(), -1.0)
        self._added += 1
        if self._added % self.size == 0:
            # what one huge error, long gone, has cost in digits comes back
            self._forget()
            for kept in self.pairs:
                self._count(kept, 1.0)

    def _count(self, pair: Pair, sign: float) -> None:
        error = sign * pair.error
        self._errors += sign * abs(error)
        self._biases += error
        self._shares += sign * (1.0 - pair.rest)

    def mean(self) -> Calibration:
        """Return what they come to, each of them weighed by the share that came."""
        count, came = len(self.pairs), self._shares
        if not came > 0:
            return Calibration(count, math.nan, math.nan, math.nan)
        return Calibration(count, self._errors / came, self._biases / came, 1.0 - came / count)


@dataclasses.dataclass(slots=True)
class _Account:
    """A measured step that is still open."""

    number: int
    expected: float
    weight: float  # the running weight when it was opened
    total: float  # the running total then


class TruthMeter:
    """Opens an account for each measured step and closes it by the rule above; O(1) a step, on average.

    One running total of discounted rewards serves all open accounts: what has come since one was opened is the total's
    growth, divided by the weight that a reward had then.

    Args:
        gamma: discount per step.
        clip_rewards: the agent learnt from rewards cut to [-1, 1]; so are these.
        life_loss_ends: its returns end with a life.
        pairs: the calibration error is over so many of the last ones.
    """

    def __init__(
        self, gamma: float, clip_rewards: bool = False, life_loss_ends: bool = False, pairs: int = PAIRS
    ) -> None:
        self.gamma, self.clip_rewards, self.life_loss_ends = gamma, clip_rewards, life_loss_ends
        self.series: deque[Pair] = deque(maxlen=SERIES)
        """Closed accounts in the order of their moments, for a plot."""
        self._by_number: dict[int, Pair] = {}
        self._all, self._known = Tally(pairs), Tally(pairs)
        self._open: deque[_Account] = deque()
        self._weight, self._total = 1.0, 0.0

    def add(self, moment: Moment) -> None:
        """Take a moment in which something was done; one without expectations measures nothing."""
        value = best_value(moment.q_values)
        self._settle(value, moment.greedy)
        if not self._open:
            self._weight, self._total = 1.0, 0.0
        elif self._weight < FADED:
            self._rebase()
        expected = moment.expectation
        if moment.greedy and expected is not None and math.isfinite(expected):
            self._open.append(_Account(moment.number, expected, self._weight, self._total))
        self._total += self._weight * learnt_reward(moment.reward, self.clip_rewards)
        self._weight *= self.gamma
        if ends(moment, self.life_loss_ends):
            self._weight = 0.0  # nothing is missing
            self._close(len(self._open), 0.0)

    def end(self, q_values: NDArray[np.float64] | None) -> None:
        """Close all accounts: the episode was truncated or broken off where the network says ``q_values`` (A,)."""
        self._close(len(self._open), best_value(q_values))

    def calibration(self) -> Calibration:
        """Return the calibration error and the bias over the last pairs."""
        return self._all.mean()

    def known(self) -> Calibration:
        """Return the same over the last pairs that are known; where chance or a person acts, a lopsided choice."""
        return self._known.mean()

    def pair(self, number: int) -> Pair | None:
        """Return what became of the expectation at a moment; None: its account is open, or it was not measured."""
        return self._by_number.get(number)

    def open(self) -> list[Pair]:
        """Return the accounts that are still open, with what has come so far; nothing is filled in (value 0)."""
        return [self._pair(account, 0.0) for account in self._open]

    def _settle(self, value: float, greedy: bool) -> None:
        """Close, on arriving in a state, what is known by now; all, if something else is done there."""
        due = len(self._open)
        if greedy:
            # the oldest have the smallest rest
            due = next((k for k, one in enumerate(self._open) if self._weight / one.weight >= NEGLIGIBLE), due)
        self._close(due, value)

    def _close(self, count: int, value: float) -> None:
        for _ in range(count):
            pair = self._pair(self._open.popleft(), value)
            if not math.isfinite(pair.error):
                continue  # the network said no number there
            self._remember(pair)
            self._all.add(pair)
            if pair.known:
                self._known.add(pair)

    def _pair(self, account: _Account, value: float) -> Pair:
        came = (self._total - account.total) / account.weight
        return Pair(account.number, account.expected, came, self._weight / account.weight, value)

    def _remember(self, pair: Pair) -> None:
        if len(self.series) == SERIES:
            del self._by_number[self.series[0].number]
        self.series.append(pair)
        self._by_number[pair.number] = pair

    def _rebase(self) -> None:
        """Let the running weight be 1 again; what is open keeps its worth."""
        for account in self._open:
            account.total = (account.total - self._total) / self._weight
            account.weight /= self._weight
        self._weight, self._total = 1.0, 0.0


def meter_for(training: Training | None) -> TruthMeter | None:
    """Return a meter for an agent that learnt like this; None where that is not known."""
    if training is None:
        return None
    return TruthMeter(training.gamma, training.clip_rewards, training.life_loss_ends)


def learnt_reward(reward: float, clip_rewards: bool) -> float:
    """Return the reward as the agent learnt from it."""
    return min(max(reward, -1.0), 1.0) if clip_rewards else reward


def ends(moment: Moment, life_loss_ends: bool) -> bool:
    """Return whether what was done in a moment ended the return, so that nothing is to come."""
    return moment.terminated or (life_loss_ends and moment.life_lost)


def best_value(q_values: NDArray[np.float64] | None) -> float:
    """Return the value of a state, its best action's; NaN without expectations, or if one of them is no number."""
    return math.nan if q_values is None else float(q_values.max())


def came_since(
    moments: Iterable[Moment], gamma: float, clip_rewards: bool, life_loss_ends: bool
) -> tuple[float, float]:
    """Return the discounted return since the first of some moments of one round, and the weight of what is missing.

    Whoever acted: this is for one step that a person asks about, not for the calibration error.
    """
    total, weight = 0.0, 1.0
    for moment in moments:
        if moment.action is None or weight < FADED:
            break
        total += weight * learnt_reward(moment.reward, clip_rewards)
        weight *= gamma
        if ends(moment, life_loss_ends):
            return total, 0.0
    return total, weight
