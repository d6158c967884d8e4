"""Agents on disk: damaged, truncated or missing files are rejected with their name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agents import load_policy
from common.errors import UserError
from learning.checkpoint import MANIFEST, WEIGHTS
from tests.learning.helpers import trainer


@pytest.fixture(scope="module")
def saved_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    run = trainer(tmp_path_factory.mktemp("run"), "CartPole-v1")
    run.save_agent()
    return {name: (run.run_folder.agent / name).read_bytes() for name in (MANIFEST, WEIGHTS)}


@pytest.fixture
def agent(saved_files: dict[str, bytes], tmp_path: Path) -> Path:
    for name, data in saved_files.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def edit(key: str, value: object) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps({**json.loads(data), key: value}).encode()


def drop(key: str) -> Callable[[bytes], bytes]:
    return lambda data: json.dumps({k: v for k, v in json.loads(data).items() if k != key}).encode()


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        (WEIGHTS, lambda data: data[:-10], "damaged or truncated"),
        (WEIGHTS, lambda data: data[:-1] + bytes([data[-1] ^ 1]), "damaged or truncated"),
        (WEIGHTS, lambda data: b"", "damaged or truncated"),
        (MANIFEST, lambda data: data[: len(data) // 2], "not readable as JSON"),
        (MANIFEST, lambda data: b"\xff\xfe", "not readable as JSON"),
        (MANIFEST, drop("sha256"), "lacks sha256"),
        (MANIFEST, lambda data: b"[]", "damaged, it lacks"),
        (MANIFEST, edit("format", 99), "format 99 is unknown; this version reads 1"),
        (MANIFEST, edit("agent", "dqm"), "unknown agent 'dqm'; did you mean dqn"),
        (
            MANIFEST,
            edit("num_actions", 3),
            r"does not fit manifest\.json: output\.linear\.weight is \(2, 16\), not \(3, 16\)",
        ),
        (
            MANIFEST,
            edit("observation", {"shape": [5], "dtype": "float32"}),
            r"does not fit manifest\.json: scale\.factor is \(4,\), not \(5,\)",
        ),
        (MANIFEST, edit("config", {"wings": 2}), "settings unknown to this version: wings"),
    ],
)
def test_damaged_files_are_reported(agent: Path, file: str, damage: Callable[[bytes], bytes], message: str) -> None:
    load_policy(agent)  # undamaged, it loads
    (agent / file).write_bytes(damage((agent / file).read_bytes()))
    with pytest.raises(UserError, match=message) as error:
        load_policy(agent)
    assert "\n" not in str(error.value)
    assert "unknown agent" in message or file in str(error.value)


@pytest.mark.parametrize("file", [WEIGHTS, MANIFEST])
def test_a_missing_file_is_reported(agent: Path, file: str) -> None:
    (agent / file).unlink()
    with pytest.raises(UserError, match=r"no such file|no agent here yet"):
        load_policy(agent)


def test_a_missing_run_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run or agent"):
        load_policy(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no agent here yet"):
        load_policy(tmp_path)


def test_an_agent_of_format_1_loads(tmp_path: Path) -> None:
    """The pretrained agent is the fixture of format 1: it must load in every later version."""
    policy = load_policy(Path(__file__).parents[2] / "pretrained" / "waterworld")
    assert policy.env_id == "tidepool/Waterworld-v1"
