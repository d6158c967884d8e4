"""The GPU's engine on a GPU: graphs are captured, compute what the same calls compute unreplayed, and nobody waits.

Skipped without one; `benchmarks/gpu.py` runs them where there is.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from agents import recipe
from learning import preflight
from learning.fused import make_learner
from learning.graphs import GraphLearner
from learning.plan import Plan
from learning.replay import ReplayExperience
from learning.trainer import Trainer
from learning.transfer import Inputs, Present, Result
from tests.learning.driven import ACTIONS, FRAMES, VECTOR, Episodes, drive, experience_of, settings
from tests.learning.helpers import RecordingWatcher
from tests.learning.helpers import trainer as make_trainer
from tests.learning.test_graphs import CASES, IMPALA, NAMES

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
PONG: dict[str, Any] = {
    "total_timesteps": 1_600,
    "num_envs": 8,
    "learning_starts": 200,
    "capacity": 2_000,
    "batch_size": 16,
    "frame_size": 42,
    "encoder": "small",
}


def on_gpu(agent: str, space: spaces.Box, graphs: bool = True, **changes: Any) -> tuple[Any, GraphLearner]:
    config = settings(agent, **changes)
    learner = make_learner(recipe(agent), config, space, ACTIONS, 1, "cuda")
    assert isinstance(learner, GraphLearner)
    torch.backends.cudnn.benchmark = False  # kernels chosen by timing round differently
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    if not graphs:
        learner.graphs_wanted = False
    return config, learner


@pytest.mark.parametrize(("agent", "space", "changes"), CASES, ids=NAMES)
def test_replays_compute_what_calls_compute(agent: str, space: spaces.Box, changes: dict[str, Any]) -> None:
    runs = []
    for graphs in (True, False):
        config, learner = on_gpu(agent, space, graphs, **changes)
        runs.append(list(drive(learner, experience_of(agent, config, space, learner), Episodes(space), 40)))
        assert learner.captured == graphs
        assert graphs != bool(learner.objections), learner.objections
        assert learner.updates > 8
    for (found, updates), (expected, others) in zip(*runs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-2, atol=2e-3)
        assert len(updates) == len(others)
        assert all(np.isfinite(float(update.loss)) for update in updates)


@pytest.mark.parametrize("bf16", [False, True])
def test_prioritized_btr_is_captured_too(bf16: bool) -> None:
    config, learner = on_gpu("btr", FRAMES, **IMPALA, bf16=bf16)
    for _, updates in drive(learner, experience_of("btr", config, FRAMES, learner), Episodes(FRAMES), 40):
        assert all(np.isfinite(float(update.loss)) for update in updates)
    assert learner.captured
    assert not learner.objections


def test_noise_differs_from_replay_to_replay() -> None:
    _, learner = on_gpu("noisy_dqn", VECTOR)
    obs = np.ones((3, 5), np.float32)
    seen = [learner.noisy_q_values(obs) for _ in range(8)]
    assert learner.captured
    assert len({array.tobytes() for array in seen}) == 8


def test_copies_do_not_wait_and_arrive() -> None:
    device, rng = torch.device("cuda"), np.random.default_rng(0)
    first: dict[str, NDArray[Any]] = {
        "rows": np.arange(7),
        "reward": np.ones(3, np.float32),
        "frames": np.zeros((2, 5), np.uint8),
    }
    inputs, results, expected = Inputs(first, device), [], []
    busy = torch.ones(2_000, 2_000, device=device)
    for _ in range(50):
        new = {name: rng.integers(0, 100, array.shape).astype(array.dtype) for name, array in first.items()}
        busy = busy @ busy * 1e-4  # so that copies queue up behind it
        inputs.load(new)
        results.append(Result(inputs.tensors["rows"] + inputs.tensors["frames"].sum()))
        expected.append(new["rows"] + new["frames"].sum())
        for array in new.values():
            array[:] = 0  # the caller may
    for result, array in zip(results, expected, strict=True):
        np.testing.assert_array_equal(result.numpy(), array)


def test_stacks_are_moved_on_the_device() -> None:
    episodes, present = Episodes(FRAMES), Present(torch.device("cuda"))
    present.stack = 4
    present.reset(episodes.obs)
    for number in range(30):
        episodes.step()
        present.step(episodes.obs)
        if number % 4 == 0:
            mask = np.array([True, False, number % 8 == 0])
            episodes.reset(mask)
            present.reset(episodes.obs, mask)
        np.testing.assert_array_equal(present.of(episodes.obs).cpu().numpy(), episodes.obs)


@pytest.mark.parametrize("agent", ["pqn", "prioritized_dqn"])
def test_a_run_on_pong_keeps_its_observations_on_the_device(agent: str, tmp_path: Path) -> None:
    run = make_trainer(tmp_path, "ALE/Pong-v5", agent, **PONG)
    run = Trainer(dataclasses.replace(run.plan, device="cuda"), run.run_folder)
    assert run.learner.engine == "graphs"
    stored = run.experience.replay.obs if isinstance(run.experience, ReplayExperience) else run.experience.obs  # type: ignore[attr-defined]
    assert stored.is_cuda
    assert run.run(RecordingWatcher())
    assert run.learner.updates > 10
    shares = run.agent.watch.shares()
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= 0


@pytest.mark.parametrize("agent", ["rainbow", "pqn"])
def test_a_stopped_run_goes_on(agent: str, tmp_path: Path) -> None:
    one = make_trainer(tmp_path, "CartPole-v1", agent)
    plan = dataclasses.replace(one.plan, device="cuda")
    stopped = Trainer(plan, one.run_folder)
    watcher = RecordingWatcher(stop_at=1_000)
    watcher.trainer = stopped
    assert not stopped.run(watcher)
    resumed = Trainer(plan, one.run_folder)
    resumed.load_state()
    for mine, theirs in zip(stopped.learner.parameters, resumed.learner.parameters, strict=True):
        assert torch.equal(mine, theirs)
    assert resumed.run(RecordingWatcher())
    assert resumed.learner.updates > stopped.learner.updates


def test_frames_are_not_timed_on_the_cpu_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found, timed = recipe("pqn"), []
    config = found.config(**{**found.presets["cpu"].settings, "num_envs": 4, "frame_size": 42, "encoder": "small"})
    rehearse = preflight.rehearse

    def watched(plan: Plan, *rest: Any) -> Any:
        timed.append(plan.device)
        return rehearse(plan, *rest)

    monkeypatch.setattr(preflight, "rehearse", watched)
    summary = preflight.preflight(Plan("ALE/Pong-v5", found, config, 1), "auto", longest=0.5)
    assert timed == ["cuda"]
    assert str(summary).startswith("device cuda, graphs engine")
    assert summary.threads == 1  # the cores are the emulators'
