"""Schedules, seeds, networks, the stopwatch: the small parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from learning.config import LearnerConfig, episode_seed, linear, numpy_generator, torch_generator
from learning.learner import Stopwatch
from learning.networks import QNetwork, Scale, count_parameters, epsilon_greedy
from learning.policy import NetworkPolicy


def test_linear_schedule_table() -> None:
    values = [linear(1.0, 0.1, 100, now) for now in (-5, 0, 50, 100, 1000)]
    assert values == pytest.approx([1.0, 1.0, 0.55, 0.1, 0.1])
    assert [linear(0.0, 2.0, 4, now) for now in range(6)] == pytest.approx([0, 0.5, 1, 1.5, 2, 2])


def test_every_stream_and_every_seed_differ() -> None:
    draws = [numpy_generator(seed, stream).random() for seed in (1, 2) for stream in ("exploration", "replay")]
    assert len(set(draws)) == 4
    seeds = {episode_seed(s, "episodes", i, e) for s in range(3) for i in range(5) for e in range(20)}
    assert len(seeds) == 300
    assert episode_seed(1, "episodes", 2, 3) == episode_seed(1, "episodes", 2, 3)


def test_every_seed_gives_another_network_and_one_seed_the_same() -> None:
    space = spaces.Box(-1, 1, (4,), np.float32)

    def weights(seed: int) -> torch.Tensor:
        return QNetwork(space, 2, LearnerConfig(hidden=(8,)), torch_generator(seed, "network")).layers[0].weight  # type: ignore[return-value]

    torch.testing.assert_close(weights(1), weights(1), rtol=0, atol=0)
    assert not torch.equal(weights(1), weights(2))


def test_scale_uses_finite_bounds_only() -> None:
    big = np.finfo(np.float32).max
    space = spaces.Box(np.array([-4, -big, 0, -np.inf, 0], np.float32), np.array([2, big, 255, np.inf, 0], np.float32))
    scaled = Scale(space)(torch.tensor([[4.0, 3.0, 255.0, 5.0, 6.0]]))
    torch.testing.assert_close(scaled, torch.tensor([[1.0, 3.0, 1.0, 5.0, 6.0]]))


def test_parameter_count_by_hand() -> None:
    """152 x 128 + 128 + 128 x 128 + 128 + 128 x 5 + 5 = 36,741 for dueling over 4 actions."""
    space = spaces.Box(-1, 1, (152,), np.float32)
    network = QNetwork(space, 4, LearnerConfig(dueling=True), torch_generator(0, "network"))
    assert count_parameters(network) == 36_741


def test_exploration_has_the_share_asked_for() -> None:
    rng = np.random.default_rng(0)
    greedy = np.full(100_000, 3)
    # a random action is the greedy one in a quarter of cases: 0.4 * 3/4 differ; standard error 0.0015
    assert abs((epsilon_greedy(greedy, 4, 0.4, rng) != 3).mean() - 0.3) < 0.006
    np.testing.assert_array_equal(epsilon_greedy(greedy, 4, 0.0, rng), greedy)
    assert abs((epsilon_greedy(greedy, 4, 1.0, rng) == 0).mean() - 0.25) < 0.006


def test_a_network_policy_takes_the_best_expectation() -> None:
    space = spaces.Box(-1, 1, (3,), np.float32)
    policy = NetworkPolicy("x", None, QNetwork(space, 4, LearnerConfig(hidden=(8,)), torch_generator(0, "network")), 4)
    obs = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    q = policy.q_values(obs)
    assert q.shape == (50, 4)
    np.testing.assert_array_equal(policy.act(obs, 0.0, np.random.default_rng(0)), q.argmax(1))


def test_stopwatch_shares_add_up() -> None:
    watch = Stopwatch("a", "b")
    assert watch.shares() == {"a": 0.0, "b": 0.0}
    watch.seconds.update(a=3.0, b=1.0)
    assert watch.shares() == {"a": 0.75, "b": 0.25}
    with watch("b"):
        pass
    assert watch.seconds["b"] > 1.0
