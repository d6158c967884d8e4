"""What a program may use of this machine: its cores and its memory, also in a container or in a job of a cluster.

There control groups set limits, of which neither the list of cores nor the machine's free memory knows anything: who
takes more is slowed down, or killed without a word, hours later. Both versions of them are read:
https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil

GROUPS, MEMBER = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


class Files(NamedTuple):
    """Where a version of control groups has its limits and what is used of them."""

    memory: str
    used: str
    reclaimable: str
    """In ``memory.stat``: read files that make room when it is needed."""
    quota: str
    period: str
    """Microseconds of processor time, and in how many; in one file where there is no other."""


VERSION_1 = Files(
    "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file", "cpu.cfs_quota_us", "cpu.cfs_period_us"
)
VERSION_2 = Files("memory.max", "memory.current", "inactive_file", "cpu.max", "")


def cores() -> int:
    """Return how many cores this process may use: those it is bound to, fewer whole ones where its time is limited."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [_share(folder, files) for folder, files in _groups("cpu")]
    return max(1, int(min([bound, *(share for share in shares if share is not None)])))


def free_memory() -> int:
    """Return how many bytes can still be taken, by this process and those that share its limits."""
    free = [_left(folder, files) for folder, files in _groups("memory")]
    return max(0, min([psutil.virtual_memory().available, *(left for left in free if left is not None)]))


def memory_limit() -> int:
    """Return how many bytes there are at all: the machine's, or the least limit."""
    limits = [_number(folder / files.memory) for folder, files in _groups("memory")]
    return min([psutil.virtual_memory().total, *(limit for limit in limits if limit is not None)])


def _groups(controller: str) -> Iterator[tuple[Path, Files]]:
    """Yield the folders of the control groups that this process is in, the innermost first; none but on Linux."""
    lines: list[str] = []
    with suppress(OSError, UnicodeDecodeError):
        lines = MEMBER.read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, files = GROUPS if (GROUPS / "cgroup.controllers").exists() else GROUPS / "unified", VERSION_2
        elif controller in controllers.split(","):
            root, files = GROUPS / controller, VERSION_1
        else:
            continue
        group = root / path.lstrip("/")
        if ".." in group.parts or not group.is_dir():  # a container sees its own group as the root
            group = root
        yield group, files
        for parent in group.parents:
            if parent.is_relative_to(root):
                yield parent, files


def _share(folder: Path, files: Files) -> float | None:
    """Return the cores' worth of time that a group may use; None: all."""
    with suppress(OSError, ValueError, ZeroDivisionError):
        words = (folder / files.quota).read_text().split()
        quota, period = words if not files.period else (words[0], (folder / files.period).read_text())
        return int(quota) / int(period) if int(quota) > 0 else None
    return None


def _left(folder: Path, files: Files) -> int | None:
    """Return the bytes that are left of a group's memory; None: it has no limit."""
    limit, used = _number(folder / files.memory), _number(folder / files.used)
    if limit is None or used is None:
        return None
    reclaimable = 0
    with suppress(OSError, ValueError):
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        reclaimable = int(stat.get(files.reclaimable, 0))
    return limit - used + reclaimable


def _number(file: Path) -> int | None:
    """Return the number in a file; None: there is none, or ``max``."""
    with suppress(OSError, ValueError):
        return int(file.read_text())
    return None
