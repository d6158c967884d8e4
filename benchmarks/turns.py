"""Contenders that run in turns, each in a process of its own, and count what they did.

A contender's process builds it and then answers one line with another: ``{"seconds": 3}`` with how long it ran, how
much of the processor it took, and what it did in that time. So one that is not installed, or that needs another Python,
harms nobody; load on the machine meets all of them; and nothing that one library sets affects another.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

ROOT = Path(__file__).resolve().parent.parent
Role = Literal["ours", "peer", "limit"]


@dataclass(frozen=True)
class Contender:
    """One of those that run in turns."""

    label: str
    role: Role
    build: str
    """``module:function``; the function returns a `benchmarks.contenders.Run`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Its keywords; JSON's types."""


@dataclass(frozen=True)
class Row:
    """One figure, and who is compared in it."""

    name: str
    """``group/name``: what --only takes."""
    title: str
    unit: str
    """In which it is shown; its key in `benchmarks.figures.UNITS`."""
    contenders: Sequence[Contender]
    cores: int = 1
    rest: str = ""
    """What takes the time that the limit does not take."""
    peerless: str = ""
    """Why there is no peer."""
    screen: bool = False
    """Needs an X server, real or virtual."""
    slow: bool = False
    """Takes minutes: two rounds at most, and none with --quick."""


@dataclass(frozen=True)
class Window:
    """One turn."""

    seconds: float
    """Wall-clock."""
    cpu: float
    """Processor time of the process, all threads, seconds."""
    counts: dict[str, float]
    """What was done: agent_steps, updates, samples ..."""


@dataclass
class Result:
    """A contender's turns, or why there are none."""

    label: str
    role: Role
    windows: list[Window] = field(default_factory=list)
    missing: str = ""
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """How long each turn is, and which Pythons may have the peers."""

    seconds: float
    rounds: int
    pythons: Sequence[str] = (sys.executable,)
    warm_up: float = 1.0
    """Seconds of a first turn that does not count: compilers and allocators have settled then."""


def measure(row: Row, settings: Settings) -> list[Result]:
    """Let the contenders of a row run in turns; one that can't run has a reason in place of turns."""
    results = [Result(one.label, one.role) for one in row.contenders]
    cores = cores_for(row.cores)
    reason = f"needs {row.cores} processor cores; {len(cores)} here" if len(cores) < row.cores else ""
    prefix = screen() if row.screen else []
    if row.screen and not prefix:
        reason = "no screen here, and no virtual one: apt-get install xvfb"
    if reason:
        for result in results:
            result.missing = reason
        return results
    with ExitStack() as stack:
        workers: list[tuple[Worker, Result]] = []
        for contender, result in zip(row.contenders, results, strict=True):
            worker = stack.enter_context(opened(contender, cores, settings.pythons, prefix))
            result.missing, result.versions = worker.missing, worker.versions
            workers.append((worker, result))
        rounds = min(settings.rounds, 2) if row.slow else settings.rounds
        for seconds in (settings.warm_up, *[settings.seconds] * rounds):
            for worker, result in workers:
                if not result.missing:
                    _turn(worker, result, seconds)
    for result in results:
        result.windows = result.windows[1:]
    return results


def _turn(worker: Worker, result: Result, seconds: float) -> None:
    answer = worker.ask({"seconds": seconds})
    if "missing" in answer:
        result.missing, result.windows = answer["missing"], []
    else:
        result.windows.append(Window(**answer))


def cores_for(count: int) -> list[int]:
    """Return so many of the cores that this process may use, the last ones, or all if there are fewer."""
    if not hasattr(os, "sched_getaffinity"):  # not on Linux: nothing is pinned
        return list(range(os.cpu_count() or 1))[-count:]
    return sorted(os.sched_getaffinity(0))[-count:]


def screen() -> list[str]:
    """Return the words before a command that give it a screen, ``env`` where there is one; nothing: there is none."""
    if os.environ.get("DISPLAY") or not sys.platform.startswith("linux"):
        return ["env"]
    return [path, "-a", "-s", "-screen 0 1920x1200x24"] if (path := shutil.which("xvfb-run")) else []


class Worker:
    """A contender's process, from its start to its end."""

    def __init__(self, process: subprocess.Popen[str], errors: IO[str]) -> None:
        self.process, self._errors = process, errors
        first = self._read()
        self.missing: str = first.get("missing", "")
        self.versions: dict[str, str] = first.get("versions", {})

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to one line; ``missing`` in it says why there is none."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # `_read` tells why
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        if line := self.process.stdout.readline():
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.process.wait()  # while it ends it takes time that belongs to others
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors if line.strip()]
        return {"missing": f"failed: {lines[-1][:200] if lines else 'its process ended'}"}


@contextmanager
def opened(
    contender: Contender, cores: Sequence[int], pythons: Sequence[str], prefix: Sequence[str] = ()
) -> Iterator[Worker]:
    """Start a contender with the first Python that has what it needs, and end its process afterwards."""
    threads = str(len(cores))
    env = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    env |= {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "PYTHONWARNINGS": "ignore"}
    with ExitStack() as stack:
        for python in pythons:
            words = [*prefix, python, "-m", "benchmarks.contenders"]
            words += [contender.build, json.dumps(dict(contender.options)), json.dumps(list(cores))]
            errors = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))
            pipe = subprocess.PIPE
            process = subprocess.Popen(words, cwd=ROOT, env=env, text=True, stdin=pipe, stdout=pipe, stderr=errors)
            stack.callback(_end, process)
            worker = Worker(process, errors)
            if not worker.missing:
                break
        yield worker


def _end(process: subprocess.Popen[str]) -> None:
    """Close the process's input, upon which it leaves; stop it if it does not."""
    assert process.stdin is not None
    assert process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
