"""How many transitions a second the learner of Ape-X can take in, without learning: `python -m benchmarks.apex`.

Fake actors send chunks that were recorded once, each with 50 steps of its environments, so that nothing is played:

    python -m benchmarks.apex                                        # from this process: what the replay allows
    python -m benchmarks.apex --fake-actors 2 --cluster auto         # from actors on a Ray cluster: with the way of it

And what it learns: trained by two actors on two nodes made on this machine, and by one process, at equal steps:

    python -m benchmarks.apex --train CartPole-v1 --agent d3qn --seeds 1 2 3 --out /tmp/apex -- --total-timesteps 50000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agents import recipe
from experiments import on_ray
from learning.apex import AHEAD, Actor, ActorPlan, Chunk, ChunkReplay
from learning.config import numpy_generator

ROOT = Path(__file__).resolve().parent.parent
ENVS, ACTORS, CAPACITY = 64, 4, 200_000
RECORDED = 2  # chunks of each actor


def plan(agent: str, env_id: str) -> ActorPlan:
    """Return the plan of an Atari run with priorities; its replay is a fifth of the usual one."""
    found = recipe(agent)
    config: Any = found.config(**{**found.presets["paper"].settings, "num_envs": ENVS, "capacity": CAPACITY})
    return ActorPlan(env_id, found, config, 1, ACTORS)


def recorded(planned: ActorPlan) -> tuple[list[list[Chunk]], Actor]:
    """Return chunks of each actor, played once, and the first actor."""
    actors = [Actor(planned, number) for number in range(ACTORS)]
    return [[actor.chunk() for _ in range(RECORDED)] for actor in actors], actors[0]


def repeated(chunks: list[list[Chunk]]) -> Iterator[Chunk]:
    """Yield chunks without an end, actor by actor; only each actor's first one begins its rings."""
    round_number = 0
    while True:
        for of_actor in chunks:
            chunk = of_actor[round_number % RECORDED]
            yield chunk if round_number == 0 else chunk._replace(first=None)
        round_number += 1


class FakeActor:
    """Sends the same chunks again and again."""

    def __init__(self, chunks: list[Chunk]) -> None:
        self.chunks, self.sent = chunks, 0

    def chunk(self) -> Chunk:
        """Return the next one."""
        chunk = self.chunks[self.sent % RECORDED]
        self.sent += 1
        return chunk if self.sent == 1 else chunk._replace(first=None)


def from_ray(address: str, chunks: list[list[Chunk]]) -> Iterator[Chunk]:
    """Yield the chunks that fake actors on a cluster send, two of each asked for at a time."""
    ray = on_ray.connected(address)
    actors = [ray.remote(FakeActor).options(num_cpus=0.5).remote(of_actor) for of_actor in chunks]
    pending = {actor.chunk.remote(): actor for _ in range(AHEAD) for actor in actors}
    while True:
        (ready,), _ = ray.wait(list(pending), num_returns=1)
        actor = pending.pop(ready)
        pending[actor.chunk.remote()] = actor
        yield ray.get(ready)


def measure(source: Iterator[Chunk], take: Callable[[Chunk], None], seconds: float) -> dict[str, float]:
    """Return what was taken in a second, after a warm-up."""
    for _ in range(4 * ACTORS):
        take(next(source))
    began, cpu, transitions, size = time.perf_counter(), time.process_time(), 0, 0
    while (spent := time.perf_counter() - began) < seconds:
        chunk = next(source)
        take(chunk)
        transitions += chunk.transitions
        size += chunk.nbytes
    return {
        "transitions_per_second": round(transitions / spent),
        "megabytes_per_second": round(size / spent / 1e6, 1),
        "cpu_share": round((time.process_time() - cpu) / spent, 3),
    }


def train_both(env_id: str, agent: str, seeds: Sequence[int], out: Path, more: Sequence[str]) -> int:
    """Train by two actors on two nodes and by one process, each seed in turns; print their scores beside each other."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    ways = {"apex": ["--actors", "2", "--cluster", cluster.address], "single": []}
    for seed in seeds:
        for name, words in ways.items():
            command = [
                sys.executable,
                str(ROOT / "train.py"),
                env_id,
                "--agent",
                agent,
                "--seed",
                str(seed),
                *words,
                *more,
            ]
            began = time.monotonic()
            done = subprocess.run([*command, "--name", name, "--runs-dir", str(out)], stdout=subprocess.DEVNULL)
            print(f"{name}, seed {seed}: {time.monotonic() - began:.0f} s, exit code {done.returncode}", flush=True)
    cluster.shutdown()
    return subprocess.run(
        [sys.executable, str(ROOT / "compare.py"), "--env-id", env_id, "--runs-dir", str(out)]
    ).returncode


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agent", default="prioritized_dqn")
    parser.add_argument("--env-id", default="ALE/Pong-v5")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--fake-actors", type=int, default=ACTORS, help="on a cluster, at most 4")
    parser.add_argument("--cluster", help="auto or HOST:PORT; by default chunks come from this process")
    parser.add_argument("--train", metavar="ENV_ID", help="compare what Ape-X learns there with a single process")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--out", type=Path, default=Path("runs"), help="where the trained runs go")
    parser.add_argument("more", nargs="*", help="after --: options of train.py")
    options = parser.parse_args(argv)
    if options.train is not None:
        return train_both(options.train, options.agent, options.seeds, options.out, options.more)
    planned = plan(options.agent, options.env_id)
    chunks, actor = recorded(planned)
    config: Any = planned.config
    space, stack = actor.episodes.space, actor.episodes.stack
    replay = ChunkReplay(config, space, stack, numpy_generator(1, "replay"), "cpu", None, lambda obs: obs)
    chunks = chunks[: options.fake_actors]
    source = repeated(chunks) if options.cluster is None else from_ray(options.cluster, chunks)
    found = measure(source, replay.take, options.seconds)
    about = {"agent": options.agent, "env_id": options.env_id, "envs_of_an_actor": planned.envs_each}
    print(json.dumps({**about, "fake_actors": len(chunks), "cluster": options.cluster, **found}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
