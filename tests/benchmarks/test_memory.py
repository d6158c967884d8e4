"""The memory of a program is watched: one that grows is told from one that does not."""

from __future__ import annotations

import sys

import pytest

from benchmarks.memory import growth, watch

PROGRAM = """
import time
kept = [bytes(range(256)) * 80_000]
for _ in range({steps}):
    time.sleep(0.05)
    kept.append(bytes(range(256)) * {size})
"""


@pytest.mark.parametrize(("size", "grows"), [(0, False), (10_000, True)])
def test_growth_is_seen(size: int, grows: bool) -> None:
    sizes, code = watch([sys.executable, "-c", PROGRAM.format(steps=40, size=size)], 30.0, 0.05)
    assert code == 0
    assert (growth(sizes) > 0.02) == grows


def test_a_program_is_ended_when_it_is_time() -> None:
    sizes, code = watch([sys.executable, "-c", "import time; time.sleep(60)"], 0.3, 0.05)
    assert code == -15
    assert len(sizes) >= 3
