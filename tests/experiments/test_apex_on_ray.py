"""Ape-X on two nodes made on this machine: it learns, and an actor or a node that dies is replaced."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.apex import RayFleet
from learning.apex import ActorPlan, ApexTrainer, Chunk
from learning.runfolder import RunFolder
from tests.learning.helpers import RecordingWatcher, plan

ray = pytest.importorskip("ray", reason="the extra cluster is not installed")
CARTPOLE = "CartPole-v1"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster  # type: ignore[import-not-found]

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    made.nodes = [made.add_node(num_cpus=1), made.add_node(num_cpus=1)]
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


def test_an_environment_that_fails_is_one_line(cluster: Any) -> None:
    planned = plan(CARTPOLE, "d3qn", num_envs=2)
    config = dataclasses.replace(planned.config, env_kwargs=("no_such=1",))
    actors = ActorPlan(planned.env_id, planned.recipe, config, 1, 1)  # type: ignore[arg-type]
    fleet = RayFleet(ray, actors, print)
    fleet.start({}, 0)
    with pytest.raises(Exception, match="no_such"):
        fleet.next()
    fleet.close()


def test_a_run_goes_on_when_a_node_dies_and_another_one_joins(cluster: Any, tmp_path: Path) -> None:
    planned = plan(CARTPOLE, "d3qn", num_envs=4, total_timesteps=500_000)
    actors = ActorPlan(planned.env_id, planned.recipe, planned.config, 1, 2, chunk_steps=25)  # type: ignore[arg-type]
    told: list[str] = []
    fleet = RayFleet(ray, actors, told.append)
    run = ApexTrainer(planned, RunFolder.create(tmp_path, CARTPOLE, "d3qn", 1, {}), fleet, actors)
    seen: list[tuple[int, int]] = []
    killed: list[int] = []
    take = run.experience.take  # type: ignore[attr-defined]

    def watched(chunk: Chunk) -> None:
        seen.append((chunk.actor, chunk.generation))
        take(chunk)
        if len(set(seen)) == 2 and not killed:
            killed.append(len(seen))
            cluster.remove_node(cluster.nodes[1], allow_graceful=False)
            cluster.add_node(num_cpus=1)
        run.stop_requested = len(set(seen)) == 3  # the one in its place has sent something

    run.experience.take = watched  # type: ignore[attr-defined]
    assert not run.run(RecordingWatcher())
    fleet.close()
    assert fleet.lost == 1
    assert told
    assert "is replaced" in told[0]
    after = seen[killed[0] :]
    assert after.count((0, 0)) > 3 or after.count((1, 0)) > 3  # the other one went on
    assert len(set(seen)) == 3
    assert len(run.recent) > 0
