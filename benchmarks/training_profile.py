"""Where does the time of training go? The default recipe on Waterworld-v1, part by part.

    python benchmarks/training_profile.py [--total-timesteps N]

Each part of the loop is timed around the very calls that the trainer makes. The bar: everything that
is not learning (acting, stepping, copying to and from the replay, logging) takes under a quarter.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import envs
from agents import recipe
from learning.replay import ReplayExperience
from learning.runfolder import RunFolder
from learning.trainer import Plan, Trainer


class Silent:
    """A watcher that watches nothing."""

    def progress(self, row: dict[str, Any]) -> None:
        """Ignore it."""

    def evaluated(self, agent_steps: int, results: list[Any]) -> None:
        """Ignore it."""


def main() -> None:
    """Train with a clock around every part, then print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--total-timesteps", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=1)
    words = parser.parse_args()
    torch.set_num_threads(words.threads)
    dqn = recipe("dqn")
    config = dqn.config(total_timesteps=words.total_timesteps)
    seconds: dict[str, float] = {}

    def clocked(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **keywords: Any) -> Any:
            began = time.perf_counter()
            result = call(*args, **keywords)
            seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - began
            return result

        return timed

    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder.create(Path(folder), envs.DEFAULT_ENV, "dqn", 1, {})
        trainer = Trainer(Plan(envs.DEFAULT_ENV, dqn, config, seed=1, evaluations=1, eval_episodes=1), run)
        assert isinstance(trainer.experience, ReplayExperience)
        for part, owner, name in (
            ("acting", trainer.learner, "noisy_q_values"),
            ("environment", trainer.episodes, "receive"),
            ("replay: storing", trainer.experience.replay, "add"),
            ("replay: sampling", trainer.experience.replay, "sample"),
            ("learning", trainer.learner, "update"),
            ("logging", trainer, "_log"),
        ):
            setattr(owner, name, clocked(part, getattr(owner, name)))
        began = time.perf_counter()
        trainer.run(Silent())
        total = time.perf_counter() - began
    seconds["the rest"] = total - sum(seconds.values())
    table = Table("part", "seconds", "share", title=f"{trainer.learner.updates:,} updates, {total:.1f} s")
    for part, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        table.add_row(part, f"{spent:.2f}", f"{spent / total:.1%}")
    Console().print(table)
    Console().print(
        f"learning {seconds['learning'] / total:.1%}, everything else {1 - seconds['learning'] / total:.1%}"
    )
    Console().print(f"{1000 * seconds['learning'] / trainer.learner.updates:.3f} ms an update")


if __name__ == "__main__":
    main()
