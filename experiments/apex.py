"""Ape-X on a Ray cluster: its actors are Ray's, replaced where they or their nodes die; see `learning.apex`."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from common import imports
from common.errors import UserError
from common.text import number_of
from experiments import on_ray
from learning.apex import AHEAD, Actor, ActorPlan, ApexTrainer, Chunk, Weights
from learning.plan import Plan
from learning.runfolder import RunFolder

WAIT_SECONDS = 1.0  # for a chunk, before it is looked again whether actors are alive
SILENT_SECONDS = 60.0  # without any chunk, after which that is said


@dataclass(frozen=True)
class Request:
    """An `ActorPlan` that can be sent anywhere: the agent by its name, and what has to be imported."""

    env_id: str
    agent: str
    config: Any
    seed: int
    actors: int
    chunk_steps: int
    modules: tuple[str, ...]

    @classmethod
    def of(cls, plan: ActorPlan) -> Request:
        """Return the one of a plan."""
        modules = tuple(imports.IMPORTED)
        return cls(plan.env_id, plan.recipe.name, plan.config, plan.seed, plan.actors, plan.chunk_steps, modules)

    def plan(self) -> ActorPlan:
        """Return the plan, on the machine where it is executed."""
        from agents import recipe  # here: the driver has no use for it

        imports.load(self.modules)
        return ActorPlan(self.env_id, recipe(self.agent), self.config, self.seed, self.actors, self.chunk_steps)


def connected(actors: int | None, cluster: str | None) -> Any:
    """Return the module ``ray``, connected; None: the run has no actors.

    Raises:
        UserError: one of the options is missing, Ray is not installed, or nobody answers.
    """
    if actors is None and cluster is None:
        return None
    if actors is None:
        raise UserError("--cluster belongs to --actors N here; sweep.py has a --cluster for many runs")
    if cluster is None:
        raise UserError(f"--actors {actors}: say on which Ray cluster, by --cluster auto or --cluster HOST:PORT")
    return on_ray.connected(cluster)


def actor_plan(plan: Plan, actors: int) -> ActorPlan:
    """Return what the actors of a run have to know."""
    config: Any = plan.config
    return ActorPlan(plan.env_id, plan.recipe, config, plan.seed, actors)


def trainer(plan: Plan, folder: RunFolder, actors: int, ray: Any, say: Callable[[str], None]) -> ApexTrainer:
    """Return a run whose environments are stepped by actors on a cluster; they start with its first step."""
    sent = actor_plan(plan, actors)
    say(
        f"{number_of(actors, 'actor')} with {number_of(sent.envs_each, 'environment')} each;"
        " the estimate is that of one process without them"
    )
    return ApexTrainer(plan, folder, RayFleet(ray, sent, say), sent)


class RemoteActor:
    """An actor in a process of its own, on any node."""

    def __init__(self, request: Request, number: int, generation: int) -> None:
        import torch

        torch.set_num_threads(1)
        torch.set_flush_denormal(True)
        self.actor = Actor(request.plan(), number, generation)

    def chunk(self, weights: Weights, version: int, epsilon: float) -> Chunk:
        """Return the next chunk, played by these weights."""
        if version != self.actor.version or version == 0:
            self.actor.take(weights, version, epsilon)
        return self.actor.chunk()


class RayFleet:
    """Actors on a Ray cluster; those that have no place yet begin when a node joins.

    Each is asked for two chunks at a time, so what waits to be learnt from is bounded, and an actor never waits for the
    learner as long as that is quick enough. Where it is not, actors wait: the replay ratio stays what it is.
    """

    def __init__(self, ray: Any, plan: ActorPlan, say: Callable[[str], None], cpus: float = 1.0) -> None:
        self.ray, self.request, self.count, self.say = ray, Request.of(plan), plan.actors, say
        self.kind = ray.remote(RemoteActor).options(num_cpus=cpus, scheduling_strategy="SPREAD")
        self.lost = 0
        self.actors: dict[int, Any] = {}
        self.generations: dict[int, int] = {}
        self.pending: dict[Any, int] = {}  # chunks that were asked for, and of which actor
        self.version, self.epsilon = 0, 1.0
        self.weights: Any = None

    def start(self, weights: Weights, generation: int, epsilon: float) -> None:
        """Start the actors."""
        self.publish(weights, 0, epsilon)
        for number in range(self.count):
            # so that one that is replaced does not have the seeds of one after a resume
            self._spawn(number, generation * 1_000_000)

    def next(self) -> Chunk:
        """Wait for the next chunk, of any actor, and ask that one for another."""
        silent, told = time.monotonic(), False
        while True:
            ready, _ = self.ray.wait(list(self.pending), num_returns=1, timeout=WAIT_SECONDS)
            if not ready:
                if time.monotonic() - silent > SILENT_SECONDS and not told:
                    self.say("no actor has sent anything for a minute; the cluster may have no place for them")
                    told = True
                continue
            number = self.pending.pop(ready[0])
            try:
                chunk: Chunk = self.ray.get(ready[0])
            except self.ray.exceptions.RayTaskError as error:
                raise UserError(f"actor {number}: {_first_line(error.cause)}") from None
            except self.ray.exceptions.RayError as error:  # it died, or its node
                if getattr(error, "actor_init_failed", False):  # another one would fail too
                    raise UserError(f"actor {number} can't start: {_last_line(error)}") from None
                self._replace(number)
                continue
            self._ask(number)
            return chunk

    def publish(self, weights: Weights, version: int, epsilon: float) -> None:
        """Hand out new weights; an actor takes them with the next chunk that it is asked for."""
        self.weights, self.version, self.epsilon = self.ray.put(dict(weights)), version, epsilon

    def close(self) -> None:
        """Stop the actors."""
        for actor in self.actors.values():
            self.ray.kill(actor)
        self.actors, self.pending = {}, {}

    def _spawn(self, number: int, generation: int) -> None:
        self.generations[number] = generation
        self.actors[number] = self.kind.remote(self.request, number, generation)
        for _ in range(AHEAD):
            self._ask(number)

    def _ask(self, number: int) -> None:
        self.pending[self.actors[number].chunk.remote(self.weights, self.version, self.epsilon)] = number

    def _replace(self, number: int) -> None:
        """Start another actor in the place of one that died; what it was asked for is lost."""
        self.lost += 1
        self.pending = {ref: of for ref, of in self.pending.items() if of != number}
        self.say(f"actor {number} died, and is replaced ({self.lost} so far); what it had not sent is lost")
        self._spawn(number, self.generations[number] + 1)


def _first_line(error: object) -> str:
    return f"{type(error).__name__}: {next(iter(str(error).strip().splitlines()), '')}"


def _last_line(error: object) -> str:
    """Return what an error in another process was, behind its traceback."""
    return str(error).strip().splitlines()[-1].removeprefix("common.errors.UserError: ")
