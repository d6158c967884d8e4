"""Those whose speed is compared: ours, peers, and the limits of the machine.

Each is made by a function whose keywords are JSON's types. It builds, warms up, and returns a `Run`. A function imports
what it needs itself, so that one whose library is not installed can say so: `ImportError` names it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

Counts = dict[str, float]
Run = Callable[[float], Counts]
"""Runs for at least so many seconds and returns what was done; ``seconds`` and ``cpu`` in it replace those measured."""


def repeat(unit: Callable[[], object], counts: Callable[[], Counts]) -> Run:
    """Return a `Run` that repeats a unit of work, which is never cut in two; ``counts`` are totals so far."""

    def run(seconds: float) -> Counts:
        before, end = counts(), time.perf_counter() + seconds
        while True:
            unit()
            if time.perf_counter() >= end:
                break
        return {key: value - before[key] for key, value in counts().items()}

    return run


def repeat_counted(unit: Callable[[], object], **counts: float) -> Run:
    """Return a `Run` of a unit of work that always does the same."""
    done = 0

    def counted() -> None:
        nonlocal done
        unit()
        done += 1

    return repeat(counted, lambda: {key: done * value for key, value in counts.items()})
