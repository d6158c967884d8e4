"""Playing with the newest weights of a run: which weights play when, the status, and a real training process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

import train
from common import lock
from common.errors import UserError
from common.files import write_json
from common.tail import Tail
from learning import live
from learning.checkpoint import MANIFEST, WEIGHTS
from learning.evaluate import EpisodeResult
from learning.live import REQUESTS, WATCHER
from learning.runfolder import RunFolder
from learning.trainer import Trainer
from tests.learning.helpers import counters_of, trainer
from viewer.playing import attach
from viewer.playing.attach import WAITING, LiveAgent, find_run
from viewer.playing.session import Session

CARTPOLE = "CartPole-v1"
OBS = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Trainer]:
    """A run that has not started."""
    made = trainer(tmp_path, CARTPOLE)
    settings = {"config": {"hidden": [16], "total_timesteps": 2_000}}
    write_json(made.run_folder.path / "config.json", {**made.run_folder.config, **settings})
    yield made
    made.episodes.close()


@contextmanager
def training(run: Trainer) -> Iterator[None]:
    """Make it look as if a process, our parent, trained the run."""
    other = psutil.Process(os.getppid())
    write_json(run.run_folder.live / lock.FILE, [[other.pid, other.create_time()]])
    yield
    (run.run_folder.live / lock.FILE).unlink()


def step(run: Trainer, agent_steps: int) -> None:
    """Move the run to another step, with other weights."""
    run.agent.steps = agent_steps
    with torch.no_grad():
        for parameter in run.learner.parameters:
            parameter.add_(0.01)


def publish(run: Trainer, agent_steps: int) -> None:
    step(run, agent_steps)
    run.save_agent(run.run_folder.live, durable=False)


def attached(run: Trainer) -> LiveAgent:
    return LiveAgent(run.run_folder.path, follow=False)


def plays_as(agent: LiveAgent, run: Trainer) -> bool:
    agent.poll()
    q = agent.q_values(OBS)
    return q is not None and np.array_equal(q, run.policy.q_values(OBS))


def test_the_newest_weights_play_and_the_status_names_them(run: Trainer) -> None:
    agent = attached(run)
    assert (agent.env_id, agent.num_actions, agent.status().text) == (CARTPOLE, 2, WAITING)
    assert agent.q_values(OBS) is None
    rng = np.random.default_rng(0)
    assert set(agent.act(np.repeat(OBS, 20, 0), 0.0, rng).tolist()) == {0, 1}  # at random
    with training(run):
        agent.poll()
        assert agent.status().text == WAITING
        assert agent.status().is_training
        run.save_agent(run.run_folder.milestone(0))
        assert plays_as(agent, run)
        assert agent.status().text == "saved at step 0, waiting for live weights"
        publish(run, 1_200)
        assert plays_as(agent, run)
        assert agent.status().text == "live, step 1,200"
        assert agent.name == "dqn (live, step 1,200)"
        step(run, 1_300)
        run.save_agent()  # an evaluation's; the live weights stay
        assert not plays_as(agent, run)
        network, reader = agent.network, agent.reader()
        publish(run, 1_400)
        assert plays_as(agent, run)
        assert agent.network is network  # so that a reader from before reads the new one
        np.testing.assert_array_equal(reader.insight(OBS[0]).q_values, agent.q_values(OBS[:1])[0])  # type: ignore[index]
        np.testing.assert_array_equal(agent.act(OBS, 0.0, rng), run.policy.q_values(OBS).argmax(1))
    for name in (MANIFEST, WEIGHTS):
        (run.run_folder.live / name).unlink()
    step(run, 2_000)
    run.save_agent()
    assert plays_as(agent, run)
    assert agent.status().text == "the run has ended, step 2,000"
    agent.close()


@pytest.mark.parametrize(
    ("steps", "stopped", "text"),
    [
        (500, False, "the run has ended, step 500 of 2,000"),
        (500, True, "the run was stopped at step 500"),
        (2_000, False, "the run has ended, step 2,000"),
        (2_000, True, "the run was stopped in its last evaluation, step 2,000"),
    ],
)
def test_a_run_that_is_not_in_training(steps: int, stopped: bool, text: str, run: Trainer) -> None:
    step(run, steps)
    run.save_agent()
    if stopped:
        run.begin()
        run.save_state()
    agent = attached(run)
    assert agent.status().text == text
    assert agent.request("epsilon", 0.5) is False  # no trainer would apply it
    agent.close()
    assert not run.run_folder.live.exists()  # and nothing was written


def test_whether_the_last_evaluation_was_made_is_seen_when_the_training_ends(run: Trainer) -> None:
    with training(run):
        publish(run, 2_000)
        run.begin()
        run.save_state()
        agent = attached(run)
    agent.poll()
    assert agent.status().text == "the run was stopped in its last evaluation, step 2,000"
    with training(run):  # resumed
        agent.poll()
        assert agent.status().text == "live, step 2,000"
        run.run_folder.log_evaluation([EpisodeResult(0, 9.0, 9)], 2_000, 2_000, 0.05, "greedy")
        run.run_folder.flush()
    agent.poll()
    assert agent.status().text == "the run has ended, step 2,000"


def test_a_killed_run_without_an_agent(run: Trainer) -> None:
    with training(run):
        agent = attached(run)
    agent.poll()
    assert agent.status().text == "the run has ended without an agent"
    publish(run, 40)  # its published weights are better than nothing
    assert plays_as(agent, run)
    assert agent.status().text == "the run has ended, step 40 of 2,000"


def test_mixed_weights_and_manifest_are_never_used(run: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run.run_folder.live
    with training(run):
        publish(run, 100)
        agent = attached(run)
        before = agent.q_values(OBS)
        assert before is not None
        kept = {name: (folder / name).read_bytes() for name in (WEIGHTS, MANIFEST)}
        publish(run, 200)
        fresh = {name: (folder / name).read_bytes() for name in (WEIGHTS, MANIFEST)}
        broken = (
            {WEIGHTS: fresh[WEIGHTS], MANIFEST: kept[MANIFEST]},  # the moment before the manifest comes
            {WEIGHTS: kept[WEIGHTS], MANIFEST: fresh[MANIFEST]},
            {WEIGHTS: fresh[WEIGHTS][:-9], MANIFEST: fresh[MANIFEST]},
            {WEIGHTS: fresh[WEIGHTS], MANIFEST: fresh[MANIFEST][:50]},
            {WEIGHTS: fresh[WEIGHTS], MANIFEST: b"[]"},
            {WEIGHTS: fresh[WEIGHTS], MANIFEST: fresh[MANIFEST].replace(b'_steps": 200', b'_steps": "x"')},
        )
        for number, files in enumerate(broken):
            for name, data in files.items():
                (folder / name).write_bytes(data)
            os.utime(folder / MANIFEST, ns=(0, number))
            agent.poll()
            np.testing.assert_array_equal(agent.q_values(OBS), before)
            assert agent.status().text == "live, step 100"
        monkeypatch.setattr(attach, "UNREADABLE_SECONDS", -1.0)
        agent.poll()
        assert agent.status().text.endswith("manifest.json: damaged, agent_steps is 'x', not a whole number")
        for name in (WEIGHTS, MANIFEST):
            (folder / name).write_bytes(fresh[name])
        assert plays_as(agent, run)
        assert agent.status().text == "live, step 200"
        agent.close()


def test_an_agent_for_another_environment_is_not_used(run: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "UNREADABLE_SECONDS", -1.0)
    publish(run, 100)
    path = run.run_folder.live / MANIFEST
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "env_id": "Acrobot-v1"}))
    agent = attached(run)
    assert agent.status().text.endswith(f"live: its agent is for Acrobot-v1, but the run trains in {CARTPOLE}")
    assert agent.q_values(OBS) is None
    path.write_text(json.dumps(manifest))
    other = trainer(run.run_folder.path.parent, CARTPOLE, hidden=(8,))
    publish(other, 100)
    for name in (WEIGHTS, MANIFEST):
        shutil.copy(other.run_folder.live / name, run.run_folder.live / name)
    agent.poll()
    assert "does not fit manifest.json" in agent.status().text
    assert agent.q_values(OBS) is None
    other.episodes.close()


def test_heartbeats_are_written_only_while_the_run_trains_and_removed_on_close(run: Trainer) -> None:
    folder = run.run_folder.live
    agent = attached(run)
    assert not folder.exists()
    with training(run):
        agent.poll()
        first = (folder / WATCHER).stat().st_mtime_ns
        agent.poll()  # within the same second
        assert (folder / WATCHER).stat().st_mtime_ns == first
        agent._last_heartbeat -= attach.HEARTBEAT_SECONDS
        (folder / WATCHER).unlink()
        agent.poll()
        assert (folder / WATCHER).exists()
    agent.close()
    assert not folder.exists()


def test_the_run_folder_may_be_deleted_while_attached(run: Trainer) -> None:
    publish(run, 100)
    with training(run):
        agent = attached(run)
        (run.run_folder.live / lock.FILE).rename(run.run_folder.path.parent / lock.FILE)
        shutil.rmtree(run.run_folder.path)
        run.run_folder.live.mkdir(parents=True)
        (run.run_folder.path.parent / lock.FILE).rename(run.run_folder.live / lock.FILE)
        assert plays_as(agent, run)
        assert agent.status().text == "the run's folder no longer exists"
    shutil.rmtree(run.run_folder.path)
    assert plays_as(agent, run)  # continues with what it has
    assert agent.request("epsilon", 0.5) is False
    agent.close()
    assert not run.run_folder.path.exists()


def test_a_request_is_written_or_rejected(run: Trainer) -> None:
    with training(run):
        agent = attached(run)
        assert agent.request("epsilon", 0.25)
        assert agent.request("learning", False)
        assert agent.request("learning_rate", None)
        wanted = run.requests.read(run.run_folder.live / REQUESTS)
        assert [(event.name, event.value) for event in wanted] == [
            ("epsilon", 0.25),
            ("learning", False),
            ("learning_rate", None),
        ]
        for name, value, message in (
            ("epsilon", 2, "epsilon 2 is out of range; allowed: 0 to 1"),
            ("learning_rate", 0, "out of range"),
            ("learning", 1.0, "true or false"),
            ("gamma", 0.5, "unknown request 'gamma'; known: epsilon, learning, learning_rate"),
        ):
            with pytest.raises(UserError, match=message):
                agent.request(name, value)
        (run.run_folder.live / REQUESTS).unlink()


def test_the_status_follows_what_is_written(run: Trainer) -> None:
    agent, folder = attached(run), run.run_folder
    assert dict(agent.status().metrics) == {}
    folder.log({"agent_steps": 10, "epsilon": 0.9, "td_loss": 0.5, "sps": 100.0, "episodic_return": 7.0})
    folder.log({"agent_steps": 20, "epsilon": 0.8, "td_loss": None, "sps": 110.0})
    with (folder.path / "metrics.csv").open("a") as file:
        file.write("30,30")  # still being written
    agent.poll()
    metrics = agent.status().metrics
    assert [metrics[name] for name in ("agent_steps", "epsilon", "td_loss", "sps")] == [20, 0.8, 0.5, 110]
    assert metrics["episodic_return"] == 7
    for name, value, refused in (
        ("epsilon", "0.1", ""),
        ("learning", "false", ""),
        ("epsilon", "", "out of range"),
        ("learning", "schedule", ""),
    ):
        folder.log_event({"agent_steps": 1, "frames": 1, "name": name, "value": value, "refused": refused})
        agent.poll()
        assert agent.status().rejected == refused
    assert dict(agent.status().in_force) == {"epsilon": "0.1"}
    folder.close()


def test_the_status_says_that_the_run_evaluates(run: Trainer) -> None:
    file = run.run_folder.live / live.EVALUATION
    with training(run):
        publish(run, 900)
        agent = attached(run)
        assert plays_as(agent, run)
        assert (agent.status().evaluation, agent.status().text) == (None, "live, step 900")
        file.write_text('{"finished": 3, "episodes": 20}')
        agent.poll()
        assert (agent.status().evaluation, agent.status().text) == ((3, 20), "evaluating, step 900")
        file.write_text('{"finished": 3, "epi')  # being written
        agent.poll()
        assert agent.status().evaluation is None
        file.write_text('{"finished": 4, "episodes": 20}')
        agent.poll()
        assert agent.status().evaluation == (4, 20)
    agent.poll()  # killed: what it left behind is no evaluation in progress
    assert agent.status().evaluation is None
    assert agent.status().text.startswith("the run has ended")


def test_the_tail_of_a_file_that_is_cut_back_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    tail = Tail(path)
    path.write_text("a,b\n1,2\n30,40\n50,60\n")
    assert [row["a"] for row in tail.rows()] == ["1", "30", "50"]
    os.truncate(path, len("a,b\n1,2\n"))
    with path.open("a") as file:
        file.write("7,8\n9,10\n11,12\n13,")  # longer than it was, and what was read last is another row now
    assert tail.rows() == [{"a": a, "b": b} for a, b in (("1", "2"), ("7", "8"), ("9", "10"), ("11", "12"))]
    os.truncate(path, len("a,b\n1,2\n"))  # shorter
    assert tail.rows() == [{"a": "1", "b": "2"}]
    path.unlink()
    assert tail.rows() == []
    path.write_text("c\n5\n6\n")  # another file
    assert tail.rows() == [{"c": "5"}, {"c": "6"}]


def test_the_tail_of_a_file_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    tail = Tail(path)
    assert tail.rows() == []
    path.write_text("a,b\n1,")
    assert tail.rows() == []
    path.write_text("a,b\n1,2\n3,4\n5")
    assert tail.rows() == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    assert tail.rows() == []


def test_a_session_continues_when_the_first_weights_arrive(run: Trainer) -> None:
    import envs

    agent = attached(run)
    session = Session(envs.make(CARTPOLE), agent, seed=1)
    session.step()
    assert session.q_values() is None
    run.save_agent()
    agent.poll()
    session.step()
    assert session.q_values() is not None


def test_a_run_is_found_by_path_name_or_newest(run: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = run.run_folder.path
    assert find_run(str(here), Path("nowhere")) == here
    assert find_run(here.name, tmp_path) == here
    for name in ("CartPole-v1__dqn__1__19990101-000000", "CartPole-v1__dqn__1__29990101-000000"):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "config.json", {"env_id": "CartPole-v1", "agent": "dqn"})
    (tmp_path / "CartPole-v1__dqn__1__29990101-000001").mkdir()  # killed while it was made
    assert find_run("newest", tmp_path).name.endswith("__29990101-000000")
    with training(run):
        assert find_run("newest", tmp_path) == here  # it is in training
    with pytest.raises(UserError, match=r"no such run; did you mean CartPole-v1__dqn__1__19990101"):
        find_run("CartPole-v1__dqn__1__19990102-000000", tmp_path)
    with pytest.raises(UserError, match=r"not a run, it has no config\.json"):
        find_run(str(tmp_path), tmp_path)
    with pytest.raises(UserError, match=r"there is no run in .* yet; train one: python train\.py"):
        find_run("newest", tmp_path / "empty")
    with pytest.raises(UserError, match="no such run; train one first"):
        find_run("x", tmp_path / "empty")


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}', '{"format": 1, "agent": 3, "env_id": "CartPole-v1"}'])
def test_a_damaged_config_is_named(content: str, run: Trainer) -> None:
    (run.run_folder.path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json|unknown agent"):
        attached(run)


# ---------------------------------------------------------------------- two processes


def until(what: Callable[[], Any], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_real_training_process(tmp_path: Path) -> None:
    """Attach, see the steps grow, request, see the request in force, stop the training, and see that too."""
    words = ["CartPole-v1", "--agent", "dqn", "--total-timesteps", "4000000", "--capacity", "5000"]
    words += ["--learning-starts", "500", "--device", "cpu", "--runs-dir", str(tmp_path), "--replay-ratio", "1"]
    process = subprocess.Popen(
        [sys.executable, train.__file__, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until(lambda: any(live.is_training(path.parent / "live") for path in tmp_path.glob("*/config.json")))
        agent = LiveAgent(find_run("newest", tmp_path))
        seen: set[int] = set()

        def grown() -> bool:
            agent.act(OBS, 0.0, np.random.default_rng(0))
            status = agent.status()
            if status.text.startswith("live") and status.agent_steps is not None:
                seen.add(status.agent_steps)
            return len(seen) > 2

        until(grown)
        assert max(seen) > 0
        assert agent.request("epsilon", 0.77)
        until(lambda: agent.status().in_force.get("epsilon") == "0.77")
        until(lambda: agent.status().metrics.get("epsilon") == 0.77)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 130, err
        assert "epsilon is now 0.77 (set by the window) at " in out
        until(lambda: not agent.status().is_training)

        def stopped() -> bool:
            agent.q_values(OBS)
            return agent.status().text.startswith("the run was stopped at step")

        until(stopped)
        agent.close()
        folder = agent.run
        assert counters_of(RunFolder(folder))["requests"]["in_force"] == {"epsilon": 0.77}
        assert sorted(path.name for path in (folder / "live").iterdir()) == [REQUESTS]
    finally:
        process.kill()
        process.wait()
