"""Runs that go on: finished ones are extended, exactly where their state was kept; new ones start from old networks."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from agents import load_policy
from common.errors import MOST, UserError
from common.text import shown
from experiments import resuming, starting
from experiments.resuming import extended, resume
from learning.runfolder import RunFolder, as_json
from learning.trainer import Trainer
from scores.runs import read_run
from tests.learning.helpers import RecordingWatcher, plan, trainer
from tests.learning.test_trainer import COVERING_AGENTS, equal
from train import main

ROOT = Path(__file__).resolve().parents[2]
CARTPOLE = "CartPole-v1"
SHORT = ["--total-timesteps", "1600", "--learning-starts", "200", "--capacity", "2000", "--eval-episodes", "2"]
SMALL = ["--hidden", "16", "--num-envs", "4", "--evaluations", "2", "--device", "cpu", *SHORT]


def resumed(run: Trainer, total: int, rescale: bool = False) -> Trainer:
    """Return the trainer that extends a run."""
    more = Trainer(extended(run.plan, total, rescale), RunFolder(run.run_folder.path))
    more.load_state()
    return more


def test_of_two_that_resume_a_run_at_once_one_is_refused_before_it_cuts_the_logs(tmp_path: Path) -> None:
    run = trainer(tmp_path, CARTPOLE)
    watcher = RecordingWatcher(stop_at=1_200)
    watcher.trainer = run
    assert not run.run(watcher)
    run_folder, evaluated = run.run_folder.path, {"evaluations": run.plan.evaluations, "eval_episodes": 2}
    run.run_folder.update({"config": as_json(run.plan.config), "device": "cpu", "threads": 1, **evaluated})
    first = resume(run_folder, Console(quiet=True))
    metrics = run_folder / "metrics.csv"
    rows = metrics.read_bytes() + b"a row of the first"
    metrics.write_bytes(rows)
    with pytest.raises(UserError, match="is using it"):
        resume(run_folder, Console(quiet=True))
    assert metrics.read_bytes() == rows
    first.run_folder.claim.release()
    second = resume(run_folder, Console(quiet=True))
    assert metrics.read_bytes() != rows
    assert second.run(RecordingWatcher())
    assert not (run_folder / "live").exists()


def test_a_stopped_run_is_shortened_and_the_length_that_it_has_changes_nothing(tmp_path: Path) -> None:
    run = trainer(tmp_path, CARTPOLE)
    watcher = RecordingWatcher(stop_at=1_200)
    watcher.trainer = run
    assert not run.run(watcher)
    planned, folder = run.plan.config.total_timesteps, run.run_folder.path
    evaluated = {"evaluations": run.plan.evaluations, "eval_episodes": 2}
    run.run_folder.update({"config": as_json(run.plan.config), "device": "cpu", "threads": 1, **evaluated})
    printed = io.StringIO()
    for total in (planned, planned - 40):
        again = resume(folder, Console(file=printed, width=300), total)
        again.run_folder.claim.release()
        told = f"shortened from {planned:,} to {planned - 40:,} agent steps; schedules as they were"
        assert (told in printed.getvalue()) == (total < planned)
        assert ("extended" in about(folder)) == (total < planned)
    assert "extended" not in printed.getvalue()
    found, _ = read_run(folder)
    assert found is not None
    assert found.notes == (f"planned for {planned} agent steps, then shortened",)


# ------------------------------------------------------------------ extending


@pytest.mark.parametrize("agent", COVERING_AGENTS)
def test_an_extended_run_equals_one_that_was_planned_so_bit_for_bit(agent: str, tmp_path: Path) -> None:
    planned = trainer(tmp_path, CARTPOLE, agent, total_timesteps=2_000, schedule_timesteps=1_200)
    assert planned.run(RecordingWatcher())
    short = trainer(tmp_path, CARTPOLE, agent, total_timesteps=1_200)
    assert short.run(RecordingWatcher())
    assert not equal(short, planned)
    more = resumed(short, 2_000)
    assert more.run(RecordingWatcher())
    assert equal(more, planned)
    assert more.episodes.state() == planned.episodes.state()
    assert more.agent.learning_rate == planned.agent.learning_rate
    assert more.agent.learning_rate == pytest.approx(more.plan.config.final_learning_rate)


def test_a_run_can_be_extended_twice_and_when_it_was_stopped(tmp_path: Path) -> None:
    planned = trainer(tmp_path, CARTPOLE, total_timesteps=3_000, schedule_timesteps=2_000)
    assert planned.run(RecordingWatcher())
    run = trainer(tmp_path, CARTPOLE)
    watcher = RecordingWatcher(stop_at=1_200)
    watcher.trainer = run
    assert not run.run(watcher)
    run = resumed(run, 2_400)
    assert run.run(RecordingWatcher())
    run = resumed(run, 3_000)
    assert run.plan.config.schedule_steps == 2_000
    assert run.run(RecordingWatcher())
    assert equal(run, planned)


def test_an_extended_runs_evaluations_keep_their_distance_and_schedules_stretch_if_asked() -> None:
    one = replace(plan(CARTPOLE), evaluations=10)
    kept, stretched = extended(one, 5_000), extended(one, 5_000, rescale=True)
    assert kept.evaluations == stretched.evaluations == 25
    assert kept.schedule.ahead(2_000) == [1] * 14 + [5]
    assert (kept.config.schedule_steps, stretched.config.schedule_steps) == (2_000, 5_000)
    assert kept.config.learning_rate_at(4_000) == pytest.approx(one.config.final_learning_rate)
    assert stretched.config.learning_rate_at(2_500) == pytest.approx(
        (one.config.learning_rate + one.config.final_learning_rate) / 2
    )
    asked = replace(one, config=replace(one.config, schedule_timesteps=1_000))
    assert extended(asked, 5_000).config.schedule_steps == 1_000
    assert extended(asked, 5_000, rescale=True).config.schedule_steps == 2_500


def test_a_stop_in_the_last_evaluation_of_a_run_that_is_extended_then(tmp_path: Path) -> None:
    """It is one on the way now."""
    run = trainer(tmp_path, CARTPOLE)
    run.save_agent()
    watcher = RecordingWatcher(stop_at=2_000)
    watcher.trainer = run
    assert not run.run(watcher)
    more = resumed(run, 4_000)
    assert more.evaluation_due
    watcher = RecordingWatcher()
    assert more.run(watcher)
    assert [(steps, len(results)) for steps, results in watcher.evaluations] == [(2_000, 1), (3_000, 1), (4_000, 5)]


def test_a_large_replay_is_not_kept_and_filled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learning.trainer.KEPT_BYTES", 10_000)
    run = trainer(tmp_path, CARTPOLE, "prioritized_dqn")
    assert run.run(RecordingWatcher())
    saved = run.states.newest()
    assert saved is not None
    assert set(saved.files or ()) == {"learner.safetensors", "counters.json"}
    assert not any((run.run_folder.state / "records").glob("*"))
    more = resumed(run, 3_000)
    assert equal(more, run)
    assert more.agent.epsilon == run.agent.epsilon
    np.testing.assert_array_equal(more.episodes.lengths, 0)  # new episodes
    updates = more.learner.updates
    assert updates == run.learner.updates
    while more.agent_steps < 2_204:  # as at the start: learning_starts is 200
        more.step()
    assert more.learner.updates == updates
    more.step()
    assert more.learner.updates == updates + 1
    more.save_state()  # and stopped before the replay is full again
    again = resumed(run, 3_000)
    while more.agent_steps < 2_600:
        more.step()
        again.step()
    assert equal(again, more)
    assert more.learner.updates == pytest.approx(updates + 396 * 8 / 32, abs=2)


@pytest.mark.parametrize("keep", ["yes", "no"])
def test_the_state_is_kept_or_not_if_asked_for(keep: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learning.trainer.KEPT_BYTES", 10_000)
    run = trainer(tmp_path, CARTPOLE)
    run.plan = replace(run.plan, keep_state=keep)
    assert run.run(RecordingWatcher())
    assert run.run_folder.state.exists() == (keep == "yes")
    assert any(run.run_folder.state.glob("records/*")) == (keep == "yes")


def only(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def about(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text())  # type: ignore[no-any-return]


def test_a_finished_run_is_extended_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([CARTPOLE, "--agent", "dqn", *SMALL, "--runs-dir", str(tmp_path)]) == 0
    folder = only(tmp_path)
    assert f"python train.py --resume {folder} --total-timesteps 3200  (state/: 0 MB)" in capsys.readouterr().out
    with pytest.raises(UserError) as error:
        main(["--resume", str(folder)])
    assert str(error.value) == f"{folder}: it is finished; extend it with --resume {folder} --total-timesteps N"
    with pytest.raises(UserError, match=r"--total-timesteps 900: .* has 1,600 agent steps already; take more"):
        main(["--resume", str(folder), "--total-timesteps", "900"])
    with pytest.raises(UserError, match="--rescale belongs to --resume RUN --total-timesteps N"):
        main(["--resume", str(folder), "--rescale"])
    assert "extended" not in about(folder)
    words = [sys.executable, str(ROOT / "train.py"), "--resume", str(folder), "--total-timesteps", "2400"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"resumed {folder} at 1,600 agent steps\n" in done.stdout
    assert "extended from 1,600 to 2,400 agent steps; schedules as they were, over the first 1,600" in done.stdout
    assert "evaluation at 2,400 agent steps" in done.stdout
    now = about(folder)
    assert (now["config"]["total_timesteps"], now["config"]["schedule_timesteps"]) == (2_400, 1_600)
    (event,) = now["extended"]
    assert (event["at"], event["from_total"], event["to_total"]) == (1_600, 1_600, 2_400)
    assert (event["rescaled"], event["exact"]) == (False, True)
    assert main(["--resume", str(folder), "--total-timesteps", "3000", "--rescale"]) == 0
    assert "extended from 2,400 to 3,000 agent steps; the learning rate now falls over 2,000" in capsys.readouterr().out
    with (folder / "eval.csv").open() as file:
        steps = [int(row["agent_steps"]) for row in csv.DictReader(file)]
    assert sorted(set(steps)) == [800, 1_600, 2_400, 3_000]
    run, _ = read_run(folder)
    assert run is not None
    assert run.notes == ("planned for 1600 agent steps, then extended, its schedules stretched",)


def test_a_run_without_its_state_says_what_can_be_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [CARTPOLE, "--agent", "dqn", *SMALL, "--keep-state", "no"]
    assert main([*arguments, "--runs-dir", str(tmp_path)]) == 0
    folder = only(tmp_path)
    assert "go on:" not in capsys.readouterr().out
    for words in ([], ["--total-timesteps", "3000"]):
        with pytest.raises(UserError) as error:
            main(["--resume", str(folder), *words])
        message = (
            f"{folder}: it is finished, and its state was not kept; start a new run from its network:"
            f" python train.py CartPole-v1 --from {folder}"
        )
        assert str(error.value) == shown(message, MOST)
        assert str(error.value).endswith(f" python train.py CartPole-v1 --from {folder}")


# ------------------------------------------------------------------ starting from a network


def test_a_new_run_starts_from_a_network_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    assert main([CARTPOLE, "--agent", "dqn", *SMALL, "--runs-dir", str(first)]) == 0
    source = only(first)
    capsys.readouterr()
    words = ["--from", str(source), "--epsilon-start", "0.2", "--seed", "5", "--runs-dir", str(second)]
    assert main([CARTPOLE, "--agent", "double_dqn", *SMALL, *words]) == 0
    told = f"starts from the network in {source / 'agent'} (dqn, 1,600 agent steps of CartPole-v1)"
    assert told in capsys.readouterr().out
    folder = only(second)
    obs = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    before, after, scratch = (
        load_policy(path).q_values(obs) for path in (source, folder / "milestones" / "0", source / "milestones" / "0")
    )
    np.testing.assert_array_equal(before, after)  # the agent before its first step is the other run's last one
    assert not np.array_equal(before, scratch)  # type: ignore[arg-type]
    manifest = json.loads((source / "agent" / "manifest.json").read_text())
    assert about(folder)["from"] == {
        "path": str(source / "agent"),
        "agent": "dqn",
        "env_id": CARTPOLE,
        "agent_steps": 1_600,
        "sha256": manifest["sha256"],
    }
    run, _ = read_run(folder)
    assert run is not None
    assert run.title == "double_dqn control from dqn 1,600"
    assert run.notes == (f"started from the network in {source / 'agent'} (of CartPole-v1)",)
    assert main(["--resume", str(folder), "--total-timesteps", "1700"]) == 0
    assert about(folder)["from"]["sha256"] == manifest["sha256"]


def test_a_run_is_named_as_in_the_other_programs(tmp_path: Path, source: Path) -> None:
    """By from, resume and verify alike: the newest one, its name, the start or the end of that."""
    for name in ("CartPole-v1__dqn__1__20260101-000000", "a-name-of-mine", "CartPole-v1__dqn__2__20260101-000001"):
        shutil.copytree(source, tmp_path / name)
    os.utime(tmp_path / "a-name-of-mine" / "config.json", (0, 0))  # made before the others, whatever its name
    shutil.copytree(source, tmp_path / "CartPole-v1__dqn__3__20260101-000002")
    shutil.rmtree(tmp_path / "CartPole-v1__dqn__3__20260101-000002" / "agent")  # killed before it had an agent
    for word, number, without in (("newest", 2, 3), ("20260101-000000", 1, 1), ("CartPole-v1__dqn__2", 2, 2)):
        assert starting.find(Path(word), tmp_path).folder.parent.name.startswith(f"CartPole-v1__dqn__{number}__")
        for option in ("--resume", "--verify"):
            found = resuming.named(Path(word), option, tmp_path)
            assert found.name.startswith(f"CartPole-v1__dqn__{without}__")
    for option in ("--resume", "--verify"):
        with pytest.raises(UserError, match=f"{option} nowest: no such run; did you mean newest?"):
            main([option, "nowest", "--runs-dir", str(tmp_path)])
        with pytest.raises(UserError, match=f"{option} CartPole: one run is needed, and this means 3"):
            main([option, "CartPole", "--runs-dir", str(tmp_path)])


def test_both_networks_start_from_it_and_learning_goes_on(tmp_path: Path) -> None:
    for agent in COVERING_AGENTS:
        source = trainer(tmp_path, CARTPOLE, agent, total_timesteps=800)
        assert source.run(RecordingWatcher())
        run = trainer(tmp_path, CARTPOLE, agent, seed=2, total_timesteps=800)
        assert not equal(run, source)
        run.start_from(source.learner.online.state_dict())
        assert equal(run, source)
        target = run.learner.target.state_dict()
        assert all(torch.equal(value, target[name]) for name, value in source.learner.online.state_dict().items())
        assert run.run(RecordingWatcher())
        assert not equal(run, source)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["Waterworld-v1"], "it sees observations of 4 float32 numbers, and tidepool/Waterworld-v1 gives observations"),
        (["Acrobot-v1"], "it sees observations of 4 float32 numbers, and Acrobot-v1 gives observations of 6 float32"),
        ([CARTPOLE, "--hidden", "32"], "its network differs from this run's; add --hidden 16"),
        ([CARTPOLE, "--hidden", "16", "--dueling"], "differs from this run's; add --no-dueling"),
        ([CARTPOLE, "--hidden", "16", "--agent", "c51"], "differs from this run's; add --head expected"),
        ([CARTPOLE, "--agent", "pqn"], "differs from this run's; add --agent dqn"),
        ([CARTPOLE, "--from", "watrworld"], "--from watrworld: no such run; did you mean waterworld?"),
        ([CARTPOLE, "--from", "newest"], "--from newest: no such run; there is none here yet"),
        ([CARTPOLE, "--from", str(Path(__file__).parent)], "no agent here; name a run folder, or an agent folder"),
    ],
)
def test_what_does_not_fit_is_one_line(words: list[str], message: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        main(["--from", str(source), "--agent", "dqn", *words, "--runs-dir", str(tmp_path)])
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = trainer(tmp_path_factory.mktemp("source"), CARTPOLE)
    run.save_agent()
    return run.run_folder.path


def test_a_range_of_returns_is_taken_over_unless_another_is_asked_for(tmp_path: Path) -> None:
    run = trainer(tmp_path / "a", CARTPOLE, "c51", v_min=-3.0, v_max=77.0)
    run.save_agent()
    words = [CARTPOLE, "--agent", "c51", "--num-atoms", "51", *SMALL]
    words += ["--from", str(run.run_folder.path), "--runs-dir", str(tmp_path / "b")]
    with pytest.raises(UserError, match=r"differs from this run's; add --v-min -3.0 --v-max 77.0"):
        main([*words, "--v-max", "50"])
    assert main(words) == 0
    config = about(only(tmp_path / "b"))["config"]
    assert (config["v_min"], config["v_max"]) == (-3.0, 77.0)
