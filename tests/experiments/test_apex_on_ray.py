"""Ape-X on two nodes made on this machine: it learns, and an actor or a node that dies is replaced."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.errors import UserError
from experiments.apex import RayFleet
from learning.apex import ActorPlan, ApexTrainer, Chunk
from learning.runfolder import RunFolder
from tests.learning.helpers import RecordingWatcher, plan
from train import main

ray = pytest.importorskip("ray", reason="the extra cluster is not installed")
CARTPOLE = "CartPole-v1"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

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
    fleet.start({}, 0, 1.0)
    with pytest.raises(UserError, match=r"^actor 0 can't start: CartPole-v1 can't be made with no_such=1: .*no_such"):
        fleet.next()
    assert fleet.lost == 0
    fleet.close()


def test_from_the_command_line_and_on(cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "CartPole-v1 --agent d3qn --total-timesteps 8000 --num-envs 8 --learning-starts 500 --capacity 5000"
    words += " --evaluations 2 --eval-episodes 2 --device cpu --actors 2 --cluster auto"
    assert main([*words.split(), "--runs-dir", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    about = json.loads((folder / "config.json").read_text())
    assert (about["actors"], about["repeatable"]) == (2, False)
    assert "2 actors with 4 environments each" in capsys.readouterr().out
    with pytest.raises(UserError, match="--cluster"):
        main(["--resume", str(folder), "--total-timesteps", "12000"])
    assert main(["--resume", str(folder), "--total-timesteps", "12000", "--cluster", "auto"]) == 0
    with (folder / "eval.csv").open() as file:
        steps = {int(row["agent_steps"]) for row in csv.DictReader(file)}
    assert min(steps) >= 4_000
    assert max(steps) >= 12_000
    with pytest.raises(UserError, match="nothing to verify"):
        main(["--verify", str(folder)])


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
        # the one in its place has sent something, and the other one went on
        run.stop_requested = len(set(seen)) == 3 and went_on()

    def went_on() -> bool:
        after = seen[killed[0] :]
        return after.count((0, 0)) > 3 or after.count((1, 0)) > 3

    run.experience.take = watched  # type: ignore[attr-defined]
    assert not run.run(RecordingWatcher())
    fleet.close()
    assert fleet.lost == 1
    assert told
    assert "is replaced" in told[0]
    assert len(set(seen)) == 3
    assert len(run.recent) > 0
