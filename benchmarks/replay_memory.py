"""Memory of a replay of Atari frames: fills one and reads the process's memory from the operating system.

    python benchmarks/replay_memory.py

One million transitions of 84 x 84 frames, the default, take about 7 GB.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import psutil
from gymnasium import spaces
from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from learning.replay import Replay

SPACE = spaces.Box(0, 255, (4, 84, 84), np.uint8)


def main() -> None:
    """Fill the replay from 32 games in parallel and print how much the process's memory has grown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capacity", type=int, default=1_000_000)
    parser.add_argument("--num-envs", type=int, default=32)
    args = parser.parse_args()
    rng, num_envs, process = np.random.default_rng(0), args.num_envs, psutil.Process()
    warm = Replay(1_000, num_envs, SPACE, n_step=3, stack=4)  # compiles the kernels before the measurement
    obs = rng.integers(0, 256, (num_envs, 4, 84, 84), np.uint8)
    warm.reset(obs)
    for _ in range(5):
        warm.add(np.zeros(num_envs), np.zeros(num_envs), np.full(num_envs, 0.99), obs)
    warm.sample(32, rng)
    del warm
    before, began = process.memory_info().rss, time.perf_counter()
    replay = Replay(args.capacity, num_envs, SPACE, n_step=3, stack=4)
    replay.reset(obs)
    for _ in range(args.capacity // num_envs):
        replay.add(np.zeros(num_envs), np.zeros(num_envs), np.full(num_envs, 0.99), obs)
    replay.sample(32, rng)
    measured, seconds = process.memory_info().rss - before, time.perf_counter() - began
    predicted = Replay.bytes_needed(args.capacity, SPACE, stack=4)
    naive = len(replay) * 2 * 4 * 84 * 84  # observation and next observation, each a whole stack
    Console().print(
        f"{len(replay):,} transitions of {SPACE.shape} uint8: {measured / 1e9:.2f} GB measured,"
        f" {predicted / 1e9:.2f} GB predicted; whole stacks stored twice would take"
        f" {naive / 1e9:.1f} GB; {seconds:.0f} s to fill"
    )


if __name__ == "__main__":
    main()
