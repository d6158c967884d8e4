"""Run folders as a training leaves them, for the tests of what is made from them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

COLUMNS = ("env_id", "agent", "seed", "agent_steps", "frames", "episode", "episode_return", "episode_length", "epsilon")


def make_run(
    folder: Path,
    env_id: str = "ALE/Pong-v5",
    agent: str = "pqn",
    seed: int = 1,
    evaluations: Mapping[int, Sequence[float]] | None = None,
    commit: str = "abc",
    time: str = "20270101-000000",
    wanted: int | None = None,
) -> Path:
    """Write a run with these returns by agent steps, and return its folder."""
    played = evaluations or {500: [1.0], 1000: [2.0, 4.0]}
    run = folder / f"{env_id.replace('/', '-')}__{agent}__{seed}__{time}"
    run.mkdir(parents=True)
    about = {
        **{"env_id": env_id, "agent": agent, "seed": seed, "preset": "cpu", "commit": commit, "device": "cpu"},
        **{"threads": 2, "hardware": {"cores": 2}, "versions": {"python": "3.11"}},
        **{"config": {"total_timesteps": max(played)}, "eval_episodes": wanted or len(played[max(played)])},
    }
    (run / "config.json").write_text(json.dumps(about))
    (run / "metrics.csv").write_text("agent_steps,wall_s\n500,60\n1000,120.4\n")
    with (run / "eval.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*COLUMNS, "protocol"))
        for steps, returns in played.items():
            for episode, value in enumerate(returns):
                writer.writerow((env_id, agent, seed, steps, 4 * steps, episode, value, 9, 0.01, "dqn_zoo"))
    return run
