"""Memory that ran out: which errors say so, where it happened, how much is in use."""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path

import psutil

from common.files import ROOT
from common.machine import memory_limit

SAYS_SO = re.compile(r"out of memory|can't allocate memory|not enough memory|alloc_cpu|bad_alloc", re.IGNORECASE)


def ran_out(error: BaseException) -> bool:
    """Whether an error says that memory ran out: Python's, NumPy's, and those of torch on any device."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(SAYS_SO.search(str(error))))


def where(error: BaseException) -> str:
    """Return which of our functions asked for how much."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(ROOT)]
    place = f"in {Path(ours[-1].filename).relative_to(ROOT).as_posix()}, {ours[-1].name}" if ours else "outside it"
    asked = re.search(r"(?:allocate|you tried to allocate) ([\d.,]+ ?(?:[KMGTPE]i?B|bytes))", str(error), re.IGNORECASE)
    return place + (f", which asked for {asked.group(1)}" if asked else "")


def in_use(device: str = "cpu") -> str:
    """Return how much memory this process and all of them use, in words."""
    used, whole, limit = psutil.Process().memory_info().rss, psutil.virtual_memory(), memory_limit()
    text = f"this program {used / 1e9:.1f} GB, all programs {whole.used / 1e9:.1f} of {whole.total / 1e9:.1f} GB"
    if limit < whole.total:
        text += f", and no more than {limit / 1e9:.1f} GB are allowed here"
    torch = sys.modules.get("torch")
    if device.startswith("cuda") and torch is not None:
        free, total = torch.cuda.mem_get_info()
        text += f"; of the GPU's {total / 1e9:.1f} GB {free / 1e9:.1f} are free"
    return text
