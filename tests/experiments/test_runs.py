"""runs.py: what it lists, how it names states, and that it removes and packs what a run made and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import psutil
import pytest
from rich.console import Console

import runs
from agents import load_policy
from common.errors import UserError
from common.files import ROOT
from experiments import run_files, run_table
from experiments.run_status import Status, find, status_of
from scores.finding import find_all
from tests.scores.helpers import make_run

FIXTURES = ROOT / "tests" / "fixtures"
STOPPED, KILLED = "tidepool-Waterworld-v1__dqn__1__20261127-101530", "CartPole-v1__dqn__2__20261127-101531"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a run in each state but running."""
    monkeypatch.chdir(tmp_path)
    finished = make_run(Path("runs"), [17.0, 19.0], agent="d3qn", time="20261127-101529")
    about = json.loads((finished / "config.json").read_text())
    (finished / "config.json").write_text(json.dumps({**about, "name": "best", "started": "2026-11-27T10:15:29+0000"}))
    shutil.copytree(FIXTURES / "stopped_run", f"runs/{STOPPED}")
    configuration = Path("sweeps/CartPole-v1_dqn-abc/CartPole-v1_dqn")
    shutil.copytree(FIXTURES / "killed_run", configuration / KILLED)
    (configuration / KILLED / "live").mkdir()
    (configuration / KILLED / "live" / "running.json").write_text("[[2147483646, 1.0]]")
    damaged = make_run(Path("ablations/x/base"), [1.0], agent="pqn", seed=3)
    (damaged / "config.json").write_text("{")
    return tmp_path


def of(states: dict[str, Status], agent: str) -> Status:
    return next(one for one in states.values() if one.agent == agent)


def listed() -> dict[str, Status]:
    return {path.name: status_of(path) for path in find_all(map(Path, ("runs", "sweeps", "ablations")))}


def test_every_run_has_its_state(folder: Path) -> None:
    found = listed()
    assert {one.state for one in found.values()} == {"finished", "stopped", "killed", "damaged"}
    assert (found[STOPPED].state, found[STOPPED].can_resume) == ("stopped", True)
    assert (found[KILLED].state, found[KILLED].can_resume) == ("killed", True)
    d3qn = of(found, "d3qn")
    assert (d3qn.state, d3qn.score, d3qn.steps, d3qn.name) == ("finished", 18.0, 1_000, "best")
    pqn = of(found, "pqn")  # its table still says what it is
    assert (pqn.state, pqn.env_id, pqn.seed) == ("damaged", "tidepool/Waterworld-v1", 3)
    assert "config.json" in pqn.why


@pytest.mark.parametrize("name", ["metrics.csv", "eval.csv"])
@pytest.mark.parametrize("data", [bytes(range(7, 250)) * 900, b"\x93\n", b"x,y\n1,2\n"])
def test_a_table_of_something_else_is_damage(folder: Path, name: str, data: bytes) -> None:
    path = folder / "runs" / STOPPED
    (path / name).write_bytes(data)
    found = status_of(path)
    assert (found.state, found.can_resume) == ("damaged", False)
    assert found.why == f"{name}: damaged, its first line names no column agent_steps"


def test_a_table_that_is_not_there_yet_is_none(folder: Path) -> None:
    path = folder / "runs" / STOPPED
    (path / "eval.csv").unlink(missing_ok=True)
    for begun in ("", "agent_"):  # as a crash of the machine leaves it
        (path / "metrics.csv").write_text(begun)
        assert status_of(path).state == "stopped"


def test_a_run_with_a_live_process_is_running_and_never_pruned(folder: Path) -> None:
    path = folder / "runs" / STOPPED
    (path / "live").mkdir()
    me = psutil.Process()
    (path / "live" / "running.json").write_text(json.dumps([[me.pid, me.create_time()]]))
    assert status_of(path).state == "running"
    before = sorted(path.rglob("*"))
    with pytest.raises(UserError, match=r"is being trained .* nothing was removed"):
        runs.main(["prune", STOPPED, "--whole", "--yes"])
    with pytest.raises(UserError, match="trains it"):
        run_files.prune(path, whole=True)
    assert sorted(path.rglob("*")) == before


def test_the_list_and_its_filters(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runs.main([]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0].split() == [
        "run",
        "environment",
        "agent",
        "seed",
        "steps",
        "score",
        "state",
        "size",
        "age",
    ]
    assert "4 runs: 1 stopped, 1 killed, 1 finished, 1 damaged" in text
    for words, expected in (
        (["--state", "finished"], {"d3qn"}),
        (["--agent", "pqn"], {"pqn"}),
        (["--env-id", "waterworld", "--agent", "d3qn"], {"d3qn"}),
        (["--name", "best"], {"d3qn"}),
        (["*d3qn*"], {"d3qn"}),
        (["best"], {"d3qn"}),
        (["list", "20261127-101529"], {"d3qn"}),
        (["--runs-dir", "ablations"], {"pqn"}),
    ):
        runs.main([*words, "--format", "json"])
        assert {one["agent"] for one in json.loads(capsys.readouterr().out)} == expected, words
    runs.main(["--state", "running"])
    assert capsys.readouterr().out == "no such run\n"
    for words, line in (
        (["--agent", "d3qm"], "--agent d3qm: no run here has it; did you mean d3qn?"),
        (
            ["prune", "--env-id", "Waterwold-v1"],
            "--env-id Waterwold-v1: no run here has it; did you mean Waterworld?",
        ),
    ):
        with pytest.raises(UserError, match=re.escape(line)):
            runs.main(words)
    runs.main(["--format", "csv"])
    assert capsys.readouterr().out.count("\n") == 5


def test_show_prints_one_run_in_full(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs.main(["show", "best"])
    text = capsys.readouterr().out
    for words in ("18 over 2 episodes", "waterworld-1000", "state        finished", "-50", "learning_rate 0.0005"):
        assert words in text
    runs.main(["show", STOPPED])
    assert f"python train.py --resume runs/{STOPPED}" in capsys.readouterr().out
    with pytest.raises(UserError, match="takes one run, and these words mean 2 runs"):
        runs.main(["show", "tidepool*", "--runs-dir", "runs"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show"], "needs a run"),
        (["show", "nonsense"], "no run 'nonsense'; known: "),
        (["shwo", "best"], "no run 'shwo'; did you mean show?"),
        (["prune"], "needs runs"),
        (["--whole"], "--whole belongs to python runs.py prune"),
        (["--runs-dir", "nowhere"], "no such folder"),
        (["ALE/Pong-v5"], "no run 'ALE/Pong-v5'; those of an environment: python runs.py --env-id ALE/Pong-v5"),
        (["export", "best", "--out", "a.tar"], r"ends in \.zip"),
        (["prune", "best", "--whole"], "nobody is here to ask"),
    ],
)
def test_what_makes_no_sense_is_said(folder: Path, words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        runs.main(words)


def test_the_newest_run_has_a_name(folder: Path) -> None:
    known = find_all([Path("runs")])
    (newest,) = find("newest", known)
    assert newest.name.rpartition("__")[2] == max(path.name.rpartition("__")[2] for path in known)
    with pytest.raises(UserError, match="no run 'newest'; there is none here yet"):
        find("newest", [])


def test_prune_keeps_the_agent_and_with_whole_what_the_run_did_not_make(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "runs" / STOPPED
    (path / "notes.txt").write_text("mine")
    elsewhere = folder / "precious.json"
    elsewhere.write_text("{}")
    (path / "state" / "link.json").symlink_to(elsewhere)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "n")
    assert runs.main(["prune", STOPPED, "--yes"]) == 0
    assert "1 of them can't be resumed then" in capsys.readouterr().out
    assert {one.name for one in path.iterdir()} == {"agent", "config.json", "metrics.csv", "notes.txt", "state"}
    assert os.listdir(path / "state") == ["link.json"]
    assert load_policy(path).env_id
    (path / "state" / "link.json").unlink()
    runs.main(["prune", STOPPED, "--whole", "--yes"])
    assert f"runs/{STOPPED}: left are notes.txt" in capsys.readouterr().out
    assert [one.name for one in path.iterdir()] == ["notes.txt"]
    assert elsewhere.read_text() == "{}"


def test_prune_asks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments import managing
    from experiments.run_options import Options

    questions = []

    def answer(question: str) -> str:
        questions.append(question)
        return "no"

    options = Options(words=("prune", "best"), whole=True)
    assert managing.prune(options, Console(), answer) == 1
    assert questions == ["remove? [y/N] "]
    assert status_of(find("best", find_all([Path("runs")]))[0].resolve()).state == "finished"
    assert managing.prune(options, Console(), lambda question: "y") == 0
    assert not list(Path("runs").glob("*d3qn*"))


def test_what_is_exported_can_be_played_and_resumed(folder: Path, tmp_path: Path) -> None:
    runs.main(["export", STOPPED, "--out", "out/a.zip", "--with-state"])
    with pytest.raises(UserError, match="the file exists"):
        runs.main(["export", STOPPED, "--out", "out/a.zip"])
    with zipfile.ZipFile("out/a.zip") as archive:
        assert all(name.startswith(f"{STOPPED}/") for name in archive.namelist())
        archive.extractall("there")
    assert status_of(Path("there") / STOPPED).can_resume
    done = subprocess.run(
        [sys.executable, str(ROOT / "play.py"), str(tmp_path / "there" / STOPPED), "--record", "a.png", "--steps", "2"],
        capture_output=True,
        text=True,
        env={**os.environ, "SDL_VIDEODRIVER": "dummy"},
    )
    assert done.returncode == 0, done.stderr
    runs.main(["export", STOPPED, "--out", "out/a.zip", "--overwrite"])
    with zipfile.ZipFile("out/a.zip") as archive:
        assert not [name for name in archive.namelist() if "/state/" in name]


def test_of_a_damaged_run_what_is_not_known_is_said_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "runs" / STOPPED / "config.json").write_text("{")
    runs.main(["show", STOPPED])
    out = capsys.readouterr().out
    assert "config.json: not readable as JSON" in out
    assert re.search(r"^commit +\? *$", out, re.MULTILINE)
    assert "None" not in out


def test_a_damaged_run_is_packed_and_said_to_be_damaged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "runs" / STOPPED / "config.json").write_text("{")
    (folder / "runs" / STOPPED / "tracking.json").write_text("{}")
    assert runs.main(["export", STOPPED]) == 1
    out = capsys.readouterr().out
    assert f"note: runs/{STOPPED} is damaged, and packed as it is: config.json: not readable as JSON" in out
    assert "unpack and play it" not in out
    with zipfile.ZipFile(f"{STOPPED}.zip") as archive:  # without what names runs in its owner's accounts
        assert not [name for name in archive.namelist() if name.endswith("tracking.json")]


def test_weights_of_another_agent_are_not_packed(folder: Path) -> None:
    agent = folder / "runs" / STOPPED / "agent"
    data = bytearray((agent / "network.safetensors").read_bytes())
    data[-1] ^= 1
    (agent / "network.safetensors").write_bytes(data)
    with pytest.raises(UserError, match=r"damaged, network.safetensors is not the one that manifest.json describes"):
        runs.main(["export", STOPPED])
    assert not list(folder.glob("*.zip"))


def test_links_out_of_a_run_are_not_packed(folder: Path) -> None:
    secret = folder / "secret"
    secret.write_text("x")
    (folder / "runs" / STOPPED / "eval.csv").symlink_to(secret)
    with pytest.raises(UserError, match="a link out of its folder"):
        runs.main(["export", STOPPED])
    assert not list(folder.glob("*.zip"))


def test_texts() -> None:
    assert [run_table.size_text(n) for n in (12, 4_200, 9.96e6, 3.1e9)] == ["12 B", "4.2 kB", "10 MB", "3.1 GB"]
    assert [run_table.age_text(n) for n in (30, 600, 7_300, 200_000)] == ["30 s", "10 min", "2 h", "2 days"]
    assert [run_table.count_text(n) for n in (None, 999, 800_000, 1_250_000)] == ["?", "999", "800k", "1.25M"]
    assert run_table.count_text(999_600) == "1,000k"


def test_a_run_s_name_may_look_like_an_environment_s() -> None:
    with pytest.raises(UserError, match="no run 'best-v3'; did you mean best-v2"):
        find("best-v3", [Path("runs/best-v2")])
