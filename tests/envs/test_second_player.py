"""A second player in a single world: it moves as the agent does, and changes nothing for the agent but the items."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import envs
from common.errors import UserError
from envs.factory import EPISODE_STEPS
from envs.second_player import SecondPlayer

IDS = [f"tidepool/{world}" for world in EPISODE_STEPS]
V0, V1, RLDEMO = IDS
COAST = -1


def world_of(env_id: str, seed: int | None = 1) -> Any:
    world: Any = envs.make(env_id).unwrapped
    world.reset(seed=seed)
    return world


def assert_same_state(one: Any, other: Any) -> None:
    """Assert that two states are equal, bit for bit."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        if isinstance(value, dict):
            assert_same_state(value, other[name])
        else:
            np.testing.assert_array_equal(value, other[name])


def motion(state: Any) -> dict[str, Any]:
    return {name: state[name] for name in ("pos", "vel", "angle") if name in state}


def add_second_player_at_the_agent(world: Any) -> None:
    """Add a second player with the agent's position and motion."""
    state = world.get_state()
    world.set_state({**state, "second_player": {**motion(state), "action": COAST, "apples": 0, "poison": 0}})


# joining and leaving


@pytest.mark.parametrize("env_id", IDS)
def test_joining_and_leaving_changes_nothing(env_id: str) -> None:
    plain, visited = world_of(env_id), world_of(env_id)
    visited.join()
    visited.leave()
    assert visited.second_player is None
    for t in range(300):
        one, other = plain.step(t % 4), visited.step(t % 4)
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1:] == other[1:]
        assert set(other[4]) == {"apples", "poison"}
    assert_same_state(plain.get_state(), visited.get_state())
    assert "second_player" not in plain.get_state()


@pytest.mark.parametrize("env_id", IDS)
def test_the_agent_neither_sees_nor_hits_the_second_player(env_id: str) -> None:
    plain, visited = world_of(env_id), world_of(env_id)
    add_second_player_at_the_agent(visited)  # at the agent's place: every ray would hit it
    visited.set_state({**visited.get_state(), "items": np.zeros((0, 6 if env_id != RLDEMO else 4)), "clock": 1})
    plain.set_state({key: value for key, value in visited.get_state().items() if key != "second_player"})
    for t in range(8):  # no item appears before the tenth tick
        one, other = plain.step(t % 4), visited.step(t % 4)
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1] == other[1]


# moving


@pytest.mark.parametrize("env_id", IDS)
def test_the_second_player_moves_and_eats_as_the_agent_bit_for_bit(env_id: str) -> None:
    """World A: the agent acts. World B: a second player that starts at the agent's place acts, and so does the agent.

    Both are always at the same place, and the second player eats first: it gets all that the agent eats in A.
    """
    agents, second_players = world_of(env_id), world_of(env_id)
    add_second_player_at_the_agent(second_players)
    rng = np.random.default_rng(0)
    eaten = np.zeros(2, int)
    for _ in range(1500):
        # RLDemo: mostly straight on, or it would never leave its corner; it still hits walls
        action = int(rng.integers(-1, 4)) if env_id != RLDEMO else int(rng.choice([-1, 0, 0, 0, 0, 0, 1, 2, 3, 4]))
        second_players.second_player_action = action
        *_, expected = agents.step(action)
        *_, info = second_players.step(action)
        assert (info["apples"], info["poison"]) == (0, 0)
        assert (info["second_player_apples"], info["second_player_poison"]) == (expected["apples"], expected["poison"])
        eaten += expected["apples"], expected["poison"]
        state, second_player = agents.get_state(), second_players.second_player
        np.testing.assert_array_equal(second_player.pos, state["pos"])
        if "vel" in state:
            np.testing.assert_array_equal(second_player.vel, state["vel"])
        else:
            assert second_player.angle == state["angle"]
        np.testing.assert_array_equal(second_players.get_state()["items"], state["items"])
        assert second_players.get_state()["rng"] == state["rng"]
    assert min(eaten) > 0
    assert (second_players.second_player.apples, second_players.second_player.poison) == tuple(eaten)


def test_one_thrust_by_hand() -> None:
    """From rest at (400, 200), "right": velocity 0.95 (0 + 1), position 400.95; then coasting: 0.95^2 more."""
    world = world_of(V1)
    second_player = world.join()
    np.testing.assert_array_equal(second_player.pos, [400.0, 200.0])  # the agent's (300, 300) mirrored at the centre
    world.second_player_action = 1
    world.step(COAST)
    np.testing.assert_allclose(second_player.vel, [0.95, 0.0], atol=1e-15)
    np.testing.assert_allclose(second_player.pos, [400.95, 200.0], atol=1e-12)
    assert second_player.action == 1
    world.second_player_action = COAST
    world.step(COAST)
    np.testing.assert_allclose(second_player.pos, [400.95 + 0.95**2, 200.0], atol=1e-12)
    assert second_player.action == COAST


def test_rldemos_second_player_starts_in_the_far_corner_and_rests_without_a_key() -> None:
    world = world_of(RLDEMO)
    second_player = world.join()
    np.testing.assert_array_equal(second_player.pos, [650.0, 450.0])
    assert second_player.angle == np.pi  # facing up
    world.step(0)
    np.testing.assert_array_equal(second_player.pos, [650.0, 450.0])
    world.second_player_action = 0  # both wheels by 1: straight ahead by half an axle's length times sin 1
    world.step(0)
    np.testing.assert_allclose(second_player.pos, [650.0, 450.0 - 5.0 * np.sin(1.0)], atol=1e-9)
    assert second_player.radius == world.radius == 10.0


def test_an_action_out_of_range_is_rejected() -> None:
    world = world_of(V1)
    world.join()
    world.second_player_action = 4
    with pytest.raises(ValueError, match="out of range"):
        world.step(0)


# eating


@pytest.mark.parametrize(("env_id", "score"), [(V0, 2 * 1.0 - 1.0), (V1, 2 * 1.0 - 1.0), (RLDEMO, 2 * 5.0 - 6.0)])
def test_eating_by_hand(env_id: str, score: float) -> None:
    """Two apples and a poison within 20 px of the second player, one apple 20 px away, one beside the agent."""
    world = world_of(env_id)
    rows = [(52.0, 450.0, 1), (50.0, 469.9, 2), (30.5, 450.0, 1), (50.0, 430.0, 1), (350.0, 450.0, 1)]
    items = [[x, y, 0, 0, kind, 7] if env_id != RLDEMO else [x, y, kind, 7] for x, y, kind in rows]
    still: dict[str, Any] = {"angle": 0.0} if env_id == RLDEMO else {"vel": (0.0, 0.0)}
    second_player = {"pos": (50.0, 450.0), **still, "action": COAST, "apples": 0, "poison": 0}
    world.set_state({"clock": 0, "pos": (345.0, 450.0), **still, "items": items, "second_player": second_player})
    *_, info = world.step(COAST)
    assert info == {"apples": 1, "poison": 0, "second_player_apples": 2, "second_player_poison": 1}
    assert (world.second_player.apples, world.second_player.poison, world.second_player.score) == (2, 1, score)
    left = world.get_state()["items"]
    np.testing.assert_array_equal(left[:, :2], [[50.0, 430.0]])
    assert left[0, -1] == 8.0  # one tick older, not two
    *_, info = world.step(COAST)
    assert info == {"apples": 0, "poison": 0, "second_player_apples": 0, "second_player_poison": 0}
    assert world.second_player.score == score


def test_a_wall_keeps_rldemos_second_player_from_an_item() -> None:
    world = world_of(RLDEMO)
    items = [[295.0, 250.0, 1, 0], [310.0, 255.0, 1, 0]]  # the wall is at x = 300
    second_player = {"pos": (305.0, 250.0), "angle": 0.0, "action": COAST, "apples": 0, "poison": 0}
    world.set_state({"clock": 0, "pos": (50.0, 50.0), "angle": 0.0, "items": items, "second_player": second_player})
    *_, info = world.step(COAST)
    assert info["second_player_apples"] == 1
    np.testing.assert_array_equal(world.get_state()["items"][:, 0], [295.0])


def test_items_the_second_player_has_eaten_are_replaced() -> None:
    """A fresh Waterworld is full; after the second player has eaten, a new item appears in a quarter of tenth ticks."""
    world = world_of(V1)
    world.join()
    counts = []
    for t in range(1000):
        world.second_player_action = (t // 25) % 4
        world.step(COAST)
        counts.append(len(world.get_state()["items"]))
    assert min(counts) < 50
    grown = [t + 1 for t in range(1, 1000) if counts[t] > counts[t - 1]]
    assert grown
    assert all(t % 10 == 0 for t in grown)


# one seed, one episode


@pytest.mark.parametrize("env_id", IDS)
def test_one_seed_and_the_same_actions_give_one_episode(env_id: str) -> None:
    def play(world: Any, seed: int) -> tuple[list[Any], Any]:
        world.reset(seed=seed)
        world.join()
        rng = np.random.default_rng(5)
        seen = []
        for _ in range(400):
            world.second_player_action = int(rng.integers(-1, 4))
            obs, reward, *_, info = world.step(int(rng.integers(4)))
            seen.append((obs.tolist(), reward, info))
        return seen, world.get_state()

    world = world_of(env_id)
    (one, end), (again, end_again) = (
        play(world, 3),
        play(world, 3),
    )  # the second player stays, so its reset is tested too
    assert one == again
    assert_same_state(end, end_again)
    other = play(world_of(env_id), 3)[1]
    assert_same_state(end, other)
    assert play(world, 4)[0] != one


@pytest.mark.parametrize("env_id", IDS)
def test_a_reset_returns_the_second_player_to_its_start(env_id: str) -> None:
    world = world_of(env_id)
    second_player = world.join()
    assert world.join() is second_player
    start = second_player.get_state()
    world.second_player_action = 0
    for _ in range(200):
        world.step(0)
    assert not np.array_equal(second_player.pos, start["pos"])
    assert second_player.action == 0
    _, info = world.reset(seed=1)
    assert info == {"apples": 0, "poison": 0, "second_player_apples": 0, "second_player_poison": 0}
    assert world.second_player is second_player
    assert_same_state(second_player.get_state(), start)


# states


@pytest.mark.parametrize("env_id", IDS)
def test_a_restored_state_continues_identically(env_id: str) -> None:
    world = world_of(env_id)
    world.join()

    def play(world: Any, start: int, ticks: int) -> list[Any]:
        seen = []
        for t in range(start, start + ticks):
            world.second_player_action = (t // 7) % 4
            obs, reward, *_, info = world.step((t // 5) % 4)
            seen.append((obs.tolist(), reward, info))
        return seen

    play(world, 0, 150)
    state = world.get_state()
    other: Any = envs.make(env_id).unwrapped
    other.set_state(state)
    assert_same_state(other.get_state(), state)
    assert play(other, 150, 200) == play(world, 150, 200)
    assert_same_state(other.get_state(), world.get_state())


def test_setting_a_state_adds_or_removes_the_second_player() -> None:
    world = world_of(V1)
    before = world.get_state()
    world.join()
    with_second_player = world.get_state()
    world.set_state(before)
    assert world.second_player is None
    world.set_state(with_second_player)
    assert isinstance(world.second_player, SecondPlayer)
    assert_same_state(world.get_state(), with_second_player)


def test_a_saved_state_does_not_change_later() -> None:
    world = world_of(V1)
    world.join()
    state = world.get_state()
    world.second_player_action = 1
    for _ in range(5):
        world.step(0)
    np.testing.assert_array_equal(state["second_player"]["pos"], [400.0, 200.0])


@pytest.mark.parametrize(
    ("missing", "text"), [("pos", "needs 'pos'"), ("vel", "needs 'vel'"), ("apples", "second player needs 'apples'")]
)
def test_an_incomplete_second_player_state_is_rejected(missing: str, text: str) -> None:
    world = world_of(V1)
    world.join()
    state = world.get_state()
    del state["second_player"][missing]
    with pytest.raises(UserError, match=text):
        world.set_state(state)


@pytest.mark.parametrize("env_id", IDS)
def test_eyes_of_a_past_state_do_not_change_the_present(env_id: str) -> None:
    world = world_of(env_id)
    kept = []
    for t in range(60):
        kept.append((world.get_state(), world.eyes()))
        world.step(t % 4)
    now = world.get_state()
    for state, eyes in kept:
        for one, other in zip(world.eyes_of(state), eyes, strict=True):
            np.testing.assert_array_equal(one, other)
    assert_same_state(world.get_state(), now)


def test_a_state_includes_the_last_reward() -> None:
    world = world_of(RLDEMO)
    assert world.get_state()["reward"] == 0.0
    reward = world.step(0)[1]
    assert reward > 0
    state = world.get_state()
    assert state["reward"] == reward
    world.reset(seed=1)
    assert world.get_state()["reward"] == 0.0
    world.set_state(state)
    assert world.get_state()["reward"] == reward
