"""--config and --print-config: a file of settings gives the same run again, and what is given beside it wins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import train
from common.errors import UserError
from experiments.command_line import read_command_line
from learning.checkpoint import MANIFEST
from learning.runfolder import as_json

SMALL = ["--total-timesteps", "400", "--num-envs", "4", "--capacity", "1000", "--learning-starts", "100"]
SMALL += ["--evaluations", "2", "--eval-episodes", "3", "--device", "cpu", "--threads", "1", "--engine", "torch"]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert train.main([*words, "--print-config"]) == 0
    about: dict[str, Any] = json.loads(capsys.readouterr().out)
    return about


def test_what_is_printed_is_taken_back_and_options_win(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = printed(capsys, "CartPole-v1", "--agent", "c51", "--gamma", "0.9", "--eval-episodes", "7", "--seed", "5")
    assert (about["env_id"], about["agent"], about["preset"], about["seed"]) == ("CartPole-v1", "c51", "control", 5)
    assert (about["config"]["gamma"], about["eval_episodes"]) == (0.9, 7)
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(about))
    assert printed(capsys, "--config", str(path)) == about
    other = printed(capsys, "Acrobot-v1", "--config", str(path), "--gamma", "0.8", "--seed", "6")
    assert (other["env_id"], other["seed"], other["config"]["gamma"]) == ("Acrobot-v1", 6, 0.8)
    assert other["config"] == about["config"] | {"gamma": 0.8}


def test_a_runs_own_config_gives_the_same_run_again(tmp_path: Path) -> None:
    words = ["CartPole-v1", "--agent", "dqn", *SMALL, "--gamma", "0.95", "--seed", "3", "--name", "first"]
    assert train.main([*words, "--runs-dir", str(tmp_path / "a")]) == 0
    (first,) = (tmp_path / "a").iterdir()
    assert train.main(["--config", str(first / "config.json"), "--runs-dir", str(tmp_path / "b")]) == 0
    (second,) = (tmp_path / "b").iterdir()
    assert (first / "eval.csv").read_bytes() == (second / "eval.csv").read_bytes()
    about = [json.loads((folder / "config.json").read_text()) for folder in (first, second)]
    assert about[0].pop("name") == "first"
    assert "name" not in about[1]
    changing = ("started", "estimate")
    assert {k: v for k, v in about[0].items() if k not in changing} == {
        k: v for k, v in about[1].items() if k not in changing
    }
    weights = [json.loads((folder / "agent" / MANIFEST).read_text())["sha256"] for folder in (first, second)]
    assert weights[0] == weights[1]


def test_a_file_that_has_some_settings_leaves_the_others_to_the_preset(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    path.write_text(json.dumps({"env_id": "CartPole-v1", "agent": "dqn", "config": {"gamma": 0.5}}))
    options, config = read_command_line(["--config", str(path)])
    _, usual = read_command_line(["CartPole-v1", "--agent", "dqn"])
    assert as_json(config) == as_json(usual) | {"gamma": 0.5}
    assert options.preset == "control"


@pytest.mark.parametrize(
    ("text", "words", "fault"),
    [
        ("{", [], "not readable as JSON"),
        ("[]", [], "not an object"),
        ('{"agent": "dqn", "config": {}}', [], "it lacks env_id"),
        ('{"env_id": "CartPole-v1", "agent": "dqn", "config": {"gama": 1}}', [], "settings unknown to this version"),
        ('{"env_id": "CartPole-v1", "agent": "dqn", "config": {"gamma": 7}}', [], "7"),
        ('{"env_id": "CartPole-v1", "agent": "dqn", "config": {}, "seed": -1}', [], "-1"),
        ('{"env_id": "CartPole-v1", "agent": "dqn", "config": {}, "imports": ["no"]}', [], "add --import no"),
        ('{"env_id": "CartPole-v1", "agent": "dqn", "config": {}, "from": {"path": "x"}}', [], "with --from x"),
        ('{"env_id": "CartPole-v1", "agent": "dqn", "config": {}, "format": 9}', [], "this version reads 1"),
        ('{"env_id": "CartPole-v1", "agent": "dqn", "config": {}}', ["--agent", "c51"], "settings of agent dqn"),
        ('{"env_id": "CartPole-v1", "agent": "dqn", "config": {}}', ["--budget", "1m"], "leave one of them out"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(text: str, words: list[str], fault: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(UserError, match=fault) as error:
        train.main(["--config", str(path), "--print-config", *words])
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        train.main(["--config", str(tmp_path / "none.json"), "--print-config"])
