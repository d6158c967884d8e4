"""ObGD: steps and traces by hand, and the one vector that everything lies in."""

from __future__ import annotations

import torch
from torch import nn

from learning.stream import ObGD


class Sum(nn.Module):
    """q = w . x + b, w = (1, 2), b = 1/2: all numbers below are exact in binary."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.tensor(0.5))

    def error(self, goal: float, x: list[float]) -> torch.Tensor:
        return goal - (self.w @ torch.tensor(x) + self.b)


def obgd_step(function: Sum, optimizer: ObGD, goal: float, x: list[float]) -> float:
    optimizer.decay()
    error = function.error(goal, x)
    error.backward()  # type: ignore[no-untyped-call]
    optimizer.move(error.item())
    return error.item()


def test_two_steps_by_hand() -> None:
    """The bound holds both times.

    q = 1 - 4 + 1/2 = -2.5, error 2.5 with gradient (-1, 2, -1), the trace, of length 4. Bound 2 * 2.5 * 4 = 20:
    w -= 2.5 / 20 (-1, 2, -1). Then error 1 - (1.125 + 0.625) = -0.75, gradient (-1, 0, -1), trace half of the old one
    and that, (-1.5, 1, -1.5), of length 4. Small errors count as 1: bound 2 * 4 = 8, w -= -0.75 / 8 (-1.5, 1, -1.5).
    """
    function = Sum()
    optimizer = ObGD(function.parameters(), lr=1.0, decay=0.5, kappa=2.0)
    assert obgd_step(function, optimizer, 0.0, [1.0, -2.0]) == 2.5
    assert function.w.tolist() == [1.125, 1.75]
    assert function.b.item() == 0.625
    assert function.error(0.0, [1.0, -2.0]).item() == 1.75  # less, and on the same side: it did not overshoot
    assert obgd_step(function, optimizer, 1.0, [1.0, 0.0]) == -0.75
    assert optimizer.trace.tolist() == [-1.5, 1.0, -1.5]
    assert function.w.tolist() == [1.125 - 9 / 64, 1.75 + 6 / 64]
    assert function.b.item() == 0.625 - 9 / 64


def test_small_steps_are_not_bounded() -> None:
    """Bound 2 * 1/64 * 2.5 * 4 < 1: w -= 2.5 / 64 (-1, 2, -1)."""
    function = Sum()
    obgd_step(function, ObGD(function.parameters(), lr=1 / 64, decay=0.5, kappa=2.0), 0.0, [1.0, -2.0])
    assert function.w.tolist() == [1 + 2.5 / 64, 2 - 5 / 64]


def test_a_forgotten_trace_leaves_the_last_gradient_alone() -> None:
    function = Sum()
    optimizer = ObGD(function.parameters(), lr=1.0, decay=0.5, kappa=2.0)
    obgd_step(function, optimizer, 0.0, [1.0, -2.0])
    optimizer.reset_traces()
    obgd_step(function, optimizer, 0.0, [0.0, 3.0])
    assert optimizer.trace.tolist() == [0.0, -3.0, -1.0]


def test_parameters_and_traces_stay_parts_of_one_vector_when_loaded() -> None:
    one, other = (Sum() for _ in range(2))
    optimizers = [ObGD(function.parameters(), lr=1.0, decay=0.5, kappa=2.0) for function in (one, other)]
    obgd_step(one, optimizers[0], 0.0, [1.0, -2.0])
    other.load_state_dict(one.state_dict())
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    for function, optimizer in zip((one, other), optimizers, strict=True):
        obgd_step(function, optimizer, 1.0, [1.0, 0.0])
        assert optimizer.trace.tolist() == [-1.5, 1.0, -1.5]
        assert optimizer.flat.tolist() == [*function.w.tolist(), function.b.item()]
    assert torch.equal(one.w, other.w)
