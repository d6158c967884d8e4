"""The optimisers that the settings name; on a CPU, one walk over the parameters for each step.

PyTorch has Adam so. Its RAdam, and the RMSProp of the first DQN written with its operations, walk a dozen times over
arrays that are larger than the caches, which took a seventh of PQN's update and a fifth of Nature DQN's.
"""

# numba's decorator has no types: kernels are typed by hand and checked by their tests
# mypy: allow-untyped-decorators
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from common.kernels import cached_njit
from learning.config import LearnerConfig
from learning.networks import laid_out_as

F32 = NDArray[np.float32]
kernel = cached_njit(nogil=True, fastmath={"contract"}, error_model="numpy")


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
                    self.state[parameter] = {"mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
            lr, decay, eps = group["lr"], group["decay"], group["eps"]
            if one_walk(moved):
                for parameter in moved:
                    centred_rmsprop(*flat(parameter, self.state[parameter], "mean", "square"), lr, decay, eps)
                continue
            means = [self.state[parameter]["mean"] for parameter in moved]
            squares = [self.state[parameter]["square"] for parameter in moved]
            torch._foreach_lerp_(means, gradients, 1 - decay)
            torch._foreach_mul_(squares, decay)
            torch._foreach_addcmul_(squares, gradients, gradients, 1 - decay)
            spread = torch._foreach_addcmul(squares, means, means, -1.0)
            torch._foreach_add_(spread, eps)
            torch._foreach_sqrt_(spread)
            torch._foreach_addcdiv_(moved, gradients, spread, -lr)


class RAdam(torch.optim.RAdam):
    """torch's RAdam, arXiv:1908.03265, with its state. On a CPU the same steps in one walk."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move all parameters that have a gradient."""
        if not one_walk([parameter for group in self.param_groups for parameter in group["params"]]):
            super().step(closure)
            return
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.tensor(0.0)
                    state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                state["step"] += 1
                size, adaptive = radam_sizes(state["step"].item(), *group["betas"])
                arrays = flat(parameter, state, "exp_avg", "exp_avg_sq")
                radam(*arrays, group["lr"] * size, *group["betas"], group["eps"], adaptive)


def radam_sizes(step: float, beta1: float, beta2: float) -> tuple[float, bool]:
    """Return the factor of the learning rate, and whether the step is divided by the root of the mean square."""
    correction1, correction2 = 1 - beta1**step, 1 - beta2**step
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / correction2  # of the average that the mean square is
    if length <= 5.0:
        return 1 / correction1, False
    variance = (length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)
    return math.sqrt(variance * correction2) / correction1, True


def one_walk(parameters: list[Tensor]) -> bool:
    """Whether the kernels below take these parameters."""
    return all(parameter.device.type == "cpu" and parameter.dtype == torch.float32 for parameter in parameters)


def flat(parameter: Tensor, state: dict[str, Any], *names: str) -> list[F32]:
    """Return a parameter, its gradient and entries of its state, which may be laid out anew, in memory's order."""
    assert parameter.grad is not None
    state |= {name: laid_out_as(parameter, state[name]) for name in names}
    tensors = [parameter.detach(), laid_out_as(parameter, parameter.grad), *(state[name] for name in names)]
    return [tensor.as_strided((tensor.numel(),), (1,)).numpy() for tensor in tensors]


@kernel
def centred_rmsprop(
    parameter: F32, gradient: F32, mean: F32, square: F32, rate: float, decay: float, epsilon: float
) -> None:
    """Move a parameter (n,) by one step of `CentredRMSProp`."""
    lr, keep, take = np.float32(rate), np.float32(decay), np.float32(1.0 - decay)
    small = np.float32(epsilon)
    for i in range(parameter.size):
        g = gradient[i]
        m = mean[i] + take * (g - mean[i])
        s = keep * square[i] + take * (g * g)
        mean[i], square[i] = m, s
        parameter[i] -= lr * g / np.sqrt(s - m * m + small)


@kernel
def radam(
    parameter: F32,
    gradient: F32,
    mean: F32,
    square: F32,
    rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    adaptive: bool,
) -> None:
    """Move a parameter (n,) by one step of RAdam, ``rate`` with all corrections."""
    lr, small = np.float32(rate), np.float32(epsilon)
    take1, keep2, take2 = np.float32(1.0 - beta1), np.float32(beta2), np.float32(1.0 - beta2)
    for i in range(parameter.size):
        g = gradient[i]
        m = mean[i] + take1 * (g - mean[i])
        s = keep2 * square[i] + take2 * (g * g)
        mean[i], square[i] = m, s
        parameter[i] -= lr * m / (np.sqrt(s) + small) if adaptive else lr * m


def make_optimizer(network: nn.Module, config: LearnerConfig) -> torch.optim.Optimizer:
    """Return the optimiser that the settings name, over all parameters of the network."""
    parameters: Any = list(network.parameters())
    if config.optimizer == "rmsprop":
        return CentredRMSProp(parameters, config.learning_rate, config.rmsprop_decay, config.optimizer_epsilon)
    if config.optimizer == "radam":
        return RAdam(parameters, config.learning_rate, eps=config.optimizer_epsilon)
    fused = parameters[0].device.type != "mps"  # one kernel instead of a dozen: 6 times faster on a CPU
    return torch.optim.Adam(parameters, config.learning_rate, eps=config.optimizer_epsilon, fused=fused)
