"""A batch in parts, a thread each: the same update to rounding, the same bits every time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from agents import recipe
from learning.learner import Learner, Update
from learning.replay import Batch
from learning.split import Threads

SPACE = spaces.Box(0, 255, (4, 42, 42), np.uint8)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    yield
    torch.set_num_threads(1)


def learner(agent: str, threads: int, **changes: Any) -> Learner:
    torch.set_num_threads(threads)
    one = recipe(agent)
    settings = {**one.presets["cpu"].settings, "encoder": "small", "hidden": (32,), **changes}
    return Learner(one, one.config(**settings), SPACE, 6, seed=5)


def batch_of(size: int) -> Batch:
    rng = np.random.default_rng(size)
    obs, next_obs = (torch.from_numpy(rng.integers(0, 256, (size, 4, 42, 42), np.uint8)) for _ in range(2))
    action = torch.from_numpy(rng.integers(0, 6, size))
    reward, discount, weight = (torch.from_numpy(rng.random(size, np.float32)) for _ in range(3))
    return Batch(obs, action, reward, discount, next_obs, weight)


def updates(one: Learner, batch: Batch, count: int = 3) -> tuple[list[Tensor], Update]:
    for _ in range(count):
        report = one.update(batch, 1e-4)
    return [parameter.detach().clone() for parameter in one.parameters], report


@pytest.mark.parametrize("agent", ["pqn", "d3qn", "dqn"])
@pytest.mark.parametrize(("threads", "size"), [(2, 128), (2, 65), (3, 97), (3, 70), (4, 31)])
def test_the_same_update(agent: str, threads: int, size: int) -> None:
    batch = batch_of(size)
    expected, plain = updates(learner(agent, 1), batch)
    shared = learner(agent, threads)
    assert shared._threads is not None
    found, report = updates(shared, batch)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-5)  # a step is 1e-4
    torch.testing.assert_close(tuple(report), tuple(plain), rtol=1e-3, atol=1e-4)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(("threads", "size"), [(2, 128), (3, 97)])
def test_gradients(threads: int, size: int) -> None:
    """Before Adam, which turns the least gradient into a whole step."""
    one, shared, batch = learner("d3qn", 1), learner("d3qn", threads), batch_of(size)
    for each in (one, shared):
        each._set_gradients(batch)
    for ours, theirs in zip(shared.parameters, one.parameters, strict=True):
        assert ours.grad is not None
        assert theirs.grad is not None
        largest = theirs.grad.abs().max()
        torch.testing.assert_close(ours.grad / largest, theirs.grad / largest, rtol=1e-4, atol=1e-5)


def test_the_same_bits_every_time() -> None:
    runs = [updates(learner("pqn", 3), batch_of(100), 8)[0] for _ in range(2)]
    torch.testing.assert_close(runs[0], runs[1], rtol=0, atol=0)


def test_acting_is_the_same() -> None:
    obs = batch_of(37).obs.numpy()
    alone, shared = learner("pqn", 1).noisy_q_values(obs), learner("pqn", 3).noisy_q_values(obs)
    np.testing.assert_allclose(shared, alone, rtol=1e-4, atol=1e-6)


def test_parts_hold_every_row() -> None:
    assert Threads(2).sizes(128, 32) == [64, 64]
    assert Threads(3).sizes(97, 32) == [32, 32, 33]
    assert Threads(3).sizes(70, 32) == [35, 35]  # a third part would be too small
    assert Threads(3).sizes(31, 32) == [31]


def test_what_needs_the_whole_batch_is_not_split() -> None:
    assert learner("pqn", 1)._threads is None
    assert learner("d3qn", 2, noisy=True)._threads is None
    assert learner("d3qn", 2, encoder="impala")._threads is None
    assert learner("d3qn", 2, batch_size=32)._threads is None  # torch's own threads do better
    small = spaces.Box(-1, 1, (8,), np.float32)
    vectors = recipe("pqn")
    torch.set_num_threads(2)
    assert Learner(vectors, replace(vectors.config(), hidden=(8,)), small, 3, seed=0)._threads is None
