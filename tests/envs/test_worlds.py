"""Waterworld and RLDemo: vector and single worlds, seeds, masked resets, states, rules; the factory's errors."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import envs
from common.errors import UserError
from envs.factory import EPISODE_STEPS

IDS = [f"tidepool/{world}" for world in EPISODE_STEPS]


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasiums_environment_checker_finds_nothing(env_id: str, recwarn: pytest.WarningsRecorder) -> None:
    env = gymnasium.make(env_id, render_mode="rgb_array")
    check_env(env.unwrapped)
    # Gymnasium calls every v0 that has a v1 "out of date"; ours is the original, and is kept
    assert [str(w.message) for w in recwarn if not issubclass(w.category, DeprecationWarning)] == []


@pytest.mark.parametrize("env_id", IDS)
def test_world_i_of_a_batch_equals_a_single_world_of_that_seed(env_id: str) -> None:
    seeds = [7, 8, 2**31, 0]
    vec: Any = gymnasium.make_vec(env_id, num_envs=4)
    singles = [envs.make(env_id) for _ in seeds]
    batch, _ = vec.reset(seed=seeds)
    rng = np.random.default_rng(0)
    for env, seed, row in zip(singles, seeds, batch, strict=True):
        np.testing.assert_array_equal(env.reset(seed=seed)[0], row)
    for _ in range(400):
        actions = rng.integers(-1, vec.single_action_space.n, 4)
        obs, reward, _, truncated, info = vec.step(actions)
        for i, env in enumerate(singles):
            one = env.step(actions[i])
            np.testing.assert_array_equal(one[0], obs[i])
            assert (one[1], one[3]) == (reward[i], truncated[i])
            assert (one[4]["apples"], one[4]["poison"]) == (info["apples"][i], info["poison"][i])


@pytest.mark.parametrize("env_id", IDS)
def test_episodes_depend_on_the_seed_only(env_id: str) -> None:
    def play(seed: int) -> np.ndarray[Any, Any]:
        env = envs.make(env_id)
        env.reset(seed=seed)
        return np.array([env.step(np.int64(t % 4))[0] for t in range(300)])

    np.testing.assert_array_equal(play(1), play(1))
    assert not np.array_equal(play(1), play(2))


@pytest.mark.parametrize("env_id", IDS)
def test_a_masked_reset_resets_only_the_masked_worlds(env_id: str) -> None:
    vec: Any = gymnasium.make_vec(env_id, num_envs=3)
    assert vec.metadata["autoreset_mode"] is AutoresetMode.DISABLED
    first, _ = vec.reset(seed=[1, 2, 3])
    for _ in range(20):
        before = vec.step(np.zeros(3, np.int64))[0]
    states = [vec.get_state(i) for i in range(3)]
    after, _ = vec.reset(seed=[None, 2, None], options={"reset_mask": np.array([False, True, False])})
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    np.testing.assert_array_equal(after[1], first[1])
    assert vec.get_state(0)["clock"] == 20
    assert vec.get_state(1)["clock"] == 0
    np.testing.assert_array_equal(vec.get_state(2)["items"], states[2]["items"])


@pytest.mark.parametrize("env_id", IDS)
def test_episodes_are_truncated_never_terminated(env_id: str) -> None:
    limit = {"tidepool/RLDemo-v0": 5000}.get(env_id, 1000)
    vec = envs.make_vec(env_id, 2, seed=0)
    single = envs.make(env_id)
    single.reset(seed=0)
    for t in range(1, limit + 1):
        _, _, terminated, truncated, _ = vec.step(np.array([0, 1]))
        one = single.step(np.int64(0))
        assert not terminated.any()
        assert truncated.all() == (t == limit) == one[3]


@pytest.mark.parametrize("env_id", IDS)
def test_a_restored_state_continues_identically(env_id: str) -> None:
    env: Any = envs.make(env_id)
    env.reset(seed=5)
    for t in range(100):
        env.step(t % 4)
    state = env.unwrapped.get_state()
    ahead = [env.step(t % 4)[:2] for t in range(300)]
    other: Any = envs.make(env_id).unwrapped
    other.set_state(state)
    for t, (obs, reward) in enumerate(ahead):
        again = other.step(t % 4)
        np.testing.assert_array_equal(again[0], obs)
        assert again[1] == reward


def test_an_incomplete_state_is_rejected() -> None:
    world: Any = envs.make("tidepool/Waterworld-v1").unwrapped
    with pytest.raises(UserError, match="needs 'vel'"):
        world.set_state({"clock": 0, "pos": (1, 1), "items": np.empty((0, 6))})
    with pytest.raises(UserError, match="50 items at most"):
        world.set_state({"clock": 0, "pos": (1, 1), "vel": (0, 0), "items": np.ones((51, 6))})


@pytest.mark.parametrize("action", [-2, 4])
def test_an_action_out_of_range_is_rejected(action: int) -> None:
    env = envs.make("tidepool/Waterworld-v1")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="out of range"):
        env.step(np.int64(action))


def test_eating_is_rewarded_and_borders_stop_the_agent() -> None:
    """Apple and poison lie on the agent, one more apple just out of reach: reward 1 - 1, two items removed.

    The agent moves first: from (1.5, 300) at velocity -2, thrust left: -3 x 0.95 = -2.85, to the border x = 1.
    """
    world: Any = envs.make("tidepool/Waterworld-v0").unwrapped
    rows = [[5.0, 300.0, 0, 0, 1, 0], [6.0, 301.0, 0, 0, 2, 0], [21.0, 300.0, 0, 0, 1, 0]]
    world.set_state({"clock": 0, "pos": (1.5, 300.0), "vel": (-2.0, 0.5), "items": rows})
    _, reward, _, _, info = world.step(0)
    state = world.get_state()
    assert (reward, info) == (0.0, {"apples": 1, "poison": 1})
    np.testing.assert_array_equal(state["pos"], [1.0, 300.0 + 0.5 * 0.95])
    np.testing.assert_array_equal(state["vel"], [0.0, 0.0])
    # sqrt(20^2 + 0.475^2) > 20: the third stays, one tick older
    np.testing.assert_array_equal(state["items"], [[21.0, 300.0, 0, 0, 1, 1]])


def test_items_vanish_and_appear_with_the_originals_probabilities() -> None:
    """At clock 5100 every item is older than 5000 ticks: 10 % of 50 vanish; then one appears in 25 % of tenth ticks."""
    vec: Any = gymnasium.make_vec("tidepool/Waterworld-v0", num_envs=400)
    vec.reset(seed=0)
    worlds = vec.worlds
    worlds.clock[:] = 5099
    worlds.items[:, :, 5] = 5050.0
    worlds.pos[:] = -500.0  # nothing is eaten: the border puts the agent into a corner
    worlds.items[:, :, :2] = 250.0
    worlds.items[:, :, 2:4] = 0.0
    vec.step(np.full(400, -1))
    vanished = 50 - worlds.count
    # mean of Binomial(50, 0.1) less the 0.25 that reappear: 4.75, standard error 2.1 / 20 = 0.11
    assert abs(vanished.mean() - 4.75) < 0.5
    before = worlds.count.copy()
    for _ in range(9):
        vec.step(np.full(400, -1))
    np.testing.assert_array_equal(worlds.count, before)  # nothing appears between tenth ticks
    vec.step(np.full(400, -1))
    assert abs((worlds.count - before).mean() - 0.25) < 0.09  # 4 standard errors


def test_initial_worlds_have_the_originals_distribution() -> None:
    vec: Any = gymnasium.make_vec("tidepool/Waterworld-v0", num_envs=500)
    vec.reset(seed=1)
    items = vec.worlds.items.reshape(-1, 6)
    assert (vec.worlds.count == 50).all()
    assert ((items[:, 0] >= 20) & (items[:, 0] <= 680) & (items[:, 1] >= 20) & (items[:, 1] <= 480)).all()
    assert (abs(items[:, 2:4]) <= 2.5).all()
    assert abs(items[:, 0].mean() - 350) < 5  # sd 190 / sqrt(25000) = 1.2
    assert abs(items[:, 2:4].mean()) < 0.05
    assert items[:, 2].std() == pytest.approx(5 / np.sqrt(12), rel=0.03)
    assert abs((items[:, 4] == 1).mean() - 0.5) < 0.02


def test_the_factory_takes_any_discrete_environment() -> None:
    for env_id, width in (("CartPole-v1", 4), ("FrozenLake-v1", 16), ("Blackjack-v1", 32 + 11 + 2)):
        vec = envs.make_vec(env_id, 3, seed=0)
        obs, *_ = vec.step(np.zeros(3, np.int64))
        assert obs.shape == (3, width)
        assert obs.dtype == np.float32
        vec.close()


def test_factory_errors_name_the_nearest() -> None:
    with pytest.raises(UserError, match=r"unknown environment 'Waterwrld-v1'.*Waterworld-v1"):
        envs.resolve("Waterwrld-v1")
    with pytest.raises(UserError, match="did you mean CartPole-v"):
        envs.resolve("CartPole")
    with pytest.raises(UserError, match="only discrete actions"):
        envs.make("Pendulum-v1")
    assert envs.resolve("RLDemo-v0") == "tidepool/RLDemo-v0"


def test_rldemo_turns_about_a_resting_wheel() -> None:
    """One wheel at rest, the other by 0.5 rad: the centre turns about the resting wheel, half an axle away."""
    world: Any = envs.make("tidepool/RLDemo-v0").unwrapped
    world.set_state({"clock": 0, "pos": (50.0, 50.0), "angle": 1.0, "items": np.empty((0, 4))})
    world.step(4)  # left wheel 0, right wheel 0.5
    state = world.get_state()
    assert state["angle"] == pytest.approx(1.5)
    # each wheel's circle gives a centre; the original takes the mean of both: one is unmoved, the other
    # turned by 0.5 on a radius of 5, a chord of 2 * 5 * sin(0.25), so half of that
    assert np.hypot(*(state["pos"] - 50.0)) == pytest.approx(5 * np.sin(0.25), abs=1e-12)


def test_rldemo_is_stopped_by_walls() -> None:
    world: Any = envs.make("tidepool/RLDemo-v0").unwrapped
    world.set_state({"clock": 0, "pos": (12.0, 50.0), "angle": 1.5 * np.pi, "items": np.empty((0, 4))})
    for _ in range(5):
        world.step(0)
    assert world.get_state()["pos"][0] > 10.0


def test_the_temporal_window_of_a_batch_equals_that_of_single_worlds() -> None:
    vec = envs.make_vec("tidepool/RLDemo-v0", 3, temporal_window=2)
    singles: list[Any] = [envs.make("tidepool/RLDemo-v0", temporal_window=2) for _ in range(3)]
    rng = np.random.default_rng(3)
    obs, _ = vec.reset(seed=[4, 5, 6])  # type: ignore[arg-type]
    expected = np.array([env.reset(seed=seed)[0] for env, seed in zip(singles, (4, 5, 6), strict=True)])
    assert obs.shape == (3, 27 + 2 * 32)
    for t in range(60):
        np.testing.assert_array_equal(obs, expected)
        if t == 30:
            obs, _ = vec.reset(seed=[None, 9, None], options={"reset_mask": np.array([False, True, False])})  # type: ignore[arg-type]
            expected[1] = singles[1].reset(seed=9)[0]
            np.testing.assert_array_equal(obs, expected)
            assert not obs[1, 54:59].any()  # no action is remembered from before the reset
            assert obs[0, 54:59].any()
        actions = rng.integers(0, 5, 3)
        obs = vec.step(actions)[0]
        expected = np.array([env.step(action)[0] for env, action in zip(singles, actions, strict=True)])
