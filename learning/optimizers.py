"""The optimisers that published recipes name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from learning.config import LearnerConfig


class CentredRMSProp(torch.optim.Optimizer):
    """RMSProp that divides by the gradients' running standard deviation, as DeepMind's DQN did.

    step = lr * g / sqrt(mean(g^2) - mean(g)^2 + eps). torch's own adds eps after the root, which is
    another algorithm where gradients are small. Graves 2013, arXiv:1308.0850; Mnih et al. 2015.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, decay: float, eps: float) -> None:
        super().__init__(parameters, {"lr": lr, "decay": decay, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move all parameters that have a gradient."""
        for group in self.param_groups:
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            gradients = [parameter.grad for parameter in moved]
            for parameter in moved:
                if not self.state[parameter]:
                    self.state[parameter] = {
                        "mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)
                    }  # fmt: skip
            means = [self.state[parameter]["mean"] for parameter in moved]
            squares = [self.state[parameter]["square"] for parameter in moved]
            torch._foreach_lerp_(means, gradients, 1 - group["decay"])
            torch._foreach_mul_(squares, group["decay"])
            torch._foreach_addcmul_(squares, gradients, gradients, 1 - group["decay"])
            spread = torch._foreach_addcmul(squares, means, means, -1.0)
            torch._foreach_add_(spread, group["eps"])
            torch._foreach_sqrt_(spread)
            torch._foreach_addcdiv_(moved, gradients, spread, -group["lr"])


def make_optimizer(network: nn.Module, config: LearnerConfig) -> torch.optim.Optimizer:
    """Return the optimiser that the settings name, over all parameters of the network."""
    parameters: Any = list(network.parameters())
    if config.optimizer == "rmsprop":
        return CentredRMSProp(parameters, config.learning_rate, config.rmsprop_decay, config.optimizer_epsilon)
    if config.optimizer == "radam":
        return torch.optim.RAdam(parameters, config.learning_rate, eps=config.optimizer_epsilon)
    fused = parameters[0].device.type != "mps"  # one kernel instead of a dozen: 6 times faster on a CPU
    return torch.optim.Adam(parameters, config.learning_rate, eps=config.optimizer_epsilon, fused=fused)
