"""Measure the reference players in our environments, beside the scores measured in the original JavaScript.

    python benchmarks/reference_scores.py

A random policy, Karpathy's two networks and the apple chaser play whole episodes with fixed seeds.

A difference of more than about 3 standard errors means that an environment differs from the original.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from agents import karpathy  # noqa: E402
from agents.apple_chaser import AppleChaser  # noqa: E402
from agents.policy import Policy, RandomPolicy  # noqa: E402
from common import cli  # noqa: E402
from common.program import run  # noqa: E402
from common.settings import Between  # noqa: E402
from learning.evaluate import evaluate  # noqa: E402
from scores import references  # noqa: E402
from scores.stats import Interval, student_interval  # noqa: E402

V0, V1, RLDEMO = "tidepool/Waterworld-v0", "tidepool/Waterworld-v1", "tidepool/RLDemo-v0"
EPISODE_STEPS = 5000  # RLDemo's reference is one long run; ours come in episodes of this length
# The greedy network sometimes stays at a wall for thousands of steps, so a single run is unreliable and a few
# episodes hide it. Measured here: 32 runs of 100,000 steps had a mean of 1.061, a standard deviation of 0.023 and a
# range of 0.990 to 1.094 (with epsilon 0.05: 1.089, standard deviation 0.003).
LONG_RUN_DEVIATION = {(RLDEMO, "karpathy_pretrained_greedy"): 0.023}


@dataclasses.dataclass(frozen=True)
class Player:
    """A player, its environment, and the reference score that it should reach."""

    env_id: str
    reference: str
    policy: Policy
    epsilon: float
    env_options: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Options:
    """Number of episodes, and the seed."""

    waterworld_episodes: Annotated[int, Between(2, 100_000)] = 500
    """Episodes of 1000 steps for each player of Waterworld."""
    rldemo_episodes: Annotated[int, Between(2, 10_000)] = 100
    """Episodes of 5000 steps for each player of RLDemo."""
    seed: int = 7
    """Seed of the environments and of random actions."""


def players() -> list[Player]:
    """Return every player that this project can run and that has a reference score."""
    water = karpathy.load(ROOT / "pretrained" / "reinforcejs_wateragent.json")
    wheels = karpathy.load(ROOT / "pretrained" / "convnetjs_rldemo_net.json")
    return [
        Player(V0, "random", RandomPolicy(4), 0.0, {}),
        Player(V0, "karpathy_pretrained_eps_0.05", water, 0.05, water.env_options),
        Player(V0, "karpathy_pretrained_greedy", water, 0.0, water.env_options),
        Player(V0, "apple_chaser", AppleChaser(V0), 0.0, {}),
        Player(V1, "apple_chaser", AppleChaser(V1), 0.0, {}),
        Player(RLDEMO, "random", RandomPolicy(5), 0.0, {}),
        Player(RLDEMO, "karpathy_pretrained_eps_0.05", wheels, 0.05, wheels.env_options),
        Player(RLDEMO, "karpathy_pretrained_greedy", wheels, 0.0, wheels.env_options),
    ]


def measure(player: Player, episodes: int, seed: int) -> Interval:
    """Return the player's mean score in its environment's metric, over whole episodes."""
    results = evaluate(player.policy, player.env_id, episodes, player.epsilon, seed, **player.env_options)
    per_step = references.metric(player.env_id).per_step
    return student_interval([one.episode_return / (one.episode_length if per_step else 1) for one in results])


def distance(player: Player, found: Interval) -> float:
    """Return how far the measured mean is from the reference, in standard errors of their difference."""
    reference = references.find(player.env_id, player.reference)
    error = found.standard_error or 0.0
    reference_error = reference.standard_error or LONG_RUN_DEVIATION.get((player.env_id, player.reference))
    if reference_error is None:  # not published: estimated from ours for a run of its length
        steps = reference.steps or EPISODE_STEPS
        reference_error = error * (found.size * EPISODE_STEPS / steps) ** 0.5
    return float((found.mean - reference.mean) / (error**2 + reference_error**2) ** 0.5)


def main(argv: Sequence[str]) -> None:
    """Measure, and print the table."""
    options = cli.parse(Options, argv, prog="reference_scores.py", description=__doc__)
    torch.set_num_threads(1)
    table = Table(box=None, title_justify="left")
    for column in (
        "environment",
        "player",
        "measured",
        "standard error",
        "episodes",
        "reference",
        "difference",
        "seconds",
    ):
        table.add_column(column, justify="left" if column in ("environment", "player") else "right")
    for player in players():
        start = time.perf_counter()
        episodes = options.rldemo_episodes if player.env_id == RLDEMO else options.waterworld_episodes
        found = measure(player, episodes, options.seed)
        reference = references.find(player.env_id, player.reference)
        table.add_row(
            player.env_id,
            player.reference,
            f"{found.mean:.4f}",
            f"{found.standard_error:.4f}",
            f"{found.size}",
            f"{reference.mean:.4f}",
            f"{distance(player, found):+.1f} SE",
            f"{time.perf_counter() - start:.0f}",
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    run(main)
