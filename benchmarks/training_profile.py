"""Time of each part of training: the default recipe on Waterworld-v1.

    python benchmarks/training_profile.py [--total-timesteps N]

Each part is timed around the calls that the trainer itself makes. The limit: everything that is not
learning (acting, stepping, copying to and from the replay, logging) takes less than a quarter of the time.
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
    """A watcher that ignores everything."""

    def progress(self, row: dict[str, Any]) -> None:
        """Do nothing."""

    def evaluated(self, agent_steps: int, results: list[Any]) -> None:
        """Do nothing."""


def main() -> None:
    """Train with a timer around every part, then print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--total-timesteps", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    dqn = recipe("dqn")
    config = dqn.config(total_timesteps=args.total_timesteps)
    seconds: dict[str, float] = {}

    def timed(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def call_timed(*args: Any, **keywords: Any) -> Any:
            began = time.perf_counter()
            result = call(*args, **keywords)
            seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - began
            return result

        return call_timed

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
            setattr(owner, name, timed(part, getattr(owner, name)))
        began = time.perf_counter()
        trainer.run(Silent())
        total = time.perf_counter() - began
    seconds["other"] = total - sum(seconds.values())
    table = Table("part", "seconds", "share", title=f"{trainer.learner.updates:,} updates, {total:.1f} s")
    for part, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        table.add_row(part, f"{spent:.2f}", f"{spent / total:.1%}")
    Console().print(table)
    Console().print(
        f"learning {seconds['learning'] / total:.1%}, everything else {1 - seconds['learning'] / total:.1%}"
    )
    Console().print(f"{1000 * seconds['learning'] / trainer.learner.updates:.3f} ms per update")


if __name__ == "__main__":
    main()
