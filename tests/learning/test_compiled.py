"""Encoders as functions of their parameters compute what their modules compute; the compiler itself is not tested."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from learning import compiled, encoders
from learning.graphs import radam_step
from learning.learner import centred_step

SPACE = spaces.Box(0, 255, (4, 36, 36), np.uint8)
ENCODERS: dict[str, Callable[[], nn.Module]] = {
    "BTR's": lambda: encoders.Impala(SPACE, 1, 6, spectral_norm=True),
    "IMPALA, normalised": lambda: encoders.Impala(SPACE, 1, 0, layer_norm=True),
    "Nature's, normalised": lambda: encoders.Convolutions(SPACE, encoders.CONVOLUTIONS["nature"], True),
    "the small one": lambda: encoders.Convolutions(SPACE, encoders.CONVOLUTIONS["small"]),
}


@pytest.fixture(autouse=True)
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trace functions and their gradients as torch.compile does, but write no code for them: that takes minutes."""

    @functools.cache
    def trace(function: object) -> object:
        return torch.compile(function, dynamic=False, backend="aot_eager")  # type: ignore[call-overload]

    monkeypatch.setattr(compiled, "compiled", trace)
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("name", ENCODERS)
def test_features_gradients_and_spectral_norms_are_the_modules(name: str) -> None:
    torch.manual_seed(1)  # of the weights: where two of a pool's numbers are equal to rounding, gradients part
    plain = ENCODERS[name]()
    joined = copy.deepcopy(plain)
    rng = torch.Generator().manual_seed(1)
    for _ in range(2):
        obs = torch.randint(0, 256, (8, 4, 36, 36), dtype=torch.uint8, generator=rng)
        expected = plain(obs)
        with compiled.joined([joined, None, nn.ReLU()]):
            assert joined.joined is not None
            found = joined(obs)
        assert joined.joined is None
        torch.testing.assert_close(found, expected)
        gradients = (
            torch.autograd.grad(features.square().sum(), list(network.parameters()))
            for features, network in ((found, joined), (expected, plain))
        )
        for mine, other in zip(*gradients, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))
        for mine, other in zip(joined.buffers(), plain.buffers(), strict=True):
            torch.testing.assert_close(mine, other)
    with torch.inference_mode():
        expected = plain(obs)
        with compiled.joined([joined]):
            torch.testing.assert_close(joined(obs), expected)


def test_nothing_is_joined_where_it_is_not_wanted() -> None:
    encoder = ENCODERS["the small one"]()
    with compiled.joined([encoder], wanted=False):
        assert encoder.joined is None


@pytest.mark.parametrize(
    ("step", "more"),
    [
        (radam_step, (torch.tensor([-1e-3, -2e-4]), 0.9, 0.999, 1e-8)),
        (centred_step, (torch.tensor(1e-3), 0.95, 1e-3)),
    ],
)
def test_optimisers_steps_can_be_compiled(step: object, more: tuple[object, ...]) -> None:
    rng = torch.Generator().manual_seed(1)
    plain = [[torch.randn(5, 7, generator=rng), torch.randn(33, generator=rng)] for _ in range(3)]
    plain.append([part.square() + 20 for part in plain[0]])
    joined = [[part.clone() for part in parts] for parts in plain]
    with torch.no_grad():
        step(*plain, *more)  # type: ignore[operator]
        compiled.compiled(step)(*joined, *more)
    for mine, other in zip(itertools.chain(*joined), itertools.chain(*plain), strict=True):
        torch.testing.assert_close(mine, other)
    assert not torch.equal(plain[0][0], plain[1][0])
