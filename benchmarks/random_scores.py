"""Scores of random play in the Atari games of the reference table, measured under the rules of our agents.

    python -m benchmarks.random_scores                 # all games that results/random.csv lacks
    python -m benchmarks.random_scores Krull Pong      # these, likewise

A row a game: mean, standard deviation and 95 % interval (Student's t) of at most 100 games under protocol `dqn_zoo`: 4
frames an action, up to 30 no-ops, no sticky actions, at most 30 minutes, every action random, of the minimal
set. Where games are long there are fewer of them, at least 20, so that each takes about 20 seconds; how many is decided
by the time of the first 20. The episodes have fixed seeds, so a row can be repeated.
"""

from __future__ import annotations

import csv
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

import envs
from agents.policy import RandomPolicy
from learning.evaluate import EVALUATION_SEED, EpisodeResult, Evaluator
from learning.runfolder import provenance
from scores.atari.normalization import BASELINES, LONG, env_id_of
from scores.atari.published import load
from scores.stats import student_interval

PROTOCOL = "dqn_zoo"
SECONDS, LEAST, MOST = 20.0, 20, 100  # of a game, and how many episodes
NOBODY = RandomPolicy(1)  # epsilon 1 replaces its actions by those of each episode's own stream
RESULTS = Path(__file__).resolve().parent.parent / "results" / "random.csv"


def measure(game: str) -> dict[str, Any]:
    """Return the row of one game."""
    env_id = env_id_of(game)
    # what is seen decides nothing, so little of it is computed
    evaluator = Evaluator(env_id, envs.options(env_id, PROTOCOL, frame_size=20, frame_stack=1))
    began = time.perf_counter()
    results = evaluator.evaluate(NOBODY, LEAST, 1.0)
    episodes = min(max(int(SECONDS / (time.perf_counter() - began) * LEAST), LEAST), MOST)
    if episodes > LEAST:
        results = evaluator.evaluate(NOBODY, episodes, 1.0)
    evaluator.close()
    return row(env_id, results, time.perf_counter() - began)


def row(env_id: str, results: list[EpisodeResult], seconds: float) -> dict[str, Any]:
    """Return what is known of these episodes."""
    returns = [result.episode_return for result in results]
    interval = student_interval(returns)
    low, high = interval.ci95 or (interval.mean, interval.mean)
    about = provenance("cpu", 1)
    return {
        "env_id": env_id,
        "agent": "random",
        "seed": EVALUATION_SEED,
        "agent_steps": 0,
        "frames": 0,
        "episodes": len(results),
        "mean": round(interval.mean, 3),
        "standard_deviation": round(float(np.std(returns, ddof=1)), 3),
        "ci95_low": round(low, 3),
        "ci95_high": round(high, 3),
        "mean_length": round(float(np.mean([result.episode_length for result in results])), 1),
        "epsilon": 1.0,
        "protocol": PROTOCOL,
        "preset": "-",
        "wall_s": round(seconds, 1),
        "commit": about["commit"],
        "hardware": "; ".join(f"{key} {value}" for key, value in about["hardware"].items()),
        "versions": "; ".join(f"{key} {value}" for key, value in about["versions"].items()),
    }


def main(games: list[str]) -> None:
    """Measure the games that are missing; each is written when it is done."""
    done = set()
    if RESULTS.exists():
        with RESULTS.open(newline="") as file:
            done = {one["env_id"] for one in csv.DictReader(file)}
    for game in games or sorted(load().scores[BASELINES[LONG].random]):
        if env_id_of(game) in done:
            continue
        found = measure(game)
        new = not RESULTS.exists()
        with RESULTS.open("a", newline="") as file:
            writer = csv.DictWriter(file, found)
            if new:
                writer.writeheader()
            writer.writerow(found)
        print(f"{game:20} {found['mean']:12,.1f} ({found['episodes']} games, {found['wall_s']:.0f} s)", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
