"""Evaluation: whole episodes on environments of their own, with raw rewards and fixed seeds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import envs
from learning.config import episode_seed, numpy_generator
from learning.policy import Policy

EVALUATION_SEED = 2015  # all agents are evaluated in the same episodes, whatever their training seed
MAX_ENVS = 100
ATARI_ENVS = 16  # an emulator is slow, and at the end all of them step until the longest game is over


class EpisodeResult(NamedTuple):
    """One evaluation episode."""

    episode: int
    episode_return: float  # undiscounted sum of raw rewards
    episode_length: int  # agent steps


def evaluate(
    policy: Policy, env_id: str, episodes: int, epsilon: float, seed: int = EVALUATION_SEED, **options: Any
) -> list[EpisodeResult]:
    """Return the results of ``episodes`` whole episodes, in order.

    Episodes run side by side; each has its own seed, so all policies meet the same ones.
    ``options`` go to the environment.
    """
    num_envs = min(episodes, ATARI_ENVS if envs.is_atari(env_id) else MAX_ENVS)
    vec = envs.make_vec(env_id, num_envs, **options)
    rng = numpy_generator(seed, "evaluation")
    try:
        return _play(policy, vec, episodes, epsilon, seed, rng)
    finally:
        vec.close()


def _play(
    policy: Policy, vec: Any, episodes: int, epsilon: float, seed: int, rng: np.random.Generator
) -> list[EpisodeResult]:
    num_envs = vec.num_envs
    playing = np.arange(num_envs)  # the episode in each environment; one that has none left plays on unrecorded
    upcoming = num_envs
    obs, _ = vec.reset(seed=[episode_seed(seed, "evaluation", 0, int(e)) for e in playing])
    total, length = np.zeros(num_envs), np.zeros(num_envs, np.int64)
    results: dict[int, EpisodeResult] = {}
    while len(results) < episodes:
        obs, reward, terminated, truncated, _ = vec.step(policy.act(obs, epsilon, rng))
        total += reward
        length += 1
        done = terminated | truncated
        if not done.any():
            continue
        seeds: list[int | None] = [None] * num_envs
        for i in np.flatnonzero(done):
            episode = int(playing[i])
            if episode < episodes:
                results[episode] = EpisodeResult(episode, float(total[i]), int(length[i]))
            playing[i], upcoming = upcoming, upcoming + 1
            seeds[i] = episode_seed(seed, "evaluation", 0, int(playing[i]))
            total[i], length[i] = 0.0, 0
        obs, _ = vec.reset(seed=seeds, options={"reset_mask": done})
    return [results[episode] for episode in range(episodes)]
