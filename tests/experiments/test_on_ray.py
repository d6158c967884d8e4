"""Runs on a Ray cluster of two nodes, made on this machine; a node is killed, an address is wrong, memory is short."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from experiments import plan, ray_worker, sweeping
from experiments.execution import Ended, Execution, Job, Queue
from experiments.on_ray import OnRay, check_fits, connected, room
from experiments.plan import Needs, Planned
from experiments.ray_worker import Board, Request
from tests.experiments.stub import Stub, plan_of, stub
from tests.experiments.test_local import Recorder, signal_when

__all__ = ["stub"]
GB = 1e9


# ------------------------------------------------------------------ without Ray


def test_how_many_runs_fit_on_a_node() -> None:
    node = {"CPU": 8.0, "GPU": 1.0, "memory": 10 * GB}
    assert room(node, 1, 0, 1 * GB) == 8
    assert room(node, 1, 0, 3 * GB) == 3
    assert room(node, 1, 0.25, 1 * GB) == 4
    assert room({"CPU": 8.0, "memory": 10 * GB}, 1, 1, GB) == 0
    check_fits([node], 1, 1, 9 * GB)
    with pytest.raises(UserError, match=r"about 20.0 GB, and the largest node has 8 CPUs, 1 GPUs and 10.0 GB"):
        check_fits([node], 1, 0, 20 * GB)


def test_the_board_passes_progress_and_stops_on() -> None:
    board = Board()
    assert board.tell(3, "here", {"agent_steps": "5"}) == 0
    assert board.look() == {3: ("here", {"agent_steps": "5"})}
    assert board.look() == {}
    board.stop(3)
    assert board.tell(3, "here", {}) == 1


def request_of(row: Any, out: Path, trainer: list[str], token: str) -> Request:
    words = [word.replace(str(row.run.folder), "{folder}") for word in row.words]
    return Request(row.number, str(out), str(row.run.folder), row.seed, words, [], token, trainer)


def test_a_worker_that_does_not_share_the_folder_sends_the_run_back(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.behave()
    monkeypatch.setattr(ray_worker, "SCRATCH", tmp_path / "elsewhere")
    one = plan_of(tmp_path / "out", seeds=(1,))
    plan.prepare(one)
    (row,) = one.rows
    reply = ray_worker.execute(request_of(row, one.out, stub.command, "token"), lambda *told: 0, "node")
    assert (reply.code, row.run.find()[0]) == (0, "none")
    ray_worker.unpack(reply.files, row.run.folder)
    assert row.run.find()[0] == "finished"
    assert row.run.log.exists()
    assert "elsewhere" in stub.calls[0][stub.calls[0].index("--runs-dir") + 1]


def test_a_worker_starts_nothing_that_is_finished_and_goes_on_with_what_was_stopped(stub: Stub, tmp_path: Path) -> None:
    one = plan_of(tmp_path / "out", seeds=(1,))
    plan.prepare(one)
    (one.out / ray_worker.TOKEN).write_text("token")
    (row,) = one.rows
    stub.behave(dqn__1="wait")
    asked = iter([0, 1, 1, 1, 1, 1, 1, 1])
    request = request_of(row, one.out, stub.command, "token")
    assert ray_worker.execute(request, lambda *told: next(asked), "node").code == 130
    assert row.run.find()[0] == "stopped"
    stub.behave()
    assert ray_worker.execute(request, lambda *told: 0, "node") == ray_worker.Reply(0)
    assert ray_worker.execute(request, lambda *told: 0, "node") == ray_worker.Reply(0)
    assert [call[0] for call in stub.calls] == ["--resume"]


def test_no_ray_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UserError, match=r"--cluster needs Ray: pip install -e '.\[cluster\]'"):
        connected("auto")


# ------------------------------------------------------------------ with Ray


@pytest.mark.parametrize("address", ["nowhere", "a b:1", "host:"])
def test_an_address_that_is_none(address: str) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[cluster]'")
    with pytest.raises(UserError, match="write auto, or HOST:PORT"):
        connected(address)


@pytest.mark.parametrize("listening", [False, True], ids=["nobody", "somebody else"])
def test_an_address_where_nobody_answers_is_a_line_within_20_seconds(listening: bool) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[cluster]'")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        if listening:
            other.listen()
        began = time.monotonic()
        with pytest.raises(UserError, match="no Ray cluster answers there"):
            connected(f"127.0.0.1:{other.getsockname()[1]}")
        assert time.monotonic() - began < 20


@pytest.fixture
def cluster(stub: Stub) -> Iterator[Any]:
    """Two nodes of two CPUs; the stub's environment is that of their workers."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[cluster]'")
    import ray
    from ray.cluster_utils import Cluster

    stub.monkeypatch.setenv("STUB_SECONDS", "3")
    stub.behave(pqn__2="fail", qrdqn__1="wait")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "memory": int(8 * GB)})
    made.add_node(num_cpus=2, memory=int(8 * GB))
    made.wait_for_nodes()
    try:
        yield made
    finally:
        ray.shutdown()  # type: ignore[no-untyped-call, unused-ignore]
        made.shutdown()  # type: ignore[no-untyped-call, unused-ignore]


def engine(cluster: Any, one: plan.Plan, stub: Stub, needed: float = 0.0) -> OnRay:
    return OnRay(cluster.address, Planned(one, Needs(bytes=needed)), None, lambda line: None, stub.command)


def test_all_end_though_a_node_is_killed_in_the_middle(cluster: Any, stub: Stub, tmp_path: Path) -> None:
    one = plan_of(tmp_path / "out", ("dqn", "pqn"), seeds=range(1, 7))
    plan.prepare(one)
    jobs = sweeping.jobs_of(one)
    made = engine(cluster, one, stub)
    with pytest.raises(UserError, match=r"a run takes 1 CPU and about 100\.6 GB"):
        engine(cluster, one, stub, needed=100 * GB)
    assert made.places() == 4
    victim = next(node for node in cluster.worker_nodes)
    recorder = Recorder()

    def kill() -> None:
        while sum(event == "ended" for event, _ in recorder.events) < 2:
            time.sleep(0.05)
        cluster.remove_node(victim, allow_graceful=False)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    assert Execution(Queue(jobs), made, recorder).run()
    thread.join()
    states = {(job.row.configuration.agent, job.row.seed): job.state for job in jobs}
    assert states.pop(("pqn", 2)) == "failed"
    assert set(states.values()) == {"finished"}
    assert next(job for job in jobs if job.state == "failed").why == "error: the loss became nan"
    deadline = time.monotonic() + 30  # until the cluster has noticed
    while made.places() != 2 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert made.places() == 2
    for job in jobs:  # nothing twice
        found = list(job.row.run.folder.glob(f"*__{job.row.seed}__*"))
        assert len(found) == 1, found
    again = sweeping.jobs_of(one)
    assert sorted(job.state for job in again) == ["failed", *["finished"] * 11]
    assert len({job.where for job in jobs if job.where}) == 2
    made.close()


def test_a_signal_stops_the_runs_on_the_cluster_saved(cluster: Any, stub: Stub, tmp_path: Path) -> None:
    one = plan_of(tmp_path / "out", ("qrdqn",), seeds=(1,))
    plan.prepare(one)
    jobs = sweeping.jobs_of(one)
    made = engine(cluster, one, stub)
    signal_when(stub.waiting.exists)
    assert not Execution(Queue(jobs), made, Recorder()).run()
    assert (jobs[0].state, jobs[0].row.run.find()[0]) == ("stopped", "stopped")
    made.close()


def test_what_went_wrong_on_the_way_is_one_line() -> None:
    made = object.__new__(OnRay)
    made.refs = {}
    job, ended, done = Job(plan_of(Path("x")).rows[0]), Future[Ended](), Future[Any]()
    done.set_exception(RuntimeError("the node died\nand more"))
    made._end(job, done, ended)
    assert ended.result() == Ended(1, "RuntimeError: the node died")


def test_a_plan_is_json_and_its_rows_are_small() -> None:
    """A request is what travels to a worker."""
    row = plan_of(Path("out")).rows[0]
    assert len(json.dumps(request_of(row, Path("out"), [], "token").__dict__, default=str)) < 1_000
