"""Running episodes are restored from their seeds and actions."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import envs
from learning.episodes import RESET, Episodes, unpack

BREAKOUT = "ALE/Breakout-v5"


def play(episodes: Episodes, steps: int, rng: np.random.Generator) -> list[Any]:
    return [episodes.step(rng.integers(0, episodes.num_actions, episodes.num_envs)) for _ in range(steps)]


@pytest.mark.parametrize(
    ("env_id", "protocol"), [(BREAKOUT, "machado2018"), (BREAKOUT, "dqn_zoo"), ("CartPole-v1", "default")]
)
@pytest.mark.parametrize("steps", [0, 120, 431])
def test_episodes_are_restored_from_seeds_and_actions(env_id: str, protocol: str, steps: int) -> None:
    options = envs.options(env_id, protocol, evaluation=False, frame_size=42)
    one, other = (Episodes(env_id, 3, seed=4, options=options) for _ in range(2))
    one.begin()
    play(one, steps, np.random.default_rng(0))
    other.load(one.state())
    assert other.state() == one.state()
    np.testing.assert_array_equal(other.obs, one.obs)
    np.testing.assert_array_equal(other.returns, one.returns)
    np.testing.assert_array_equal(other.lengths, one.lengths)
    ahead = [play(episodes, 200, np.random.default_rng(1)) for episodes in (one, other)]
    for first, second in zip(*ahead, strict=True):
        np.testing.assert_array_equal(first.obs, second.obs)
        np.testing.assert_array_equal(first.reward, second.reward)
        assert first.finished == second.finished
    assert other.state() == one.state()


def test_new_seeds_are_given_only_where_cheap_or_due() -> None:
    cheap, expensive = Episodes("CartPole-v1", 2, seed=1), Episodes(BREAKOUT, 2, seed=1, options=envs.options(BREAKOUT))
    for episodes in (cheap, expensive):
        episodes.begin()
        play(episodes, 600, np.random.default_rng(0))
        assert episodes.finished >= 2
    assert all(RESET not in played for played in cheap.actions)
    assert any(RESET in played for played in expensive.actions)
    expensive.reseed_after = 1
    play(expensive, 600, np.random.default_rng(0))
    assert all(RESET not in played for played in expensive.actions)


def test_a_state_saved_right_after_an_episode_end_is_restored() -> None:
    one, other = (Episodes(BREAKOUT, 1, seed=1, options=envs.options(BREAKOUT, frame_size=42)) for _ in range(2))
    one.begin()
    rng = np.random.default_rng(0)
    while not one.step(rng.integers(0, 4, 1)).finished:
        pass
    assert one.actions[0][-1] == RESET
    other.load(one.state())
    np.testing.assert_array_equal(other.obs, one.obs)
    assert other.state() == one.state()


def test_actions_take_two_bytes_and_old_states_have_lists_of_them() -> None:
    one, other = (Episodes("CartPole-v1", 2, seed=1) for _ in range(2))
    one.begin()
    play(one, 30, np.random.default_rng(0))
    assert {played.itemsize for played in one.actions} == {2}
    state = json.loads(json.dumps(one.state()))
    lists = [unpack(played) for played in state["actions"]]
    assert lists == [list(played) for played in one.actions]
    other.load({**state, "actions": lists})
    np.testing.assert_array_equal(other.obs, one.obs)
    assert other.state() == one.state()


@pytest.mark.parametrize("env_id", [BREAKOUT, "CartPole-v1"])
def test_environments_start_staggered(env_id: str) -> None:
    """Of four the first is at a first observation, the others 75, 150 and 225 of 300 random steps farther."""
    options = envs.options(env_id, "dqn_zoo" if env_id == BREAKOUT else "default", evaluation=False, frame_size=42)
    one, other, plain = (Episodes(env_id, 4, seed=4, options=options) for _ in range(3))
    np.testing.assert_array_equal(one.begin(stagger=300), other.begin(stagger=300))
    taken = [sum(action != RESET for action in played) for played in one.actions]
    if env_id == BREAKOUT:  # seeds are dear there, so the whole way is one chain
        assert taken == [0, 75, 150, 225]
    assert one.finished == 0
    assert one.lengths[0] == 0
    assert one.number[0] == 0
    if env_id == "CartPole-v1":  # the lengths of random episodes are some twenty steps
        assert 0 < one.number[1] < one.number[2] < one.number[3]
    # the first one begins as without; the others are elsewhere, and where they are is restored
    first = plain.begin()
    np.testing.assert_array_equal(one.obs[0], first[0])
    assert all((one.obs[i] != first[i]).any() for i in (1, 2, 3))
    other.load(one.state())
    np.testing.assert_array_equal(other.obs, one.obs)
    np.testing.assert_array_equal(other.lengths, one.lengths)
    ahead = [play(episodes, 100, np.random.default_rng(1)) for episodes in (one, other)]
    np.testing.assert_array_equal(ahead[0][-1].obs, ahead[1][-1].obs)
    assert one.state() == other.state()
