"""ObGD: gradient descent along eligibility traces, in steps that never overshoot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


class ObGD(torch.optim.Optimizer):
    """Overshooting-bounded gradient descent. Elsayed, Vasan and Mahmood 2024, arXiv:2410.14606, algorithm 3.

    A trace z remembers the gradients of the steps before, fading; an error e then moves everything that led to it,
    w -= step * e * z. The step is the largest, up to ``lr``, at which kappa * step * max(|e|, 1) * |z|_1 <= 1: for a
    function that is linear enough the error then shrinks, but does not change its sign.

    The traces lie where autograd adds gradients, in each parameter's ``grad``, and all of them lie in one vector, as
    do the parameters: a step is three operations, however many layers there are. So a learner calls `fade`, goes
    backward from the error, and calls `move`.

    Args:
        parameters: of the network; they become views of one vector.
        lr: largest step.
        decay: what a trace keeps each time, gamma * lambda.
        kappa: how far within the bound a step stays, above 1.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, decay: float, kappa: float) -> None:
        parts = list(parameters)
        flat = torch.cat([part.detach().reshape(-1) for part in parts])
        self.trace = torch.zeros_like(flat)
        first = 0
        for part in parts:
            here = slice(first, first := first + part.numel())
            part.data, part.grad = flat[here].view_as(part), self.trace[here].view_as(part)
        super().__init__([flat], {"lr": lr, "decay": decay, "kappa": kappa})
        self.flat = flat
        self.state[flat]["trace"] = self.trace

    def fade(self) -> None:
        """Let the traces fade by one time step; the gradient of a backward pass then adds to them."""
        self.trace.mul_(self.param_groups[0]["decay"])

    def forget(self) -> None:
        """Let the traces begin anew: what was done so far did not lead to what follows."""
        self.trace.zero_()

    @torch.no_grad()
    def move(self, error: float) -> None:
        """Move all parameters against the traces, in proportion to ``error``, the number whose gradients they hold."""
        group = self.param_groups[0]
        length = torch.linalg.vector_norm(self.trace, 1).item()
        bound = group["kappa"] * group["lr"] * max(abs(error), 1.0) * length
        self.flat.add_(self.trace, alpha=-error * group["lr"] / max(bound, 1.0))

    def zero_grad(self, set_to_none: bool = False) -> None:
        """Forget; the gradients stay where they are."""
        self.forget()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over saved traces, in place: the parameters' gradients go on being parts of them."""
        super().load_state_dict(state_dict)
        self.state[self.flat]["trace"] = self.trace.copy_(self.state[self.flat]["trace"])
