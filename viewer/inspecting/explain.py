"""A step explained: its temporal difference target term by term. No pygame here."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from viewer.playing.calibration import came_since, ends, learnt_reward
from viewer.playing.timeline import Moment, Timeline

if TYPE_CHECKING:  # a person plays without torch
    from learning.policy import Munchausen, Training

Array = NDArray[np.float64]
Expect = Callable[[NDArray[Any]], NDArray[np.float64]]
"""A network's expectations, (B, A), of observations (B, ...): for example a policy's ``q_values``."""

# ------------------------------------------------------------------------------------ the target


@dataclasses.dataclass(frozen=True)
class Target:
    """What the network should have said: rewards, and the value of where they led."""

    rewards: tuple[float, ...]
    """As the agent learns from them (clipped, if it does); one, or up to n."""
    gamma: float
    bonus: float
    """Munchausen's, on the first reward; 0 for others."""
    next_action: int | None
    """The best one in the next state, most likely if the next policy is soft; None where nothing is to come."""
    next_value: float
    """What that is worth, 0 where nothing is to come."""

    @property
    def discount(self) -> float:
        """Return the weight of the next value; 0 where nothing is to come."""
        return 0.0 if self.next_action is None else self.gamma ** len(self.rewards)

    @property
    def total(self) -> float:
        """Return the target: the rewards, each discounted, the bonus, and the discounted value."""
        rewards = sum(self.gamma**k * reward for k, reward in enumerate(self.rewards))
        return rewards + self.bonus + self.discount * self.next_value


@dataclasses.dataclass(frozen=True)
class Explanation:
    """One step in numbers; `lines` says them in words."""

    moment: Moment
    training: Training
    has_target: bool
    """A target network judged; else one network did everything."""
    one_step: Target
    n_step: Target | None
    """What an n-step learner compares with; None for others, and while the n rewards are not all there."""
    expectation: float | None
    """Of the action, now; None for a person's "no key", of which no network expects anything."""
    came: float
    """Discounted return since then, by whomever."""
    rest: float
    """Weight of what is still to come, 0 to 1."""

    def error(self, target: Target) -> float | None:
        """Return the temporal difference error: target minus expectation."""
        return None if self.expectation is None else target.total - self.expectation

    def lines(self, action_names: Sequence[str]) -> list[str]:
        """Return the explanation as lines of text, for a panel."""
        action = self.moment.action
        done = "no key" if action is None or action < 0 else action_names[action]
        who = "you" if self.moment.by_human else "the agent" if self.moment.greedy else "the agent, by chance"
        lines = [f"step {self.moment.step}: {done} ({who})", *self._terms(action_names)]
        lines += self._verdict(self.one_step)
        lines += self._learner()
        still = "; that is all" if self.rest == 0 else f"; {_percent(self.rest)} of the weight is still to come"
        return [*lines, f"return that came since: {self.came:+.2f}{still}"]

    def _terms(self, action_names: Sequence[str]) -> list[str]:
        target, training, munchausen = self.one_step, self.training, self.training.munchausen
        reward = f"reward {target.rewards[0]:+.2f}"
        if training.clip_rewards and target.rewards[0] != self.moment.reward:
            reward += f" (the game gave {self.moment.reward:+g}; this agent learnt from rewards cut to [-1, 1])"
        lines = [reward]
        if munchausen is not None:
            lines.append(
                f"+ bonus {target.bonus:+.2f} (Munchausen: {munchausen.alpha:g} x {munchausen.temperature:g}"
                " x log-probability of the action; 0 if it is sure)"
            )
        if target.next_action is None:
            why = "the episode ended here" if self.moment.terminated else "a life was lost, which ends its returns"
            return [*lines, f"+ nothing: {why}, so there is no next value"]
        best = action_names[target.next_action]
        what = "the best next action" if munchausen is None else "the soft next policy, most of all"
        lines.append(f"+ {training.gamma:g} x {target.next_value:+.2f}, the value of {what} '{best}'")
        return [*lines, f"  {judge(training, self.has_target)}"]

    def _verdict(self, target: Target) -> list[str]:
        error = self.error(target)
        if error is None:
            return [f"= target {target.total:+.2f}", "the network expects nothing of no key"]
        felt = "better" if error > 0 else "worse"
        meant = "as expected" if abs(error) < 0.005 else f"{felt} than expected"
        return [
            f"= target {target.total:+.2f}",
            f"the network expected {self.expectation:+.2f}",
            f"TD error {error:+.2f}: {meant}",
        ]

    def _learner(self) -> list[str]:
        """Say how the learner looks further than one step, if it does."""
        training, target = self.training, self.n_step
        if training.trace_decay is not None:
            share = training.gamma * training.trace_decay
            return [f"the steps before learn from this error too, each {share:.2g} of what the next one does"]
        if training.q_lambda is not None:
            return [
                "the learner mixes this target with those that look 2, 3 ... steps ahead"
                f" (Q(lambda), lambda {training.q_lambda:g})"
            ]
        if training.n_step == 1:
            return []
        if target is None:
            return [f"the learner sums {training.n_step} rewards; they are not all there"]
        count, error = len(target.rewards), self.error(target)
        told = f"the learner sums {count} reward{'s' * (count > 1)}: target {target.total:+.2f}"
        return [told + ("" if error is None else f", TD error {error:+.2f}")]


def judge(training: Training, has_target: bool) -> str:
    """Return in words which network chose the next action and which one judged it."""
    if not training.target_network:
        return "chosen and judged by the network itself: this agent learns without a target network"
    if has_target:
        if training.double:
            return "chosen by the online network, judged by the target network"
        return "chosen and judged by the target network"
    if training.double:
        return "by the one network that was saved; in learning it chose, and an older copy, the target network, judged"
    return "by the one network that was saved; in learning an older copy, the target network, chose and judged"


def explain(
    timeline: Timeline, number: int, training: Training, online: Expect, target: Expect | None = None
) -> Explanation | None:
    """Return the explanation of a step; None if nothing was done there yet.

    Args:
        timeline: with the moment, and as many after it as the learner looks ahead.
        number: of the moment.
        training: how the network learnt.
        online: the network that acts, as it is now.
        target: the target network of a learner at work; None where there is one network only.
    """
    moment = timeline[number]
    one_step = target_of(timeline, number, 1, training, online, target)
    if moment.action is None or one_step is None:
        return None
    n_step = None
    if training.n_step > 1:
        n_step = target_of(timeline, number, training.n_step, training, online, target)
    expectation = float(online(moment.obs[None])[0, moment.action]) if moment.action >= 0 else None
    came, rest = came_since(timeline.following(number), training.gamma, training.clip_rewards, training.life_loss_ends)
    return Explanation(moment, training, target is not None, one_step, n_step, expectation, came, rest)


def target_of(
    timeline: Timeline, number: int, n_step: int, training: Training, online: Expect, target: Expect | None = None
) -> Target | None:
    """Return the n-step target; None while the rewards are not all there.

    Fewer than n are summed where the episode ends; one that was truncated still bootstraps from its true last state.
    """
    run = list(itertools.islice(timeline.following(number), n_step + 1))
    lived = [moment for moment in run[:n_step] if moment.action is not None]
    end = next((count for count, moment in enumerate(lived, 1) if ends(moment, training.life_loss_ends)), None)
    lived = lived[:end]
    arrived = len(run) > len(lived)
    if not lived or (end is None and not (arrived and (len(lived) == n_step or lived[-1].truncated))):
        return None
    rewards = tuple(learnt_reward(moment.reward, training.clip_rewards) for moment in lived)
    bonus = _bonus(lived[0], training.munchausen, online, target or online)
    if end is not None:
        return Target(rewards, training.gamma, bonus, None, 0.0)
    action, value = next_value(run[len(lived)].obs, training, online, target or online)
    return Target(rewards, training.gamma, bonus, action, value)


def next_value(obs: NDArray[Any], training: Training, online: Expect, target: Expect) -> tuple[int, float]:
    """Return the best action in the next state (...) and the state's value, as `learning.losses.td_loss` has them."""
    judged = target(obs[None])[0]
    chooser = online(obs[None])[0] if training.double else judged
    best = int(chooser.argmax())
    if training.munchausen is None:
        return best, float(judged[best])
    temperature = training.munchausen.temperature
    log_probability = _log_softmax(chooser / temperature)
    return best, float((np.exp(log_probability) * (judged - temperature * log_probability)).sum())


def _bonus(moment: Moment, munchausen: Munchausen | None, online: Expect, target: Expect) -> float:
    """Return alpha * clip(temperature * log-probability of the action, floor, 0). Vieillard et al. 2020."""
    if munchausen is None or moment.action is None or moment.action < 0:
        return 0.0
    q = (online if munchausen.by_online else target)(moment.obs[None])[0]
    surprise = munchausen.temperature * _log_softmax(q / munchausen.temperature)[moment.action]
    return float(munchausen.alpha * np.clip(surprise, munchausen.floor, 0.0))


def _log_softmax(x: Array) -> Array:
    shifted = x - x.max()
    return np.asarray(shifted - np.log(np.exp(shifted).sum()))


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.1g} %"


def distribution_line(head: str) -> str:
    """Return one line on what the drawn distribution is, and how it differs from a softmax policy; empty without one.

    Args:
        head: a name of `learning.heads.HEADS`.
    """
    if head == "expected":
        return ""
    if head == "histogram":
        return (
            "bins hold one expectation, spread so that it can be learnt by classification: no chances of returns, and"
            " no softmax policy's chances of actions"
        )
    return (
        "how likely each return is if the action is taken, their mean is its expectation; a softmax policy would say"
        " how likely each action is to be taken"
    )
