"""Small training runs and batches for the tests."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agents import recipe
from learning.plan import Plan
from learning.replay import Batch
from learning.runfolder import RunFolder
from learning.states import COUNTERS, MANIFEST, Saved, Saving, States
from learning.trainer import Trainer

SMALL: dict[str, Any] = {
    "total_timesteps": 2_000,
    "num_envs": 4,
    "capacity": 1_000,
    "learning_starts": 200,
    "epsilon_steps": 1_000,
    "batch_size": 32,
    "replay_ratio": 8.0,
    "hidden": (16,),
    # agents without replay; lambda 0 bootstraps after one step, so that exploration does not bias the returns
    "rollout_steps": 8,
    "minibatches": 2,
    "epochs": 4,
    "q_lambda": 0.0,
}
# Stream-Q learns from one environment, and its step size, which ObGD bounds, is not comparable
PER_AGENT: dict[str, dict[str, Any]] = {"stream_q": {"num_envs": 1, "learning_rate": 1.0, "final_learning_rate": 0.01}}


class RecordingWatcher:
    """Records what a `learning.live.Watcher` receives, and may stop the run at an agent step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.evaluations: list[tuple[int, list[Any]]] = []
        self.pulses: list[dict[str, Any]] = []
        self.progresses: list[tuple[int, int, float]] = []
        self.stop_at = stop_at
        self.trainer: Trainer | None = None

    def progress(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        if self.trainer and self.stop_at and row["agent_steps"] >= self.stop_at:
            self.trainer.stop_requested = True

    def pulse(self, row: dict[str, Any]) -> None:
        self.pulses.append(row)

    def evaluating(self, finished: int, episodes: int, left: float) -> None:
        self.progresses.append((finished, episodes, left))

    def evaluated(self, agent_steps: int, results: list[Any]) -> None:
        self.evaluations.append((agent_steps, results))


def plan(env_id: str, agent: str = "dqn", seed: int = 1, **changes: Any) -> Plan:
    """Return the plan of a small run; settings that the agent does not have are left out."""
    found = recipe(agent)
    known = {field.name for field in dataclasses.fields(found.config)}
    settings = {**found.switches, **SMALL, **changes, **PER_AGENT.get(agent, {})}
    config = found.config(**{name: value for name, value in settings.items() if name in known})
    return Plan(env_id, found, config, seed, evaluations=2, eval_episodes=5)


def trainer(folder: Path, env_id: str, agent: str = "dqn", seed: int = 1, **changes: Any) -> Trainer:
    """Return the trainer of a small run."""
    return Trainer(plan(env_id, agent, seed, **changes), RunFolder.create(folder, env_id, agent, seed, {}))


def close(found: Tensor, expected: Any, atol: float = 1e-6) -> None:
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=found.dtype), atol=atol, rtol=1e-5)


def transitions(**changes: Tensor) -> Batch:
    """Return three transitions between the states 0 and 1; the second one is terminal."""
    plain = {
        "obs": torch.tensor([[0.0], [1.0], [0.0]]),
        "action": torch.tensor([1, 0, 0]),
        "reward": torch.tensor([1.0, -2.0, 0.0]),
        "discount": torch.tensor([0.5, 0.0, 0.5]),
        "next_obs": torch.tensor([[1.0], [1.0], [0.0]]),
        "weight": torch.ones(3),
    }
    return Batch(**{**plain, **changes})  # type: ignore[arg-type]


def kept(folder: Path, add: Callable[[Saving], None]) -> Saved:
    """Return a state that consists of what ``add`` adds, after its way to the disk and back."""
    states = States(folder)
    into = states.begin()
    add(into)
    states.save(into)
    states.wait()
    states.close()
    found = States(folder).find()
    assert found is not None
    return found


def counters_of(run: RunFolder) -> dict[str, Any]:
    """Return the counters of a run's newest state."""
    saved = States(run.state).find()
    assert saved is not None
    found: dict[str, Any] = saved.json(COUNTERS)
    return found


def rewrite(run: RunFolder, name: str, data: bytes) -> None:
    """Replace a file of a run's newest state, and its entry in the manifest: as if it had been saved so."""
    saved = States(run.state).newest()
    assert saved is not None
    (saved.folder / name).write_bytes(data)
    manifest = json.loads((saved.folder / MANIFEST).read_text())
    manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (saved.folder / MANIFEST).write_text(json.dumps(manifest))
