"""A short way to a small training run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from agents import recipe
from learning.runfolder import RunFolder
from learning.trainer import Plan, Trainer

SMALL: dict[str, Any] = {
    "total_timesteps": 2_000,
    "num_envs": 4,
    "capacity": 1_000,
    "learning_starts": 200,
    "epsilon_steps": 1_000,
    "batch_size": 32,
    "replay_ratio": 8.0,
    "hidden": (16,),
    # agents without replay; lambda 0 looks one step ahead, so that exploring does not bias what is learnt
    "rollout_steps": 8,
    "minibatches": 2,
    "epochs": 4,
    "q_lambda": 0.0,
}
# a stream is one life, and the rate of its steps, which are bounded, has another meaning
OWN: dict[str, dict[str, Any]] = {"stream_q": {"num_envs": 1, "learning_rate": 1.0, "final_learning_rate": 0.01}}


class Onlooker:
    """A watcher that keeps what it hears and may stop the run."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.evaluations: list[tuple[int, list[Any]]] = []
        self.stop_at = stop_at
        self.trainer: Trainer | None = None

    def progress(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        if self.trainer and self.stop_at and row["agent_steps"] >= self.stop_at:
            self.trainer.stop_requested = True

    def evaluated(self, agent_steps: int, results: list[Any]) -> None:
        self.evaluations.append((agent_steps, results))


def plan(env_id: str, agent: str = "dqn", seed: int = 1, **changes: Any) -> Plan:
    """Return the plan of a small run; settings that the agent does not have are left out."""
    found = recipe(agent)
    known = {field.name for field in dataclasses.fields(found.config)}
    wanted = {**found.switches, **SMALL, **changes, **OWN.get(agent, {})}
    config = found.config(**{name: value for name, value in wanted.items() if name in known})
    return Plan(env_id, found, config, seed, evaluations=2, eval_episodes=5)


def trainer(folder: Path, env_id: str, agent: str = "dqn", seed: int = 1, **changes: Any) -> Trainer:
    """Return the trainer of a small run."""
    return Trainer(plan(env_id, agent, seed, **changes), RunFolder.create(folder, env_id, agent, seed, {}))
