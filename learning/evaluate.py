"""Evaluation: whole episodes on environments of their own, with raw rewards and fixed seeds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import envs
from learning.config import episode_seed, numpy_generator
from learning.policy import Policy

EVALUATION_SEED = 2015  # all agents are judged in the same worlds, whatever seed they were trained with
MOST_LANES = 100
ATARI_LANES = 16  # an emulator steps slowly, and at the end all lanes step until the longest game is over


class EpisodeResult(NamedTuple):
    """One evaluation episode."""

    episode: int
    episode_return: float  # undiscounted sum of raw rewards
    episode_length: int  # agent steps


def evaluate(
    policy: Policy, env_id: str, episodes: int, epsilon: float, seed: int = EVALUATION_SEED, **options: Any
) -> list[EpisodeResult]:
    """Return the results of ``episodes`` whole episodes, in order.

    Episodes run side by side; each has its own seed, so the worlds are the same whatever plays in them.
    ``options`` go to the environment.
    """
    lanes = min(episodes, ATARI_LANES if envs.is_atari(env_id) else MOST_LANES)
    vec = envs.make_vec(env_id, lanes, **options)
    rng = numpy_generator(seed, "evaluation")
    try:
        return _play(policy, vec, episodes, epsilon, seed, rng)
    finally:
        vec.close()


def _play(
    policy: Policy, vec: Any, episodes: int, epsilon: float, seed: int, rng: np.random.Generator
) -> list[EpisodeResult]:
    lanes = vec.num_envs
    playing = np.arange(lanes)  # the episode in each lane; a lane that has none left plays on unheard
    upcoming = lanes
    obs, _ = vec.reset(seed=[episode_seed(seed, "evaluation", 0, int(e)) for e in playing])
    total, length = np.zeros(lanes), np.zeros(lanes, np.int64)
    results: dict[int, EpisodeResult] = {}
    while len(results) < episodes:
        obs, reward, terminated, truncated, _ = vec.step(policy.act(obs, epsilon, rng))
        total += reward
        length += 1
        done = terminated | truncated
        if not done.any():
            continue
        seeds: list[int | None] = [None] * lanes
        for lane in np.flatnonzero(done):
            episode = int(playing[lane])
            if episode < episodes:
                results[episode] = EpisodeResult(episode, float(total[lane]), int(length[lane]))
            playing[lane], upcoming = upcoming, upcoming + 1
            seeds[lane] = episode_seed(seed, "evaluation", 0, int(playing[lane]))
            total[lane], length[lane] = 0.0, 0
        obs, _ = vec.reset(seed=seeds, options={"reset_mask": done})
    return [results[episode] for episode in range(episodes)]
