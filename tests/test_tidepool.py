"""Tidepool from Python: docs/python.md as it is written, and what it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tidepool
from common.files import ROOT
from learning.evaluate import EpisodeResult


def test_the_page_works_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) == 6
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    short = blocks[0].replace("total_timesteps=20_000", "total_timesteps=2_000, eval_episodes=5, device='cpu'")
    assert short != blocks[0]
    for block in (short, *blocks[1:]):
        exec(compile(block, "docs/python.md", "exec"), names)
    assert (tmp_path / "runs" / names["run"].name / "eval.csv").exists()
    agent, printed = names["agent"], capsys.readouterr().out
    assert repr(agent) == "<d3qn for CartPole-v1>"
    assert names["episode_return"] >= 8
    assert "CartPole-v1: episode return" in printed
    assert "unknown agent 'dqm'; did you mean dqn" in printed
    assert set(eval(next(line for line in printed.splitlines() if line.startswith("{'left'")))) == {
        *("left", "right", "up", "down")
    }
    (row,) = [row for row in names["table"].rows if row["kind"] == "run"]  # random play stands beside it
    assert (row["env_id"], row["episodes"]) == ("CartPole-v1", "5")


@pytest.fixture(scope="module")
def swimmer() -> tidepool.Agent:
    return tidepool.load("waterworld")


def test_one_observation_and_a_batch_agree(swimmer: tidepool.Agent) -> None:
    obs = np.stack([swimmer.make_env().reset(seed=seed)[0] for seed in range(3)])
    q_values = swimmer.q_values(obs)
    assert q_values.shape == (3, 4)
    np.testing.assert_allclose(swimmer.q_values(obs[1]), q_values[1], rtol=1e-5)
    assert swimmer.act(obs).tolist() == q_values.argmax(1).tolist()
    assert swimmer.act(obs[2]) == q_values[2].argmax()
    rng = np.random.default_rng(0)
    assert {swimmer.act(obs[0], 1.0, rng) for _ in range(60)} == {0, 1, 2, 3}


def test_another_shape_is_an_error_that_names_both(swimmer: tidepool.Agent) -> None:
    with pytest.raises(tidepool.UserError, match=r"have shape \(152\) or \(B, 152\), not \(7,\)"):
        swimmer.q_values(np.zeros(7))


def test_episodes_are_the_same_again(swimmer: tidepool.Agent) -> None:
    first, again = swimmer.play(2, epsilon=0.0), swimmer.play(2, epsilon=0.0)
    assert first == again
    assert [type(one) for one in first] == [EpisodeResult] * 2
    assert all(one.episode_length == 1000 for one in first)
    assert np.mean([one.episode_return for one in first]) > 15
    assert swimmer.play(1, seed=7) != swimmer.play(1, seed=8)


def test_another_package_of_one_of_our_names_does_not_hide_ours(tmp_path: Path) -> None:
    """`agents` of openai-agents, installed beside: it is found before what an editable install adds."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("raise RuntimeError('the other one')\n")
    code = "import tidepool; print(tidepool.load('pretrained/waterworld'))"
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout == "<d3qn for tidepool/Waterworld-v1>\n", done.stderr


def test_scores_are_a_table_of_text_of_markdown_and_of_rows(tmp_path: Path) -> None:
    table = tidepool.scores(tmp_path, "Waterworld-v1")
    assert "Waterworld-v1" in repr(table)
    assert table._repr_markdown_().startswith("## tidepool/Waterworld-v1")
    assert all(row["env_id"].startswith("tidepool/Waterworld") for row in table.rows)
    assert all(row["env_id"].startswith("ALE/Pong") for row in tidepool.scores(tmp_path, "ALE/Pong-v5").rows)


def test_a_notebook_gets_the_table_as_text_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = repr(tidepool.scores(tmp_path, "Waterworld-v1"))
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)  # then rich shows what it should write
    assert repr(tidepool.scores(tmp_path, "Waterworld-v1")) == text
    assert "full_information_planner" in text


def test_nothing_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(tidepool.UserError, match="no such run or agent"):
        tidepool.load(tmp_path / "nothing")
    with pytest.raises(tidepool.UserError, match=r"unknown option '--gama'; did you mean --gamma"):
        tidepool.train("CartPole-v1", gama=0.9)
