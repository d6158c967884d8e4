"""ablate.py: with a fake trainer, and once with the real one."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ablate
from common.errors import UserError
from experiments import ablation_plan, command_line
from tests.experiments.test_local import posix, signal_when

ROOT = Path(__file__).resolve().parent.parent
FAKE = """
import csv, json, os, signal, sys, time
from pathlib import Path
words = sys.argv[1:]
with open(os.environ["FAKE_CALLS"], "a") as file:
    file.write(json.dumps(words) + "\\n")
resumed = words[0] == "--resume"
if resumed:
    run = Path(words[1])
    seed = int(run.name.split("__")[-2])
else:
    value = dict(zip(words, words[1:]))
    seed = int(value["--seed"])
    run = Path(value["--runs-dir"]) / f"CartPole-v1__rainbow__{seed}__{time.time_ns()}"
    run.mkdir()
    settings = {"total_timesteps": 600}
    about = {"env_id": "CartPole-v1", "agent": "rainbow", "seed": seed, "preset": "control", "config": settings}
    (run / "config.json").write_text(json.dumps({"format": 1, "eval_episodes": 2, **about}))
(run / "metrics.csv").write_text("agent_steps,wall_s\\n300,5\\n")
state = run / "state"
what = json.loads(os.environ.get("FAKE", "{}")).get(f"{run.parent.name}/{seed}")
if what == "fail":
    print("Traceback ...")
    sys.exit("error: the loss became nan")
if what == "die":
    state.mkdir()
    (state / "replay.bin").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
if what == "wait" and not resumed:
    received = []
    signal.signal(signal.SIGINT, lambda number, frame: received.append(number))
    Path(os.environ["FAKE_CALLS"]).with_name("waiting").write_text("")
    while not received:
        time.sleep(0.02)
    state.mkdir()
    (state / "counters.json").write_text("{}")
    sys.exit(130)
score = 100 * seed - 10 * ("without" in run.parent.name)
common = ["CartPole-v1", "rainbow", seed, 600, 600]
with (run / "eval.csv").open("w", newline="") as file:
    writer = csv.writer(file)
    columns = "env_id agent seed agent_steps frames episode episode_return episode_length epsilon protocol"
    writer.writerow(columns.split())
    writer.writerows([*common, episode, score, 9, 0.0, "default"] for episode in range(2))
(state / "counters.json").unlink(missing_ok=True)
"""
WORDS = ["CartPole-v1", "--agent", "rainbow", "--parts", "double,noisy", "--total-timesteps", "600"]


class Fake:
    """A fake trainer, and the command lines that it was called with."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls_file, self.out, self.monkeypatch = folder / "calls", folder / "out", monkeypatch
        self.waiting = folder / "waiting"
        script = folder / "fake.py"
        script.write_text(FAKE)
        self.command = [sys.executable, str(script)]
        monkeypatch.setenv("FAKE_CALLS", str(self.calls_file))

    def __call__(self, *words: str, **what: str) -> int:
        """Run ablate.py; ``what`` names the runs that do not simply finish: without_noisy__2="fail"."""
        self.calls_file.unlink(missing_ok=True)
        self.monkeypatch.setenv("FAKE", json.dumps({key.replace("__", "/"): one for key, one in what.items()}))
        return ablate.main([*WORDS, "--out", str(self.out), *words], trainer=self.command)

    @property
    def calls(self) -> list[list[str]]:
        if not self.calls_file.exists():
            return []
        return [json.loads(line) for line in self.calls_file.read_text().splitlines()]

    def rows(self) -> list[dict[str, str]]:
        with (self.out / "ablation.csv").open(newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return Fake(tmp_path, monkeypatch)


def test_every_variant_is_trained_with_every_seed_and_only_once(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert fake("--seeds", "2", "--jobs", "2", "--eval-episodes", "2", "--noisy-sigma", "0.3") == 0
    same = ["CartPole-v1", "--agent", "rainbow", "--preset", "control", "--eval-episodes", "2"]
    same += ["--total-timesteps", "600"]
    expected = []
    for seed in ("1", "2"):
        for variant, own in (
            ("full", ["--noisy-sigma", "0.3"]),
            ("without_double", ["--noisy-sigma", "0.3", "--no-double"]),
            ("without_noisy", ["--no-noisy"]),  # its noise scale has no effect any more
        ):
            place = ["--seed", seed, "--runs-dir", str(fake.out / variant), "--keep-state", "no", "--threads", "1"]
            expected.append([*same, *own, *place])
    assert sorted(fake.calls) == sorted(expected)
    printed = capsys.readouterr().out
    assert "in full, and without double, without noisy" in printed
    assert "[6 of 6]" in printed
    assert "full, seed 1: mean score 100.00" in printed
    assert "\x1b" not in printed
    assert len(fake.rows()) == 6 * 2
    table = (fake.out / "ablation.md").read_text()
    assert "| without noisy | `--no-noisy` | 140.0 | 90.0 to 190.0 | -10.0 | -10.0 to -10.0 | 2 | 600 | 5 s |" in table
    assert (fake.out / "ablation.png").read_bytes().startswith(b"\x89PNG")
    assert fake("--seeds", "2", "--eval-episodes", "2", "--noisy-sigma", "0.3") == 0
    assert fake.calls == []
    assert "6 of them are already finished" in capsys.readouterr().out


def test_seeds_and_parts_added_later_keep_the_finished_runs(fake: Fake) -> None:
    assert fake("--seeds", "1", "--parts", "double") == 0
    assert len(fake.calls) == 2
    assert fake("--seeds", "2") == 0
    assert len(fake.calls) == 4
    assert fake("--seeds", "1", "--plot", str(fake.out / "other.svg")) == 0
    assert fake.calls == []
    assert len(fake.rows()) == 3 * 2
    assert (fake.out / "other.svg").exists()


def test_one_seed_is_reported_as_too_few(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    fake("--seeds", "1")
    assert "One seed: another seed may score very differently" in capsys.readouterr().out


def test_a_failure_is_reported_and_the_other_runs_continue(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    assert fake("--seeds", "2", without_double__1="fail") == 1
    assert len(fake.calls) == 6
    printed = capsys.readouterr().out
    assert "without double, seed 1: FAILED (error: the loss became nan); see" in printed
    assert "MISSING, not trained to the end: without double (seed 1)." in printed
    assert len(fake.rows()) == 5 * 2
    assert fake("--seeds", "2") == 0  # tried again
    assert [call[-5:-2] for call in fake.calls] == [["1", "--runs-dir", str(fake.out / "without_double")]]


@posix
def test_a_killed_run_starts_again_and_its_folder_is_kept_aside(fake: Fake) -> None:
    assert fake("--seeds", "1", full__1="die") == 1
    (dead,) = (fake.out / "full").glob("*__1__*")
    assert fake("--seeds", "1") == 0
    assert len(fake.calls) == 1
    assert "--resume" not in fake.calls[0]
    assert len(list((fake.out / "full").glob("*__1__*"))) == 1
    aside = fake.out / "broken" / "full" / dead.name
    assert (aside / "metrics.csv").exists()
    assert not (aside / "state").exists()
    assert (aside / "seed1.log").exists()


@posix
def test_ctrl_c_lets_the_runs_save_and_the_same_command_resumes(fake: Fake, capsys: pytest.CaptureFixture[str]) -> None:
    signal_when(fake.waiting.exists)
    assert fake("--seeds", "1", without_double__1="wait") == 130
    assert len(fake.calls) == 2  # the third never started
    printed = capsys.readouterr().out
    assert "stopping: waiting for 1 run to save" in printed
    assert f"  python ablate.py {' '.join(WORDS)} --out {fake.out} --seeds 1\n" in printed
    (stopped,) = (fake.out / "without_double").glob("*__1__*")
    assert fake("--seeds", "1") == 0
    assert fake.calls[0] == ["--resume", str(stopped)]
    assert len(fake.calls) == 2
    assert "resumes" in capsys.readouterr().out


def test_other_settings_in_the_same_folder_are_rejected(fake: Fake) -> None:
    assert fake("--seeds", "1") == 0
    for words, fault in (
        (["--gamma", "0.5"], "started with --gamma 0.98, not with --gamma 0.5"),
        (["--preset", "default"], "started with --preset control, not with --preset default"),
        (["--eval-episodes", "3"], "started with --eval-episodes 100, not with --eval-episodes 3"),
        (["--agent", "c51"], "started with --agent rainbow, not with --agent c51"),
    ):
        with pytest.raises(UserError) as error:
            fake(*words, *(["--parts", "head"] if "c51" in words else []))
        assert fault in str(error.value)
        assert fake.calls == []


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["--agent", "dqn"], "dqn has no parts that can be left out"),
        (["CartPole-v1", "--agent", "rainbow", "--parts", "dubble"], "unknown part 'dubble'; did you mean double?"),
        (["CartPole-v1", "--agent", "rainbov"], "unknown agent 'rainbov'; did you mean rainbow"),
        (["CartPole-v2000", "--agent", "rainbow"], "CartPole-v2000"),
        (["CartPole-v1", "--agent", "rainbow", "--totl-timesteps", "5"], "did you mean --total-timesteps"),
        (["CartPole-v1", "--agent", "rainbow", "--part", "double"], "unknown option '--part'; did you mean --parts"),
        (["CartPole-v1", "--agent", "rainbow", "--gamma", "1.5"], "--gamma 1.5 is out of range"),
        (["CartPole-v1", "--agent", "rainbow", "--loss", "mse"], "--loss has no effect without --head expected"),
        (["CartPole-v1", "--agent", "rainbow", "--seed", "3"], "--seed is not allowed in an ablation; seeds 1 to N"),
        (
            ["CartPole-v1", "--agent", "rainbow", "--runs-dir", "x"],
            "--runs-dir is not allowed in an ablation; use --out",
        ),
        (["--resume", "x"], "run the same command again to resume stopped runs"),
        (["CartPole-v1", "--agent", "rainbow", "--seeds", "0"], "--seeds 0 is out of range"),
        (["CartPole-v1", "--agent", "rainbow", "--seeds"], "--seeds"),
        (["CartPole-v1", "--agent", "rainbow", "--jobs=0"], "--jobs 0 is out of range"),
        (["CartPole-v1", "--agent", "rainbow", "--plot", "a.gif"], "allowed: .png, .pdf, .svg"),
        (["CartPole-v1", "Acrobot-v1", "--agent", "rainbow"], "unexpected argument 'Acrobot-v1'"),
    ],
)
def test_errors_are_one_line_and_no_folder_is_made(words: list[str], fault: str, fake: Fake) -> None:
    with pytest.raises(UserError) as error:
        ablate.main([*words, "--out", str(fake.out)], trainer=fake.command)
    assert fault in str(error.value)
    assert "\n" not in str(error.value)
    assert fake.calls == []
    assert not fake.out.exists()


def test_default_folder_and_chart() -> None:
    plan = ablation_plan.read_command_line(["ALE/Pong-v5", "--agent", "rainbow", "--device", "cpu"])
    assert plan.out == Path("ablations/ALE-Pong-v5__rainbow")
    assert plan.plot == plan.out / "ablation.png"
    assert (plan.preset, plan.seeds) == ("cpu", 3)


@pytest.mark.parametrize("agent", ["rainbow", "btr", "pqn"])
def test_train_accepts_every_variant_with_the_settings_of_the_plan(agent: str) -> None:
    """All settings are those of the full recipe, except the part."""
    more = ["--epochs", "3"] if agent == "pqn" else ["--noisy-sigma", "0.3", "--priority-exponent", "0.3"]
    plan = ablation_plan.read_command_line(
        ["CartPole-v1", "--agent", agent, "--hidden", "8", "9", "--evaluations", "7", *more]
    )
    for one in plan.variants:
        options, config = command_line.read_command_line(one.entry.words)
        assert (options.agent, options.preset, options.evaluations) == (agent, "control", 7)
        changed = {
            field.name
            for field in dataclasses.fields(config)
            if getattr(config, field.name) != getattr(plan.config, field.name)
        }
        part = one.name.removeprefix("without ")
        own = {"noisy": {"noisy_sigma"}, "prioritized": {"priority_exponent"}}.get(part, set())
        assert changed - own == (set() if one.name == "full" else {part})


def test_with_the_real_trainer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "CartPole-v1",
        "--agent",
        "double_dqn",
        "--parts",
        "double",
        "--seeds",
        "1",
        "--total-timesteps",
        "600",
        "--num-envs",
        "4",
        "--capacity",
        "2000",
        "--learning-starts",
        "100",
        "--evaluations",
        "1",
        "--eval-episodes",
        "3",
        "--device",
        "cpu",
        "--threads",
        "1",
        "--out",
        str(tmp_path / "out"),
    ]
    environment = {**os.environ, "MPLBACKEND": "TkAgg"}  # needs a screen, so it must not be used
    command = [sys.executable, str(ROOT / "ablate.py"), *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[2 of 2] without double, seed 1: mean score" in done.stdout
    assert "One seed" in done.stdout
    out = tmp_path / "out"
    about = [json.loads(path.read_text()) for path in sorted(out.glob("*/CartPole-v1__double_dqn__1__*/config.json"))]
    assert [(one["config"]["double"], one["seed"], one["threads"]) for one in about] == [(True, 1, 1), (False, 1, 1)]
    with (out / "ablation.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["variant"] for row in rows] == ["full"] * 3 + ["without double"] * 3
    assert {row["agent_steps"] for row in rows} == {"600"}
    assert all(rows[0].values())
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*")}
    (out / "ablation.md").unlink()
    assert ablate.main(words, trainer=["must not be called"]) == 0
    assert "2 of them are already finished" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*")} == before
    assert (out / "ablation.md").exists()
