"""Runs with a state of each format there was resume, and end as they did in the version that wrote them.

`tests/fixtures/stopped_run`, format 1, was stopped at 1,000 of 2,048 agent steps, before names changed: its settings,
weights, counters and replay have the old ones, and a request was in force (epsilon 0.25). `killed_run`, format 2, was
killed by -9 after its states at 992 and 1,128 of 6,000 steps. ``..._finished.safetensors`` are the final weights.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

from agents import load_policy
from common.files import PRETRAINED
from experiments.resuming import resume
from learning.live import Watcher
from tests.learning.helpers import RecordingWatcher

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
KILLED_AT = {"13": 992, "15": 1_128}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / "stopped_run", tmp_path / "run"))


def test_a_run_stopped_under_old_names_resumes_and_ends_the_same(run: Path) -> None:
    watcher: Watcher = RecordingWatcher()
    begun = load_file(run / "agent" / "network.safetensors")
    trainer = resume(run, Console(quiet=True))
    assert trainer.agent_steps == 1_000
    assert trainer.agent.overrides == {"epsilon": 0.25}
    assert trainer.run(watcher)
    old, new = (
        load_file(FIXTURES / "stopped_run_finished.safetensors"),
        load_file(run / "agent" / "network.safetensors"),
    )
    assert set(old) - set(new) == {name for name in old if name.startswith("head.")} != set()
    off = sum(float((new[name.replace("head.", "output.", 1)] - value).square().sum()) for name, value in old.items())
    learnt = sum(float((begun[name] - value).square().sum()) for name, value in old.items())
    # 0 on the same kind of processor, 0.06 on one with other vector units, 0.27 if one random number is drawn too many
    assert (off / learnt) ** 0.5 < 0.12
    assert not (run / "live" / "requests.jsonl").exists()


@pytest.mark.parametrize("newest", ["15", "13"])
def test_a_killed_run_resumes_from_either_state_and_ends_the_same(newest: str, tmp_path: Path) -> None:
    run = Path(shutil.copytree(FIXTURES / "killed_run", tmp_path / "run"))
    if newest == "13":
        shutil.rmtree(run / "state" / "15")
    trainer = resume(run, Console(quiet=True))
    assert trainer.agent_steps == KILLED_AT[newest]
    assert trainer.run(RecordingWatcher())
    old = load_file(FIXTURES / "killed_run_finished.safetensors")
    new = load_file(run / "agent" / "network.safetensors")
    for name, value in old.items():
        torch.testing.assert_close(new[name], value, rtol=1e-4, atol=1e-5)  # bit for bit on the same kind of processor
    steps = [line.split(",")[0] for line in (run / "metrics.csv").read_text().splitlines()[1:]]
    assert len(steps) == len(set(steps)) + 1  # an evaluation at a step that has a row


def test_its_agent_loads_under_new_names(run: Path) -> None:
    old = load_file(run / "agent" / "network.safetensors")
    policy = load_policy(run)
    state = policy.network.state_dict()  # type: ignore[attr-defined]
    assert {name.replace("head.", "output.", 1) for name in old} == set(state)
    for name, value in old.items():
        assert torch.equal(state[name.replace("head.", "output.", 1)], value)
    q_values = policy.q_values(np.zeros((1, 152), np.float32))
    assert q_values is not None
    assert np.isfinite(q_values).all()


@pytest.mark.parametrize("name", ["pong", "breakout"])
def test_the_old_name_of_the_2013_encoder_is_understood(name: str) -> None:
    manifest = json.loads((PRETRAINED / name / "agent" / "manifest.json").read_text())
    assert manifest["config"]["encoder"] == "workshop"
    policy = load_policy(PRETRAINED / name)
    q_values = policy.q_values(np.zeros((1, 4, 84, 84), np.uint8))
    assert q_values is not None
    assert np.isfinite(q_values).all()
