"""Scores of random play in the Atari games of the reference table, measured under the rules of our agents.

    python -m benchmarks.random_scores                  # all games that results/random.csv lacks
    python -m benchmarks.random_scores Krull Pong       # these, likewise
    python -m benchmarks.random_scores Krull --ten-hz   # as the reference was measured

A row a game: mean, standard deviation and 95 % interval (Student's t). Protocol `dqn_zoo`: 4 frames an action, up to 30
no-ops, no sticky actions, at most 30 minutes; every action random, of the minimal set. The reference's random play
(Mnih et al. 2015, doi:10.1038/nature14236, "Evaluation procedure") chose at 10 Hz, so every sixth frame, and had at
most 5 minutes: ``--ten-hz``, protocol `mnih2015-10hz`.

A game has at most 100 episodes, fewer where they are long: what takes about ``--seconds`` of a core, but at least 20;
the time of the first 20 decides. Their actions come from fixed seeds, one an episode, so a row can be repeated. It is
the plain emulator, without the frames that agents see.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np

from envs import emulator
from envs.protocols import ATARI, FRAME_SKIP, MINUTE
from learning.config import episode_generator
from learning.evaluate import EVALUATION_SEED
from learning.runfolder import provenance
from scores.atari.normalization import BASELINES, LONG, env_id_of
from scores.atari.published import load
from scores.stats import student_interval

LEAST, MOST = 20, 100  # episodes
RESULTS = Path(__file__).resolve().parent.parent / "results" / "random.csv"
ZOO = ATARI["dqn_zoo"].evaluation
# frames an action, most frames of an episode
RULES = {"dqn_zoo": (FRAME_SKIP, int(ZOO["frame_cap"])), "mnih2015-10hz": (6, 5 * MINUTE)}


def play(ale: Any, frame_skip: int, episode: int) -> tuple[float, int]:
    """Return the score and the number of actions of one game of random play."""
    draws, actions = episode_generator(EVALUATION_SEED, "evaluation", episode), ale.getMinimalActionSet()
    ale.reset_game()
    for _ in range(int(draws.integers(int(ZOO["noops"]) + 1))):
        ale.act(0)
    score, count = 0.0, 0
    while not (ale.game_over() or ale.game_truncated()):
        action = actions[draws.integers(len(actions))]
        score += sum(ale.act(action) for _ in range(frame_skip))
        count += 1
    return score, count


def measure(game: str, protocol: str, seconds: float) -> dict[str, Any]:
    """Return the row of one game, after about so many seconds."""
    env_id, began = env_id_of(game), time.process_time()
    frame_skip, frame_cap = RULES[protocol]
    ale = emulator.emulator()
    ale.setInt("random_seed", EVALUATION_SEED)
    ale.setInt("max_num_frames_per_episode", frame_cap)
    emulator.load(ale, env_id)
    played: list[tuple[float, int]] = []
    wanted = LEAST
    for episode in itertools.count():
        if episode == LEAST:
            wanted = min(max(int(seconds / (time.process_time() - began) * LEAST), LEAST), MOST)
        if episode == wanted:
            break
        played.append(play(ale, frame_skip, episode))
    scores, lengths = zip(*played, strict=True)
    interval = student_interval(scores)
    low, high = interval.ci95 or (interval.mean, interval.mean)
    about = provenance("cpu", 1)
    return {
        "env_id": env_id,
        "agent": "random",
        "seed": EVALUATION_SEED,
        "agent_steps": 0,
        "frames": 0,
        "episodes": len(scores),
        "mean": round(interval.mean, 3),
        "standard_deviation": round(float(np.std(scores, ddof=1)), 3),
        "ci95_low": round(low, 3),
        "ci95_high": round(high, 3),
        "mean_length": round(float(np.mean(lengths)), 1),
        "epsilon": 1.0,
        "protocol": protocol,
        "preset": "-",
        "cpu_s": round(time.process_time() - began, 1),
        "commit": about["commit"],
        "hardware": "; ".join(f"{key} {value}" for key, value in about["hardware"].items()),
        "versions": "; ".join(f"{key} {value}" for key, value in about["versions"].items()),
    }


def main() -> None:
    """Measure the games that are missing; each is written when it is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="*", default=sorted(load().scores[BASELINES[LONG].random]))
    parser.add_argument("--ten-hz", action="store_true", help="as the reference was measured")
    parser.add_argument("--seconds", type=float, default=20.0, help="of a core, for a game")
    args = parser.parse_args()
    protocol = "mnih2015-10hz" if args.ten_hz else "dqn_zoo"
    done = set()
    if RESULTS.exists():
        with RESULTS.open(newline="") as file:
            done = {(one["env_id"], one["protocol"]) for one in csv.DictReader(file)}
    for game in args.games:
        if (env_id_of(game), protocol) in done:
            continue
        found = measure(game, protocol, args.seconds)
        new = not RESULTS.exists()
        with RESULTS.open("a", newline="") as file:
            writer = csv.DictWriter(file, found)
            if new:
                writer.writeheader()
            writer.writerow(found)
        print(f"{game:20} {found['mean']:12,.1f} ({found['episodes']} games, {found['cpu_s']:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
