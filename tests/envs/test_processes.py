"""Environments in processes of their own, and actions that last several steps."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs
import tests.envs.odd  # noqa: F401, registers environments
import train
from agents.policy import RandomPolicy
from common.errors import UserError
from envs.factory import make
from envs.foreign import ForeignVector
from envs.hanging import WATCHDOG
from envs.processes import ForeignProcesses
from learning.config import FamilyConfig
from learning.episodes import Episodes
from learning.evaluate import Evaluator, Progress, longest_episode
from learning.policy import env_options
from tests.envs.test_foreign import ROOT, TINY, program
from viewer.playing.clock import longest_episode as window_limit
from viewer.playing.clock import tick_seconds


@pytest.fixture(autouse=True)
def processes() -> Iterator[None]:
    """All environments get processes, and no other test does."""
    envs.PROCESSES.wanted = "yes"
    yield
    envs.PROCESSES.wanted = "no"


KILLED = r"CartPole-v1: environment 2 of \d+: its process ended, killed by signal 9"


def kill(vec: Any, lane: int) -> None:
    """End an environment's process as a system without memory does, and wait until it is gone."""
    os.kill(vec.processes[lane].pid, signal.SIGKILL)
    vec.processes[lane].join()


def idle(vec: Any, steps: int) -> None:
    for _ in range(steps):
        vec.step(np.zeros(2, np.int64))


def played(env_id: str, steps: int, **options: Any) -> list[Any]:
    """Return what some steps of two environments bring, episodes' ends included."""
    episodes = Episodes(env_id, 2, seed=3, options=options)
    found: list[Any] = [episodes.begin().tolist()]
    rng = np.random.default_rng(1)
    for _ in range(steps):
        step = episodes.step(rng.integers(0, episodes.num_actions, 2))
        found.append(
            (step.obs.tolist(), step.reward.tolist(), step.done.tolist(), step.finished, episodes.obs.tolist())
        )
    found.append(episodes.stack)
    found.append(type(episodes.vec))
    episodes.close()
    return found


@pytest.mark.parametrize(
    ("env_id", "options"),
    [
        ("CartPole-v1", {"action_repeat": 3}),  # ends often, and each at its own time
        ("odd/Picture-v0", {"picture_size": 20, "picture_grayscale": True, "picture_stack": 2}),
        ("Taxi-v4", {}),  # with masks
        ("odd/Drawing-v0", {}),  # from the global generators
    ],
)
def test_processes_change_nothing(env_id: str, options: dict[str, Any]) -> None:
    steps = 210 if env_id == "Taxi-v4" else 30
    apart = played(env_id, steps, **options)
    envs.PROCESSES.wanted = "no"
    together = played(env_id, steps, **options)
    assert (apart.pop(), together.pop()) == (ForeignProcesses, ForeignVector)
    assert apart == together
    assert any(any(step[2]) for step in together[1:-1])


def test_slow_environments_alone_get_processes_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    envs.PROCESSES.wanted = "auto"
    take = envs.PROCESSES.take
    monkeypatch.setattr("envs.processes.cores", lambda: 4)
    assert take(2, 0.002)
    assert not take(1, 0.002)
    assert not take(2, 0.0002)
    monkeypatch.setattr("envs.processes.cores", lambda: 1)
    assert not take(2, 0.002)


def test_how_long_a_step_takes_is_measured_with_its_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, float]] = []
    monkeypatch.setattr(envs.PROCESSES, "take", lambda *asks: asked.append(asks))
    for repeat in (1, 5):
        envs.make_vec("odd/Slow-v0", 2, action_repeat=repeat).close()
    assert [count for count, _ in asked] == [2, 2]
    assert 0.002 < asked[0][1] < 0.02
    assert asked[1][1] == pytest.approx(5 * asked[0][1])


def test_a_fault_in_a_process_is_the_same_line() -> None:
    vec = envs.make_vec("odd/NanReward-v0", 2, seed=1)
    with pytest.raises(envs.EnvironmentFault, match=r"odd/NanReward-v0: environment 1 of 2, step \d+ .*reward is nan"):
        idle(vec, 30)
    vec.close()


@pytest.mark.parametrize("between_steps", [False, True])  # the pipe breaks while it is read, or while it is written
def test_a_killed_process_is_named_and_the_others_end(between_steps: bool) -> None:
    vec = envs.make_vec("CartPole-v1", 2, seed=1, action_repeat=2)
    assert isinstance(vec, ForeignProcesses)
    for name in (signal.SIGINT, signal.SIGTERM):  # as Ctrl-C and a cluster send to all: the program decides
        os.kill(vec.processes[1].pid or 0, name)
    vec.step(np.zeros(2, np.int64))
    if not between_steps:
        os.kill(vec.processes[1].pid or 0, signal.SIGSTOP)
        vec.send(np.zeros(2, np.int64))
    kill(vec, 1)
    if between_steps:
        vec.send(np.zeros(2, np.int64))
    with pytest.raises(envs.EnvironmentFault, match=KILLED):
        vec.recv()
    vec.close()
    assert not any(process.is_alive() for process in vec.processes)


def test_a_process_killed_in_an_evaluation_is_named() -> None:
    evaluator = Evaluator("CartPole-v1", {"action_repeat": 2})

    def watch(progress: Progress) -> None:
        if progress.steps >= 32:  # the second step of 16
            kill(evaluator.groups[0], 1)

    with pytest.raises(envs.EnvironmentFault, match=KILLED):
        evaluator.evaluate(RandomPolicy(2), 20, epsilon=0.0, watch=watch)
    evaluator.close()


def test_a_run_whose_process_is_killed_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = count(1)
    send = ForeignProcesses.send

    def killing(vec: ForeignProcesses, actions: Any) -> None:
        if vec.num_envs == 8 and next(sent) == 120:  # in training: an evaluation has 16
            kill(vec, 1)
        send(vec, actions)

    monkeypatch.setattr(ForeignProcesses, "send", killing)
    words = ("CartPole-v1", "--action-repeat", "2", *TINY, "--env-processes", "yes", "--runs-dir", str(tmp_path))
    with pytest.raises(UserError, match=KILLED + r"; saved at \d+ agent steps, resume with .*; its episodes will"):
        train.main(words)
    monkeypatch.undo()
    (run,) = tmp_path.iterdir()
    assert train.main(["--resume", str(run)]) == 0


def test_processes_end_without_a_word_when_the_program_is_killed() -> None:
    text = (
        "import os, signal, envs, tests.envs.odd; envs.PROCESSES.wanted = 'yes';"
        " vec = envs.make_vec('odd/Odd-v0', 2, seed=1); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=100, cwd=ROOT)
    assert (done.returncode, done.stderr) == (-signal.SIGKILL, "")  # and all have ended: their ends of it are closed


def test_a_program_ends_that_closes_nothing() -> None:
    text = "import envs, tests.envs.odd; envs.PROCESSES.wanted = 'yes'; vec = envs.make_vec('odd/Odd-v0', 2, seed=1)"
    text += "; vec.itself = vec"  # not collected before the end
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=100, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")


def test_one_that_hangs_in_its_process_is_ended() -> None:
    vec = envs.make_vec("odd/Hangs-v0", 2, seed=1)
    WATCHDOG.limit(0.3)
    began = time.monotonic()
    try:
        with pytest.raises(Exception, match=r"did not return within 0.3 s"):
            vec.step(np.zeros(2, np.int64))
    finally:
        WATCHDOG.limit(None)
    vec.close()
    assert time.monotonic() - began < 5


def test_what_cannot_be_sent_to_a_process_stays_here() -> None:
    import gymnasium

    from tests.envs.odd import Odd

    lock = threading.Lock()  # which can't be sent

    def made(**_: Any) -> Odd:
        with lock:
            return Odd()

    gymnasium.register("odd/Local-v0", entry_point=made)
    with pytest.raises(UserError, match=r"odd/Local-v0 can't have processes of its own \(--env-processes\)"):
        envs.make_vec("odd/Local-v0", 2)
    envs.PROCESSES.wanted = "auto"
    envs.PROCESSES.take = lambda *asked: True  # type: ignore[method-assign]
    try:
        with pytest.warns(UserWarning, match="odd/Local-v0 steps in this process"):
            vec = envs.make_vec("odd/Local-v0", 2)
    finally:
        del envs.PROCESSES.take
    assert isinstance(vec, ForeignVector)
    assert vars(envs.PROCESSES)["wanted"] == "no"  # nor is it tried again


def test_evaluation_makes_no_more_processes_than_a_group_has() -> None:
    evaluator = Evaluator("CartPole-v1", {"action_repeat": 2})
    groups = evaluator._grouped(50)
    assert [type(group) for group in groups] == [ForeignProcesses]
    evaluator.close()


# ------------------------------------------------------------------ repeats


def test_an_action_lasts_several_steps() -> None:
    envs.PROCESSES.wanted = "no"
    vec = envs.make_vec("odd/Odd-v0", 2, seed=1, action_repeat=6)
    last = vec.single_action_space.n - 1  # type: ignore[attr-defined]
    steps = [vec.step(np.array([last, 0])) for _ in range(4)]
    assert [step[1].tolist() for step in steps] == [[6.0, 0.0]] * 3 + [[2.0, 0.0]]  # an episode has 20
    assert [step[3].tolist() for step in steps] == [[False, False]] * 3 + [[True, True]]
    options = {"env_kwargs": {"max_episode_steps": 20}, "action_repeat": 6}
    assert longest_episode("odd/Odd-v0", options) == 4


def test_a_stack_has_the_last_picture_of_each_action() -> None:
    envs.PROCESSES.wanted = "no"
    pictures = partial(make, "odd/Picture-v0", picture_stack=2)
    single, repeated = pictures(), pictures(action_repeat=3)
    single.reset(seed=1)
    repeated.reset(seed=1)
    seen = [single.step(0)[0] for _ in range(6)]
    planes = len(seen[0]) // 2  # of one picture
    repeated.step(0)
    stacked = repeated.step(0)[0]
    assert np.array_equal(stacked[:planes], seen[2][planes:])
    assert np.array_equal(stacked[planes:], seen[5][planes:])
    plain, repeated = make("CartPole-v1"), make("CartPole-v1", action_repeat=3)
    assert tick_seconds(repeated) == pytest.approx(3 * tick_seconds(plain))
    assert (window_limit(plain), window_limit(repeated)) == (500, 167)


@pytest.mark.parametrize("env_id", ["ALE/Pong-v5", "tidepool/Waterworld-v1"])
def test_repeats_that_would_be_ignored_are_refused(env_id: str) -> None:
    with pytest.raises(UserError, match="--action-repeat 4 is not for"):
        env_options(env_id, FamilyConfig(action_repeat=4), evaluation=False)


def test_a_run_in_processes_is_the_same(tmp_path: Path) -> None:
    words = ("CartPole-v1", "--action-repeat", "2", *TINY, "--evaluations", "2", "--eval-episodes", "5")
    for place in ("apart", "together"):
        more = ("--env-processes", "yes") if place == "apart" else ("--threads", "1")
        done = program("train.py", *words, *more, "--runs-dir", place, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert json.loads(next((tmp_path / "together").glob("*/config.json")).read_text())["env_processes"] == "no"
    (apart,), (together,) = ((tmp_path / place).iterdir() for place in ("apart", "together"))
    assert (apart / "eval.csv").read_text() == (together / "eval.csv").read_text()
    weights = "agent/network.safetensors"
    assert (apart / weights).read_bytes() == (together / weights).read_bytes()
