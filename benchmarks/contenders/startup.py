"""Start-up: from a command to its first line, to its first progress, to its first frame, kernels compiled before."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import psutil

from benchmarks.contenders import Counts, Run
from common.files import ROOT

LONGEST = 300.0  # seconds
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
PATTERNS = {
    "first line": rb"\w",
    # the live panel's and the plain line's: a rate that was measured in training
    "first progress": rb"steps/s\s+[\d,]+|[\d,]+ steps/s",
    "first frame": rb"FIRST FRAME",
}
# play.py as it is, but for a word about the first picture
PLAY = """
import runpy, sys
import pygame
shown = pygame.display.flip
def flip():
    shown()
    print("FIRST FRAME", flush=True)
    pygame.display.flip = shown
pygame.display.flip = flip
sys.argv = ["play.py", *sys.argv[1:]]
runpy.run_path("play.py", run_name="__main__")
"""


def train(arguments: Sequence[str], until: str) -> Run:
    """Return what starts train.py in a terminal, waits for a line, and stops it."""
    return _starting([sys.executable, "train.py", *arguments, "--runs-dir"], until)


def play(arguments: Sequence[str]) -> Run:
    """Return what starts play.py, waits until its window shows a picture, and stops it."""
    return _starting([sys.executable, "-c", PLAY, *arguments, "--runs-dir"], "first frame")


def importing(modules: Sequence[str]) -> Run:
    """Return what starts Python and imports some libraries."""
    return _starting(
        [sys.executable, "-c", f"import {', '.join(modules)}; print('done', flush=True); input()"], "first line"
    )


def _starting(words: Sequence[str], until: str) -> Run:
    import pty  # not on Windows

    def run(seconds: float) -> Counts:
        runs = tempfile.mkdtemp()
        command = [*words, runs] if words[-1] == "--runs-dir" else words
        ours, theirs = pty.openpty()
        began = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "160", "LINES": "40"},
        )  # fmt: skip
        os.close(theirs)
        try:
            _wait(ours, PATTERNS[until], began)
            took = time.perf_counter() - began
            every = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            cpu = sum(sum(one.cpu_times()[:2]) for one in every)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            os.close(ours)
            shutil.rmtree(runs, ignore_errors=True)
        return {"starts": 1, "seconds": took, "cpu": cpu}

    return run


def _wait(terminal: int, pattern: bytes, began: float) -> None:
    """Read until the pattern appears."""
    text = b""
    while not re.search(pattern, ESCAPES.sub(b"", text)):
        try:
            text += os.read(terminal, 65536)
        except OSError:  # its end, on Linux
            raise RuntimeError(f"it ended before: {text[-300:].decode(errors='replace')}") from None
        if time.perf_counter() - began > LONGEST:
            raise RuntimeError(f"nothing within {LONGEST:.0f} s")
