"""What a preset has reached before, and at what cost: from the raw scores in results/, never typed."""

from __future__ import annotations

import csv
import re
import statistics
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.files import ROOT
from common.reading import rows
from common.text import significant, time_text

RESULTS = ROOT / "results"
FILES = ("waterworld.csv", "family.csv", "cartpole.csv", "lunarlander.csv", "atari.csv")
# In this file d3qn has the name of its time (see results/README.md).
FORMER_NAMES = {"waterworld.csv": {"dqn": "d3qn"}}
LEAST_SHARE = 0.75  # of the measured agent steps that a run must have, for what was measured to say something of it


@dataclass(frozen=True)
class Measured:
    """An agent's runs with one preset in one environment, of the same length."""

    file: str
    agent_steps: int
    scores: tuple[float, ...]
    """By seed: the mean return of the final evaluation."""
    seconds: tuple[float, ...]
    """By seed: of the whole command."""
    cores: str
    """Empty: unknown."""

    def __str__(self) -> str:
        mean = significant(statistics.fmean(self.scores))
        seeds = f"{significant(min(self.scores))} to {significant(max(self.scores))} over {len(self.scores)} seeds"
        spread = seeds if len(self.scores) > 1 else "one seed"
        low, high = time_text(min(self.seconds)), time_text(max(self.seconds))
        time = low if low == high else f"{low} to {high}"
        where = f" on {self.cores} cores" if self.cores else ""
        return (
            f"mean return {mean} ({spread}) after {self.agent_steps:,} agent steps,"
            f" in {time}{where}, evaluations included (results/{self.file})"
        )


def expected(env_id: str, agent: str, preset: str, agent_steps: int, folder: Path = RESULTS) -> Measured | None:
    """Return what runs like this one have reached and cost; None: none was measured, or only longer ones.

    Args:
        env_id: its environment's full id.
        agent: its name.
        preset: its name; settings beside it make another run.
        agent_steps: that are planned; of shorter runs the longest is returned.
        folder: of the raw scores.
    """
    found = [one for file in FILES for one in _measured(folder / file, env_id, agent, preset)]
    fitting = [one for one in found if agent_steps >= LEAST_SHARE * one.agent_steps]
    return max(fitting, key=lambda one: one.agent_steps, default=None)


def _measured(path: Path, env_id: str, agent: str, preset: str) -> Iterator[Measured]:
    former = FORMER_NAMES.get(path.name, {})
    returns: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    about: dict[str, tuple[float, str]] = {}
    try:
        for row in rows(path):
            if (row["env_id"], former.get(row["agent"], row["agent"]), row["preset"]) == (env_id, agent, preset):
                returns[int(row["agent_steps"])][row["run"]].append(float(row["episode_return"]))
                about[row["run"]] = float(row["wall_s"]), row["hardware"]
    except (UserError, KeyError, ValueError, csv.Error):  # a checkout without its results
        return
    for steps, runs in returns.items():
        cores = {match[1] for run in runs if (match := re.search(r"cores (\d+)", about[run][1]))}
        seconds = tuple(about[run][0] for run in runs)
        scores = tuple(statistics.fmean(values) for values in runs.values())
        yield Measured(path.name, steps, scores, seconds, cores.pop() if len(cores) == 1 else "")
