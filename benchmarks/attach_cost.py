"""What does it cost a training to be looked at? Measured in two ways, in one process; the bar is 2 %.

    python benchmarks/attach_cost.py [ENV_ID] [--agent dqn] [--segments 600] [--seconds 1] [--window]

Segments with and without a watcher's sign of life, in pairs whose order changes, tell

1. what being attached adds: the seconds in which weights are published, and what the steps right after that take longer
   (caches are cold, the disk is written to) than those after as many moments, chosen by the same clock, at which
   nothing is published. Where all steps are alike it sees a tenth of a percent;
2. all of it at once: each pair gives one ratio of speeds. It would see what the first leaves out, but a step takes 4 ms
   one time and 6 ms another on a shared machine, so that ten minutes of it still leave an interval of 2 % or so.

Intervals are 95 % bootstrap ones. With --window a real player, in a process of its own, reads and plays in the attached
segments and stands still in the others: then a neighbour's share of the machine is in the cost too.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import envs
from agents import choose
from learning import live
from learning.live import WeightPublisher, live_session
from learning.runfolder import RunFolder, as_json
from learning.trainer import Plan, Trainer

BAR = 0.02
WARM_SECONDS, START_SECONDS = 5.0, 20.0  # until kernels are compiled and caches warm; until a player plays
SOON = 0.05  # seconds until the trainer sees that somebody came or went
NEAR = 5  # steps after a publication that may still feel it
ROOT = Path(__file__).resolve().parent.parent
Floats = NDArray[np.float64]


class Publications:
    """Publishes, and keeps how long each took and how long the steps around it did."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.clear()

    def clear(self) -> None:
        """Forget what was."""
        self.seconds: list[float] = []
        self.steps: list[float] = []  # seconds of every step
        self.places: list[int] = []  # in `steps`, of the first one after each publication
        self.blanks: list[int] = []  # the same, after each moment at which one would have been due
        self.attached_seconds = 0.0

    def __call__(self, folder: Path) -> None:
        """Publish as `Trainer.run` does."""
        began = time.perf_counter()
        self.trainer.save_agent(folder, durable=False)
        self.seconds.append(time.perf_counter() - began)
        self.places.append(len(self.steps))

    def after_effects(self) -> tuple[Floats, Floats]:
        """Return the seconds of the steps after each publication, (P,), and after each blank, (B,)."""
        steps = np.array(self.steps)

        def after(places: list[int]) -> Floats:
            return np.array([steps[place : place + NEAR].sum() for place in places if place + NEAR <= len(steps)])

        return after(self.places), after(self.blanks)


def segment(
    trainer: Trainer, air: WeightPublisher, seconds: float, attached: bool, publications: Publications
) -> float:
    """Train for so long, with a sign of life each second or none; return agent steps a second."""
    steps, began = trainer.agent_steps, time.perf_counter()
    beaten, blank = 0.0, began
    while (now := time.perf_counter()) - began < seconds:
        if attached and now - beaten > 1.0:  # as another process would
            beaten = now
            live.beat(air.live)
        before = time.perf_counter()
        trainer.step()
        publications.steps.append((after := time.perf_counter()) - before)
        if not attached and after >= blank:
            publications.blanks.append(len(publications.steps))
            blank = after + live.PUBLISH_SECONDS
        if air.due() and air.attend():
            trainer.requests.read(air.live / live.REQUESTS)
    trainer.update_log.clear()
    passed = time.perf_counter() - began
    publications.attached_seconds += passed if attached else 0.0
    return (trainer.agent_steps - steps) / passed


@contextmanager
def player(run: Path, wanted: bool) -> Iterator[Callable[[bool], None]]:
    """Let a player without a screen read and play at real time, if wanted; yield what lets it go on, or stand still."""
    if not wanted:
        yield lambda plays: None
        return
    words = [sys.executable, str(ROOT / "play.py"), "--attach", str(run)]
    env = {**os.environ, "SDL_VIDEODRIVER": "dummy", "OMP_NUM_THREADS": "1"}
    process = psutil.Popen(words, env=env, stdout=subprocess.DEVNULL)
    try:
        yield lambda plays: (process.resume if plays else process.suspend)()
    finally:
        process.resume()
        process.terminate()
        process.wait()


def measure(words: argparse.Namespace, trainer: Trainer) -> tuple[list[float], Publications]:
    """Return the cost of each pair of segments, as a share, and the publications."""
    live.LOOK_SECONDS = SOON  # a segment is what it is called from its first steps on; 20 looks a second cost more
    publications, costs = Publications(trainer), []
    folder = trainer.run_folder
    with live_session(folder.live, publications) as air, player(folder.path, words.window) as let_play:
        trainer.begin()
        while trainer.learner.updates < 2:
            trainer.step()
        segment(trainer, air, START_SECONDS if words.window else WARM_SECONDS, words.window, publications)
        publications.clear()
        for pair in range(words.segments // 2):
            speeds = {}
            for attached in (pair % 2 == 0, pair % 2 == 1):
                let_play(attached)
                speeds[attached] = segment(trainer, air, words.seconds, attached, publications)
                let_play(False)
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
    parser.add_argument("--segments", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=1.0)
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
    print(f"{agent.name} ({preset}) on {env_id}, {words.device}; the bar is {BAR:.0%}")
    tell_parts(publications)
    middle, low, high = median_of(np.array(costs))
    print(f"all at once, {len(costs)} pairs of {words.seconds:g} s segments: {middle:.2%} ({low:.2%} to {high:.2%})")


def tell_parts(publications: Publications) -> None:
    """Print what publishing takes, what the steps after it take longer, and both as a share of the time."""
    count, whole = len(publications.seconds), publications.attached_seconds
    own, (mean, low, high) = sum(publications.seconds) / whole, surplus(*publications.after_effects())
    mean, low, high = (each * count / whole for each in (mean, low, high))
    each = 1000 * float(np.median(publications.seconds))
    print(f"{count} publications of {each:.1f} ms (median) in {whole:.0f} s attached: {own:.2%} of the time")
    print(f"the {NEAR} steps after one take longer than others: {mean:.2%} ({low:.2%} to {high:.2%})")
    print(f"what being attached adds: {own + mean:.2%} ({own + low:.2%} to {own + high:.2%})")


def surplus(values: Floats, others: Floats) -> tuple[float, float, float]:
    """Return by how much the mean of one is above the other's, and its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    draws = [rng.choice(sample, (2_000, len(sample))).mean(axis=1) for sample in (values, others)]
    low, high = np.quantile(draws[0] - draws[1], (0.025, 0.975))
    return float(values.mean() - others.mean()), float(low), float(high)


def median_of(values: Floats) -> tuple[float, float, float]:
    """Return the median and its 95 % bootstrap interval."""
    draws = np.median(np.random.default_rng(0).choice(values, (2_000, len(values))), axis=1)
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(np.median(values)), float(low), float(high)


if __name__ == "__main__":
    main()
