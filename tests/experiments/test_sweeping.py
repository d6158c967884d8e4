"""sweep.py from the command line: with a stub in place of the trainer, and once with the real one."""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import train
from common.errors import UserError
from common.files import ROOT
from experiments import plan, slurm, sweeping
from experiments.command_line import read_command_line
from experiments.plan import Needs, Planned
from tests.experiments.stub import Stub, plan_of, stub
from tests.experiments.test_local import posix, signal_when

__all__ = ["stub"]
WORDS = ["CartPole-v1", "--total-timesteps", "600", "--device", "cpu"]


def sweep(stub: Stub, *words: str) -> int:
    return sweeping.main([*words], trainer=stub.command, apart=False)


def test_every_combination_is_trained_once_and_reported(
    stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.behave()
    out = tmp_path / "out"
    words = [*WORDS, "--agents", "dqn", "pqn", "--seeds", "1-2", "--jobs", "2", "--out", str(out)]
    assert sweep(stub, *words) == 0
    assert len(stub.calls) == 4
    assert all(call[-2:] == ["--threads", "1"] for call in stub.calls)
    printed = capsys.readouterr().out
    assert f"4 runs: CartPole-v1 x 2 agents x 2 seeds, in {out}" in printed
    assert "2 at a time (fitting: " in printed
    assert "[4 of 4] CartPole-v1 " in printed
    with (out / "sweep.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["agent"], row["seed"], row["score"]) for row in rows} == {
        (agent, seed, f"{seed}00.0") for agent in ("dqn", "pqn") for seed in ("1", "2")
    }
    assert "| dqn | run | 150.00 | 100.00 to 200.00 |" in (out / "sweep.md").read_text()
    assert (out / "sweep.png").read_bytes().startswith(b"\x89PNG")
    stub.behave()
    assert sweep(stub, *words) == 0
    assert stub.calls == []
    assert "4 of them are already finished" in capsys.readouterr().out
    assert sweep(stub, "--plan", str(out), "--retry-failed") == 0
    assert stub.calls == []


def test_a_part_of_a_plan_is_trained_and_the_rest_later(
    stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.behave()
    one = plan_of(tmp_path / "out", ("dqn", "pqn"))
    plan.prepare(one)
    assert sweep(stub, "--plan", str(one.out), "--agents", "pqn", "--seeds", "1") == 0
    assert [call[2] for call in stub.calls] == ["pqn"]
    printed = capsys.readouterr().out
    assert f"1 run: 1 run of {one.out}" in printed
    assert "MISSING, not trained to the end: CartPole-v1 dqn, seed 1" in printed
    assert len(plan.read(one.out).entries) == 4
    stub.behave()
    assert sweep(stub, "--plan", str(one.out)) == 0
    assert len(stub.calls) == 3


def test_a_grid_has_the_marginal_effect_of_each_setting(stub: Stub, tmp_path: Path) -> None:
    """The stub scores 100 a seed, and the learning rate on top."""
    stub.behave()
    out = tmp_path / "out"
    grid = ["--vary", "learning-rate=0.25,0.5", "gamma=0.9,0.8", "--seeds", "1-2", "--out", str(out)]
    assert sweep(stub, *WORDS, "--agents", "dqn", *grid) == 0
    page = (out / "sweep.md").read_text()
    assert "| CartPole-v1 | dqn | learning-rate | 0.25 | 150.2 | 100.2 to 200.2 | 4 |" in page
    assert "| CartPole-v1 | dqn | gamma | 0.8 | 150.4 | 100.4 to 200.4 | 4 |" in page


def test_failures_are_reported_and_retried_only_when_asked_for(
    stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.behave(dqn__2="fail")
    words = [*WORDS, "--agents", "dqn", "--seeds", "2", "--out", str(tmp_path / "out")]
    assert sweep(stub, *words) == 1
    printed = capsys.readouterr().out
    assert "FAILED (error: the loss became nan); see" in printed
    assert "MISSING, not trained to the end: CartPole-v1 dqn, seed 2." in printed
    stub.behave()
    assert sweep(stub, *words) == 1
    assert stub.calls == []
    assert "1 failed before and is left out; --retry-failed tries again" in capsys.readouterr().out
    assert sweep(stub, "--status", str(tmp_path / "out")) == 1
    assert "error: the loss became nan" in capsys.readouterr().out
    assert sweep(stub, *words, "--retry-failed") == 0
    assert len(stub.calls) == 1


@posix
def test_ctrl_c_stops_all_and_the_same_command_goes_on(
    stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stub.behave(dqn__1="wait", dqn__2="wait")
    words = [*WORDS, "--agents", "dqn", "--seeds", "3", "--jobs", "2", "--out", str(tmp_path / "out")]
    signal_when(lambda: stub.waiting.exists() and len(stub.waiting.read_text().splitlines()) == 2)
    assert sweep(stub, *words) == 130
    printed = capsys.readouterr().out
    assert "stopping: waiting for 2 runs to save" in printed
    assert "stopped; everything is saved. Continue with" in printed
    assert sweep(stub, "--status", str(tmp_path / "out")) == 0
    assert "2 stopped, 1 waiting; no process works on it" in capsys.readouterr().out
    stub.behave()
    assert sweep(stub, *words) == 0
    assert sum(call[0] == "--resume" for call in stub.calls) == 2
    assert len(stub.calls) == 3


def test_status_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        sweeping.main(["--status", str(tmp_path)])


def test_train_with_several_seeds_is_a_sweep(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Sequence[str]] = []

    def note(argv: Sequence[str]) -> int:
        called.append(argv)
        return 0

    monkeypatch.setattr(sweeping, "main", note)
    assert train.main(["CartPole-v1", "--agent", "dqn", "--seeds", "1-3"]) == 0
    assert train.main(["CartPole-v1", "Acrobot-v1", "--gamma", "0.9"]) == 0
    assert len(called) == 2
    monkeypatch.undo()
    stub.monkeypatch.setenv("STUB_CALLS", str(stub.calls_file))
    assert sweep(stub, *called[0], "--total-timesteps", "600", "--out", str(tmp_path / "out")) == 0
    assert [call[2] for call in stub.calls] == ["dqn"] * 3


# ------------------------------------------------------------------ a search


def search(stub: Stub, out: Path, *words: str) -> int:
    pytest.importorskip("optuna", reason="Optuna is not installed: pip install -e '.[search]'")
    space = ["--search", "learning-rate=0.1..0.9", "n-step=1,3"]
    return sweep(stub, *WORDS, "--agents", "dqn", *space, "--jobs", "1", "--out", str(out), *words)


def test_a_search_finds_the_best_and_says_what_mattered(
    stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The stub scores 100 and the learning rate, and nothing for the n-step."""
    stub.behave()
    out = tmp_path / "out"
    assert search(stub, out, "--trials", "6", "--pruner", "none") == 0
    assert len(stub.calls) == 6
    rates = [float(call[call.index("--learning-rate") + 1]) for call in stub.calls]
    best = json.loads((out / "best.json").read_text())
    assert best["config"]["learning_rate"] == max(rates)
    assert best["search"]["score"] == pytest.approx(100 + max(rates))
    options, config = read_command_line(["--config", str(out / "best.json"), "--seed", "2"])
    assert (options.env_id, options.agent, options.seed, options.device) == ("CartPole-v1", "dqn", 2, "cpu")
    assert (config.learning_rate, config.total_timesteps) == (max(rates), 600)
    printed = capsys.readouterr().out
    assert "6 trials: 6 complete" in printed
    shares = printed.partition("share of the scores' variance): ")[2].splitlines()[0]
    assert shares.startswith("learning-rate ")
    stub.behave()
    assert search(stub, out, "--trials", "8", "--pruner", "none") == 0
    assert len(stub.calls) == 2, "only what is missing"
    assert len(plan.read(out).entries) == 8


@posix
def test_a_stopped_search_goes_on_with_the_trial_that_was_stopped(stub: Stub, tmp_path: Path) -> None:
    stub.behave(dqn__1="wait")
    signal_when(stub.waiting.exists)
    assert search(stub, tmp_path / "out", "--trials", "2") == 130
    stub.behave()
    assert search(stub, tmp_path / "out", "--trials", "2") == 0
    assert [call[0] for call in stub.calls] == ["--resume", "CartPole-v1"]


@posix
def test_a_hopeless_run_is_given_up(stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After five trials the next one is worse at its first evaluation, and waits: the median pruner ends it."""
    stub.behave()
    out = tmp_path / "out"
    assert search(stub, out, "--trials", "5") == 0
    stub.behave(dqn__1="wait")
    stub.monkeypatch.setenv("STUB_BONUS", "-50")
    assert search(stub, out, "--trials", "6") == 0
    assert len(stub.calls) == 1
    printed = capsys.readouterr().out
    assert "6 trials: 5 complete, 1 given up early" in printed
    assert "given up" in printed
    assert not list(out.glob("trial_0005/*/state"))
    stub.behave()
    assert search(stub, out, "--trials", "6") == 0
    assert stub.calls == []


def test_a_failed_trial_does_not_end_the_search(stub: Stub, tmp_path: Path) -> None:
    stub.behave(dqn__1="fail")
    assert search(stub, tmp_path / "out", "--trials", "2") == 1
    stub.behave()
    assert search(stub, tmp_path / "out", "--trials", "2") == 1
    assert stub.calls == []
    assert search(stub, tmp_path / "out", "--trials", "2", "--retry-failed") == 1  # two more, beside those that failed
    assert len(stub.calls) == 2


def test_a_study_that_cannot_be_opened_is_one_line(stub: Stub, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--study nowhere: can't be opened"):
        search(stub, tmp_path / "out", "--study", "nowhere")


def test_no_optuna_is_one_line(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna", reason="Optuna is not installed: pip install -e '.[search]'")
    monkeypatch.setitem(sys.modules, "optuna", None)
    words = [*WORDS, "--agents", "dqn", "--search", "gamma=0.9,0.8", "--out", str(tmp_path / "out")]
    with pytest.raises(UserError, match=r"pip install -e '.\[search\]'"):
        sweep(stub, *words)


# ------------------------------------------------------------------ Slurm


def test_the_script_for_slurm(stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, file = tmp_path / "out", tmp_path / "array.sh"
    words = [*WORDS, "--agents", "dqn", "pqn", "--seeds", "1-3", "--out", str(out), "--slurm", str(file)]
    assert sweep(stub, *words) == 0
    assert stub.calls == []
    text = file.read_text()
    assert "#SBATCH --array=1-6\n" in text
    assert "#SBATCH --signal=B:USR1@180\n" in text
    assert "#SBATCH --requeue\n" in text
    assert "--gpus" not in text
    assert f"sbatch {file}" in capsys.readouterr().out
    assert subprocess.run(["bash", "-n", str(file)]).returncode == 0
    assert "--gpus=1" in slurm.script(Planned(plan_of(out), Needs(1e9, pictures=True)), file)


def test_a_row_of_a_plan_is_run_and_resumed(stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stub.behave()
    one = plan_of(tmp_path / "out", ("dqn", "pqn"))
    plan.prepare(one)
    words = ["--plan", str(one.out), "--row"]
    assert sweep(stub, *words, "2") == 0
    assert [(call[2], call[call.index("--seed") + 1]) for call in stub.calls] == [("pqn", "1")]
    assert sweep(stub, *words, "2") == 0
    assert len(stub.calls) == 1
    assert "already finished" in capsys.readouterr().out
    with pytest.raises(UserError, match="--row 9: the plan has 4 runs"):
        sweep(stub, *words, "9")


@posix
@pytest.mark.skipif(shutil.which("bash") is None, reason="bash")
def test_the_notice_of_slurm_saves_the_run_and_puts_the_task_back(tmp_path: Path) -> None:
    """The script itself, with a sweep.py and a scontrol that only write down what they get."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "scontrol").write_text(f"#!/bin/bash\necho $@ > {tmp_path}/requeued\n")
    (tmp_path / "bin" / "scontrol").chmod(0o755)
    (tmp_path / "sweep.py").write_text(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGUSR1, lambda *a: (open('saved', 'w').write(' '.join(sys.argv)), sys.exit(138)))\n"
        "open('ready', 'w').close()\n"
        "for _ in range(600):\n    time.sleep(0.1)  # a signal just before a sleep waits for its end\n"
    )
    file = tmp_path / "array.sh"
    text = slurm.script(Planned(plan_of(tmp_path / "out")), file)
    file.write_text(text.replace(f"cd {shlex.quote(str(ROOT))}\n", f"cd {tmp_path}\n"))
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    environment |= {"SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_JOB_ID": "77"}
    process = subprocess.Popen(["bash", str(file)], env=environment)
    deadline = time.monotonic() + 20
    while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)
    assert process.wait(timeout=20) == 0
    assert (tmp_path / "saved").read_text().endswith("--row 2")
    assert (tmp_path / "requeued").read_text() == "requeue 77_2\n"


# ------------------------------------------------------------------ the real trainer


def test_with_the_real_trainer_and_a_killed_driver(tmp_path: Path) -> None:
    """``kill -9`` of the driver, the same command again: only what was missing is run, and every run is as if alone."""
    small = ["--capacity", "2000", "--learning-starts", "100", "--evaluations", "2", "--eval-episodes", "3"]
    words = [*WORDS, "--agents", "dqn", "--seeds", "1-2", *small, "--engine", "torch", "--jobs", "1"]
    command = [sys.executable, str(ROOT / "sweep.py"), *words, "--out", str(tmp_path / "out"), "--threads", "1"]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "out").glob("*/*__2__*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    (first,) = (tmp_path / "out").glob("*/*__1__*/eval.csv")
    before = first.stat().st_mtime_ns
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of them are already finished" in done.stdout
    assert first.stat().st_mtime_ns == before
    (second,) = (tmp_path / "out").glob("CartPole*/*__2__*/eval.csv")
    alone = ["--seed", "2", "--runs-dir", str(tmp_path / "alone"), "--threads", "1"]
    assert train.main(["CartPole-v1", "--agent", "dqn", *WORDS[1:], *small, "--engine", "torch", *alone]) == 0
    (other,) = (tmp_path / "alone").glob("*/eval.csv")
    assert second.read_bytes() == other.read_bytes()
