"""The playback clock: speeds, and how many steps to make in an amount of real time. No pygame here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol

import gymnasium

SPEEDS = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, math.inf)
TICK_SECONDS = 0.03  # one tick of Karpathy's demos at normal speed
REST_SECONDS = 1.5  # how long a finished episode stays on screen, at speed 1 or less


class Playable(Protocol):
    """What a clock can advance: one session, or two at once."""

    @property
    def paused(self) -> bool: ...  # noqa: D102
    @property
    def finished(self) -> bool: ...  # noqa: D102
    @property
    def speed(self) -> float: ...  # noqa: D102
    @property
    def tick_seconds(self) -> float: ...  # noqa: D102
    @property
    def auto_next(self) -> bool: ...  # noqa: D102
    def step(self) -> None: ...  # noqa: D102
    def next_episode(self) -> None: ...  # noqa: D102


class PlaybackClock:
    """Turns real time into steps, and into the rest after an episode."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start a new episode: no step is due."""
        self._due, self._rest = 0.0, REST_SECONDS

    @property
    def rested(self) -> bool:
        """Return whether a finished episode has been on screen for long enough."""
        return self._rest <= 0.0

    def advance(
        self, game: Playable, seconds: float, limit: int | None, budget: float, clock: Callable[[], float]
    ) -> int:
        """Advance by ``seconds`` of real time at the game's speed; return how many steps were made.

        ``limit``: the largest number of steps. ``budget``: seconds of computing after which the remaining steps are
        dropped, so that a speed the machine can't reach does not freeze the window.
        """
        if game.paused:
            return 0
        played = seconds * game.speed if seconds > 0.0 else 0.0  # 0 times an unlimited speed would be NaN
        if game.finished:
            self._rest -= max(played, seconds)
            if game.auto_next and self.rested:
                game.next_episode()
            return 0
        started, made = clock(), 0
        self._due += played / game.tick_seconds
        while self._due >= 1.0 - 1e-9 and (limit is None or made < limit):
            self._due -= 1.0
            game.step()
            made += 1
            if game.finished:
                break  # so that the caller sees this episode's end before the next one starts
            if clock() - started > budget:
                break
        self._due = min(self._due, 1.0)  # steps that did not fit are dropped
        return made


def next_speed(speed: float, by: int) -> float:
    """Return the speed ``by`` places further in SPEEDS, counted from the entry nearest to ``speed``."""
    nearest = min(range(len(SPEEDS)), key=lambda place: _log_ratio(SPEEDS[place], speed))
    return SPEEDS[min(max(nearest + by, 0), len(SPEEDS) - 1)]


def _log_ratio(one: float, other: float) -> float:
    """Return the distance of two speeds, |log of their ratio|: 0 if they are equal."""
    if one == other:
        return 0.0
    return math.inf if math.isinf(one) or math.isinf(other) else abs(math.log(one / other))


def tick_seconds(env: gymnasium.Env[Any, Any]) -> float:
    """Return how long a step lasts at normal speed: 30 ms in our worlds, else by the environment's ``render_fps``."""
    fps = env.metadata.get("render_fps")
    if hasattr(env.unwrapped, "coast") or not fps:
        return TICK_SECONDS
    return _repeats(env) / float(fps)


def longest_episode(env: gymnasium.Env[Any, Any]) -> int | None:
    """Return an environment's own limit of an episode, steps of the agent; None if it has none."""
    limit = env.spec.max_episode_steps if env.spec else None
    return None if limit is None else -(-limit // _repeats(env))


def _repeats(env: gymnasium.Env[Any, Any]) -> int:
    """Return for how many steps of an environment an action lasts."""
    return int(env.get_wrapper_attr("num_repeats")) if env.has_wrapper_attr("num_repeats") else 1
