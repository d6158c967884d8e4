"""Memory that runs out is one line that says what took it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from common import memory
from common.errors import UserError
from tests.learning.helpers import RecordingWatcher
from tests.learning.helpers import trainer as small
from tests.tiny import CORRIDOR

HUGE = 2**60


def failing(how: str) -> None:
    if how == "numpy":
        np.zeros(HUGE, np.uint8)
    elif how == "torch":
        torch.zeros(HUGE, dtype=torch.uint8)
    elif how == "cuda":
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1 GiB"
        )
    else:
        bytearray(HUGE)


@pytest.mark.parametrize("how", ["numpy", "torch", "cuda", "python"])
def test_errors_of_all_libraries_are_known(how: str) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as error:
        failing(how)
    assert memory.ran_out(error.value)
    assert memory.where(error.value).startswith("in tests/common/test_memory.py, failing")
    if how in ("numpy", "torch", "cuda"):
        assert "which asked for" in memory.where(error.value)
    assert not memory.ran_out(RuntimeError("shapes do not match"))
    assert not memory.ran_out(ValueError("out of memory"))


@pytest.mark.parametrize("how", ["numpy", "torch"])
def test_a_training_says_what_took_it(how: str, tmp_path: Path) -> None:
    run = small(tmp_path, CORRIDOR)

    class Greedy(RecordingWatcher):
        def progress(self, row: dict[str, Any]) -> None:
            if row["agent_steps"] >= 1000:
                failing(how)

    expected = r"out of memory at 1,000 agent steps, in .*failing.*; the replay takes \d+ MB \(--capacity .*this prog"
    with pytest.raises(UserError, match=expected) as error:
        run.run(Greedy())
    assert "\n" not in str(error.value)
    assert "..." not in str(error.value)  # nothing of it was left out
