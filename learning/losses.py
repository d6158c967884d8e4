"""The pieces that losses are made of; pure functions of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from learning.networks import QOutput
from learning.replay import Batch

Network = Callable[[Tensor], QOutput]


class Loss(NamedTuple):
    """What a loss returns; the learner alone weights it, averages it and goes backward."""

    per_sample: Tensor  # (B,)
    priority: Tensor  # (B,) how surprising each transition was, >= 0, no gradient
    q_values: Tensor  # (B,) what the network expected of the actions taken, no gradient


def select(q_values: Tensor, action: Tensor) -> Tensor:
    """Return the entry of each row's action: (B, A), (B,) -> (B,)."""
    return q_values.gather(1, action.unsqueeze(1)).squeeze(1)


def huber(error: Tensor) -> Tensor:
    """Return error^2 / 2 within one unit of zero and |error| - 1/2 beyond. Huber 1964; Mnih et al. 2015."""
    return functional.huber_loss(error, torch.zeros_like(error), reduction="none")


def bootstrap_value(online: Network, target: Network, next_obs: Tensor, double: bool) -> Tensor:
    """Return the value of the next observations, (B,), judged by the target network.

    The best action is chosen by the target network itself (Mnih et al. 2015) or, with ``double``, by
    the online one (van Hasselt et al. 2015, arXiv:1509.06461).
    """
    judged = target(next_obs).q_values
    chooser = online(next_obs).q_values if double else judged
    return select(judged, chooser.argmax(1))


def squared(error: Tensor) -> Tensor:
    """Return error^2 / 2."""
    return error.square() / 2


ERROR_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {"huber": huber, "mse": squared}


def td_loss(online: Network, target: Network, batch: Batch, double: bool, loss: str = "huber") -> Loss:
    """Return the loss ("huber" or "mse") of the n-step temporal difference error."""
    q = select(online(batch.obs).q_values, batch.action)
    with torch.no_grad():
        value = bootstrap_value(online, target, batch.next_obs, double)
        goal = batch.reward + batch.discount * value
    error = goal - q
    return Loss(ERROR_LOSSES[loss](error), error.detach().abs(), q.detach())
