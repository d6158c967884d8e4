"""An environment that hangs ends the run, saved, with one line; nothing is watched unless it is asked for."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import envs
from envs.hanging import WATCHDOG, Hung
from tests.envs.odd import Odd

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")


class Sleeper(Odd):
    """Sleeps in its third step."""

    def step(self, action: Any) -> Any:
        if self.t == 2:
            time.sleep(60)
        return super().step(action)


class Swallower(Odd):
    """Does not let an exception out the first time."""

    swallowed = False

    def step(self, action: Any) -> Any:
        if self.t == 2:
            while True:
                try:
                    time.sleep(60)
                except Exception:
                    if self.swallowed:
                        raise
                    self.swallowed = True
        return super().step(action)


@pytest.fixture
def limit() -> Iterator[float]:
    WATCHDOG.limit(0.3)
    yield 0.3
    WATCHDOG.limit(None)


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    for one in (Sleeper, Swallower):
        gymnasium.register(f"tidepool-tests/{one.__name__}-v0", entry_point=f"{__name__}:{one.__name__}")


@pytest.mark.parametrize("name", ["Sleeper", "Swallower"])
def test_the_line_names_environment_step_and_place(name: str, limit: float) -> None:
    vec = envs.make_vec(f"tidepool-tests/{name}-v0", 3, seed=1)
    for _ in range(2):
        vec.step(np.zeros(3, np.int64))
    began = time.monotonic()
    expected = (
        rf"{name}-v0: environment 1 of 3, step 3 of its episode \(seed 1\): its step\(\) hangs: it did not return"
    )
    with pytest.raises(envs.EnvironmentFault, match=expected + r" within 0.3 s .*\(test_hanging.py:\d+\)"):
        vec.step(np.zeros(3, np.int64))
    assert time.monotonic() - began < 10


def test_quick_calls_are_left_alone_and_slow_ones_too_without_a_limit(limit: float) -> None:
    slow = WATCHDOG.guarded(time.sleep)
    for _ in range(4):
        slow(0.2)
    time.sleep(0.5)  # not in a call
    with pytest.raises(Hung):
        slow(30)
    WATCHDOG.limit(None)
    assert WATCHDOG.guarded(time.sleep) is time.sleep
    assert WATCHDOG._deadline == math.inf


MODULE = """
import signal, time
from pathlib import Path
import gymnasium
from gymnasium.envs.classic_control.mountain_car import MountainCarEnv

class Hanging(MountainCarEnv):
    steps = 0

    def step(self, action):
        if list(Path("runs").glob("*")) and not Path("hung").exists():
            Hanging.steps += 1
            if Hanging.steps == 700:
                Path("hung").touch()
                {how}
                time.sleep(100)
        return super().step(action)

gymnasium.register("Hanging-v0", Hanging, max_episode_steps=200)
"""
BLOCKED = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])"


@pytest.mark.parametrize("how", ["", BLOCKED], ids=["interruptible", "not interruptible"])
def test_a_run_whose_environment_hangs_is_saved_and_goes_on(how: str, tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(MODULE.replace("{how}", how))
    words = "hanging:Hanging-v0 --env-timeout 0.5 --agent double_dqn --total-timesteps 1200 --num-envs 2"
    words += " --learning-starts 200 --capacity 2000 --eval-episodes 1 --evaluations 1 --hidden 16 --seed 1"
    command = [sys.executable, str(ROOT / "train.py")]
    extra = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *words.split()], capture_output=True, text=True, cwd=tmp_path, env=extra)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: Hanging-v0: ")
    assert "did not return within 0.5 s (--env-timeout)" in line
    assert "saved at" in line
    (run,) = (tmp_path / "runs").iterdir()
    done = subprocess.run(
        [*command, "--resume", str(run), "--import", "hanging"], capture_output=True, text=True, cwd=tmp_path, env=extra
    )
    assert done.returncode == 0, done.stderr
    assert "evaluation at 1,200 agent steps" in done.stdout
