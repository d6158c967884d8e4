"""Prioritized replay: what can be drawn, from which distribution, where priorities are stored; and resuming."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from learning import replay_state
from learning.config import ReplayConfig
from learning.replay import Batch, Replay, ReplayExperience
from learning.sum_tree import ADDED, SumTree
from tests.learning.helpers import kept

VECTOR = spaces.Box(-np.inf, np.inf, (1,), np.float32)
FRAMES = spaces.Box(0, 255, (4, 1, 1), np.uint8)
CONFIG = ReplayConfig(
    total_timesteps=400,
    num_envs=2,
    learning_starts=10,
    capacity=100,
    batch_size=16,
    replay_ratio=20.0,
    prioritized=True,
    priority_exponent=0.5,
    importance_exponent=0.4,
    final_importance_exponent=0.8,
    uniform_share=0.1,
)


class RandomEpisodes:
    """Random episodes for a replay or an experience; every observation is a unique number (modulo 256)."""

    def __init__(self, num_envs: int, space: spaces.Box, seed: int = 0) -> None:
        self.num_envs, self.space, self.rng, self.count = num_envs, space, np.random.default_rng(seed), 0

    def obs(self) -> NDArray[Any]:
        numbers = self.count + np.arange(self.num_envs).reshape(-1, *[1] * len(self.space.shape))
        self.count += self.num_envs
        return (np.zeros((self.num_envs, *self.space.shape)) + numbers % 256).astype(self.space.dtype)

    def play(self, experience: Replay | ReplayExperience, steps: int, ends: float = 0.2) -> None:
        for _ in range(steps):
            reward, discount = self.rng.random(self.num_envs), np.full(self.num_envs, 0.9)
            experience.add(np.zeros(self.num_envs), reward, discount, self.obs())
            done = self.rng.random(self.num_envs) < ends
            if done.any():
                experience.reset(self.obs(), done)


def make_experience(**changes: Any) -> ReplayExperience:
    config, rng = dataclasses.replace(CONFIG, **changes), np.random.default_rng(5)
    return ReplayExperience(config, VECTOR, 1, rng, "cpu", None, lambda obs: np.zeros(len(obs)))


def priorities_of(replay: Replay) -> SumTree:
    assert replay.sum_tree is not None
    return replay.sum_tree


def records_of(batch: Batch) -> NDArray[np.int64]:
    assert batch.index is not None
    return batch.index


# ---------------------------------------------------------------------- what is drawn


@settings(max_examples=60, deadline=None)
@given(
    num_envs=st.sampled_from([1, 3]),
    space=st.sampled_from([VECTOR, FRAMES]),
    more=st.integers(1, 12),
    ends=st.sampled_from([0.0, 0.2, 0.9]),
    share=st.sampled_from([0.0, 0.5]),
    seed=st.integers(0, 100),
)
def test_exactly_the_complete_transitions_can_be_drawn(
    num_envs: int, space: spaces.Box, more: int, ends: float, share: float, seed: int
) -> None:
    """Over many turns of the ring: nothing overwritten, without an action or with lost frames is ever drawn."""
    world, stack = RandomEpisodes(num_envs, space, seed), space.shape[0]
    replay = Replay((stack + more) * num_envs, num_envs, space, 2, stack=stack, priority_exponent=0.6)
    priorities = priorities_of(replay)
    replay.reset(world.obs())
    for _ in range(4 * (stack + more)):
        world.play(replay, 1, ends)
        complete = replay._whole(np.arange(len(replay.acted)))
        assert ((priorities.powers > 0) == complete).all()
        assert len(priorities) == len(replay)
        if not complete.any():
            with pytest.raises(ValueError, match="empty"):
                replay.sample(1, world.rng)
            continue
        index = records_of(replay.sample(8, world.rng, 0.5, share))
        assert complete[index].all()
        priorities.update(index, world.rng.lognormal(0, 3, 8))
        # some of these records may have been dropped, and must stay dropped
        priorities.update(world.rng.integers(0, len(complete), 8), world.rng.lognormal(0, 3, 8))


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_draws_follow_the_mixture_distribution(share: float) -> None:
    """Chi-square over many batches; any other mixture's is far too large. Weights follow the same probabilities."""
    world = RandomEpisodes(2, VECTOR)
    replay = Replay(80, 2, VECTOR, priority_exponent=0.8)
    replay.reset(world.obs())
    world.play(replay, 100, ends=0.1)
    priorities_of(replay).update(np.arange(80), world.rng.lognormal(0, 1, 80))
    powers = priorities_of(replay).powers
    drawable = powers > 0

    def probabilities(share: float) -> NDArray[np.float64]:
        return np.where(drawable, (1 - share) * powers / powers.sum() + share / drawable.sum(), 0)

    times = np.zeros(80)
    for _ in range(500):
        batch = replay.sample(64, world.rng, 0.7, share)
        index = records_of(batch)
        np.add.at(times, index, 1)
        expected = (1 / (len(replay) * probabilities(share)[index])) ** 0.7
        np.testing.assert_allclose(batch.weight, expected / expected.max(), rtol=1e-5)
    assert not times[~drawable].any()

    def chi_square(share: float) -> float:
        expected = times.sum() * probabilities(share)[drawable]
        return float(((times[drawable] - expected) ** 2 / expected).sum())

    freedom = drawable.sum() - 1  # stratified sampling only makes chi-square smaller
    assert chi_square(share) < freedom + 4 * np.sqrt(2 * freedom)
    for other in {0.0, 0.25, 1.0} - {share}:
        assert chi_square(other) > 10 * freedom


def test_priorities_are_stored_for_the_records_they_belong_to() -> None:
    """Each priority is the record's observation, and so is its power; what was not drawn keeps its 1."""
    experience, world = make_experience(priority_exponent=1.0), RandomEpisodes(2, VECTOR)
    experience.reset(world.obs())
    world.play(experience, 50)
    batch = next(experience.batches(np.zeros((2, 3))))
    experience.updated(batch, batch.obs[:, 0].requires_grad_())
    powers, updated = priorities_of(experience.replay).powers, np.zeros(100, np.bool_)
    updated[records_of(batch)] = True
    obs = experience.replay.obs[:, 0].numpy()
    np.testing.assert_allclose(powers[updated], obs[updated] + ADDED)
    assert set(powers[~updated]) == {0.0, 1.0}
    assert priorities_of(experience.replay).largest == batch.obs.max().item() + ADDED
    world.play(experience, 1, ends=0.0)
    newest = experience.replay.base + experience.replay.cursor - 1
    assert set(priorities_of(experience.replay).powers[newest]) == {batch.obs.max().item() + ADDED}


def test_priority_exponent_0_draws_uniformly_with_weight_1() -> None:
    experience, world = make_experience(priority_exponent=0.0, importance_exponent=1.0), RandomEpisodes(2, VECTOR)
    experience.reset(world.obs())
    world.play(experience, 20)
    for _ in range(20):
        world.play(experience, 1)
        for batch in experience.batches(np.zeros((2, 3))):
            assert batch.weight.tolist() == [1.0] * 16
            assert batch.weight.dtype == torch.float32
            experience.updated(batch, torch.from_numpy(world.rng.lognormal(0, 3, 16)))
    index = records_of(experience.replay.sample(100 * len(experience.replay), world.rng))
    times = np.bincount(index, minlength=100)[experience.replay._whole(np.arange(100))]
    assert np.abs(times - 100).max() < 2


# ---------------------------------------------------------------------- settings


def test_the_importance_exponent_is_annealed_linearly() -> None:
    """0.4 at the start, 0.8 after 400 agent steps: 0.6 after 200."""
    experience, world, found = make_experience(), RandomEpisodes(2, VECTOR), []
    experience.reset(world.obs())
    for _ in range(3):
        found.append(experience.importance_exponent)
        world.play(experience, 100)
    assert found == pytest.approx([0.4, 0.6, 0.8])
    priorities_of(experience.replay).update(np.arange(100), np.arange(100.0))
    batch = next(experience.batches(np.zeros((2, 3))))
    expected = priorities_of(experience.replay).weights(records_of(batch), 0.8, 0.1)
    assert batch.weight.tolist() == expected.tolist()


def test_without_prioritized_there_is_no_sum_tree() -> None:
    experience, world = make_experience(prioritized=False), RandomEpisodes(2, VECTOR)
    experience.reset(world.obs())
    world.play(experience, 30)
    for batch in experience.batches(np.zeros((2, 3))):
        assert batch.weight.tolist() == [1.0] * 16
        experience.updated(batch, torch.full((16,), torch.nan))
    assert experience.replay.sum_tree is None
    assert sorted(replay_state.arrays(experience.replay)) == [
        "acted",
        "action",
        "cursor",
        "discount",
        "opened",
        "reward",
    ]


def test_bytes_needed_includes_the_sum_tree() -> None:
    replay = Replay(1000, 4, VECTOR, priority_exponent=0.6)
    arrays = (replay.action, replay.reward, replay.discount, replay.acted, priorities_of(replay)._tree)
    held = replay.obs.numel() * 4 + sum(array.nbytes for array in arrays)
    assert held == Replay.bytes_needed(1000, VECTOR, prioritized=True) == Replay.bytes_needed(1000, VECTOR) + 16_000
    for prioritized in (False, True):
        config = dataclasses.replace(CONFIG, prioritized=prioritized, capacity=1000)
        assert ReplayExperience.bytes_needed(config, VECTOR, 1) == Replay.bytes_needed(
            1000, VECTOR, prioritized=prioritized
        )


# ---------------------------------------------------------------------- resuming


@pytest.mark.parametrize("steps", [20, 130])  # before the ring is full, and after
def test_a_loaded_experience_continues_bit_for_bit(steps: int, tmp_path: Path) -> None:
    """The saved and the loaded experience continue identically: draws, weights and the whole tree."""
    one, other, worlds = make_experience(), make_experience(), [RandomEpisodes(2, VECTOR), RandomEpisodes(2, VECTOR)]
    for experience, world in zip((one, other), worlds, strict=True):
        experience.reset(world.obs())
    follow(one, worlds[0], steps)
    other.load(kept(tmp_path, one.save))
    other.rng.bit_generator.state = one.rng.bit_generator.state
    worlds[1].count, worlds[1].rng.bit_generator.state = worlds[0].count, worlds[0].rng.bit_generator.state
    assert priorities_of(one.replay)._tree.tobytes() == priorities_of(other.replay)._tree.tobytes()
    assert priorities_of(one.replay).largest > 1.0  # otherwise losing it would not show
    first, second = (follow(experience, world, 60) for experience, world in zip((one, other), worlds, strict=True))
    assert first == second
    assert priorities_of(one.replay)._tree.tobytes() == priorities_of(other.replay)._tree.tobytes()


def follow(experience: ReplayExperience, world: RandomEpisodes, steps: int) -> list[bytes]:
    """Return all batches drawn on the way; priorities depend on them, and shrink."""
    seen = []
    for step in range(steps):
        world.play(experience, 1)
        for batch in experience.batches(np.zeros((2, 3))):
            seen += [np.asarray(part).tobytes() for part in batch]
            experience.updated(batch, 9 * batch.reward / (step + 1))
    return seen
