"""Cores and memory that a container or a job of a cluster may use, from control groups as Linux describes them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from common import machine, memory
from common.machine import cores, free_memory, memory_limit

GB = 10**9
DOCKER_2 = {
    "memory.max": "4000000000",
    "memory.current": "1500000000",
    "memory.stat": "anon 7\ninactive_file 500000000",
}
NO_LIMIT_1 = "9223372036854771712"  # the largest number of whole pages


@pytest.fixture(autouse=True)
def large_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """64 cores and 256 GB, without control groups."""

    class Memory:
        available, total, used = 200 * GB, 256 * GB, 56 * GB

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    monkeypatch.setattr(machine, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(machine, "MEMBER", tmp_path / "self")


def groups(tmp_path: Path, member: str, folders: Mapping[str, Mapping[str, str]], version: int = 2) -> None:
    """Lay out control groups and what this process is in."""
    (tmp_path / "self").write_text(member)
    root = tmp_path / "cgroup"
    for folder, files in folders.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (root / folder / name).write_text(text + "\n")
    if version == 2:
        (root / "cgroup.controllers").write_text("cpu memory\n")


def test_without_control_groups_it_is_the_machine() -> None:
    assert (cores(), free_memory(), memory_limit()) == (64, 200 * GB, 256 * GB)


def test_a_container(tmp_path: Path) -> None:
    """`docker run --memory 4g --cpus 2`: its own group looks like the root. Files that were read make room."""
    groups(tmp_path, "0::/\n", {".": {**DOCKER_2, "cpu.max": "200000 100000"}})
    assert (cores(), free_memory(), memory_limit()) == (2, 3 * GB, 4 * GB)
    assert memory.in_use().endswith("56.0 of 256.0 GB, and no more than 4.0 GB are allowed here")


def test_a_job_of_slurm_is_limited_by_any_group_around_it(tmp_path: Path) -> None:
    job = {"memory.max": "8000000000", "memory.current": "1000000000"}
    step = {"memory.max": "max", "memory.current": "900000000", "cpu.max": "max 100000"}
    around = {"cpu.max": "550000 100000"}
    groups(tmp_path, "0::/slurm/job_1/step_0\n", {"slurm": around, "slurm/job_1": job, "slurm/job_1/step_0": step})
    assert (cores(), free_memory(), memory_limit()) == (5, 7 * GB, 8 * GB)  # whole cores


def test_version_1_has_a_folder_for_each_controller(tmp_path: Path) -> None:
    member = "4:memory:/jobs/a\n2:cpu,cpuacct:/jobs\n1:name=systemd:/\n0::/\n"
    limits = {"memory.limit_in_bytes": "3000000000", "memory.usage_in_bytes": "1000000000"}
    stat = {"memory.stat": "inactive_file 1\ntotal_inactive_file 250000000"}
    time = {"cpu.cfs_quota_us": "300000", "cpu.cfs_period_us": "100000"}
    free = {"memory.limit_in_bytes": NO_LIMIT_1, "memory.usage_in_bytes": "5000000000"}
    groups(tmp_path, member, {"memory/jobs/a": {**limits, **stat}, "memory": free, "cpu/jobs": time}, 1)
    assert (cores(), free_memory(), memory_limit()) == (3, 2_250_000_000, 3 * GB)


def test_no_limits_and_half_a_core(tmp_path: Path) -> None:
    """-1 and max: none; half a core is one that is slow."""
    free = {"memory.max": "max", "memory.current": "1", "cpu.max": "max 100000"}
    groups(tmp_path, "0::/a\n", {"a": free})
    assert (cores(), free_memory(), memory_limit()) == (64, 200 * GB, 256 * GB)
    groups(tmp_path, "2:cpu:/a\n", {"cpu/a": {"cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000"}}, 1)
    assert cores() == 1
    groups(tmp_path, "2:cpu:/a\n", {"cpu/a": {"cpu.cfs_quota_us": "-1"}}, 1)
    assert cores() == 64


@pytest.mark.parametrize("text", ["", "many", "0", "1 2 3", "5 0"])
def test_files_that_are_not_as_described_are_no_limit(text: str, tmp_path: Path) -> None:
    files = dict.fromkeys(("cpu.max", "memory.current", "memory.stat"), text) | {"memory.max": text if text else "max"}
    groups(tmp_path, "0::/../b\n", {".": files, "b": {}})
    assert cores() == 64
    assert free_memory() == (0 if text == "0" else 200 * GB)  # a limit of 0 is one


def test_more_is_used_than_is_allowed(tmp_path: Path) -> None:
    groups(tmp_path, "0::/\n", {".": {"memory.max": "100", "memory.current": "200"}})
    assert free_memory() == 0
