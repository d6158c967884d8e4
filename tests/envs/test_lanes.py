"""Batches of Gymnasium environments against Gymnasium's own: equal bit for bit, resets and ends included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import envs
from envs.cartpole import CartPoles
from envs.lanes import Lanes

COUNT = 5


def gymnasiums_own(env_id: str, **options: Any) -> SyncVectorEnv:
    makers: list[Callable[[], Any]] = [lambda: envs.make(env_id, **options)] * COUNT
    return SyncVectorEnv(makers, autoreset_mode=AutoresetMode.DISABLED)


@pytest.mark.parametrize(
    ("env_id", "kind"),
    [("CartPole-v1", CartPoles), ("CartPole-v0", CartPoles), ("FrozenLake-v1", Lanes), ("Acrobot-v1", Lanes)],
)
def test_equals_gymnasiums_own_bit_for_bit(env_id: str, kind: Any) -> None:
    mine: Any = envs.make_vec(env_id, COUNT)
    theirs: Any = gymnasiums_own(env_id)
    assert isinstance(mine, kind)
    assert mine.observation_space == theirs.observation_space
    assert mine.action_space == theirs.action_space
    rng, ends = np.random.default_rng(3), np.zeros(2, np.int64)
    obs = mine.reset(seed=7)[0]
    np.testing.assert_array_equal(obs, theirs.reset(seed=7)[0])
    for step in range(1200):
        # a careful player of the last two lanes, so that episodes of CartPole reach the time limit
        actions = rng.integers(0, mine.single_action_space.n, COUNT)
        if kind is CartPoles:
            actions[3:] = obs[3:] @ np.array([0.1, 0.5, 1.0, 1.0]) > 0
        obs, *rest = mine.step(actions)
        expected, *others = theirs.step(actions)
        assert obs.dtype == expected.dtype
        np.testing.assert_array_equal(obs, expected)
        if kind is CartPoles:  # whose observations are rounded
            np.testing.assert_array_equal(mine._state, [env.unwrapped.state for env in theirs.envs])
        for one, other in zip(rest[:3], others[:3], strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        assert kind is Lanes or rest[3].keys() == others[3].keys()
        ends += rest[1].any(), rest[2].any()
        done = rest[1] | rest[2]
        if done.any():
            # every second time the lanes go on drawing from the seed they had
            seeds = [None if step % 2 else step + i for i in range(COUNT)]
            before = mine.reset(seed=seeds, options={"reset_mask": done})[0]
            np.testing.assert_array_equal(before, theirs.reset(seed=seeds, options={"reset_mask": done})[0])
    assert ends.any()
    assert ends.all() or kind is Lanes


def test_what_a_step_returned_is_left_alone() -> None:
    for env_id in ("CartPole-v1", "Acrobot-v1"):
        vec = envs.make_vec(env_id, 2, seed=1)
        obs = vec.step(np.array([0, 1]))[0]
        before = obs.copy()
        vec.step(np.array([1, 1]))
        vec.reset(seed=5)
        np.testing.assert_array_equal(obs, before)


def test_an_episode_that_is_over_has_to_be_reset() -> None:
    vec = envs.make_vec("CartPole-v1", 2)
    with pytest.raises(AssertionError, match="reset"):
        vec.step(np.array([0, 1]))
    vec.reset(seed=1)
    while not vec.step(np.array([1, 1]))[2].any():
        pass
    with pytest.raises(AssertionError, match="reset"):
        vec.step(np.array([0, 1]))


def test_cartpole_with_other_rules_is_gymnasiums_own() -> None:
    vec = envs.make_vec("CartPole-v1", 2, seed=1, sutton_barto_reward=True)
    assert isinstance(vec, Lanes)
    assert vec.step(np.array([0, 1]))[1].tolist() == [0.0, 0.0]
