"""An explanation of one step: its temporal difference target, term by term. No pygame here."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from common.text import number_of
from viewer.playing.calibration import ends_return, return_since
from viewer.playing.timeline import Moment, Timeline

if TYPE_CHECKING:  # a human plays without torch
    from learning.policy import Munchausen, Training

Array = NDArray[np.float64]
QFunction = Callable[[NDArray[Any]], NDArray[np.float64]]
"""Returns Q values, (B, A), of observations (B, ...): for example a policy's ``q_values``."""

MOST_DECIMALS, MOST_OF_SMALL = 4, 9
TRACES, Q_LAMBDA = "eligibility traces", "Q(\N{GREEK SMALL LETTER LAMDA})"

# ------------------------------------------------------------------------------------ the target


@dataclasses.dataclass(frozen=True)
class Target:
    """A TD target: one or more rewards, and the value of the state after them."""

    rewards: tuple[float, ...]
    """As the agent learns from them (clipped, if it does); one, or up to n."""
    gamma: float
    bonus: float
    """Munchausen's, on the first reward; 0 for others."""
    next_action: int | None
    """The best one in the next state (of a soft policy the most likely); None where the return ended."""
    next_value: float
    """The value of the next state; 0 where the return ended."""

    @property
    def discount(self) -> float:
        """Return the weight of the next value; 0 where the return ended."""
        return 0.0 if self.next_action is None else self.gamma ** len(self.rewards)

    @property
    def total(self) -> float:
        """Return the target: the rewards, each discounted, the bonus, and the discounted value."""
        rewards = sum(self.gamma**k * reward for k, reward in enumerate(self.rewards))
        return rewards + self.bonus + self.discount * self.next_value


@dataclasses.dataclass(frozen=True)
class Explanation:
    """One step in numbers; `lines` describes it in words."""

    moment: Moment
    training: Training
    has_target: bool
    """A target network was available; else one network does everything."""
    one_step: Target
    n_step: Target | None
    """The target of an n-step learner; None for others, and until all n rewards have been received."""
    expectation: float | None
    """The network's present expectation of the action; None for a human's "no key"."""
    observed_return: float
    """Discounted return since then, whoever acted."""
    remaining: float
    """Weight of the rewards still to come, 0 to 1."""

    @property
    def digits(self) -> int:
        """Return the decimals of its numbers: all have the same, so that a sum can be checked by eye."""
        target = self.one_step
        return decimals([*target.rewards, target.discount * target.next_value, target.total, self.expectation or 0.0])

    def error(self, target: Target) -> float | None:
        """Return the temporal difference error: target minus expectation."""
        return None if self.expectation is None else target.total - self.expectation

    def lines(self, action_names: Sequence[str]) -> list[str]:
        """Return the explanation as lines of text, for a panel."""
        action = self.moment.action
        done = "no key" if action is None or action < 0 else action_names[action]
        who = "you" if self.moment.by_human else "the agent" if self.moment.greedy else "the agent, at random"
        lines = [f"step {self.moment.step}: {done} ({who})", *self._terms(action_names)]
        lines += self._td_error(self.one_step)
        lines += self._learner()
        if self.remaining == 0:
            return [*lines, f"actual return: {self.observed_return:+.{self.digits}f}, complete"]
        ahead = f"{_percent(self.remaining)} of the discounted future is still ahead"
        return [*lines, f"actual return so far: {self.observed_return:+.{self.digits}f}; {ahead}"]

    def _terms(self, action_names: Sequence[str]) -> list[str]:
        target, training, munchausen = self.one_step, self.training, self.training.munchausen
        reward = f"reward {target.rewards[0]:+.{self.digits}f}"
        if training.of_rewards and target.rewards[0] != self.moment.reward:
            reward += f" (the game gave {self.moment.reward:+g}; this agent learnt from {training.of_rewards})"
        lines = [reward]
        if munchausen is not None:
            lines.append(
                f"+ bonus {target.bonus:+.{self.digits}f} (Munchausen: {munchausen.alpha:g}"
                f" x {munchausen.temperature:g} x log-probability of the action; 0 if its probability is 1)"
            )
        if target.next_action is None:
            why = "the episode ended here" if self.moment.terminated else "a life was lost, which ends its returns"
            return [*lines, f"+ nothing: {why}, so there is no next value"]
        best = action_names[target.next_action]
        what = "the best next action" if munchausen is None else "the next state under the soft policy, mostly"
        lines.append(f"+ {training.gamma:g} x {target.next_value:+.{self.digits}f}, the value of {what} '{best}'")
        return [*lines, f"  {networks_used(training, self.has_target)}"]

    def _td_error(self, target: Target) -> list[str]:
        error = self.error(target)
        if error is None:
            return [f"= target {target.total:+.{self.digits}f}", "the network has no expectation for 'no key'"]
        compared = "better" if error > 0 else "worse"
        meaning = "as expected" if abs(error) < negligible(self.digits) else f"{compared} than expected"
        return [
            f"= target {target.total:+.{self.digits}f}",
            f"the network expected {self.expectation:+.{self.digits}f}",
            f"TD error {error:+.{self.digits}f}: {meaning}",
        ]

    def _learner(self) -> list[str]:
        """Return the lines on how the learner looks further than one step, if it does."""
        training, target = self.training, self.n_step
        if training.trace_decay is not None:
            share = training.gamma * training.trace_decay
            return [
                f"training corrects earlier steps too, by {share:.2g} of the error per step back (eligibility traces)"
            ]
        if training.q_lambda is not None:
            return [
                f"training blends this target with longer ones (Q(\N{GREEK SMALL LETTER LAMDA}), {training.q_lambda:g})"
            ]
        if training.n_step == 1:
            return []
        if target is None:
            return [f"training sums {training.n_step} rewards; the next ones are not known yet"]
        count, error = len(target.rewards), self.error(target)
        text = f"training sums {number_of(count, 'reward')}: target {target.total:+.{self.digits}f}"
        return [text + ("" if error is None else f", TD error {error:+.{self.digits}f}")]


def decimals(values: Iterable[float]) -> int:
    """Return the decimals, 2 and more, that give the smallest of these numbers two digits that say something.

    Zeros, NaN and infinity ask for nothing. No more than `MOST_DECIMALS`, unless even the largest number is so small.
    """
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if not sizes:
        return 2
    least, most = (1 - math.floor(math.log10(size)) for size in (max(sizes), min(sizes)))
    return min(max(2, min(most, max(least, MOST_DECIMALS))), MOST_OF_SMALL)


def negligible(digits: int) -> float:
    """Return the size below which a number is written as 0 with so many decimals."""
    return 0.5 * 10.0**-digits


def networks_used(training: Training, has_target: bool) -> str:
    """Return in words which network selected the next action and which one evaluated it."""
    if not training.target_network:
        return "chosen and valued by the network itself: it has no target network"
    if has_target:
        return f"{'chosen by the network,' if training.double else 'chosen and'} valued by its target network"
    return "valued by the saved network; in training, by its target network"


def explain(
    timeline: Timeline, number: int, training: Training, online: QFunction, target: QFunction | None = None
) -> Explanation | None:
    """Return the explanation of a step; None if no action was taken there yet.

    Args:
        timeline: with the moment, and as many after it as the learner looks ahead.
        number: of the moment.
        training: how the network was trained.
        online: the online network, as it is now.
        target: the target network of an online learner; None where there is one network only.
    """
    moment = timeline[number]
    one_step = td_target(timeline, number, 1, training, online, target)
    if moment.action is None or one_step is None:
        return None
    n_step = None
    if training.n_step > 1:
        n_step = td_target(timeline, number, training.n_step, training, online, target)
    expectation = float(online(moment.obs[None])[0, moment.action]) if moment.action >= 0 else None
    observed, remaining = return_since(timeline.following(number), training)
    return Explanation(moment, training, target is not None, one_step, n_step, expectation, observed, remaining)


def td_target(
    timeline: Timeline, number: int, n_step: int, training: Training, online: QFunction, target: QFunction | None = None
) -> Target | None:
    """Return the n-step target; None until all its rewards have been received.

    Fewer than n are summed where the episode ends; one that was truncated still bootstraps from its true last state.
    """
    window = list(itertools.islice(timeline.following(number), n_step + 1))
    steps = [moment for moment in window[:n_step] if moment.action is not None]
    end = next((count for count, moment in enumerate(steps, 1) if ends_return(moment, training.life_loss_ends)), None)
    steps = steps[:end]
    has_next = len(window) > len(steps)
    if not steps or (end is None and not (has_next and (len(steps) == n_step or steps[-1].truncated))):
        return None
    rewards = tuple(training.learnt(moment.reward) for moment in steps)
    bonus = _bonus(steps[0], training.munchausen, online, target or online)
    if end is not None:
        return Target(rewards, training.gamma, bonus, None, 0.0)
    action, value = next_value(window[len(steps)].obs, training, online, target or online)
    return Target(rewards, training.gamma, bonus, action, value)


def next_value(obs: NDArray[Any], training: Training, online: QFunction, target: QFunction) -> tuple[int, float]:
    """Return the best action in the next state (...) and the state's value, as in `learning.losses.td_loss`."""
    next_q = target(obs[None])[0]
    selection_q = online(obs[None])[0] if training.double else next_q
    best = int(selection_q.argmax())
    if training.munchausen is None:
        return best, float(next_q[best])
    temperature = training.munchausen.temperature
    log_probability = _log_softmax(selection_q / temperature)
    return best, float((np.exp(log_probability) * (next_q - temperature * log_probability)).sum())


def _bonus(moment: Moment, munchausen: Munchausen | None, online: QFunction, target: QFunction) -> float:
    """Return alpha * clip(temperature * log-probability of the action, floor, 0). Vieillard et al. 2020."""
    if munchausen is None or moment.action is None or moment.action < 0:
        return 0.0
    q = (online if munchausen.by_online else target)(moment.obs[None])[0]
    scaled_log_policy = munchausen.temperature * _log_softmax(q / munchausen.temperature)[moment.action]
    return float(munchausen.alpha * np.clip(scaled_log_policy, munchausen.floor, 0.0))


def _log_softmax(x: Array) -> Array:
    shifted = x - x.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.1g} %"


def distribution_line(head: str) -> str:
    """Return a sentence or two on what the drawn distribution is and what it is not; empty without one.

    Args:
        head: a name of `learning.heads.HEADS`.
    """
    if head == "expected":
        return ""
    if head == "histogram":
        return (
            "The bins encode one number, the expectation, so that it can be learnt by classification. They are no"
            " probabilities of returns."
        )
    return (
        "How likely each return is once the action is taken. (A policy network would show how likely each action is"
        " to be taken.)"
    )
