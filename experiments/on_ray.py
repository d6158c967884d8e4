"""Runs on a Ray cluster: tasks with their CPUs, GPUs and memory; lost ones are retried, and resume."""

from __future__ import annotations

import logging
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from common import imports
from common.errors import UserError
from common.text import number_of
from experiments import ray_worker
from experiments.execution import REFRESH_SECONDS, Ended, Job
from experiments.local import PROCESS_BYTES
from experiments.plan import Planned
from experiments.ray_worker import TOKEN, Board, Reply, Request

ANSWER_SECONDS = 20  # that a cluster has to answer
TELL_TIMEOUT = 10  # seconds
RETRIES = 20  # of a run whose worker or node is lost


class OnRay:
    """An `execution.Engine`; as many runs at once as the cluster has room for, also on nodes that join later."""

    def __init__(
        self,
        address: str,
        found: Planned,
        gpus: float | None,
        say: Callable[[str], None],
        trainer: Sequence[str] = (),
        out: Path | None = None,
    ) -> None:
        """Connect, and check that a run fits.

        Args:
            address: "auto", or HOST:PORT.
            found: the plan, and what its largest run takes.
            gpus: of each run; None: 1 for pictures where there are any.
            say: prints a line.
            trainer: the command that trains; (): train.py.
            out: the sweep's folder; None: the plan's.

        Raises:
            UserError: Ray is not installed, nobody answers, or no node is large enough.
        """
        self.ray = connected(address)
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # here: Ray need not be installed

        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        some_gpu = any(node.get("GPU", 0) > 0 for node in nodes)
        self.gpus = gpus if gpus is not None else 1.0 if found.needs.pictures and some_gpu else 0.0
        self.cpus, self.bytes = found.threads or 1, found.needs.bytes + PROCESS_BYTES
        check_fits(nodes, self.cpus, self.gpus, self.bytes)
        self.out, self.trainer = (out or found.plan.out).resolve(), tuple(trainer)
        self.token = secrets.token_hex(16)
        (self.out / TOKEN).write_text(self.token, encoding="utf-8")
        self.extra = ["--threads", str(self.cpus), *found.tracking]
        # beside the driver, so that no other node's end is its own
        here = NodeAffinitySchedulingStrategy(self.ray.get_runtime_context().get_node_id(), soft=False)
        self.board = self.ray.remote(num_cpus=0)(Board).options(scheduling_strategy=here).remote()
        self.refs: dict[int, Any] = {}
        self._places, self._asked = 0, 0.0
        self._looked = 0.0
        gpu = f", {self.gpus:g} GPU" if self.gpus else ""
        say(
            f"Ray cluster of {number_of(len(nodes), 'node')}: {self.places()} at a time, each with"
            f" {self.cpus} CPU{gpu}, {self.bytes / 1e9:.1f} GB"
        )
        say(
            "a run whose node is lost is tried again: from its last state where the node shares this folder, from its"
            " start otherwise"
        )

    def places(self) -> int:
        """Return how many runs the cluster has room for."""
        if time.monotonic() - self._asked > REFRESH_SECONDS:
            self._asked = time.monotonic()
            self._places = sum(
                room(node["Resources"], self.cpus, self.gpus, self.bytes) for node in self.ray.nodes() if node["Alive"]
            )
        return max(self._places, 1)

    def start(self, job: Job) -> Future[Ended]:
        """Submit a run."""
        row, board = job.row, self.board
        folder = self.out / row.run.folder.name
        words = [word.replace(str(row.run.folder), "{folder}") for word in row.words]
        job.resumed = row.run.find()[0] == "stopped"
        row.run.forget_failure()
        request = Request(
            row.number,
            str(self.out),
            str(folder),
            row.seed,
            [*words, *self.extra],
            imports.words(),
            self.token,
            self.trainer,
        )
        task = self.ray.remote(task_of).options(
            num_cpus=self.cpus, num_gpus=self.gpus, memory=int(self.bytes), max_retries=RETRIES, name=row.name
        )
        ref = self.refs[row.number] = task.remote(request, board)
        ended: Future[Ended] = Future()
        ref.future().add_done_callback(lambda done: self._end(job, done, ended))
        return ended

    def _end(self, job: Job, done: Future[Reply], ended: Future[Ended]) -> None:
        self.refs.pop(job.row.number, None)
        try:
            reply = done.result()
            if reply.files:
                ray_worker.unpack(reply.files, job.row.run.folder)
            ended.set_result(Ended(reply.code, reply.why))
        except Exception as error:
            first = next(iter(str(error).strip().splitlines()), "")
            ended.set_result(Ended(1, f"{type(error).__name__}: {first}"))

    def stop(self, job: Job) -> None:
        """Ask a run to save and end; one that waits for a place does not begin."""
        if (ref := self.refs.get(job.row.number)) is None:
            return
        self.ray.get(self.board.stop.remote(job.row.number))
        if not job.where:  # it has not begun
            self.ray.cancel(ref)

    def tick(self, jobs: Sequence[Job]) -> None:
        """Take what the runs have told."""
        if time.monotonic() - self._looked < REFRESH_SECONDS:
            return
        self._looked = time.monotonic()
        try:
            told = self.ray.get(self.board.look.remote(), timeout=TELL_TIMEOUT)
        except self.ray.exceptions.RayError:  # not now
            return
        for job in jobs:
            if job.row.number in told:
                job.where, row = told[job.row.number]
                job.take(row)

    def close(self) -> None:
        """Leave the cluster."""
        (self.out / TOKEN).unlink(missing_ok=True)
        self.ray.shutdown()


def task_of(request: Request, board: Any) -> Reply:
    """Execute a run on the node that this is called on."""
    import ray

    def tell(number: int, where: str, row: dict[str, Any]) -> int:
        try:
            asked: int = ray.get(board.tell.remote(number, where, row), timeout=TELL_TIMEOUT)
        except ray.exceptions.RayError:  # not now; when the driver is gone, Ray ends this worker
            return 0
        return asked

    return ray_worker.execute(request, tell, ray.get_runtime_context().get_node_id())


def connected(address: str) -> Any:
    """Return the module ``ray``, connected.

    Raises:
        UserError: Ray is not installed, or nobody answers at the address.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else it warns
    try:
        import ray
    except ImportError:
        raise UserError("--cluster needs Ray: pip install -e '.[cluster]'") from None
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if ray.is_initialized():
        return ray
    if address == "auto":
        try:
            ray.init(address="auto", **options)
        except ConnectionError:
            ray.init(include_dashboard=False, **options)
        return ray
    if not re.fullmatch(r"[\w.\-\[\]:]+:\d{1,5}", address):
        raise UserError(f"--cluster {address}: write auto, or HOST:PORT as `ray start` printed it")
    try:
        # a process of its own: ray.init would wait for minutes, and then end this one
        words = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
        answered = subprocess.run(words, capture_output=True, timeout=ANSWER_SECONDS - 2).returncode == 0
    except subprocess.TimeoutExpired:
        answered = False
    if not answered:
        raise UserError(f"--cluster {address}: no Ray cluster answers there; start one with `ray start --head`")
    ray.init(address=address, **options)
    return ray


def room(node: dict[str, float], cpus: float, gpus: float, memory: float) -> int:
    """Return how many runs fit on a node."""
    counts = [node.get("CPU", 0.0) / cpus, node.get("memory", 0.0) / memory]
    if gpus:
        counts.append(node.get("GPU", 0.0) / gpus)
    return int(min(counts) + 1e-9)


def check_fits(nodes: Sequence[dict[str, float]], cpus: float, gpus: float, memory: float) -> None:
    """Raise `UserError` if no node is large enough for a run."""
    if any(room(node, cpus, gpus, memory) for node in nodes):
        return
    largest = max(nodes, key=lambda node: node.get("memory", 0.0), default={})
    gpu = f", {gpus:g} GPU" if gpus else ""
    raise UserError(
        f"--cluster: a run takes {cpus:g} CPU{gpu} and about {memory / 1e9:.1f} GB, and the largest node has"
        f" {largest.get('CPU', 0):g} CPUs, {largest.get('GPU', 0):g} GPUs and {largest.get('memory', 0) / 1e9:.1f} GB;"
        " try a smaller --capacity, or larger nodes"
    )
