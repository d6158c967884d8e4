"""What a short trial tells of a foreign environment, and generators of its own for one that draws from Python's global.

A seed is all that a run, an evaluation and a resumed run have in common. An environment that draws from ``random`` or
``numpy.random`` instead of its ``np_random`` gets global generators of its own, swapped in while it runs and seeded by
`reset`: its episodes are their seeds and actions again, whatever else runs beside it.
"""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils.env_checker import data_equivalence

from envs.hanging import WATCHDOG

STEPS = 10  # of a trial
SECONDS = 0.5  # and about so long at most
FAULTS = (Exception, SystemExit)  # what an environment may raise; its first use will report it


class GlobalRandomness:
    """The states of ``random`` and ``numpy.random`` as one environment sees them; a context manager."""

    def __init__(self) -> None:
        self.seed(None)

    def seed(self, seed: int | None) -> None:
        """Begin anew."""
        numpy_seed = None if seed is None else seed % 2**32
        self.own = random.Random(seed).getstate(), np.random.RandomState(numpy_seed).get_state(legacy=False)

    def __enter__(self) -> None:
        self._others = _get()
        _set(self.own)

    def __exit__(self, *error: object) -> None:
        self.own = _get()
        _set(self._others)


def _get() -> tuple[Any, Any]:
    return random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002, what environments draw from


def _set(states: tuple[Any, Any]) -> None:
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002


@dataclass(frozen=True)
class Trial:
    """What was found out of an environment."""

    seen: Any = None
    """An observation; None: it could not be reset."""
    draws_globally: bool = False
    """From ``random`` or ``numpy.random``."""
    step_seconds: float = 0.0
    """How long a step takes, as a median."""
    notes: tuple[str, ...] = ()
    """What a person should know."""


def try_out(env: gymnasium.Env[Any, Any]) -> Trial:
    """Return what some steps of an environment with discrete actions tell; it has to be reset afterwards."""
    (randomness := GlobalRandomness()).seed(0)
    before, began = copy.deepcopy(randomness.own), time.perf_counter()
    took: list[float] = []
    first = list(_steps(env, randomness, took))
    if not first:
        return Trial()
    draws, seen, notes = not data_equivalence(before, randomness.own), first[0][0], []
    if (outside := _outside(env.observation_space, [step[0] for step in first])) is not None:
        notes.append(outside)
    if time.perf_counter() - began < 2 * SECONDS:
        randomness.seed(0)
        # one that is slow now and then takes fewer steps
        if not all(_same(one, other) for one, other in zip(first, _steps(env, randomness, []), strict=False)):
            notes.append(
                "episodes of the same seed differ: it draws from a generator that reset(seed=...) doesn't seed, so"
                " a run can't be repeated, and one that is resumed goes on from other states"
            )
    return Trial(seen, draws, float(np.median(took)) if took else 0.0, tuple(notes))


def _steps(env: gymnasium.Env[Any, Any], randomness: GlobalRandomness, took: list[float]) -> Iterator[tuple[Any, ...]]:
    """Yield observation, reward and end of the first steps of episode 0, until one fails; ``took`` gets seconds."""
    assert isinstance(env.action_space, spaces.Discrete)
    began = time.perf_counter()
    try:
        with randomness:
            obs, info = WATCHDOG.guarded(env.reset)(seed=0)
        yield copy.deepcopy(obs), 0.0, False, False
        for step in range(STEPS):
            mask = info.get("action_mask")
            action = step % int(env.action_space.n) if mask is None else int(np.flatnonzero(mask)[0])
            started = time.perf_counter()
            with randomness:
                answer = WATCHDOG.guarded(env.step)(int(env.action_space.start) + action)
            took.append(time.perf_counter() - started)
            obs, reward, terminated, truncated, info = answer
            yield copy.deepcopy(obs), reward, terminated, truncated
            if terminated or truncated or time.perf_counter() - began > SECONDS:
                return
    except FAULTS:
        return


def _same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    try:
        return bool(data_equivalence(one, other))
    except FAULTS:
        return True  # no array: its first use will report it


def _outside(space: spaces.Space[Any], observations: list[Any]) -> str | None:
    """Return a note on a number that is outside the bounds of its space, by which it is scaled."""
    if not isinstance(space, spaces.Box) or space.dtype is None or space.dtype.kind != "f":
        return None
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    with np.errstate(over="ignore"):
        width = np.nan_to_num(high - low, posinf=0.0)
        low, high = low - 1e-4 * np.maximum(1, width), high + 1e-4 * np.maximum(1, width)
    for obs in observations:
        if not isinstance(obs, np.ndarray) or obs.shape != space.shape or obs.dtype.kind != "f":
            return None
        bad = (obs < low) | (obs > high)
        if bad.any():
            k = int(bad.argmax())
            bounds = f"{space.low.flat[k]:g} to {space.high.flat[k]:g}"
            return f"value {k} of an observation is {obs.flat[k]:g}, its space says {bounds}"
    return None
