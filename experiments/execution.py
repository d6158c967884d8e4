"""Many runs: started as places become free, watched, stopped by a signal; where they run is an engine's business.

Nothing here loads PyTorch.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from common.signals import ALL, on_signal
from experiments import planned
from experiments.plan import Row

TICK_SECONDS = 0.2
REFRESH_SECONDS = 1.0  # between two looks at the files of a run
State = Literal["waiting", "running", "finished", "failed", "stopped"]


@dataclass
class Job:
    """A planned run while it is executed."""

    row: Row
    state: State = "waiting"
    where: str = ""
    """The machine, where there are several."""
    why: str = ""
    """Why it failed, in one line."""
    resumed: bool = False
    done: int = 0
    """Agent steps."""
    total: int = 0
    last_return: float | None = None
    expected: float | None = None
    """Seconds that it takes from its start, as measured; None: not known yet."""
    started_at: float = 0.0
    ended_at: float | None = None
    done_before: int = 0
    """Agent steps when it was started here."""
    stopping: bool = False
    _folder: Path | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """How it is reported."""
        return self.row.name

    @property
    def fraction(self) -> float:
        """The fraction of its agent steps, 0 to 1."""
        return 1.0 if self.state == "finished" else min(self.done / self.total, 1.0) if self.total else 0.0

    @property
    def seconds(self) -> float:
        """Running time, up to now or to its end."""
        return (
            (time.monotonic() if self.ended_at is None else self.ended_at) - self.started_at if self.started_at else 0.0
        )

    @property
    def steps_per_second(self) -> float | None:
        """Agent steps a second since it was started here, start-up and evaluations included; None before any."""
        gained = self.done - self.done_before
        return gained / self.seconds if gained > 0 and self.seconds > 0 else None

    def seconds_left(self) -> float | None:
        """Return the seconds it will still take; None while that is unknown."""
        if self.state not in ("waiting", "running"):
            return 0.0
        if self.state == "running" and (pace := self.steps_per_second) and self.fraction > 0.02:
            return max(self.total - self.done, 0) / pace
        return None if self.expected is None else max(self.expected - self.seconds, 0.0)

    def refresh(self) -> None:
        """Look at its files."""
        if (folder := self.row.run.newest_folder()) is None:
            self.total = self.total or self.row.total
            return
        if folder != self._folder or not self.total:
            self.total = planned.total_steps(folder) or self.row.total
            if (left := planned.estimate(folder)) is not None and not self.resumed:
                self.expected = self.seconds + left  # it is measured after the start-up, which may take longer
            self._folder = folder
        self.take(planned.last_row(folder))

    def look_once(self) -> None:
        """Look at its files if that was never done, as in a run that was finished before."""
        if self._folder is None:
            self.refresh()

    def take(self, row: Mapping[str, Any]) -> None:
        """Take a row of its metrics; also the total and the expected seconds, from where its files are not here."""
        self.total = row.get("total", self.total)
        if self.expected is None and "expected" in row:
            self.expected = self.seconds + row["expected"]
        self.done = max(self.done, _whole(row.get("agent_steps")))
        for column in ("eval_return", "episodic_return"):
            if text := row.get(column):
                self.last_return = _number(text)
                break


def _whole(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 16 else 0


def _number(text: str) -> float | None:
    try:
        return float(text[:40])
    except ValueError:
        return None


@dataclass(frozen=True)
class Ended:
    """How a run's process ended."""

    code: int
    why: str = ""
    """The last line that it printed; or what else went wrong."""


class Engine(Protocol):
    """Where runs are executed."""

    def places(self) -> int:
        """Return how many runs may be there at once, as of now."""

    def start(self, job: Job) -> Future[Ended]:
        """Start a run, or resume it."""

    def stop(self, job: Job) -> None:
        """Ask a run to save and end; asked again, to end at once."""

    def tick(self, jobs: Sequence[Job]) -> None:
        """Look after what runs; called often."""


class Observer(Protocol):
    """Is told what happens, and shows it."""

    def started(self, job: Job) -> None:
        """A run was started."""

    def ended(self, job: Job) -> None:
        """A run ended, was stopped, or failed."""

    def stopping(self, count: int) -> None:
        """All are asked to stop, so many that run."""

    def tick(self) -> None:
        """Some time has passed; called often."""


class Source(Protocol):
    """Where runs come from."""

    def take(self) -> Job | None:
        """Return the next run; None: there is none now."""

    def ended(self, job: Job) -> None:
        """Take note of the end of a run."""

    def hopeless(self, job: Job) -> bool:
        """Return whether a run that has been looked at need not go on."""


class Queue:
    """Runs from a list."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self.waiting = deque(jobs)

    def take(self) -> Job | None:
        """Return the next run."""
        return self.waiting.popleft() if self.waiting else None

    def ended(self, job: Job) -> None:
        """Nothing depends on it."""

    def hopeless(self, job: Job) -> bool:
        """Every run goes on."""
        return False


class Execution:
    """Runs all that a source gives, as many at a time as an engine has places."""

    def __init__(self, source: Source, engine: Engine, observer: Observer) -> None:
        self.source, self.engine, self.observer = source, engine, observer
        self.running: dict[Future[Ended], Job] = {}
        self.stop_requests = 0  # signals received
        self.requests_passed_on = 0

    def run(self) -> bool:
        """Run all; return False if a signal stopped any of them.

        A signal asks the runs to save and end, and they are waited for; a second one ends them at once. A run that
        fails does not stop the others.
        """
        with on_signal(self._request_stop, ALL):
            try:
                while self._fill() or self.running:
                    finished, _ = wait(self.running, TICK_SECONDS, FIRST_COMPLETED)
                    for future in finished:
                        self._end(self.running.pop(future), future)
                    self._look()
            except BaseException:
                for job in self.running.values():  # leave no orphan behind
                    self.engine.stop(job)
                raise
        return not self.stop_requests

    def _request_stop(self, number: int) -> None:
        self.stop_requests += 1

    def _fill(self) -> bool:
        """Start what there is a place for; return whether anything was started."""
        before, places = len(self.running), self.engine.places() if not self.stop_requests else 0
        while len(self.running) < places and not self.stop_requests and (job := self.source.take()) is not None:
            job.state, job.started_at, job.ended_at, job.stopping = "running", time.monotonic(), None, False
            job.refresh()
            job.done_before = job.done
            self.running[self.engine.start(job)] = job
            self.observer.started(job)
        return len(self.running) > before

    def _look(self) -> None:
        if self.stop_requests > self.requests_passed_on:
            self.requests_passed_on = self.stop_requests
            if self.requests_passed_on == 1:
                self.observer.stopping(len(self.running))
            for job in self.running.values():
                self.engine.stop(job)
        self.engine.tick(list(self.running.values()))
        self.observer.tick()
        for job in self.running.values():
            if not job.stopping and self.source.hopeless(job):
                job.stopping = True
                self.engine.stop(job)

    def _end(self, job: Job, future: Future[Ended]) -> None:
        """Take note of how a run ended."""
        error = future.exception()
        ended = future.result() if error is None else Ended(1, f"{type(error).__name__}: {error}")
        job.ended_at = time.monotonic()
        job.refresh()
        if job.row.run.finished_folder() is not None:
            job.state, job.done = "finished", job.total
        elif self.stop_requests or job.stopping:
            job.state = "stopped"
        else:
            job.state = "failed"
            job.why = ended.why or f"exit status {ended.code}"
            job.row.run.fail(job.why)
        self.source.ended(job)
        self.observer.ended(job)


def seconds_left(jobs: Iterable[Job], places: int) -> float | None:
    """Return the seconds until all runs are done; None while nothing is known of any.

    A run that has not begun is taken to last as long as the mean of those that are known of its configuration, else of
    its environment and agent, else of all.
    """
    jobs = list(jobs)
    known: dict[tuple[str, ...], list[float]] = {}
    for job in jobs:
        length = job.seconds if job.state == "finished" and job.done_before == 0 and job.started_at else job.expected
        if length:
            one = job.row.configuration
            for key in ((job.row.label,), (one.env_id, one.agent), ()):
                known.setdefault(key, []).append(length)
    if not known:
        return None
    total, longest = 0.0, 0.0
    for job in jobs:
        left = job.seconds_left()
        if left is None:
            one = job.row.configuration
            keys = ((job.row.label,), (one.env_id, one.agent), ())
            lengths = next(known[key] for key in keys if key in known)
            left = max(sum(lengths) / len(lengths) - job.seconds, 0.0)
        total, longest = total + left, max(longest, left)
    return max(total / max(places, 1), longest)
