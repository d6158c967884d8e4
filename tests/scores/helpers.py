"""Run folders made for tests."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLUMNS = (
    "env_id",
    "agent",
    "seed",
    "agent_steps",
    "frames",
    "episode",
    "episode_return",
    "episode_length",
    "epsilon",
    "protocol",
)
V1 = "tidepool/Waterworld-v1"
V0 = "tidepool/Waterworld-v0"
RLDEMO = "tidepool/RLDemo-v0"


def make_run(
    runs_dir: Path,
    returns: Sequence[float],
    *,
    env_id: str = V1,
    agent: str = "dqn",
    seed: int = 1,
    preset: str = "default",
    time: str = "20261123-101530",
    agent_steps: int = 1000,
    length: int = 1000,
    epsilon: float = 0.0,
    protocol: str = "waterworld-1000",
    config: dict[str, Any] | None = None,
    earlier: Sequence[float] = (-50.0,),
    frame_skip: int = 1,
) -> Path:
    """Write a run with one earlier evaluation (which must never count) and its last one."""
    folder = runs_dir / f"{env_id.replace('/', '-')}__{agent}__{seed}__{time}"
    folder.mkdir(parents=True)
    settings = {"learning_rate": 5e-4, "total_timesteps": agent_steps} if config is None else config
    about = {"format": 1, "env_id": env_id, "agent": agent, "seed": seed, "preset": preset, "config": settings}
    (folder / "config.json").write_text(json.dumps(about))
    with (folder / "eval.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for steps, values in ((agent_steps // 2, earlier), (agent_steps, returns)):
            for episode, value in enumerate(values):
                frames = steps * frame_skip
                writer.writerow([env_id, agent, seed, steps, frames, episode, value, length, epsilon, protocol])
    return folder


def atari_run(runs_dir: Path, game: str, returns: Sequence[float], **changes: Any) -> Path:
    """Write an Atari run: preset `cpu`, 500,000 agent steps, protocol `dqn_zoo`, except for the changes."""
    usual = {
        "env_id": f"ALE/{game}-v5",
        "preset": "cpu",
        "agent_steps": 500_000,
        "length": 2000,
        "epsilon": 0.01,
        "protocol": "dqn_zoo",
        "frame_skip": 4,
    }
    return make_run(runs_dir, returns, **{**usual, **changes})


def write_human_scores(runs_dir: Path, *rows: str) -> Path:
    """Write the human scores."""
    runs_dir.mkdir(parents=True, exist_ok=True)
    path = runs_dir / "humans.csv"
    header = "name,date,env_id,protocol,seed,episode_return,episode_length,apples,poison"
    path.write_text("".join(line + "\n" for line in (header, *rows)))
    return path


def human(name: str, score: float, env_id: str = V1, length: int = 1000) -> str:
    """Return a line of the human scores."""
    return f"{name},2026-11-23T10:00:00+01:00,{env_id},waterworld-1000,5,{score},{length},20,2"
