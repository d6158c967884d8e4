"""Rollouts: returns by hand and for lambda 0 and 1, episode ends, every transition once per epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from learning.config import RolloutConfig
from learning.rollout import Rollout, q_lambda
from tests.learning.helpers import kept

SPACE = spaces.Box(-np.inf, np.inf, (1,), np.float32)


def column(values: list[float]) -> NDArray[np.float32]:
    return np.array(values, np.float32)[:, None]  # (T, 1)


def returns(
    reward: list[float], discount: list[float], value: list[float], ended: list[bool], lam: float
) -> list[float]:
    found = q_lambda(column(reward), column(discount), column(value), np.array(ended)[:, None], lam)
    return found[:, 0].tolist()  # type: ignore[no-any-return]


def test_q_lambda_returns_by_hand() -> None:
    """Discount 1/2, lambda 1/4; V' are 8, 4, 16.

    last: 4 + 16/2 = 12; middle: 2 + (3/4 * 4 + 1/4 * 12) / 2 = 5; first: 1 + (3/4 * 8 + 1/4 * 5) / 2 = 4.625
    """
    assert returns([1, 2, 4], [0.5] * 3, [8, 4, 16], [False] * 3, 0.25) == [4.625, 5.0, 12.0]
    # terminated in the middle: 2; first: 1 + (6 + 1/4 * 2) / 2 = 4.25
    assert returns([1, 2, 4], [0.5, 0, 0.5], [8, 4, 16], [False, True, False], 0.25) == [4.25, 2.0, 12.0]
    # truncated in the middle: 2 + 4/2 = 4, whatever the next episode brings; first: 1 + (6 + 1) / 2 = 4.5
    assert returns([1, 2, 4], [0.5] * 3, [8, 4, 16], [False, True, False], 0.25) == [4.5, 4.0, 12.0]
    # a life lost in the middle cuts the value, not the episode: as if terminated
    assert returns([1, 2, 4], [0.5, 0, 0.5], [8, 4, 16], [False, False, False], 0.25) == [4.25, 2.0, 12.0]


def test_lambda_0_is_one_step_and_lambda_1_the_full_return() -> None:
    rng = np.random.default_rng(0)
    reward, value = rng.normal(size=(2, 6)).round(2)
    one = returns(reward.tolist(), [0.9] * 6, value.tolist(), [False] * 6, 0.0)
    np.testing.assert_allclose(one, reward + 0.9 * value, rtol=1e-5)
    whole = returns(reward.tolist(), [0.9] * 6, value.tolist(), [False] * 6, 1.0)
    expected = sum(0.9**k * reward[k] for k in range(6)) + 0.9**6 * value[-1]
    assert whole[0] == pytest.approx(expected, rel=1e-5)


def make(num_envs: int, steps: int, value: Any = None, **changes: Any) -> Rollout:
    config = RolloutConfig(num_envs=num_envs, rollout_steps=steps, **{"minibatches": 3, "epochs": 2, **changes})
    value_of = value or (lambda obs: obs[:, 0] * 100.0)
    return Rollout(config, SPACE, 1, np.random.default_rng(0), "cpu", None, value_of)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(), num_envs=st.integers(1, 3), steps=st.integers(1, 6), lam=st.floats(0, 1), rounds=st.integers(1, 3)
)
def test_rollouts_equal_a_naive_implementation(
    data: st.DataObject, num_envs: int, steps: int, lam: float, rounds: int
) -> None:
    """Observations are unique numbers whose value is 100 times themselves, so that a mix-up shows."""
    rollout = make(num_envs, steps, q_lambda=lam)
    counter = iter(range(1, 10**6))

    def fresh() -> NDArray[np.float32]:
        return np.array([[next(counter)] for _ in range(num_envs)], np.float32)

    def q_values(obs: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.hstack([obs * 50.0, obs * 100.0]).astype(np.float64)

    obs = fresh()
    rollout.reset(obs)
    past: list[tuple[Any, ...]] = []
    for t in range(steps * rounds + 1):
        # each overwrites the observations of the one before
        batches = [batch._replace(obs=batch.obs.clone()) for batch in rollout.batches(q_values(obs))]
        if t == 0 or t % steps:
            assert batches == []
        else:
            check_batches(batches, past[-steps:], num_envs, lam)
        ends = np.array(data.draw(st.lists(st.sampled_from("---TC"), min_size=num_envs, max_size=num_envs)))
        action, reward = np.arange(num_envs) + 10 * t, np.arange(num_envs) * 0.5 + t % 3
        discount = np.where(ends == "T", 0.0, 0.5)
        next_obs = fresh()
        rollout.add(action, reward, discount, next_obs)
        past.append((obs, action, reward, discount, next_obs, ends != "-"))
        obs, done = next_obs, ends != "-"
        if done.any():
            obs = np.where(done[:, None], fresh(), next_obs)
            rollout.reset(obs, done)


def check_batches(batches: list[Any], steps: list[tuple[Any, ...]], num_envs: int, lam: float) -> None:
    expected = {}
    for i in range(num_envs):
        ahead = None  # the return of the next step
        for obs, action, reward, discount, next_obs, done in reversed(steps):
            value = next_obs[i, 0] * 100.0
            mixed = value if done[i] or ahead is None else (1 - lam) * value + lam * ahead
            ahead = reward[i] + discount[i] * mixed
            expected[float(obs[i, 0])] = (int(action[i]), ahead)
    seen = [float(one) for batch in batches for one in batch.obs[:, 0]]
    assert sorted(seen) == sorted([*expected, *expected])  # two epochs, every transition once in each
    for batch in batches:
        for obs, action, target in zip(batch.obs[:, 0], batch.action, batch.reward, strict=True):
            assert int(action) == expected[float(obs)][0]
            assert float(target) == pytest.approx(expected[float(obs)][1], rel=1e-5, abs=1e-4)
        assert not batch.discount.any()
        assert batch.weight.tolist() == [1.0] * len(batch.reward)
        assert batch.index is None


def test_only_last_observations_of_ended_episodes_are_evaluated_again() -> None:
    evaluated: list[NDArray[Any]] = []

    def value(obs: NDArray[Any]) -> NDArray[np.float64]:
        evaluated.append(obs.copy())
        return np.zeros(len(obs))

    rollout = make(2, 3, value)
    rollout.reset(column([1, 2]))
    list(rollout.batches(np.zeros((2, 2))))
    rollout.add(np.zeros(2), np.zeros(2), np.full(2, 0.9), column([3, 4]))
    rollout.reset(column([0, 5]), np.array([False, True]))
    assert [one.tolist() for one in evaluated] == [[[4.0]]]
    # and of those that terminated none: a discount of 0 leaves nothing of it
    list(rollout.batches(np.zeros((2, 2))))
    rollout.add(np.zeros(2), np.zeros(2), np.array([0.9, 0.0]), column([6, 7]))
    rollout.reset(column([0, 8]), np.array([False, True]))
    rollout.reset(column([9, 0]), np.array([True, False]))
    assert [one.tolist() for one in evaluated] == [[[4.0]], [[6.0]]]


def test_an_unfinished_rollout_is_restored(tmp_path: Path) -> None:
    one, other = make(2, 3), make(2, 3)
    one.reset(column([1, 2]))
    list(one.batches(np.ones((2, 2))))
    one.add(np.array([1, 0]), np.ones(2), np.full(2, 0.9), column([3, 4]))
    other.load(kept(tmp_path, one.save))
    targets: list[list[list[float]]] = []
    for rollout in (one, other):
        for step in range(2):
            list(rollout.batches(np.full((2, 2), 3.0)))
            rollout.add(np.array([1, 0]), np.ones(2), np.full(2, 0.9), column([5 + step, 6 + step]))
        targets.append([])
        for batch in rollout.batches(np.ones((2, 2))):
            rollout.updated(batch, torch.ones(len(batch.reward)))  # has no effect on a rollout
            targets[-1].append(batch.reward.tolist())
    assert targets[0] == targets[1]
    assert len(targets[0]) == 6
