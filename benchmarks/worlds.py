"""Speed of the worlds: agent steps per second on one core, for several batch sizes.

    python benchmarks/worlds.py [--rounds 7]

Random actions; finished episodes are reset, and observations copied, as in the trainer. Rounds
alternate between the worlds, so that changes in the machine's speed affect all of them; the median
round is printed with the slowest and the fastest.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import envs
from envs.factory import EPISODE_STEPS

BATCHES = (1, 16, 128, 1024)
STEPS_PER_ROUND = 200_000
ORIGINAL = {"Waterworld": 25_000, "RLDemo": 91_000}  # the JavaScript under Node, on a comparable machine


def steps_per_second(world: str, batch: int) -> float:
    """Return agent steps per second of one round."""
    vec = envs.make_vec(f"tidepool/{world}", batch, seed=0)
    actions = np.random.default_rng(0).integers(0, vec.single_action_space.n, (1000, batch))  # type: ignore[attr-defined]
    vec.step(actions[0])
    ticks = STEPS_PER_ROUND // batch
    began = time.perf_counter()
    for t in range(ticks):
        _, _, terminated, truncated, _ = vec.step(actions[t % 1000])
        done = terminated | truncated
        if done.any():
            vec.reset(seed=[t] * batch, options={"reset_mask": done})  # type: ignore[arg-type]
    return ticks * batch / (time.perf_counter() - began)


def main() -> None:
    """Measure all worlds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    rounds: dict[tuple[str, int], list[float]] = {}
    for _ in range(args.rounds):
        for world in EPISODE_STEPS:
            for batch in BATCHES:
                rounds.setdefault((world, batch), []).append(steps_per_second(world, batch))
    table = Table("world", "worlds in the batch", "median steps/s", "slowest", "fastest", "times the original")
    for (world, batch), speeds in rounds.items():
        median = statistics.median(speeds)
        table.add_row(
            world,
            f"{batch:,}",
            f"{median:,.0f}",
            f"{min(speeds):,.0f}",
            f"{max(speeds):,.0f}",
            f"{median / ORIGINAL[world.split('-')[0]]:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
