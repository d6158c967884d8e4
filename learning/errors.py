"""How much an error costs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def huber(error: Tensor) -> Tensor:
    """Return error^2 / 2 within one unit of zero and |error| - 1/2 beyond. Huber 1964; Mnih et al. 2015."""
    return functional.huber_loss(error, torch.zeros_like(error), reduction="none")


def squared(error: Tensor) -> Tensor:
    """Return error^2 / 2."""
    return error.square() / 2


ERROR_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {"huber": huber, "mse": squared}
