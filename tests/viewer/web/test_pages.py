"""Pages as files: size, no address of a network in them, names that are text, and errors of one line."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import envs
import play
from agents import recipe
from agents.loading import load_policy
from common.errors import UserError
from common.files import PRETRAINED
from learning.checkpoint import save_agent
from learning.learner import Learner
from tests.tiny import CORRIDOR, UNDRAWN
from viewer.opening import open_session
from viewer.options import Options, read_command_line
from viewer.playing import players
from viewer.web import live, page, recording
from viewer.web.pictures import Sheets
from viewer.web.weights import network_of

ROOT = Path(play.__file__).parent
ADDRESS = re.compile(
    r"(?:https?:)?//[\w.-]+\.\w\w|\b(?:src|href)=|url\(|@import|fetch\(|XMLHttpRequest|WebSocket|\bimport\b"
)


def without_data(text: str) -> str:
    return re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.S)


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found is not None
    return dict(json.loads(found[1]))


def live_text(agent: str = "waterworld", **changes: Any) -> str:
    policy: Any = load_policy(PRETRAINED / agent)
    vars(policy).update(changes)
    rules = players.rules_for(policy.env_id, policy)
    return live.make(policy, rules, seed=1, epsilon=0.0, source=PRETRAINED / agent)


def recorded_text(env_id: str, episodes: int = 1, steps: int = 30, **options: Any) -> str:
    rules = players.rules_for(env_id, None)
    session = open_session(Options(seed=3, **options), None, rules)
    with closing(session.env):
        return recording.make(session, rules, env_id, episodes=episodes, steps=steps)


@pytest.mark.parametrize("agent", ["waterworld", "waterworld_rainbow"])
def test_a_live_page_is_small_and_asks_no_network(agent: str) -> None:
    text = live_text(agent)
    assert len(text.encode()) < 1_000_000
    assert not ADDRESS.search(without_data(text))
    assert "default-src 'none'" in text
    data = data_of(text)
    assert data["levels"][-1]["name"] == "the trained agent's evaluation"
    assert data["horizon"] == 1000
    assert [keys for keys, _ in data["keys"]] == [["left"], ["right"], ["up"], ["down"]]


def test_a_recorded_page_asks_no_network_and_counts_its_steps() -> None:
    text = recorded_text("CartPole-v1", episodes=2, steps=60)
    assert not ADDRESS.search(without_data(text))
    data = data_of(text)
    steps = np.frombuffer(base64.b64decode(data["step"]), "<u4")
    assert data["count"] == len(steps) == np.flatnonzero(steps == 0)[1] + steps[-1] + 1
    assert data["q"] is None
    assert data["picture"]["width"] == recording.WIDEST


def test_names_cannot_leave_their_place() -> None:
    evil = "</script><script>alert(1)</script>\u2028&"
    text = live_text(name=evil)
    assert "<script>alert" not in text
    assert "&lt;/script&gt;&lt;script&gt;alert" in text, "the title"
    assert data_of(text)["title"].startswith(evil)


def test_a_player_without_a_network_is_recorded_instead(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["Waterworld-v0", "--runs-dir", str(tmp_path), "--seed", "1", "--recorded", "--steps", "5"]
    assert play.main([*words, "--export-html", str(tmp_path / "a.html")]) == 0
    said = capsys.readouterr().out
    assert "5 recorded steps" in said
    assert data_of((tmp_path / "a.html").read_text())["count"] == 6
    with pytest.raises(UserError, match="no network that a page can compute; --recorded"):
        network_of(object())
    with pytest.raises(UserError, match="pictures or masks"):
        network_of(load_policy(PRETRAINED / "pong"))


def test_an_agent_too_large_for_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_BYTES", 500_000)
    with pytest.raises(UserError, match=r"\d+,\d+ weights make a page of 0\.6 MB, 0\.5 MB are allowed; --recorded"):
        live_text()


def test_a_recording_too_large_for_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MOST_BYTES", 50_000)
    with pytest.raises(
        UserError, match=r"32 steps make a page of 0\.\d+ MB, 0\.05 MB are allowed; --steps \d+ would fit"
    ):
        recorded_text("CartPole-v1", episodes=9)


@pytest.mark.parametrize("env_id", [CORRIDOR, UNDRAWN])
def test_an_environment_that_cannot_draw_itself(env_id: str, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(UserError, match=rf"{env_id} can't draw itself \(no render_mode rgb_array\)"):
        recorded_text(env_id)
    assert not [one for one in recwarn if "render_modes" in str(one.message)]  # Gymnasium's, beside our line


def test_options_that_contradict_a_page(tmp_path: Path) -> None:
    given = ["--export-html", str(tmp_path / "a.html")]
    for words, message in (
        ([*given, "--human"], "--export-html and --human"),
        ([*given, "--learn", "dqn"], "--export-html and --learn"),
        ([*given, "--record", str(tmp_path / "a.png")], "--export-html and --record"),
        ([*given, "--fps", "20"], "--fps belongs to --record"),
        (["--recorded"], "--recorded belongs to --export-html"),
        (["--export-html", str(tmp_path / "a.pdf")], r"unknown kind '.pdf'; allowed: .html"),
        (["--export-html", str(tmp_path)], "unknown kind ''"),
    ):
        with pytest.raises(UserError, match=message):
            read_command_line(words, None)
    (tmp_path / "a.html").write_text("mine")
    with pytest.raises(UserError, match="the file exists; --overwrite replaces it"):
        read_command_line(given, None)
    assert read_command_line([*given, "--overwrite"], None).overwrite


def test_a_place_that_cannot_be_written_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "a.html"
    command = [sys.executable, str(ROOT / "play.py"), "waterworld", "--export-html", str(path)]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [f"error: --export-html {path}: can't be written (File exists)"]


def test_the_program_writes_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "agent.html"
    assert play.main(["waterworld", "--runs-dir", str(tmp_path), "--export-html", str(path), "--seed", "7"]) == 0
    assert re.search(
        r"agent\.html: it plays and learns in the page, 0\.6 MB; it opens in any browser", capsys.readouterr().out
    )
    assert data_of(path.read_text())["seed"] == 7


def test_pictures_are_kept_once_and_come_back() -> None:
    rng = np.random.default_rng(0)
    kinds = [rng.integers(0, 255, (20, 16, 3), np.uint8) for _ in range(3)]
    sheets = Sheets()
    for place in (0, 1, 0, 2, 2):
        sheets.add(kinds[place])
    sheets.repeat()
    found = sheets.as_json()
    assert found is not None
    assert list(np.frombuffer(base64.b64decode(found["index"]), "<u4")) == [0, 1, 0, 2, 2, 2]
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["sheets"][0]))).convert("RGB"))
    np.testing.assert_array_equal(sheet, np.concatenate(kinds))
    assert Sheets().as_json() is None


def test_worlds_and_scripts_are_named_in_order() -> None:
    for names in page.SCRIPTS.values():
        assert all((page.FOLDER / f"{name}.js").exists() for name in names)
    assert set(live.FRESH) == {"Waterworld", "RLDemo"}
    assert all(envs.is_world(f"tidepool/{name}-v0") for name in live.FRESH)


def test_a_network_that_a_page_cannot_compute_is_recorded_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = recipe("stream_q")
    env: Any = envs.make("tidepool/Waterworld-v1")
    learner = Learner(found, found.config(), env.observation_space, 4, 1)
    save_agent(tmp_path / "run" / "agent", learner, "tidepool/Waterworld-v1", env.observation_space, 0)
    words = [str(tmp_path / "run"), "--seed", "1", "--steps", "4", "--export-html", str(tmp_path / "a.html")]
    assert play.main(words) == 0
    said = capsys.readouterr()
    assert said.err == "stream_q has no network that a page can compute; the page shows episodes of it instead\n"
    assert "4 recorded steps" in said.out
    data = data_of((tmp_path / "a.html").read_text())
    assert len(data["explained"]) == data["count"] == 5
    assert data["explained"][0][0].startswith("step 0:")
    assert len(data["inputs"]["names"]) == 152
