from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from agents import recipe
from common.errors import UserError
from learning.config import FamilyConfig
from learning.preflight import check_memory, preflight
from learning.replay import Replay
from learning.trainer import Plan
from tests.learning.helpers import plan

CARTPOLE = "CartPole-v1"


def test_the_first_line_tells_device_memory_size_and_time() -> None:
    told = preflight(plan(CARTPOLE), "cpu")
    # 4 x 16 + 16 weights and biases, 16 x 2 + 2 for two actions
    assert told.parameters == 4 * 16 + 16 + 16 * 2 + 2
    assert told.replay_bytes == 1_000 * (4 * 4 + 17)
    assert 0 < told.seconds < 60
    assert str(told).startswith("device cpu | replay 0 MB | network 114 parameters | about 0 min ")


def test_the_estimate_grows_with_the_work() -> None:
    short, long = (preflight(plan(CARTPOLE, total_timesteps=steps), "cpu").seconds for steps in (2_000, 2_000_000))
    assert long > 50 * short


def test_a_replay_that_does_not_fit_is_refused_with_the_size_that_would() -> None:
    space = spaces.Box(-1, 1, (152,), np.float32)
    free = 10**9
    with pytest.raises(
        UserError, match=r"would take 6\.2 GB and 0\.9 GB can be used; --capacity (\d+) would fit"
    ) as error:
        check_memory(Replay.bytes_needed(10**7, space), 10**7, free)
    fits = int(str(error.value).split("--capacity ")[1].split()[0])
    check_memory(Replay.bytes_needed(fits, space), fits, free)
    with pytest.raises(UserError):
        check_memory(Replay.bytes_needed(fits + 10, space), fits + 10, free)


def test_a_whole_run_with_too_large_a_replay_never_starts() -> None:
    with pytest.raises(UserError, match="would fit"):
        preflight(Plan("tidepool/Waterworld-v1", recipe("dqn"), FamilyConfig(capacity=10**9), seed=1), "cpu")


def test_a_device_that_is_not_there_is_named() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(UserError, match="--device cuda is not available; this machine has cpu"):
        preflight(plan(CARTPOLE), "cuda")
