"""What does an attached window cost the training? Measured in two ways, in one process; the limit is 2 %.

    python benchmarks/attach_cost.py [ENV_ID] [--agent dqn] [--segments 600] [--seconds 1] [--window]

Segments with and without a window's heartbeat alternate, in pairs of changing order. They give

1. the parts: the seconds in which weights are published, and how much longer the steps right after that take (caches
   are cold, the disk is written to) than the steps after moments, chosen by the same clock, at which nothing is
   published. Where steps take similar times, this resolves a tenth of a percent;
2. the total: each pair gives one ratio of speeds. It includes what the first way leaves out, but step times vary
   between 4 and 6 ms on a shared machine, so that ten minutes of segments still give an interval of about 2 %.

Intervals are 95 % bootstrap intervals. With --window, play.py runs in a process of its own: it reads and plays in the
attached segments and is suspended in the others, so that its use of the machine is included in the cost.
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
from learning.plan import Plan
from learning.runfolder import RunFolder, as_json
from learning.trainer import Trainer

LIMIT = 0.02
WARM_UP_SECONDS, WINDOW_SECONDS = 5.0, 20.0  # until kernels are compiled and caches warm; until the window plays
CHECK_SECONDS = 0.05  # between two of the trainer's checks for a window
STEPS_AFTER = 5  # steps after a publication that it may still slow down
ROOT = Path(__file__).resolve().parent.parent
Floats = NDArray[np.float64]


class Publications:
    """Publishes weights, and records the time of each publication and of every training step."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.clear()

    def clear(self) -> None:
        """Clear all records."""
        self.seconds: list[float] = []
        self.steps: list[float] = []  # seconds of every step
        self.places: list[int] = []  # the index in `steps` of the first step after each publication
        self.blanks: list[int] = []  # the same, for moments at which a publication would have been due
        self.attached_seconds = 0.0

    def __call__(self, folder: Path) -> None:
        """Publish as `Trainer.run` does."""
        began = time.perf_counter()
        self.trainer.save_agent(folder, durable=False)
        self.seconds.append(time.perf_counter() - began)
        self.places.append(len(self.steps))

    def after_effects(self) -> tuple[Floats, Floats]:
        """Return the seconds of the steps after each publication, (P,), and after each blank moment, (B,)."""
        steps = np.array(self.steps)

        def after(places: list[int]) -> Floats:
            ends = [(place, place + STEPS_AFTER) for place in places if place + STEPS_AFTER <= len(steps)]
            return np.array([steps[start:end].sum() for start, end in ends])

        return after(self.places), after(self.blanks)


def segment(
    trainer: Trainer, publisher: WeightPublisher, seconds: float, attached: bool, publications: Publications
) -> float:
    """Train for ``seconds``, with a heartbeat every second or none; return agent steps per second."""
    steps, began = trainer.agent_steps, time.perf_counter()
    last_beat, blank = 0.0, began
    while (now := time.perf_counter()) - began < seconds:
        if attached and now - last_beat > 1.0:  # as a window in another process would
            last_beat = now
            live.write_heartbeat(publisher.live)
        before = time.perf_counter()
        trainer.step()
        publications.steps.append((after := time.perf_counter()) - before)
        if not attached and after >= blank:
            publications.blanks.append(len(publications.steps))
            blank = after + live.PUBLISH_SECONDS
        if publisher.due() and publisher.attend():
            trainer.requests.read(publisher.live / live.REQUESTS)
    trainer.update_log.clear()
    elapsed = time.perf_counter() - began
    publications.attached_seconds += elapsed if attached else 0.0
    return (trainer.agent_steps - steps) / elapsed


@contextmanager
def attached_window(run: Path, enabled: bool) -> Iterator[Callable[[bool], None]]:
    """Start play.py without a screen, attached to the run, if enabled; yield a function that resumes or suspends it."""
    if not enabled:
        yield lambda resumed: None
        return
    command = [sys.executable, str(ROOT / "play.py"), "--attach", str(run)]
    env = {**os.environ, "SDL_VIDEODRIVER": "dummy", "OMP_NUM_THREADS": "1"}
    process = psutil.Popen(command, env=env, stdout=subprocess.DEVNULL)
    try:
        yield lambda resumed: (process.resume if resumed else process.suspend)()
    finally:
        process.resume()
        process.terminate()
        process.wait()


def measure(args: argparse.Namespace, trainer: Trainer) -> tuple[list[float], Publications]:
    """Return the cost of each pair of segments, as a share, and the publications."""
    # so that a segment starts at once; 20 checks a second cost a little more than the usual one
    live.LOOK_SECONDS = CHECK_SECONDS
    publications, costs = Publications(trainer), []
    folder = trainer.run_folder
    with live_session(folder.claim, publications) as publisher, attached_window(folder.path, args.window) as let_play:
        trainer.begin()
        while trainer.learner.updates < 2:
            trainer.step()
        segment(trainer, publisher, WINDOW_SECONDS if args.window else WARM_UP_SECONDS, args.window, publications)
        publications.clear()
        for pair in range(args.segments // 2):
            speeds = {}
            for attached in (pair % 2 == 0, pair % 2 == 1):
                let_play(attached)
                speeds[attached] = segment(trainer, publisher, args.seconds, attached, publications)
                let_play(False)
                live.remove_heartbeat(folder.live)
            costs.append(1.0 - speeds[True] / speeds[False])
    live.remove_heartbeat(folder.live)
    return costs, publications


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("env_id", nargs="?", default=envs.DEFAULT_ENV)
    parser.add_argument("--agent", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--segments", type=int, default=600, help="attached and detached, together")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a segment")
    parser.add_argument("--window", action="store_true", help="attach play.py as well")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    env_id = envs.resolve(args.env_id)
    agent, preset = choose(args.agent, "auto", env_id, args.device)
    config = agent.config(**agent.presets[preset].settings)
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder.create(Path(folder), env_id, agent.name, 1, {"config": as_json(config)})
        trainer = Trainer(Plan(env_id, agent, config, 1, args.device), run)
        costs, publications = measure(args, trainer)
        trainer.episodes.close()
    print(f"{agent.name} ({preset}) on {env_id}, {args.device}; the limit is {LIMIT:.0%}")
    print_parts(publications)
    middle, low, high = median_of(np.array(costs))
    print(f"total cost by {len(costs)} pairs of {args.seconds:g} s segments: {middle:.2%} ({low:.2%} to {high:.2%})")


def print_parts(publications: Publications) -> None:
    """Print the cost of publishing, of the slower steps after it, and of both, as a share of the time."""
    count, total = len(publications.seconds), publications.attached_seconds
    own, (mean, low, high) = sum(publications.seconds) / total, surplus(*publications.after_effects())
    mean, low, high = (each * count / total for each in (mean, low, high))
    each = 1000 * float(np.median(publications.seconds))
    print(f"{count} publications of {each:.1f} ms (median) in {total:.0f} s attached: {own:.2%} of the time")
    print(f"{STEPS_AFTER} slower steps after each publication: {mean:.2%} of the time ({low:.2%} to {high:.2%})")
    print(f"cost of an attached window by its parts: {own + mean:.2%} ({own + low:.2%} to {own + high:.2%})")


def surplus(values: Floats, others: Floats) -> tuple[float, float, float]:
    """Return mean(values) - mean(others) and its 95 % bootstrap interval."""
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
