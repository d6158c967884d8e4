"""Replay: episode boundaries by hand, and random episodes against a naive replay that stores whole transitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import UserError
from learning import replay_state
from learning.replay import Batch, Replay

SPACE = spaces.Box(-np.inf, np.inf, (1,), np.float32)
GAMMA = 0.5


def column(*values: float) -> np.ndarray[Any, Any]:
    return np.array(values, np.float32)[:, None]


def all_transitions(replay: Replay) -> dict[float, tuple[float, float, float, float]]:
    """Return every stored transition by its observation: action, reward, discount, next observation."""

    stored = replay.acted.reshape(replay.num_envs, -1)[:, : replay.filled].ravel()
    records = np.flatnonzero(stored)

    class EachOnce:
        """Replaces the generator: draws each record once."""

        def integers(self, low: int, high: int, count: int) -> np.ndarray[Any, Any]:
            return records[:count]

    batch = replay.sample(len(records), EachOnce())  # type: ignore[arg-type]
    rows = zip(*(np.asarray(part).reshape(len(records)).tolist() for part in batch[:5]), strict=True)
    return {obs: (action, reward, discount, next_obs) for obs, action, reward, discount, next_obs in rows}


def two_episodes(n_step: int, terminated: bool) -> Replay:
    """Return a replay of observations 0 to 3 with rewards 1, 10, 100, then an episode that starts at 50."""
    replay = Replay(100, 1, SPACE, n_step)
    replay.reset(column(0))
    for t, reward in enumerate((1, 10, 100)):
        ends = terminated and t == 2
        replay.add(np.array([t]), np.array([reward]), np.array([GAMMA * (1 - ends)]), column(t + 1))
    replay.reset(column(50), np.array([True]))
    replay.add(np.array([7]), np.array([1000]), np.array([GAMMA]), column(51))
    return replay


# obs -> (action, reward, discount, next obs), computed by hand with gamma 1/2
BOUNDARIES = {
    (1, False): {0: (0, 1, 0.5, 1), 1: (1, 10, 0.5, 2), 2: (2, 100, 0.5, 3), 50: (7, 1000, 0.5, 51)},
    (1, True): {0: (0, 1, 0.5, 1), 1: (1, 10, 0.5, 2), 2: (2, 100, 0.0, 3), 50: (7, 1000, 0.5, 51)},
    # 0: 1 + 10/2 = 6, discount 1/4, bootstrap from 2; 2: the window is cut at the episode's end
    (2, False): {0: (0, 6, 0.25, 2), 1: (1, 60, 0.25, 3), 2: (2, 100, 0.5, 3), 50: (7, 1000, 0.5, 51)},
    (2, True): {0: (0, 6, 0.25, 2), 1: (1, 60, 0.0, 3), 2: (2, 100, 0.0, 3), 50: (7, 1000, 0.5, 51)},
    # 0: 1 + 10/2 + 100/4 = 31, discount 1/8; no window reaches into the episode that starts at 50
    (3, False): {0: (0, 31, 0.125, 3), 1: (1, 60, 0.25, 3), 2: (2, 100, 0.5, 3), 50: (7, 1000, 0.5, 51)},
    (5, True): {0: (0, 31, 0.0, 3), 1: (1, 60, 0.0, 3), 2: (2, 100, 0.0, 3), 50: (7, 1000, 0.5, 51)},
}


@pytest.mark.parametrize(("n_step", "terminated"), BOUNDARIES)
def test_episode_boundaries_by_hand(n_step: int, terminated: bool) -> None:
    assert all_transitions(two_episodes(n_step, terminated)) == BOUNDARIES[n_step, terminated]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), num_envs=st.integers(1, 3), n_step=st.integers(1, 4), slots=st.integers(2, 12))
def test_replay_equals_a_naive_implementation(data: st.DataObject, num_envs: int, n_step: int, slots: int) -> None:
    """Random episodes, terminated and truncated, long enough to overwrite the ring several times."""
    replay = Replay(slots * num_envs, num_envs, SPACE, n_step)
    # per environment: episodes, each a list of [obs, action, reward, discount] and at last the final obs
    naive: list[list[list[Any]]] = [[] for _ in range(num_envs)]
    counter = iter(range(10**6))

    def fresh() -> np.ndarray[Any, Any]:
        return column(*(next(counter) for _ in range(num_envs)))

    obs = fresh()
    replay.reset(obs)
    for i in range(num_envs):
        naive[i].append([obs[i, 0]])
    for _ in range(data.draw(st.integers(1, 40))):
        action = np.array([next(counter) % 5 for _ in range(num_envs)])
        reward = np.array([float(next(counter) % 7) for _ in range(num_envs)])
        ends = np.array(data.draw(st.lists(st.sampled_from("---TC"), min_size=num_envs, max_size=num_envs)))
        discount = np.where(ends == "T", 0.0, GAMMA)
        next_obs = fresh()
        replay.add(action, reward, discount, next_obs)
        for i in range(num_envs):
            naive[i][-1][-1:] = [[naive[i][-1][-1], action[i], reward[i], discount[i]], next_obs[i, 0]]
        done = ends != "-"
        if done.any():
            first_obs = fresh()
            replay.reset(first_obs, done)
            for i in map(int, np.flatnonzero(done)):
                naive[i].append([first_obs[i, 0]])
    expected: dict[float, Any] = {}
    for i in range(num_envs):
        # a record is an observation; the ring keeps the newest ones
        records = [(e, k) for e, episode in enumerate(naive[i]) for k in range(len(episode))][-slots:]
        for e, k in records:
            steps = naive[i][e][k:-1][:n_step]
            if steps:
                total, product = 0.0, 1.0
                for _, _, reward_k, discount_k in steps:
                    total, product = total + product * reward_k, product * discount_k
                after = naive[i][e][k + len(steps)]
                expected[steps[0][0]] = (steps[0][1], total, product, after[0] if isinstance(after, list) else after)
    if expected:
        assert all_transitions(replay) == expected
    assert len(replay) == len(expected)


def test_sampling_is_uniform_over_transitions_of_uneven_environments() -> None:
    """Environment 1 has many short episodes, so fewer transitions per record; all are still equally likely."""
    replay = Replay(60, 2, SPACE)
    replay.reset(column(0, 1000))
    for t in range(1, 25):
        replay.add(np.zeros(2), np.zeros(2), np.full(2, GAMMA), column(t, 1000 + 10 * t))
        if t % 2 == 0:
            replay.reset(column(0, 1001 + 10 * t), np.array([False, True]))
    count = len(replay)
    batch = replay.sample(20_000, np.random.default_rng(0))
    _, times = np.unique(np.asarray(batch.obs), return_counts=True)
    assert len(times) == count
    expected = 20_000 / count
    # chi-square with count - 1 degrees of freedom: mean count - 1, sd sqrt(2 (count - 1))
    chi_square = float(((times - expected) ** 2 / expected).sum())
    assert abs(chi_square - (count - 1)) < 4 * np.sqrt(2 * (count - 1))


def test_batches_depend_on_the_generator_state_only() -> None:
    replay = two_episodes(1, True)
    one, same, other = (replay.sample(50, np.random.default_rng(s)).obs.clone().numpy() for s in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_each_observation_is_stored_once() -> None:
    """1000 observations of 152 float32 take 608 kB; two copies of each would take twice that."""
    space = spaces.Box(-1, 1, (152,), np.float32)
    replay = Replay(1000, 4, space)
    arrays = (replay.action, replay.reward, replay.discount, replay.acted)
    measured = replay.obs.numel() * replay.obs.element_size() + sum(array.nbytes for array in arrays)
    assert measured == Replay.bytes_needed(1000, space)
    assert measured < 1.05 * 1000 * 152 * 4


def test_state_and_load_round_trip() -> None:
    replay = two_episodes(3, False)
    other = Replay(100, 1, SPACE, 3)
    replay_state.restore(other, replay_state.arrays(replay))
    first, end = np.zeros(1, np.int64), replay.opened
    replay_state.put(other, first, end, replay_state.take(replay, first, end))
    assert all_transitions(other) == all_transitions(replay)
    for one in (replay, other):
        one.add(np.array([1]), np.array([5.0]), np.array([GAMMA]), column(52))
    assert all_transitions(other) == all_transitions(replay)


def test_invalid_arguments_are_rejected() -> None:
    with pytest.raises(UserError, match="--capacity 7 is too small for 4 environments; at least 8"):
        Replay(7, 4, SPACE)
    with pytest.raises(UserError, match="float64"):
        Replay(10, 1, spaces.Box(0, 1, (1,), np.float64))
    with pytest.raises(ValueError, match="empty"):
        Replay(10, 1, SPACE).sample(1, np.random.default_rng(0))


def test_batch_fields_have_the_documented_types() -> None:
    batch: Batch = two_episodes(2, False).sample(5, np.random.default_rng(0))
    parts = (batch.obs, batch.action, batch.reward, batch.discount, batch.next_obs, batch.weight, batch.index)
    assert [str(getattr(part, "dtype", None)) for part in parts] == [
        "torch.float32",
        "torch.int64",
        "torch.float32",
        "torch.float32",
        "torch.float32",
        "torch.float32",
        "int64",
    ]
    assert [tuple(getattr(part, "shape", ())) for part in parts] == [(5, 1), (5,), (5,), (5,), (5, 1), (5,), (5,)]


def test_uniform_draws_are_unchanged_for_old_seeds() -> None:
    """Old seeds reproduce old runs: records are drawn from all, and redrawn where there is no action; weights are 1."""
    replay, rng, same = two_episodes(1, True), np.random.default_rng(3), np.random.default_rng(3)
    expected = same.integers(0, 6, 50)  # the records 0, 1, 2, 3, 50, 51, of which 3 and 51 have no action
    while len(invalid := np.flatnonzero((expected == 3) | (expected == 5))):
        expected[invalid] = same.integers(0, 6, len(invalid))
    batch = replay.sample(50, rng)
    assert batch.index is not None
    assert batch.index.tolist() == expected.tolist()
    assert batch.obs[:, 0].tolist() == np.array([0, 1, 2, 3, 50, 51])[expected].tolist()
    assert rng.bit_generator.state == same.bit_generator.state
    assert batch.weight.tolist() == [1.0] * 50
    assert replay.sample(7, rng).weight.tolist() == [1.0] * 7


# ---------------------------------------------------------------------- stacks of frames

STACK = 3
FRAMES = spaces.Box(0, 255, (STACK, 1, 2), np.uint8)


class NaiveFrameStack:
    """Builds whole stacks of frames, as an environment returns them."""

    def __init__(self, num_envs: int) -> None:
        self.counter = iter(range(10**6))
        self.stacks = np.zeros((num_envs, STACK, 1, 2), np.uint8)

    def advance(self, mask: np.ndarray[Any, Any], fresh: bool) -> np.ndarray[Any, Any]:
        """Push a new frame where ``mask`` is set; ``fresh``: the frames before it are blank."""
        for i in np.flatnonzero(mask):
            number = next(self.counter)
            frame = np.array([[[number % 251 + 1, number // 251]]])  # never blank, always unique
            past = np.zeros_like(self.stacks[i, 1:]) if fresh else self.stacks[i, 1:]
            self.stacks[i] = np.concatenate([past, frame])
        return self.stacks.copy()


@settings(max_examples=80, deadline=None)
@given(
    data=st.data(),
    num_envs=st.integers(1, 3),
    n_step=st.integers(1, 4),
    slots=st.integers(STACK + 1, 14),
    length=st.integers(1, 40),
    exponent=st.sampled_from([None, 0.6]),
)
def test_stacks_equal_those_of_a_naive_replay(
    data: st.DataObject, num_envs: int, n_step: int, slots: int, length: int, exponent: float | None
) -> None:
    """Random episodes over many turns of the ring: samples equal the naive replay's, stack by stack."""
    replay = Replay(slots * num_envs, num_envs, FRAMES, n_step, stack=STACK, priority_exponent=exponent)
    frames, everyone = NaiveFrameStack(num_envs), np.ones(num_envs, np.bool_)
    # per environment: episodes, each a list of (stack, action, reward, discount) and at last the final stack
    naive: list[list[list[Any]]] = [[[]] for _ in range(num_envs)]
    obs = frames.advance(everyone, fresh=True)
    replay.reset(obs)
    for t in range(length):
        ends = np.array(data.draw(st.lists(st.sampled_from("---TC"), min_size=num_envs, max_size=num_envs)))
        action, reward = np.full(num_envs, t % 5), np.arange(num_envs) + float(t % 7)
        discount = np.where(ends == "T", 0.0, GAMMA)
        next_obs = frames.advance(everyone, fresh=False)
        replay.add(action, reward, discount, next_obs)
        for i in range(num_envs):
            naive[i][-1].append((obs[i], int(action[i]), reward[i], discount[i]))
        obs, done = next_obs, ends != "-"
        if done.any():
            for i in map(int, np.flatnonzero(done)):
                naive[i][-1].append(next_obs[i])
                naive[i].append([])
            obs = frames.advance(done, fresh=True)
            replay.reset(obs, done)
    for i in range(num_envs):
        naive[i][-1].append(obs[i])
    expected: dict[bytes, Any] = {}
    least = 0
    for i in range(num_envs):
        records = [(e, k) for e, episode in enumerate(naive[i]) for k in range(len(episode))][-slots:]
        for position, (e, k) in enumerate(records):
            steps = naive[i][e][k:-1][:n_step]
            if not steps:
                continue
            total, product = 0.0, 1.0
            for _, _, reward_k, discount_k in steps:
                total, product = total + product * reward_k, product * discount_k
            after = naive[i][e][k + len(steps)]
            after = after[0] if isinstance(after, tuple) else after
            expected[steps[0][0].tobytes()] = (steps[0][1], total, product, after.tobytes())
            least += position >= STACK - 1  # only the oldest two may have lost frames before them
    assert least <= len(replay) <= len(expected)
    if not len(replay):
        return
    found = set()
    batch = replay.sample(40 * slots * num_envs, np.random.default_rng(0))
    for one in zip(*(np.asarray(part) for part in batch[:5]), strict=True):
        key = one[0].tobytes()
        assert (int(one[1]), float(one[2]), float(one[3]), one[4].tobytes()) == expected[key]
        found.add(key)
    assert len(found) == len(replay)  # and every one of them is drawn


def test_a_million_frames_are_stored_once() -> None:
    space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    assert Replay.bytes_needed(1_000_000, space, stack=4) == 1_000_000 * (84 * 84 + 17) < 7.3e9
    replay = Replay(1_000, 2, space, stack=4)
    arrays = (replay.action, replay.reward, replay.discount, replay.acted)
    held = replay.obs.numel() + sum(array.nbytes for array in arrays)
    assert held == Replay.bytes_needed(1_000, space, stack=4) + 84 * 84  # plus one blank frame


def test_a_capacity_too_small_for_stacks_is_rejected() -> None:
    with pytest.raises(UserError, match="--capacity 7 is too small for 2 environments; at least 8"):
        Replay(7, 2, FRAMES, stack=STACK)
