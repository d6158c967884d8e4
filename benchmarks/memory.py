"""Watch the memory of a program for as long as it runs: it should be flat once everything was used.

    python -m benchmarks.memory --minutes 60 train.py ALE/Pong-v5 --total-timesteps 100m --runs-dir /tmp/soak
    python -m benchmarks.memory --minutes 30 play.py --learn dqn

The resident memory of the program and its children is taken every ten seconds. Growth is the median of the last
quarter over the median of the second one; the first is left out, in which buffers fill and modules are loaded. The
program is ended by SIGTERM; a window needs a screen, or SDL_VIDEODRIVER=dummy.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common.files import ROOT, write_json

SECONDS = 10.0


def resident(process: psutil.Process) -> int:
    """Return the bytes of a process and its children."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def watch(command: list[str], seconds: float, period: float = SECONDS) -> tuple[list[int], int]:
    """Run a command for so long; return its memory every ``period`` seconds, and its exit code."""
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    process, sizes, end = psutil.Process(child.pid), list[int](), time.monotonic() + seconds
    try:
        while time.monotonic() < end and child.poll() is None:
            sizes.append(resident(process))
            time.sleep(period)
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
        return sizes, child.wait(timeout=300)
    finally:
        child.kill()


def growth(sizes: list[int]) -> float:
    """Return by which share memory grew from the second quarter to the last."""
    quarter = len(sizes) // 4
    if quarter == 0:
        raise SystemExit("it ended too soon to say anything")
    return statistics.median(sizes[-quarter:]) / statistics.median(sizes[quarter : 2 * quarter]) - 1.0


def main() -> int:
    """Watch what the command line says; 1: the program failed, or its memory grew by more than 2 %."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path, help="write the sizes as JSON into this file")
    parser.add_argument("words", nargs=argparse.REMAINDER, help="a program of ours and its options")
    options = parser.parse_args()
    sizes, code = watch([sys.executable, *options.words], options.minutes * 60)
    grown = growth(sizes)
    if options.out is not None:
        write_json(options.out, {"words": options.words, "exit": code, "bytes": sizes, "growth": grown})
    print(f"{len(sizes)} times; {sizes[-1] / 1e6:,.0f} MB at the end, {grown:+.2%}; exit code {code}")
    return int(code not in (0, 128 + signal.SIGTERM) or grown > 0.02)


if __name__ == "__main__":
    sys.exit(main())
