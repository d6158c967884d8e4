"""Contenders that take no time, for the tests of what runs them."""

from __future__ import annotations

import os

from benchmarks.contenders import Counts, Run, repeat_counted


def steady(steps: int = 10, updates: int = 5) -> Run:
    """Return what does so much work in every turn, by its own clock in a second; it prints, which is no answer."""

    def run(seconds: float) -> Counts:
        print("a line that some library prints")
        return {"agent_steps": steps, "updates": updates, "seconds": 1.0, "cpu": 0.5}

    return run


def clocked() -> Run:
    """Return what is timed from outside."""
    return repeat_counted(lambda: None, agent_steps=2)


def where() -> Run:
    """Return what tells how many cores and threads it has."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    return lambda seconds: {"agent_steps": cores, "threads": int(os.environ["OMP_NUM_THREADS"])}


def not_installed() -> Run:
    """Need a library that nobody has."""
    import no_such_library  # type: ignore[import-not-found]  # noqa: F401

    raise AssertionError


def broken() -> Run:
    """Fail while it is made."""
    raise ValueError("cannot be made")


def breaks() -> Run:
    """Return what fails in its third turn, the second one that counts."""
    turns = []

    def run(seconds: float) -> Counts:
        turns.append(seconds)
        if len(turns) > 2:
            raise ValueError("does not go on")
        return {"agent_steps": 1}

    return run
