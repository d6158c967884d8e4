"""`train.py` from the command line: its output, its folder, its exit code."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import compare
import play
from agents.registry import AGENTS, VECTORS
from common.errors import UserError
from experiments import training
from experiments.training import open_window, scaled
from learning.forecast import Evaluations
from learning.preflight import Preflight
from learning.runfolder import RunFolder
from tests.learning.helpers import counters_of, trainer
from train import main

ROOT = Path(__file__).resolve().parent.parent
SHORT = ["--total-timesteps", "3200", "--learning-starts", "500", "--capacity", "5000", "--eval-episodes", "5"]
SHORTER = ["--total-timesteps", "1600", "--learning-starts", "500", "--capacity", "2000", "--eval-episodes", "1"]


def train(*arguments: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **extra},
    )


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return what was printed, without the lines on what takes long here."""
    return [line for line in done.stdout.splitlines() if not re.search(r" \.\.\.( \(.*\))?$", line)]


def test_a_first_run_prints_preflight_to_score_table(tmp_path: Path) -> None:
    runs = tmp_path / "my runs"
    done = train("--runs-dir", runs, *SHORT)
    assert (done.returncode, done.stderr) == (0, "")
    first, preset, device, rules, about, second, *_ = lines(done)
    assert first == f"{VECTORS} on tidepool/Waterworld-v1"
    assert preset.startswith(
        "preset default: Tidepool's worlds in minutes, on two CPU cores (others: --preset long, best; --list"
    )
    assert device == "device cpu, fused engine | replay 3 MB | network 36,741 parameters"
    assert rules.startswith("3,200 agent steps | protocol waterworld-1000")
    assert re.fullmatch(
        r"about \d+ s, of them \d+ s for evaluations \(9 x 1 episodes on the way, 5 at the end\)", about
    )
    (folder,) = runs.iterdir()
    assert folder.name.startswith(f"tidepool-Waterworld-v1__{VECTORS}__1__")
    assert str(folder) in second
    assert "evaluation at 3,200 agent steps: mean return" in done.stdout
    assert "karpathy" in done.stdout.lower()  # the references are in the table of the run
    assert f"watch it:    python play.py '{folder}'\n" in done.stdout  # it can be typed as it stands
    assert f"compare it:  python compare.py --runs-dir '{runs}'\n" in done.stdout
    assert f"its curves:  tensorboard --logdir '{runs}'\n" in done.stdout
    assert "\x1b" not in done.stdout  # not a terminal: plain lines
    assert {"config.json", "metrics.csv", "eval.csv", "agent"} <= {child.name for child in folder.iterdir()}
    assert main(["--runs-dir", str(runs), *SHORT]) == 0
    assert len(list(runs.iterdir())) == 2


def test_any_gymnasium_environment_can_be_trained(tmp_path: Path) -> None:
    words = ["--env-id", "CartPole-v1", "--agent", "dqn", "--num-envs", "4", "--seed", "3", "--hidden", "32,16"]
    assert main([*words, "--runs-dir", str(tmp_path), *SHORT, "--total-timesteps", "3.2e3"]) == 0
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith("CartPole-v1__dqn__3__")
    config = json.loads((folder / "config.json").read_text())["config"]
    assert (config["hidden"], config["total_timesteps"]) == ([32, 16], 3_200)


def test_atari_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """1100 agent steps with the defaults of a CPU, and 240 with the preset of the Nature paper."""
    arguments = ["--eval-episodes", "1", "--evaluations", "1", "--device", "cpu"]
    arguments += ["--threads", "1", "--eval-max-steps", "100"]
    done = train("ALE/Pong-v5", *arguments, "--total-timesteps", "1100", "--runs-dir", tmp_path / "a")
    assert (done.returncode, done.stderr) == (0, "")  # ale-py counts at the end what of it is left
    assert lines(done)[0] == "pqn on ALE/Pong-v5"
    assert "preset cpu: the small network of 2013" in done.stdout
    assert "1,100 agent steps = 4,400 frames | protocol dqn_zoo" in done.stdout
    assert "evaluation at 1,120 agent steps (4,480 frames): mean return" in done.stdout
    assert "human" in done.stdout
    nature = ["--preset", "nature", "--learning-starts", "200", "--capacity", "5000", "--protocol", "mnih2015"]
    nature += ["--total-timesteps", "240"]
    assert main(["ALE/Pong-v5", *arguments, *nature, "--runs-dir", str(tmp_path / "b")]) == 0
    said = capsys.readouterr().out
    assert "dqn on ALE/Pong-v5\n" in said
    assert "device cpu, torch engine | replay 35 MB | network 1,687,206 parameters" in said
    assert "protocol mnih2015 (Mnih et al. 2015, doi:10.1038/nature14236)" in said


def test_list_shows_every_agent_switch_preset_and_world() -> None:
    done = train("--list", COLUMNS="200")
    assert done.returncode == 0, done.stderr
    for name, recipe in AGENTS.items():
        assert f" {name} " in done.stdout
        for word in re.findall(r"(?:arXiv|doi):\S+?(?=[,\s]|$)", recipe.paper):
            assert word in done.stdout
    for word in ("--prioritized", "--head implicit_quantile", "--encoder impala", "nature", "Waterworld-v1", "Pong-v5"):
        assert word in done.stdout


def test_switches_can_be_set_and_notes_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["CartPole-v1", "--agent", "rainbow", "--no-noisy", "--n-step", "5", "--seed", "2", *SHORTER]
    assert main([*arguments, "--runs-dir", str(tmp_path / "a")]) == 0
    assert "note: both noisy" not in capsys.readouterr().out
    (folder,) = (tmp_path / "a").iterdir()
    config = json.loads((folder / "config.json").read_text())["config"]
    assert (config["noisy"], config["n_step"], config["head"], config["prioritized"]) == (False, 5, "categorical", True)
    assert main(["--agent", "rainbow", "--noisy-epsilon", *SHORTER, "--runs-dir", str(tmp_path / "b")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "note: both noisy layers and random actions explore; --no-noisy-epsilon" in said
    (folder,) = (tmp_path / "b").iterdir()
    config = json.loads((folder / "config.json").read_text())["config"]
    assert (config["v_min"], config["v_max"]) == (-4.0, 8.0)  # the known range of Waterworld


def test_the_budget_is_kept(tmp_path: Path) -> None:
    began = time.monotonic()
    done = train("CartPole-v1", "--budget", "10s", "--target-period", "77", "--runs-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| the budget counts from Enter" in done.stdout
    assert time.monotonic() - began < 60  # on a busy machine
    (folder,) = tmp_path.iterdir()
    about = json.loads((folder / "config.json").read_text())
    total = about["config"]["total_timesteps"]
    assert total % 8 == 0
    assert f"{total:,} agent steps" in done.stdout
    assert about["config"]["target_period"] == 77
    ways = f"({about['evaluations'] - 1} x {about['interim_episodes']} episodes on the way, {about['eval_episodes']} at"
    assert ways in done.stdout
    with (folder / "eval.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == (about["evaluations"] - 1) * about["interim_episodes"] + about["eval_episodes"]


def test_evaluations_on_the_way_are_planned_unless_asked_for(tmp_path: Path) -> None:
    measured = Preflight("cpu", "cpu", "torch", "replay", 0, 0, 1, steps_per_second=100.0, episode_seconds=1.0)
    config = AGENTS["dqn"].config(total_timesteps=100_000)
    ten = Evaluations(100_000)
    # 1,000 s of training, 100 s at the end: 122 s for 9 x 13 episodes
    assert scaled(config, ten, measured, None, asked=()) == (config, replace(ten, interim_episodes=13))
    assert scaled(config, ten, measured, None, asked=["evaluations"]) == (config, ten)
    fitted, same = scaled(config, ten, measured, 1_280.0, asked=["eval_episodes"])
    assert fitted.total_timesteps == 100_000  # 280 s of evaluations, the rest for training
    assert same == ten
    with pytest.raises(UserError, match="--budget leaves 290 s, and the evaluations would take 280 s of them"):
        scaled(config, ten, measured, 290.0, asked=["eval_episodes"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["Waterwrld-v1"], "unknown environment 'Waterwrld-v1'; did you mean Waterworld-v1"),
        (["--agent", "dqm"], "unknown agent 'dqm'; did you mean dqn"),
        (["--preset", "lang"], "unknown preset 'lang'; did you mean long?"),
        (["--totl-timesteps", "5"], "unknown option '--totl-timesteps'; did you mean --total-timesteps"),
        (["--num-envs", "0"], "--num-envs 0 is out of range; allowed: 1 to 4,096"),
        (["--capacity", "100", "--num-envs", "64"], "--capacity 100 is too small for 64 environments; at least 128"),
        (["--gamma", "1.5"], "--gamma 1.5 is out of range; allowed: 0 to 1"),
        (["--capacity", "1000000000"], "would fit"),
        (["Pendulum-v1"], "only discrete actions"),
        (["ALE/Pnog-v5"], "unknown environment 'ALE/Pnog-v5'; did you mean ALE/Pong-v5"),
        (["ALE/Pong-v5", "--preset", "long"], "--preset long is made for vectors; for ALE/Pong-v5: nature, modern"),
        (["ALE/Pong-v5", "--protocol", "mnih2016"], "unknown protocol 'mnih2016'; did you mean mnih2015"),
        (["--protocol", "mnih2015"], "tidepool/Waterworld-v1 has one protocol only, waterworld-1000"),
        (["ALE/Pong-v5", "--preset", "nature", "--capacity", "100000000"], "would fit"),
        (["ALE/Pong-v5", "--replay-ratio", "4"], "--replay-ratio"),  # PQN has no replay
        (["--encoder", "nature"], "a convolutional --encoder needs frames"),
        (["--budget", "20m", "--total-timesteps", "50"], "--budget and --total-timesteps both say how long the run is"),
        (["--budget", "20"], "--budget 20 is not a time; write 90s, 20m or 1h30m"),
        (["--agent", "qr_dqn", "--num-atoms", "5"], "--num-atoms has no effect without --head categorical or"),
        (["--agent", "c51", "--v-min", "3", "--v-max", "2"], "--v-min 3 is not below --v-max 2"),
        (["--agent", "dqn", "--n-step", "0"], "--n-step 0 is out of range; allowed: 1 to 100"),
        (["--prioritized", "--priority-exponent", "-1"], "--priority-exponent -1.0 is out of range; allowed: 0 to 10"),
        (["--priority-exponent", "0.5"], "--priority-exponent has no effect without --prioritized; which is off"),
        (
            ["--agent", "rainbow", "--head", "c51"],
            "invalid choice 'c51' for argument '--head'; allowed: categorical, expected, ",
        ),
        (["--agent", "dqn", "--noisey"], "unknown option '--noisey'; did you mean --noisy"),
        (["--frame-size", "10"], "--frame-size 10 is out of range; allowed: 20 to 210"),
        (["--seed", "-1"], "--seed -1 is out of range; allowed: 0 to 4,294,967,295"),
        (["--total-timesteps", "1e-5"], "Error parsing --total-timesteps: '1e-5' is not a whole number"),
    ],
)
def test_invalid_options_are_reported_in_one_line_and_no_folder_is_created(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as error:
        main([*arguments, "--runs-dir", str(tmp_path)])
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_switch_may_be_turned_off_together_with_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    off = ["--no-noisy", "--no-noisy-epsilon"]
    assert main(["CartPole-v1", "--agent", "btr", "--print-config", *off]) == 0
    printed = capsys.readouterr().out
    config = json.loads(printed[printed.index("{") :])["config"]
    assert (config["noisy"], config["noisy_epsilon"]) == (False, False)
    with pytest.raises(UserError, match="--noisy-epsilon has no effect without --noisy; which is off"):
        main(["CartPole-v1", "--agent", "btr", "--print-config", "--no-noisy", "--noisy-epsilon"])


def test_resume_rejects_other_settings_and_incomplete_configs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="own settings; leave out --seed, --gamma"):
        main(["--resume", "x", "--seed", "3", "--gamma=0.5"])
    with pytest.raises(UserError, match="--resume nowhere: no such run"):
        main(["--resume", "nowhere"])
    (tmp_path / "config.json").write_text('{"format": 1, "agent": "dqn"}')
    with pytest.raises(UserError, match=r"config\.json: damaged, it lacks config, device"):
        main(["--resume", str(tmp_path)])


def test_an_environments_warning_is_shown_once_and_torchs_compiler_is_not_loaded(tmp_path: Path) -> None:
    program = (
        "import atexit, sys, train; from common.program import run; from tests import tiny; tiny.register();"
        "atexit.register(lambda: print(*sys.modules)); run(train.main)"
    )
    words = ["tidepool-tests/Warner-v0", "--num-envs", "4", "--engine", "torch", "--runs-dir", str(tmp_path), *SHORT]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("made without care") == 1
    assert done.stderr.count("WARN: stepped without care") == 1
    loaded = done.stdout.splitlines()[-1].split()
    assert "torch" in loaded
    assert "torch._dynamo" not in loaded


def test_a_user_error_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    done = train("--env-id", "CartPole-v1", "--lr", "1e-3", "--runs-dir", tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: unknown option '--lr'; did you mean --learning-rate?\n")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    done = train("--runs-dir", tmp_path / "file", *SHORT)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --runs-dir ")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_or_killed_run_resumes(number: signal.Signals, tmp_path: Path) -> None:
    """With the command that is printed, or as the newest one."""
    arguments = ["CartPole-v1", "--total-timesteps", "12000", "--learning-starts", "200", "--capacity", "2000"]
    process = subprocess.Popen(
        [sys.executable, ROOT / "train.py", *arguments, "--checkpoint-every", "0.2s", "--runs-dir", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    # a state that is complete: until then its folder has another name
    awaited = "*/state/[0-9]/manifest.json" if number == signal.SIGKILL else "*/metrics.csv"
    while not list(tmp_path.glob(awaited)) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), err
    assert err == ""
    (folder,) = tmp_path.iterdir()
    assert (f"python train.py --resume {folder}" in out) == (number != signal.SIGKILL)
    which = ["newest", "--runs-dir", tmp_path] if number == signal.SIGKILL else [folder]
    resumed = train("--resume", *which)
    assert resumed.returncode == 0, resumed.stderr
    assert re.search(rf"^resumed {folder} at [\d,]+ agent steps$", resumed.stdout, re.MULTILINE)
    assert "evaluation at 12,000 agent steps" in resumed.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_each_signal_stops_a_run_but_one_that_is_ignored(name: str, tmp_path: Path) -> None:
    run, number = trainer(tmp_path, "CartPole-v1"), signal.Signals[name]
    with training.stop_on_signal(run):
        os.kill(os.getpid(), number)
        assert (run.stop_requested, run.stop_signal) == (True, number)
        run.saving = True
        os.kill(os.getpid(), signal.SIGINT)  # held back
        run.saving = False
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    run.stop_requested = False
    before = signal.signal(number, signal.SIG_IGN)  # as nohup does
    try:
        with training.stop_on_signal(run):
            os.kill(os.getpid(), number)
            assert not run.stop_requested
    finally:
        signal.signal(number, before)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])  # SIGINT: above
def test_one_signal_ends_an_evaluation_that_would_not_end(number: signal.Signals, tmp_path: Path) -> None:
    """An untrained agent that never arrives: a thousand of its episodes take minutes, of which a line tells."""
    arguments = ["CliffWalking-v1", "--total-timesteps", "2000", "--learning-starts", "2000", "--evaluations", "2"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *arguments, "--eval-episodes", "5000", "--runs-dir", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    out = []
    for line in process.stdout:
        out.append(line)
        if line.startswith("evaluating, episode"):
            break
    began = time.monotonic()
    process.send_signal(number)
    rest, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number, err
    assert time.monotonic() - began < 30  # on a busy machine
    assert err == ""
    assert "evaluations cut episodes at 10,000 agent steps (the environment has no limit; --eval-max-steps)\n" in out
    assert re.search(r"evaluating, episode 1 of 1,000 \| .* left of it", "".join(out))
    (folder,) = tmp_path.iterdir()
    assert rest.splitlines() == [
        "the evaluation is left; it is done again when the run is resumed",
        "stopped at 1,000 agent steps; everything is saved. Resume with",
        f"  python train.py --resume {folder}",
    ]
    assert counters_of(RunFolder(folder))["evaluation_due"] is True
    assert not (folder / "eval.csv").exists()


def test_a_film_of_an_endless_episode_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--total-timesteps", "600", "--learning-starts", "600", "--eval-max-steps", "60"]
    assert main(["CliffWalking-v1", *arguments, "--eval-episodes", "5", "--runs-dir", str(tmp_path)]) == 0
    trained = capsys.readouterr().out
    assert "evaluations cut episodes at 60 agent steps (asked for; --eval-max-steps)" in trained
    assert ", 5 of 5 episodes were cut at 60 steps)" in trained
    (folder,) = tmp_path.iterdir()
    film = tmp_path / "a.png"
    play.main([str(folder), "--record", str(film), "--episodes", "2"])
    played = capsys.readouterr().out
    assert f"{film}: 120 steps, 1 frame," in played
    assert "cut at 120 steps, before the episode ended; --steps sets how many" in played
    assert film.exists()
    compare.main(["--runs-dir", str(tmp_path), "--env-id", "CliffWalking-v1"])
    table = capsys.readouterr().out
    assert "gymnasium-default cap=60" in table
    assert "5 of 5 episodes were cut at 60 steps" in " ".join(table.split())


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a screen")
def test_training_continues_if_the_window_cannot_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER"):
        monkeypatch.delenv(name, raising=False)
    run = trainer(tmp_path, "CartPole-v1")
    lines: list[str] = []
    run.announce = lines.append
    open_window(run)
    deadline = time.monotonic() + 120
    while not lines and time.monotonic() < deadline:
        time.sleep(0.05)
    (line,) = lines
    assert line.startswith("no window: there is no screen here; ")
    assert line.endswith("; training continues")
    run.episodes.close()


def test_typing_errors_and_help_do_not_load_scipy_or_compile() -> None:
    """They answer in 1.3 s: SciPy's statistics (0.5 s), TensorBoard and torch's compiler (1 s) are for later."""
    program = "import sys, train\ntry: train.main(['--help'])\nexcept SystemExit: print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=300)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "torch" in loaded
    assert not loaded & {"scipy.stats", "matplotlib", "tensorboard", "torch._dynamo", "pygame", "sympy"}


def test_watch_and_resume_can_be_combined() -> None:
    with pytest.raises(UserError, match="--resume nowhere: no such run"):
        main(["--resume", "nowhere", "--watch"])


def test_a_start_that_takes_much_of_the_budget_is_said() -> None:
    assert training.start_note(20.0, 5.0, compiled=True) == ""
    assert training.start_note(20.0, 17.0, compiled=False) == "starting took 17 s of the budget of 20 s"
    assert training.start_note(20.0, 17.0, compiled=True) == (
        "compiling kernels, which is done once on this machine, and starting took 17 s of the budget of 20 s;"
        " the same command trains longer the next time"
    )
