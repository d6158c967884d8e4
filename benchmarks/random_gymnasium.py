"""Random play and the best possible play in Gymnasium environments: what `compare.py` shows beside their runs.

    python -m benchmarks.random_gymnasium                  # all ids below that results/gymnasium.csv lacks
    python -m benchmarks.random_gymnasium Acrobot-v1       # this one, likewise

Random: every action random, of those that an action mask allows; the episodes, rules and caps of our agents'
evaluation, so its protocol is theirs; the interval is Student's t over the episodes. Optimum: exact, by backward
induction over the environment's own table of transitions (`scores/optimum.py`), from the first states of the 100
episodes that our agents are evaluated in; the note has it for all first states.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from agents.policy import RandomPolicy
from learning.config import LearnerConfig, episode_seed
from learning.evaluate import EVALUATION_SEED, Evaluator, protocol_name
from learning.policy import env_options, protocol
from learning.runfolder import provenance
from scores import references
from scores.optimum import optimum
from scores.stats import student_interval

RESULTS = Path(__file__).resolve().parent.parent / "results" / "gymnasium.csv"
EPISODES = 1000
EVALUATED = 100  # episodes of an agent's evaluation
IDS = ("CartPole-v1", "LunarLander-v3", "Acrobot-v1", "MountainCar-v0", "FrozenLake-v1", "Taxi-v4", "CliffWalking-v1")
PICTURES = {"CarRacing-v3": LearnerConfig(env_kwargs=("continuous=False",))}
MINIGRID = ("MiniGrid-Empty-8x8-v0", "MiniGrid-DoorKey-5x5-v0")
FEW = {"CliffWalking-v1": EVALUATED, "CarRacing-v3": EVALUATED, **dict.fromkeys(MINIGRID, 200)}  # long or slow episodes


def random_play(env_id: str) -> dict[str, Any]:
    """Return the cells of random play."""
    config = PICTURES.get(env_id, LearnerConfig())
    options, episodes = env_options(env_id, config, evaluation=True), FEW.get(env_id, EPISODES)
    evaluator = Evaluator(env_id, options)
    try:
        results = evaluator.evaluate(RandomPolicy(1), episodes, epsilon=1.0)
    finally:
        evaluator.close()
    interval = student_interval([one.episode_return for one in results])
    lengths = [one.episode_length for one in results]
    note = (
        f"uniform over the actions, by python -m benchmarks.random_gymnasium; {np.mean(lengths):.1f} steps an episode"
    )
    if cut := sum(one.cut for one in results):
        note += f", {cut} of {episodes} cut at {max(lengths)}"
    return {
        "agent": "random",
        "mean": round(interval.mean, 4),
        "standard_error": round(interval.standard_error or 0.0, 4),
        "episodes": episodes,
        "epsilon": 1.0,
        "note": note,
        "protocol": protocol_name(protocol(env_id, config).name, evaluator.cap),
    }


def best_play(env_id: str) -> dict[str, Any] | None:
    """Return the cells of the best possible play; None where it can't be computed."""
    found = optimum(env_id)
    if found is None:
        return None
    env = gymnasium.make(env_id)
    seeds = (episode_seed(EVALUATION_SEED, "evaluation", 0, episode) for episode in range(EVALUATED))
    first = [int(env.reset(seed=seed)[0]) for seed in seeds]
    env.close()
    evaluator = Evaluator(env_id)
    return {
        "agent": "optimum",
        "mean": round(float(found.state_values[first].mean()), 4),
        "standard_error": "",
        "episodes": EVALUATED,
        "epsilon": 0.0,
        "note": f"expected return of the best policy, exact, from the first states of the {EVALUATED} evaluation"
        f" episodes; from all first states {found.mean:.4f}",
        "protocol": protocol_name(protocol(env_id, LearnerConfig()).name, evaluator.cap),
    }


def main() -> None:
    """Measure what is missing; each row is written when it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = (*IDS, *PICTURES)
    parser.add_argument("ids", nargs="*", default=known)
    args = parser.parse_args()
    ids = list(args.ids)
    if importlib.util.find_spec("minigrid"):
        importlib.import_module("minigrid")
        ids += [one for one in MINIGRID if args.ids == known]
    done = set()
    if RESULTS.exists():
        with RESULTS.open(newline="") as file:
            done = {row["env_id"] for row in csv.DictReader(file)}
    about = provenance("cpu", 1)
    for env_id in ids:
        if env_id in done:
            continue
        for of in (random_play, best_play):
            began = time.process_time()
            found = of(env_id)
            if found is None:
                continue
            row = {
                "env_id": env_id,
                **found,
                "metric": references.metric(env_id).name,
                "agent_steps": 0,
                "frames": 0,
                "seed": EVALUATION_SEED,
                "preset": "-",
                "cpu_s": round(time.process_time() - began, 1),
                "commit": about["commit"],
                "hardware": "; ".join(f"{key} {value}" for key, value in about["hardware"].items()),
                "versions": "; ".join(f"{key} {value}" for key, value in about["versions"].items()),
            }
            new = not RESULTS.exists()
            with RESULTS.open("a", newline="") as file:
                writer = csv.DictWriter(file, row, lineterminator="\n")
                if new:
                    writer.writeheader()
                writer.writerow(row)
            print(f"{env_id:28} {row['agent']:8} {row['mean']:12,.4f} ({row['episodes']} episodes)", flush=True)


if __name__ == "__main__":
    main()
