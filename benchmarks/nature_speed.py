"""Training speed of Nature DQN compared with stable-baselines3, with equal hyperparameters on the same machine.

    pip install stable-baselines3 opencv-python-headless      # only this benchmark needs them
    python benchmarks/nature_speed.py

Both: Pong, one game, 84 x 84 x 4 frames, Nature's network, a batch of 32 every 4 agent steps, Adam 1e-4,
replay warm. Both alternate in one process, segment by segment, so that load on the machine affects both.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agents import recipe
from agents.atari_presets import NATURE
from learning.trainer import Plan, Trainer

CAPACITY, WARM_UP = 10_000, 200


def ours() -> Callable[[int], None]:
    """Return a function that trains for a number of agent steps."""
    dqn = recipe("dqn")
    config = dqn.config(**NATURE.settings)
    config = replace(config, optimizer="adam", learning_rate=1e-4, capacity=CAPACITY, learning_starts=WARM_UP)  # type: ignore[call-arg]
    trainer = Trainer(Plan("ALE/Pong-v5", dqn, config, seed=1), None)
    trainer.begin()

    def train(steps: int) -> None:
        for _ in range(steps):
            trainer.step()

    return train


def stable_baselines() -> Callable[[int], None]:
    """Return the same for stable-baselines3, with its own recommended Atari wrappers."""
    try:
        from stable_baselines3 import DQN
        from stable_baselines3.common.env_util import make_atari_env
        from stable_baselines3.common.vec_env import VecFrameStack
    except ImportError as error:
        sys.exit(f"error: {error}; pip install stable-baselines3 opencv-python-headless")
    env = VecFrameStack(make_atari_env("PongNoFrameskip-v4", n_envs=1, seed=1), n_stack=4)
    model: Any = DQN(
        "CnnPolicy",
        env,
        learning_rate=1e-4,
        buffer_size=CAPACITY,
        learning_starts=WARM_UP,
        batch_size=32,
        train_freq=4,
        gradient_steps=1,
        target_update_interval=10_000,
        seed=1,
        device="cpu",
    )
    return lambda steps: model.learn(steps, reset_num_timesteps=False)


def main() -> None:
    """Alternate between both and print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=7, help="after the first, which warms up")
    parser.add_argument("--steps", type=int, default=300, help="agent steps per segment")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2], help="numbers of torch threads, the same for both"
    )
    args = parser.parse_args()
    trainers = {"tidepool": ours(), "stable-baselines3": stable_baselines()}
    table = Table("torch threads", *trainers, "ratio", title="agent steps per second, median of the segments")
    for threads in args.threads:
        torch.set_num_threads(threads)
        speeds: dict[str, list[float]] = {name: [] for name in trainers}
        for segment in range(args.segments + 1):
            for name, train in trainers.items():
                began = time.perf_counter()
                train(args.steps)
                if segment:  # the first warms up
                    speeds[name].append(args.steps / (time.perf_counter() - began))
        medians = {name: statistics.median(values) for name, values in speeds.items()}
        ratio = medians["tidepool"] / medians["stable-baselines3"]
        table.add_row(str(threads), *(f"{value:.1f}" for value in medians.values()), f"{ratio:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
