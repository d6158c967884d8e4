"""Watching a run while it trains, from another process: the folder ``live/`` through which both sides communicate.

``running.json``  which process trains (`common.lock`); gone when it ends
``watcher.json``  touched every second by an attached window
``manifest.json``, ``network.safetensors``  the newest weights, as in ``agent/``, while a window is attached
``evaluation.json``  how far an evaluation in progress is, while a window is attached: ``{"finished": 3, "episodes":
    20}``
``requests.jsonl``  appended to by attached windows, a line a request: ``{"time": 1763900000.5, "name": "epsilon",
    "value": 0.1, "source": "window"}``; time in seconds since 1970, value null gives control back to the schedule
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import psutil

from common import lock
from common.errors import UserError, suggestion
from common.reading import opened
from common.settings import Between, ranges
from common.text import shown
from learning.checkpoint import MANIFEST, WEIGHTS
from learning.config import LearnerConfig
from learning.evaluate import EpisodeResult

WATCHER, REQUESTS, EVALUATION = "watcher.json", "requests.jsonl", "evaluation.json"
EPSILON, LEARNING_RATE, LEARNING = "epsilon", "learning_rate", "learning"
LOOK_SECONDS = 1.0  # between two checks for a window
GRACE_SECONDS = 5.0  # after the last heartbeat: a window may hang for a moment
PUBLISH_SECONDS = 0.5  # at least, between two publications
COST_SHARE = 0.01  # of the trainer's time that publishing may take
MOST_BYTES = 65_536  # of requests read at a time

Value = float | bool | None


class Watcher(Protocol):
    """Receives progress in the trainer's own process: a live display, plain lines, a test."""

    def progress(self, row: dict[str, Any]) -> None:
        """Receive one row of metrics, and ``left_s``: the seconds left, evaluations included, None if unknown."""

    def pulse(self, row: dict[str, Any]) -> None:
        """Receive the same between two rows, about once a second: a sign of life, which is not logged."""

    def evaluating(self, finished: int, episodes: int, left: float) -> None:
        """Receive how far an evaluation is, after each of its steps: episodes, and seconds left."""

    def evaluated(self, agent_steps: int, results: list[EpisodeResult]) -> None:
        """Receive the results of an evaluation."""


class Event(NamedTuple):
    """The outcome of one request."""

    name: str
    value: Value  # None: the schedule's again
    source: str
    refused: str = ""  # the reason, if it was rejected

    @property
    def row(self) -> dict[str, str]:
        """Return the columns that ``events.csv`` has of it; a rejected value stands in the reason."""
        value = "" if self.refused else "schedule" if self.value is None else json.dumps(self.value)
        return {"name": self.name, "value": value, "source": self.source, "refused": self.refused}

    def __str__(self) -> str:
        if self.refused:
            return f"a request of the {self.source} was rejected: {self.refused}"
        if self.name == LEARNING:
            return f"learning {'stopped' if self.value is False else 'resumed'} by the {self.source}"
        now = "follows its schedule again" if self.value is None else f"is now {self.value:g}"
        return f"{self.name} {now} (set by the {self.source})"


class ControlRequests:
    """Values that attached windows have set in place of the schedules.

    ``epsilon`` and ``learning_rate`` are numbers within the ranges of the settings. ``learning`` false means a step
    size of 0: everything else continues, but the network stays as it is.
    """

    def __init__(self, config: LearnerConfig) -> None:
        self.allowed = allowed(config)
        self.in_force: dict[str, float | bool] = {}
        self.position = 0  # bytes of the file read so far

    @property
    def overrides(self) -> dict[str, float]:
        """Return the values that take the place of the schedules, by name."""
        values = {name: float(value) for name, value in self.in_force.items() if name != LEARNING}
        return values if self.in_force.get(LEARNING, True) else {**values, LEARNING_RATE: 0.0}

    def read(self, path: Path) -> list[Event]:
        """Apply new lines and return their outcomes; of several for one name the last one counts."""
        events = [self._check(line) for line in self._new_lines(path) if line.strip()]
        accepted = {event.name: event for event in events if not event.refused}
        for name, event in accepted.items():
            if event.value is None:
                self.in_force.pop(name, None)
            else:
                self.in_force[name] = event.value
        return [event for event in events if event.refused] + list(accepted.values())

    def _new_lines(self, path: Path) -> list[bytes]:
        """Return the whole lines that were appended since the last time."""
        try:
            size = path.stat().st_size
            if size < self.position:
                self.position = 0  # this is another file
            if size == self.position:
                return []
            with opened(path) as file:
                file.seek(self.position)
                data = file.read(MOST_BYTES)
        except FileNotFoundError:
            self.position = 0
            return []
        except (OSError, UserError):  # held by its writer, as happens on Windows: next time
            return []
        end = data.rfind(b"\n") + 1
        if not end and len(data) == MOST_BYTES:
            end = len(data)  # no request is that long
        self.position += end
        return data[:end].splitlines()

    def _check(self, line: bytes) -> Event:
        try:
            request: Any = json.loads(line)
            name, value, source = request["name"], request["value"], request.get("source", "window")
            if not (isinstance(name, str) and isinstance(source, str)):
                raise TypeError
            name, source = shown(name, 40), shown(source, 40)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            text = line[:60].decode(errors="replace")
            return Event("", None, "window", f"not a request with a name and a value: {text!r}")
        reason = rejection(name, value, self.allowed)
        return Event(name, None if reason else value, source, reason)

    def state(self) -> dict[str, Any]:
        """Return what `load` needs, as JSON's types."""
        return {"in_force": self.in_force, "position": self.position}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore what was in force; `ValueError` for values out of range."""
        for name, value in state["in_force"].items():
            if value is None:
                raise ValueError(f"{name} is null")
            if reason := rejection(name, value, self.allowed):
                raise ValueError(reason)
        self.in_force, self.position = dict(state["in_force"]), max(int(state["position"]), 0)


def allowed(config: LearnerConfig) -> dict[str, Between]:
    """Return the range of each number that can be requested."""
    known = ranges(config)
    return {EPSILON: known["epsilon_final"], LEARNING_RATE: known["learning_rate"]}


def rejection(name: str, value: Any, allowed: Mapping[str, Between]) -> str:
    """Return why a request is rejected; empty if it is accepted."""
    if name not in (*allowed, LEARNING):
        return f"unknown request '{name[:40]}'; {suggestion(name[:40], (*allowed, LEARNING))}"
    if value is None or (name == LEARNING and isinstance(value, bool)):
        return ""
    if name == LEARNING:
        return "learning is true or false"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{name} is a number"
    try:
        fits = allowed[name].holds(value)
    except OverflowError:  # whole numbers have no end
        fits = False
    return "" if fits else f"{name} {str(value)[:40]} is out of range; allowed: {allowed[name]}"


class WeightPublisher:
    """The trainer's side: checks once a second for an attached window, and only then publishes.

    A publication that took s seconds is followed by none for s / `COST_SHARE` seconds, so that attaching costs no
    more than that share of the time. Without a window this only reads the clock.
    """

    def __init__(
        self, live: Path, publish: Callable[[Path], None], clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """``publish`` writes the weights into the folder that it is given; what a killed run left there is removed."""
        self.live, self._publish, self._clock = live, publish, clock
        self._watched_until = self._next_publish = self._next_look = self._next = self._next_note = clock()
        self._beat = self._last_beat()  # one that was left behind does not count
        self._evaluated_published = False
        self.close()

    def due(self) -> bool:
        """Return whether it is time for `attend`."""
        return self._clock() >= self._next

    def attend(self) -> bool:
        """Publish if a window is attached and it is time; return whether it is time to read requests."""
        now = self._clock()
        if looked := now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._look(now)
        if (watched := now < self._watched_until) and now >= self._next_publish:
            self._publish_now()
        elif self._published and not watched:
            self.close()  # the next window must not take old weights for live ones
        self._next = min(self._next_look, self._next_publish) if watched else self._next_look
        return looked

    def _look(self, now: float) -> None:
        beat = self._last_beat()
        if beat is None:
            self._watched_until = now
        elif beat != self._beat:  # compared with itself and not with our clock, which may be another machine's
            self._watched_until = now + GRACE_SECONDS
        self._beat = beat

    def _last_beat(self) -> int | None:
        try:
            return (self.live / WATCHER).stat().st_mtime_ns
        except OSError:
            return None

    def _publish_now(self) -> None:
        began = self._clock()
        with suppress(OSError):  # disk full, or being read on Windows: no reason to stop the training
            self._publish(self.live)
            self._published = True
        now = self._clock()
        self._next_publish = now + max(PUBLISH_SECONDS, (now - began) / COST_SHARE)

    def evaluating(self, finished: int, episodes: int) -> None:
        """Tell an attached window how far an evaluation is, twice a second at most."""
        now = self._clock()
        if now < self._next_note:
            return
        self._next_note = now + PUBLISH_SECONDS
        self._look(now)
        if now < self._watched_until:
            if not self._evaluated_published and now >= self._next_publish:
                self._publish_now()  # the weights that are evaluated: those before may be seconds older
                self._evaluated_published = True
            with suppress(OSError):
                text = json.dumps({"finished": finished, "episodes": episodes}) + "\n"
                (self.live / EVALUATION).write_text(text, encoding="utf-8")

    def evaluated(self) -> None:
        """Tell it that the evaluation has ended."""
        self._evaluated_published = False
        with suppress(OSError):
            (self.live / EVALUATION).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the weights: ``agent/`` is as new."""
        self._published = False
        for name in (MANIFEST, WEIGHTS, EVALUATION):
            with suppress(OSError):  # being read, on Windows
                (self.live / name).unlink(missing_ok=True)


@contextmanager
def live_session(claim: lock.Claim, publish: Callable[[Path], None]) -> Iterator[WeightPublisher]:
    """Lock a run's ``live/`` while it trains, and clean it up afterwards.

    Raises:
        UserError: another process trains this run.
    """
    claim.take()
    publisher = WeightPublisher(claim.folder, publish)
    try:
        yield publisher
    finally:
        publisher.close()
        claim.release()
        tidy(claim.folder)


# ------------------------------------------------------------------ the window's side


def is_training(live: Path) -> bool:
    """Return whether a process trains this run, on this machine."""
    try:
        return bool(lock.alive_processes(live / lock.FILE))
    except (UserError, psutil.Error, ValueError, TypeError):
        return False


def evaluation(live: Path) -> tuple[int, int] | None:
    """Return the finished episodes of an evaluation in progress, and all of them; None where there is none."""
    try:
        with opened(live / EVALUATION) as file:
            found = json.loads(file.read(MOST_BYTES))
        finished, episodes = found["finished"], found["episodes"]
    except (OSError, UserError, ValueError, TypeError, KeyError, RecursionError):
        return None
    whole = isinstance(finished, int) and isinstance(episodes, int)
    return (finished, episodes) if whole and 0 <= finished <= episodes else None


def write_heartbeat(live: Path) -> None:
    """Write a heartbeat; `OSError` where the run's folder is gone or can't be written to."""
    live.mkdir(exist_ok=True)
    (live / WATCHER).write_text(json.dumps({"time": time.time(), "pid": os.getpid()}) + "\n", encoding="utf-8")


def remove_heartbeat(live: Path) -> None:
    """Remove the heartbeat."""
    with suppress(OSError):
        (live / WATCHER).unlink(missing_ok=True)
    tidy(live)


def append_request(live: Path, name: str, value: Value, source: str = "window") -> None:
    """Append a request for the trainer; `OSError` where that can't be done."""
    line = json.dumps({"time": round(time.time(), 3), "name": name, "value": value, "source": source})
    # one write at the end of the file; the leading newline ends what another process left unfinished
    file = os.open(live / REQUESTS, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, f"\n{line}\n".encode())
    finally:
        os.close(file)


def tidy(live: Path) -> None:
    """Remove the folder if nothing is left in it."""
    with suppress(OSError):
        live.rmdir()
