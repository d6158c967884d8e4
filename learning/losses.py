"""The temporal difference loss of the whole family: which action comes next, what it is worth, how far off we were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from learning.config import FamilyConfig
from learning.heads import HEADS, QOutput, expected_value, greedy, select, soft
from learning.replay import Batch

Network = Callable[..., QOutput]
"""Observations (B, ...), and how many quantile fractions are drawn where not as many as usual -> what is expected."""


class Loss(NamedTuple):
    """What a loss returns; the learner alone weights it, averages it and computes gradients."""

    per_sample: Tensor  # (B,)
    priority: Tensor  # (B,) >= 0, no gradient: |TD error| or a distribution's divergence, unless config.priority says
    q_values: Tensor  # (B,) the predicted expectation of the actions taken, no gradient
    cut_off: Tensor | None = None  # () share of the targets beyond the range that a head covers; None: it has none


def td_loss(online: Network, target: Network, batch: Batch, config: FamilyConfig) -> Loss:
    """Return the loss of the n-step temporal difference.

    The next action is the target network's best (Mnih et al. 2015), with ``double`` the online network's best
    (van Hasselt et al. 2015, arXiv:1509.06461), with ``munchausen`` a softmax of the same expectations; the target
    network evaluates it in any case. The head says what is compared: expectations or distributions.
    """
    head = HEADS[config.head]
    apart = config.policy_quantiles if head.implicit else 0
    prediction = online(batch.obs)
    with torch.no_grad():
        current = prediction
        if config.munchausen and config.munchausen_network == "target":
            # both at the price of one
            selecting, current = halves(ask(target, torch.cat([batch.next_obs, batch.obs]), apart))
            next_q = target(batch.next_obs) if apart else selecting
        else:
            next_q = target(batch.next_obs)
            selecting = ask(target, batch.next_obs, apart) if apart and not config.double else next_q
        if config.double:
            selecting = ask(online, batch.next_obs, apart)
        followed = selecting.q_values
        policy = soft(followed, config.munchausen_temperature) if config.munchausen else greedy(followed)
        reward = batch.reward
        if config.munchausen:
            reward = reward + munchausen_bonus(current.q_values, batch.action, config)
        td_target = head.td_target(next_q, policy, reward, batch.discount, config)
        cut_off = None
        if config.has_range:
            cut_off = head.cut_off(reward + batch.discount * expected_value(next_q, policy), td_target, next_q)
    per_sample, priority = head.loss(prediction, batch.action, td_target, config)
    if config.priority == "loss":
        priority = per_sample.detach()
    return Loss(per_sample, priority, select(prediction.q_values, batch.action).detach(), cut_off)


def ask(network: Network, obs: Tensor, fractions: int) -> QOutput:
    """Return a network's output for observations, with so many quantile fractions; 0: as many as usual."""
    return network(obs, fractions) if fractions else network(obs)


def halves(both: QOutput) -> tuple[QOutput, QOutput]:
    """Return the outputs for the first and for the second half of a batch of observations, (2 B, ...)."""
    size = len(both.q_values)

    def half(of: slice) -> QOutput:
        # what belongs to each observation has as many rows; atoms, (N,), and fixed fractions, (1, N), are all's
        def rows(part: Tensor) -> bool:
            return part.dim() > 1 and len(part) == size

        parts: tuple[Any, ...] = tuple(part[of] if part is not None and rows(part) else part for part in both)
        return QOutput(*parts)

    return half(slice(size // 2)), half(slice(size // 2, size))


def munchausen_bonus(q_values: Tensor, action: Tensor, config: FamilyConfig) -> Tensor:
    """Return alpha * clip(temperature * log-probability of the action, floor, 0), (B,). Vieillard et al. 2020.

    With n-step returns the first action alone gets it, as in BTR, arXiv:2411.03820.
    """
    log_probability = functional.log_softmax(q_values / config.munchausen_temperature, dim=1)
    bonus = config.munchausen_temperature * select(log_probability, action)
    return config.munchausen_alpha * bonus.clamp(config.munchausen_floor, 0.0)
