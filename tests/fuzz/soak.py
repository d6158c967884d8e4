"""Many damaged files for every reader, many wrong command lines: python -m tests.fuzz.soak --count 1000.

Each reader has a process of its own, so that its peak of memory is its own. A refusal is a `UserError` of one line;
any other exception is a traceback, and a file that takes more than 10 s a hang.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from common.errors import MOST, UserError
from tests.fuzz.commands import PROGRAMS, refused, wrong_line
from tests.fuzz.readers import READERS, Reader, sound

HANG_SECONDS = 10


@dataclass
class Outcome:
    """What became of the inputs of one reader."""

    reader: str
    inputs: int = 0
    refusals: int = 0
    tracebacks: int = 0
    bad_messages: int = 0
    """Longer than allowed, several lines, or with control characters."""
    hangs: int = 0
    slowest_s: float = 0.0
    """Of the processor."""
    peak_mb: float = 0.0


class Hang(BaseException):
    """A reader that takes too long."""


def _alarm(number: int, frame: FrameType | None) -> None:
    raise Hang


def soak(reader: Reader, count: int, seed: int, tell: Callable[[str], None] = print) -> Outcome:
    """Return what became of so many damaged files."""
    outcome = Outcome(reader.name)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        sound(base)
        path = base / reader.file
        data = path.read_bytes()
        reader.read(base)  # what is imported and compiled at first is not the file's doing
        for number in range(seed, seed + count):
            path.write_bytes(reader.damage(data, random.Random(f"{reader.name} {number}")))
            one(outcome, lambda: reader.read(base), f"{reader.name}, seed {number}", tell)
    outcome.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return outcome


def one(outcome: Outcome, read: Callable[[], object], name: str, tell: Callable[[str], None]) -> None:
    """Read one input and count what became of it."""
    outcome.inputs += 1
    signal.alarm(HANG_SECONDS)
    began = time.process_time()  # other processes may be busy too
    try:
        read()
    except UserError as error:
        outcome.refusals += 1
        if len(str(error)) > MOST or not str(error).isprintable():
            outcome.bad_messages += 1
            tell(f"{name}: message {str(error)!r}")
    except Hang:
        outcome.hangs += 1
        tell(f"{name}: hangs")
    except Exception:
        outcome.tracebacks += 1
        tell(f"{name}: {traceback.format_exc(limit=-3)}")
    finally:
        signal.alarm(0)
        outcome.slowest_s = max(outcome.slowest_s, time.process_time() - began)


def command_lines(program: str, count: int, seed: int, tell: Callable[[str], None] = print) -> Outcome:
    """Return what became of so many wrong command lines of a program; one that is accepted counts as a traceback."""
    outcome = Outcome(f"{program} ...")
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "a" / "b"  # "." and ".." hold no runs
        empty.mkdir(parents=True)
        with contextlib.chdir(empty):
            for number in range(seed, seed + count):
                words = wrong_line(program, random.Random(f"{program} {number}"))
                one(outcome, lambda: refused(program, words), f"{program} {words}", tell)  # noqa: B023, it is called at once
    outcome.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return outcome


def main() -> int:
    """Run what the command line says; 1: something else than a refusal came of an input."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.soak", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="damaged files for each reader")
    parser.add_argument("--lines", type=int, default=200, help="wrong command lines for each program")
    parser.add_argument("--seed", type=int, default=0, help="of the first one; the next ones count up")
    parser.add_argument("--only", action="append", help="this reader or program; may be given several times")
    options = parser.parse_args()
    print("| reader | inputs | refused | tracebacks | bad messages | hangs | slowest | peak |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    total = Outcome("**all**")
    for name in options.only or [*READERS, *PROGRAMS]:
        outcome = _apart(name, options)
        _print(outcome)
        for field in ("inputs", "refusals", "tracebacks", "bad_messages", "hangs"):
            setattr(total, field, getattr(total, field) + getattr(outcome, field))
        total.slowest_s = max(total.slowest_s, outcome.slowest_s)
        total.peak_mb = max(total.peak_mb, outcome.peak_mb)
    _print(total)
    return int(bool(total.tracebacks or total.hangs or total.bad_messages))


def _apart(name: str, options: argparse.Namespace) -> Outcome:
    """Return the outcome of one reader or program, in a process of its own; one that dies counts as a traceback."""
    fork = multiprocessing.get_context("fork")  # what is imported is imported once
    receiver, sender = fork.Pipe(duplex=False)

    def work() -> None:
        signal.signal(signal.SIGALRM, _alarm)
        tell = functools.partial(print, file=sys.stderr, flush=True)
        if name in READERS:
            sender.send(asdict(soak(READERS[name], options.count, options.seed, tell)))
        else:
            sender.send(asdict(command_lines(name, options.lines, options.seed, tell)))

    process = fork.Process(target=work)
    process.start()
    sender.close()
    try:
        return Outcome(**receiver.recv())
    except EOFError:
        return Outcome(f"{name}, which died", tracebacks=1)
    finally:
        process.join()


def _print(one: Outcome) -> None:
    counts = one.inputs, one.refusals, one.tracebacks, one.bad_messages, one.hangs
    cells = [one.reader, *(f"{count:,}" for count in counts), f"{one.slowest_s:.1f} s", f"{one.peak_mb:.0f} MB"]
    print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
