"""Schedules and seeds of `learning.config`."""

from __future__ import annotations

import pytest

from learning.config import episode_seed, linear, numpy_generator


def test_linear_schedule() -> None:
    values = [linear(1.0, 0.1, 100, now) for now in (-5, 0, 50, 100, 1000)]
    assert values == pytest.approx([1.0, 1.0, 0.55, 0.1, 0.1])
    assert [linear(0.0, 2.0, 4, now) for now in range(6)] == pytest.approx([0, 0.5, 1, 1.5, 2, 2])


def test_random_streams_and_seeds_are_distinct() -> None:
    draws = [numpy_generator(seed, stream).random() for seed in (1, 2) for stream in ("exploration", "replay")]
    assert len(set(draws)) == 4
    seeds = {episode_seed(s, "episodes", i, e) for s in range(3) for i in range(5) for e in range(20)}
    assert len(seeds) == 300
    assert episode_seed(1, "episodes", 2, 3) == episode_seed(1, "episodes", 2, 3)
