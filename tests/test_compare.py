"""compare.py, run as a user does."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import compare
from common.errors import UserError
from scores import selection
from tests.scores.helpers import RLDEMO, V1, atari_run, human, make_run, write_human_scores

ROOT = Path(__file__).resolve().parent.parent


def run(*words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the program without a screen and return its output."""
    env = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    env |= {"MPLBACKEND": "TkAgg"}  # needs a screen, so it must not be used
    command = [sys.executable, str(ROOT / "compare.py"), *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three seeds, one damaged run, one human player."""
    folder = tmp_path / "runs"
    for seed, score in ((1, 26.0), (2, 28.0), (3, 25.0)):
        make_run(folder, [score - 1, score, score + 1], seed=seed)
    (make_run(folder, [1.0], seed=4) / "eval.csv").write_text("env_id,ag")
    write_human_scores(folder, human("Anna", 18.0), human("Anna", 23.0))
    return folder


def test_random_play_and_the_optimum_stand_beside_runs_of_gymnasiums_environments(tmp_path: Path) -> None:
    make_run(tmp_path, [0.0, 1.0, 1.0], env_id="FrozenLake-v1", protocol="gymnasium-default")
    done = run("--runs-dir", tmp_path, "--env-id", "FrozenLake-v1", "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["environments"]["FrozenLake-v1"]["rows"]
    assert [row["name"] for row in rows] == ["optimum", "dqn seed 1", "random"]
    assert rows[0]["mean"] == pytest.approx(0.7442, abs=1e-4)
    assert rows[0]["ci95"] is None
    assert rows[2]["mean"] == pytest.approx(0.014, abs=0.01)
    assert {row["protocol"] for row in rows} == {"gymnasium-default"}
    listed = run("--runs-dir", tmp_path, "--format", "json")
    assert "Taxi-v4" not in json.loads(listed.stdout)["environments"], "only environments that have scores of runs"


def test_the_table(runs: Path) -> None:
    done = run("--runs-dir", runs)
    assert done.returncode == 0, done.stderr
    for name in (
        "dqn seed 1",
        "dqn seed 2",
        "dqn seed 3",
        "dqn, mean of 3 seeds",
        "Anna",
        "random",
        "apple_chaser",
        "karpathy_pretrained_eps_0.05",
        "full_information_planner",
        "sb3_dqn_100k_steps",
    ):
        assert name in done.stdout, name
    assert "Fewer than 5 seeds of dqn" in done.stdout
    assert "same game with the same rewards" in done.stdout
    assert "\x1b" not in done.stdout, "no colours in a pipe"
    assert f"warning: {runs}" in done.stderr
    assert "Traceback" not in done.stderr


def test_json_and_a_chart_without_a_screen(runs: Path, tmp_path: Path) -> None:
    chart = tmp_path / "scores.png"
    done = run("--runs-dir", runs, "--format", "json", "--plot", chart, "--env-id", "Waterworld-v1")
    assert done.returncode == 0, done.stderr
    environments = json.loads(done.stdout)["environments"]
    assert list(environments) == [V1]
    means = {row["name"]: row["mean"] for row in environments[V1]["rows"]}
    assert means["dqn, mean of 3 seeds"] == pytest.approx(79 / 3)
    assert means["Anna"] == 20.5
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_markdown(runs: Path) -> None:
    done = run("--runs-dir", runs, "--format", "markdown")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"## {V1}\n")
    assert "| dqn seed 2 | run | 28.00 |" in done.stdout


def test_without_runs_it_shows_the_references_and_how_to_train(tmp_path: Path) -> None:
    done = run(cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "full_information_planner" in done.stdout
    assert f"No runs of {V1} yet; train one: python train.py {V1}" in done.stdout
    assert RLDEMO in done.stdout


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--format", "tabel"], "did you mean table?"),
        (["--agents", "dqm"], "unknown published agent 'dqm'; did you mean dqn"),
        (["--formt", "json"], "did you mean --format"),
        (["--env-id", "Waterwrld-v1"], "Waterworld-v1"),
        (["--runs-dir", "no/such/folder"], "no such folder"),
        (["tidepool-Waterworld-v1__dqn__1__2020"], "no run folder 'tidepool-Waterworld-v1__dqn__1__2020'; runs"),
        (["ALE/Boxing-v5"], "no run folder 'ALE/Boxing-v5'; an environment is chosen by --env-id ALE/Boxing-v5"),
        (["--plot", "scores.xyz"], "allowed: .png, .pdf, .svg"),
        (["--plot", "/dev/null/scores.png"], "--plot /dev/null/scores.png: can't be written"),
        (["--curves", "/dev/null/curves.png"], "--curves /dev/null/curves.png: can't be written"),
    ],
)
def test_invalid_input_is_one_line_and_nothing_is_printed(words: list[str], fault: str, tmp_path: Path) -> None:
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert fault in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_runs_are_named_by_folder_or_path(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = sorted(runs.glob("*__dqn__*"))[:2]
    compare.main(["--runs-dir", str(runs), first.name, str(second), "--format", "json"])
    environments = json.loads(capsys.readouterr().out)["environments"]
    names = {row["name"] for row in environments[V1]["rows"] if row["kind"] == "run"}
    assert names == {"dqn seed 1", "dqn seed 2", "dqn, mean of 2 seeds"}
    with pytest.raises(UserError, match=f"did you mean {first.name}"):
        compare.main(["--runs-dir", str(runs), first.name + "x"])


@pytest.fixture
def atari_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two seeds in Pong, one run in Breakout under another protocol and preset; no pretrained agents."""
    monkeypatch.setattr(selection, "PRETRAINED", tmp_path / "none")
    folder = tmp_path / "runs"
    for seed, score in ((1, 16.0), (2, 18.0)):
        atari_run(folder, "Pong", [score, score], seed=seed, earlier=[-20.0])
    atari_run(folder, "Breakout", [40.0], preset="nature", protocol="machado2018")
    return folder


def test_atari_runs_have_a_table_after_the_others(atari_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare.main(["--runs-dir", str(atari_runs)])
    alone = capsys.readouterr().out
    assert alone.startswith("Atari: score and percentage of human, 2 games"), "what was trained, and nothing else"
    make_run(atari_runs, [1.0])
    compare.main(["--runs-dir", str(atari_runs)])
    text = capsys.readouterr().out
    assert text.index("full_information_planner") < text.index("Atari: score and percentage of human, 2 games")
    assert "17.0  107 %" in text
    assert "Sticky actions" in text


def test_atari_options_show_atari_alone(atari_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(atari_runs, [1.0])
    words = ["--runs-dir", str(atari_runs), "--format", "json"]
    compare.main(words)
    assert set(json.loads(capsys.readouterr().out)) == {"environments", "games", "aggregates"}
    for more, games in (
        (["--env-id", "ALE/Pong-v5"], {"Pong"}),
        (["--games", "Breakout, ALE/Pong-v5"], {"Breakout", "Pong"}),
        (["--protocol", "machado2018"], {"Breakout"}),
        (["--agents", "sb3zoo_dqn", "--games", "Qbert"], {"Qbert"}),
        (["--at-frames", "10000000"], {"Breakout", "Pong"}),
    ):
        compare.main([*words, *more])
        shown = json.loads(capsys.readouterr().out)
        assert (set(shown), set(shown["games"])) == ({"games", "aggregates"}, games), more


def test_named_atari_runs(atari_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (breakout,) = atari_runs.glob("ALE-Breakout*")
    compare.main(["--runs-dir", str(atari_runs), breakout.name, "--format", "json"])
    shown = json.loads(capsys.readouterr().out)
    assert (set(shown), set(shown["games"])) == ({"games", "aggregates"}, {"Breakout"})
    compare.main(["--runs-dir", str(atari_runs), "--env-id", "Waterworld-v1", "--format", "json"])
    assert set(json.loads(capsys.readouterr().out)) == {"environments"}


def test_csv(atari_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(atari_runs, [1.0])
    compare.main(["--runs-dir", str(atari_runs), "--format", "csv"])
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    found = {(row["env_id"], row["who"]): row["score"] for row in rows}
    assert found["ALE/Pong-v5", "dqn cpu"] == "17.0"
    assert found[V1, "apple_chaser"] == "31.42"


def test_mixed_protocols_need_an_option(atari_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    atari_run(atari_runs, "Breakout", [30.0], protocol="mnih2015", time="20261123-101531")
    words = ["--runs-dir", str(atari_runs), "--games", "Pong,Breakout"]
    with pytest.raises(UserError, match=r"runs of dqn cpu have different protocols: dqn_zoo \(Pong\), mnih2015"):
        compare.main(words)
    compare.main([*words, "--mix-protocols"])
    assert "dqn cpu MIXES protocols (dqn_zoo + mnih2015)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--games", "Pnog"], "unknown Atari game 'Pnog'; did you mean Pong"),
        (["--env-id", "ALE/Pnog-v5"], "unknown Atari game 'ALE/Pnog-v5'; did you mean"),
        (["--env-id", "ALE/Pong-v55"], "unknown environment 'ALE/Pong-v55'; did you mean ALE/Pong-v5?"),
        (["--agents", " , "], "--agents ' , ': expected comma-separated names"),
        (["--at-frames", "5"], "--at-frames 5 is out of range"),
        (["--protocol", "machado"], "did you mean machado2018"),
        (["--agents", "dqn", "--env-id", "Waterworld-v1"], "is not an Atari game"),
        (["--agents", "dqn", "--plot", "x.gif"], "allowed: .png, .pdf, .svg"),
    ],
)
def test_invalid_atari_options(words: list[str], fault: str, atari_runs: Path) -> None:
    with pytest.raises(UserError) as caught:
        compare.main(["--runs-dir", str(atari_runs), *words])
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_published_agents_before_any_training(tmp_path: Path) -> None:
    """The README's command, without a screen."""
    done = run("--agents", "dqn_mnih2015,rainbow,iqn", "--plot", "published.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Atari: score and percentage of human, 57 games, sorted by the percentage of dqn_mnih2015" in done.stdout
    assert "Waterworld" not in done.stdout
    assert (tmp_path / "published.png").read_bytes().startswith(b"\x89PNG")
    assert done.stderr == "chart: published.png\n"


def test_scores_need_neither_torch_nor_agents() -> None:
    """The table must not need the training code, and must start fast."""
    code = "import scores, sys; print(sorted({'torch', 'agents', 'learning', 'envs'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
