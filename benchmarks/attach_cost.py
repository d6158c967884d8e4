"""What does it cost a training to be looked at? Attached and unattached segments by turns, in one process.

    python benchmarks/attach_cost.py [ENV_ID] [--agent dqn] [--segments 40] [--seconds 5] [--window]

Each pair of segments trains with and without a watcher's sign of life, in an order that changes from pair to pair, and
gives one ratio of their speeds; the machine's moods hit both halves of a pair alike. Printed: the median cost, a 95 %
bootstrap interval of it, and what one publication takes. The bar is 2 %. With --window a real player, in a process of
its own, reads and plays meanwhile in the attached segments too: then the cost has its share of a busy machine in it,
which is not the trainer's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import envs
from agents import choose
from learning import live
from learning.live import Broadcast, on_air
from learning.runfolder import RunFolder, as_json
from learning.trainer import Plan, Trainer

BAR = 0.02
ROOT = Path(__file__).resolve().parent.parent


class Publications:
    """Publishes and keeps how long each took."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.seconds: list[float] = []

    def __call__(self, folder: Path) -> None:
        """Publish as `Trainer.run` does."""
        began = time.perf_counter()
        self.trainer.save_agent(folder, durable=False)
        self.seconds.append(time.perf_counter() - began)


def segment(trainer: Trainer, air: Broadcast, seconds: float, attached: bool) -> float:
    """Train for so long, with a sign of life each second or none; return agent steps a second."""
    steps, began = trainer.agent_steps, time.perf_counter()
    beaten = 0.0
    while (now := time.perf_counter()) - began < seconds:
        if attached and now - beaten > 1.0:  # as another process would
            beaten = now
            live.beat(air.live)
        trainer.step()
        if air.due() and air.attend():
            trainer.wishes.read(air.live / live.WISHES)
    trainer.unread.clear()
    return (trainer.agent_steps - steps) / (time.perf_counter() - began)


@contextmanager
def player(run: Path, wanted: bool) -> Iterator[None]:
    """Let a player without a screen read and play at real time, if wanted; it keeps the sign of life itself."""
    if not wanted:
        yield
        return
    words = [sys.executable, str(ROOT / "play.py"), "--attach", str(run)]
    process = subprocess.Popen(words, env={**os.environ, "SDL_VIDEODRIVER": "dummy"}, stdout=subprocess.DEVNULL)
    time.sleep(5.0)  # its start is not what is measured
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def measure(words: argparse.Namespace, trainer: Trainer) -> tuple[list[float], Publications]:
    """Return the cost of each pair of segments, as a share, and the publications."""
    publications, costs = Publications(trainer), []
    folder = trainer.run_folder
    with on_air(folder.live, publications) as air:
        trainer.begin()
        while trainer.learner.updates < 2:
            trainer.step()
        segment(trainer, air, words.seconds, False)  # kernels are compiled, caches warm
        for pair in range(words.segments // 2):
            speeds = {}
            for attached in (pair % 2 == 0, pair % 2 == 1):
                with player(folder.path, words.window and attached):
                    speeds[attached] = segment(trainer, air, words.seconds, attached)
                live.leave(folder.live)
            costs.append(1.0 - speeds[True] / speeds[False])
    live.leave(folder.live)
    return costs, publications


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("env_id", nargs="?", default=envs.DEFAULT_ENV)
    parser.add_argument("--agent", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--segments", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--window", action="store_true")
    words = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    env_id = envs.resolve(words.env_id)
    agent, preset = choose(words.agent, "auto", env_id, words.device)
    config = agent.config(**agent.presets[preset].settings)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder.create(Path(folder), env_id, agent.name, 1, {"config": as_json(config)})
        trainer = Trainer(Plan(env_id, agent, config, 1, words.device), run)
        costs, publications = measure(words, trainer)
        trainer.episodes.close()
    draws = np.random.default_rng(0).choice(costs, (10_000, len(costs)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    middle = float(np.median(costs))
    print(f"{agent.name} ({preset}) on {env_id}, {words.device}: {len(costs)} pairs of {words.seconds:g} s segments")
    print(f"cost of being attached: {middle:.2%} (95 % interval {low:.2%} to {high:.2%}); the bar is {BAR:.0%}")
    if publications.seconds:
        count, each = len(publications.seconds), 1000 * float(np.median(publications.seconds))
        print(f"{count} publications of {each:.1f} ms (median), {sum(publications.seconds):.2f} s in all")


if __name__ == "__main__":
    main()
