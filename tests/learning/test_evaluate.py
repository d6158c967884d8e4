"""Evaluation on environments of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import envs
from learning.config import episode_seed
from learning.evaluate import EVALUATION_SEED, evaluate
from learning.networks import epsilon_greedy


def test_evaluation_plays_every_episode_once_with_its_own_seed() -> None:
    class Left:
        name = "left"
        env_id: str | None = None

        def q_values(self, obs: Any) -> None:
            return None

        def act(self, obs: Any, epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
            return epsilon_greedy(np.zeros(len(obs), np.int64), 2, epsilon, rng)

    few, many = (evaluate(Left(), "CartPole-v1", episodes, 0.0) for episodes in (3, 130))
    assert [result.episode for result in many] == list(range(130))
    assert many[:3] == few  # the same episodes, however many run in parallel
    assert len({result.episode_return for result in many}) > 1
    env = envs.make("CartPole-v1")
    env.reset(seed=episode_seed(EVALUATION_SEED, "evaluation", 0, 120))
    length, done = 0, False
    while not done:
        done = env.step(0)[2]
        length += 1
    assert many[120].episode_length == length
