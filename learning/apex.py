"""Ape-X: actors with environments of their own send what they saw to one learner. Horgan et al. 2018, arXiv:1803.00933.

An actor steps some environments by its copy of the network, each environment with an epsilon of its own, and sends
chunks: T steps with each frame once, and what their priorities would be by the expectations that it acted by. The
learner keeps the replay, makes the updates that the replay ratio asks for, and hands out weights every hundred updates.

How chunks travel is not said here: a `Fleet` brings them, from actors in this process (`LocalFleet`) or on the machines
of a Ray cluster (`experiments.apex`). Which chunk comes first depends on who is faster, so a run is not repeated bit
for bit.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

import envs
from common.errors import UserError
from learning.config import ReplayConfig, episode_seed, numpy_generator, torch_generator, torch_seed
from learning.episodes import Episodes
from learning.heads import not_forbidden
from learning.live import Watcher
from learning.networks import NoisyLinear, random_actions, sampling_noise
from learning.plan import Plan
from learning.policy import env_options, player, protocol
from learning.recipe import Recipe
from learning.replay import ReplayExperience
from learning.runfolder import RunFolder
from learning.trainer import Trainer

EPSILON, ALPHA = 0.4, 7.0  # of the ladder: section 4.1
CHUNK_STEPS = 50  # of each environment; their actors send 50 transitions at a time (appendix C)
PUBLISH_EVERY = 100  # updates between two hand-outs of weights; their actors fetch them every 400 frames
AHEAD = 2  # chunks that an actor is asked for at once: one is under way while the next is made

Weights = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ActorPlan:
    """What an actor has to know; it can be sent to another machine."""

    env_id: str
    recipe: Recipe
    config: ReplayConfig
    """Its ``num_envs`` are those of all actors together."""
    seed: int
    actors: int
    chunk_steps: int = CHUNK_STEPS

    @property
    def envs_each(self) -> int:
        """Environments of one actor."""
        return self.config.num_envs // self.actors

    def check(self) -> None:
        """Raise `UserError` where the environments can't be shared out, or the agent has no replay."""
        if not isinstance(self.config, ReplayConfig):
            raise UserError(
                f"--actors: {self.recipe.name} has no replay to send transitions to; dqn and its family have"
            )
        if self.config.num_envs % self.actors:
            raise UserError(f"--num-envs {self.config.num_envs} can't be shared out evenly to --actors {self.actors}")


class Chunk(NamedTuple):
    """T steps of an actor's E environments."""

    actor: int
    generation: int  # how many actors had this number before it
    version: int  # of the weights that it acted by: updates so far
    first: NDArray[Any] | None  # (E, ...) newest frames of first observations, of a new actor
    action: NDArray[np.int64]  # (T, E)
    reward: NDArray[np.float32]  # (T, E)
    discount: NDArray[np.float32]  # (T, E)
    frames: NDArray[Any]  # (T, E, ...) newest frames of the next observations
    done: NDArray[np.bool_]  # (T, E)
    begun: NDArray[Any]  # (K, ...) newest frames of the first observations of episodes, in the order of ``done``
    priority: NDArray[np.float32] | None  # (T, E) None: the agent has none
    finished: list[tuple[float, int]]  # return and length of each episode that ended

    @property
    def transitions(self) -> int:
        """How many there are."""
        return self.action.size

    @property
    def nbytes(self) -> int:
        """What travels."""
        return sum(part.nbytes for part in self if isinstance(part, np.ndarray))


class Fleet(Protocol):
    """Where chunks come from."""

    lost: int
    """Actors that died, and were replaced."""

    def start(self, weights: Weights, generation: int, epsilon: float) -> None:
        """Start the actors; ``generation``: their seeds are other ones than those of former starts."""

    def next(self) -> Chunk:
        """Wait for the next chunk, of any actor, and ask that one for another."""

    def publish(self, weights: Weights, version: int, epsilon: float) -> None:
        """Hand out new weights; an actor takes them with the next chunk that it is asked for."""

    def close(self) -> None:
        """Stop the actors."""


def ladder(num_envs: int) -> NDArray[np.float64]:
    """Return each environment's share of random actions, (N,): from 0.4 down to 0.4^8 = 0.0007, section 4.1.

    No actor has less than the agent's own schedule says: the paper's hundreds of environments have enough of the upper
    rungs, eight do not. CartPole's then see little but what the first networks do, and score 200 instead of 500.
    """
    exponent = 1.0 + ALPHA * np.arange(num_envs) / max(num_envs - 1, 1)
    return np.asarray(EPSILON**exponent)


# ------------------------------------------------------------------ an actor


class Actor:
    """Some environments, and a copy of the network by which they are played."""

    def __init__(self, plan: ActorPlan, number: int, generation: int = 0) -> None:
        self.plan, self.number, self.generation = plan, number, generation
        config, count = plan.config, plan.envs_each
        mine = slice(number * count, (number + 1) * count)
        seed = episode_seed(plan.seed, "episodes", number, generation)
        self.episodes = Episodes(plan.env_id, count, seed, env_options(plan.env_id, config, evaluation=False))
        space, actions = self.episodes.space, self.episodes.num_actions
        self.network = plan.recipe.network(space, actions, config, torch_generator(seed, "network")).eval()
        self.policy = player(plan.recipe.name, config, plan.env_id, self.network, actions)
        self.epsilon = self.ladder = ladder(config.num_envs)[mine]
        self.rng = numpy_generator(seed, "exploration")
        self.generator = torch.Generator().manual_seed(torch_seed(seed, "noise"))
        self.noisy = [layer for layer in self.network.modules() if isinstance(layer, NoisyLinear)]
        self.cuts = protocol(plan.env_id, config).life_loss_cuts
        self.version = 0
        self._begun = False

    def take(self, weights: Weights, version: int, epsilon: float) -> None:
        """Play by other weights from now on, and with at least that share of random actions."""
        self.network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
        self.version = version
        self.epsilon = np.maximum(self.ladder, epsilon)

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the expectations by which it plays, (E, A)."""
        with sampling_noise(self.noisy, self.generator):
            q_values = self.policy.q_values(obs)
        assert q_values is not None
        return q_values

    def chunk(self) -> Chunk:
        """Play some steps in every environment and return what happened."""
        episodes, config = self.episodes, self.plan.config
        first = None
        if not self._begun:
            first, self._begun = self._newest(episodes.begin(config.stagger)), True
        steps: list[tuple[NDArray[Any], ...]] = []
        begun, finished = [], []
        q_values = self.q_values(episodes.obs)
        for _ in range(self.plan.chunk_steps):
            action = self._act(q_values)
            taken = q_values[np.arange(len(action)), action]
            step = episodes.step(action)
            frames = self._newest(step.obs)
            cut = step.terminated | step.life_lost if self.cuts else step.terminated
            discount = config.gamma * (1.0 - cut)
            q_values = self.q_values(episodes.obs)
            value = q_values.max(1)
            if step.done.any():
                begun.append(self._newest(episodes.obs)[step.done])
                if (truncated := step.done & (discount > 0)).any():  # what would have followed
                    value[truncated] = self.q_values(step.obs[truncated]).max(1)
            finished += step.finished
            steps.append((action, config.learnt_rewards(step.reward), discount, frames, step.done, taken, value))
        action, reward, discount, frames, done, taken, value = (np.stack(part) for part in zip(*steps, strict=True))
        return Chunk(
            self.number,
            self.generation,
            self.version,
            first,
            action.astype(np.int64),
            reward.astype(np.float32),
            discount.astype(np.float32),
            frames,
            done,
            np.concatenate(begun) if begun else frames[0, :0],
            td_errors(taken, reward, discount, value, done, config.n_step) if self._has_priorities else None,
            finished,
        )

    def _act(self, q_values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return epsilon-greedy actions, (E,), each environment's by its own epsilon."""
        allowed = not_forbidden(q_values) if self.policy.masked else None
        drawn = random_actions(len(q_values), self.episodes.num_actions, self.rng, allowed)
        return np.where(self.rng.random(len(q_values)) < self.epsilon, drawn, q_values.argmax(1))

    @property
    def _has_priorities(self) -> bool:
        """Whether priorities are what `td_errors` computes; else a new transition has the largest there is."""
        config = self.plan.config
        means = getattr(config, "head", "expected") in ("expected", "quantile", "implicit_quantile")
        return config.prioritized and config.priority == "td_error" and means

    def _newest(self, obs: NDArray[Any]) -> NDArray[Any]:
        """Return what a record keeps of observations, (E, ...)."""
        stack = self.episodes.stack
        return obs.copy() if stack == 1 else obs[:, -(obs.shape[1] // stack) :].copy()

    def close(self) -> None:
        """Close the environments."""
        self.episodes.close()


def td_errors(
    taken: NDArray[np.floating[Any]],
    reward: NDArray[np.floating[Any]],
    discount: NDArray[np.floating[Any]],
    value: NDArray[np.floating[Any]],
    done: NDArray[np.bool_],
    n_step: int,
) -> NDArray[np.float32]:
    """Return how wrong the expectations of the actions taken were, (T, E): what a priority is (section 3).

    Args:
        taken: (T, E) expectations of the actions taken.
        reward: (T, E).
        discount: (T, E).
        value: (T, E) expectation of the best action at the next observation.
        done: (T, E) the episode ended there.
        n_step: rewards of a return; fewer at the end of an episode, and of the chunk.
    """
    steps = len(taken)
    errors = np.empty_like(taken)
    for t in range(steps):
        total, product = np.zeros(taken.shape[1]), np.ones(taken.shape[1])
        bootstrap, running = np.zeros(taken.shape[1]), np.ones(taken.shape[1], np.bool_)
        for k in range(t, min(t + n_step, steps)):
            total += np.where(running, product * reward[k], 0.0)
            product = np.where(running, product * discount[k], product)
            bootstrap = np.where(running, value[k], bootstrap)
            running &= ~done[k]
        errors[t] = np.abs(total + np.where(product > 0, product * bootstrap, 0.0) - taken[t])
    return errors.astype(np.float32)


class LocalFleet:
    """Actors in this process, one after the other: the same run every time. For tests, and for finding faults."""

    lost = 0

    def __init__(self, plan: ActorPlan) -> None:
        self.plan = plan
        self.actors: deque[Actor] = deque()
        self._newest: tuple[Weights, int, float] | None = None

    def start(self, weights: Weights, generation: int, epsilon: float) -> None:
        """Start the actors."""
        for number in range(self.plan.actors):
            actor = Actor(self.plan, number, generation)
            actor.take(weights, 0, epsilon)
            self.actors.append(actor)

    def next(self) -> Chunk:
        """Return a chunk of the actor whose turn it is."""
        actor = self.actors[0]
        self.actors.rotate(-1)
        if self._newest is not None and self._newest[1] != actor.version:
            actor.take(*self._newest)
        return actor.chunk()

    def publish(self, weights: Weights, version: int, epsilon: float) -> None:
        """Hand out new weights."""
        self._newest = weights, version, epsilon

    def close(self) -> None:
        """Stop the actors."""
        for actor in self.actors:
            actor.close()


# ------------------------------------------------------------------ the learner


class ChunkReplay(ReplayExperience):
    """A replay that is filled by chunks: a ring for each environment of each actor."""

    _taken = 0  # transitions since batches were last drawn

    def take(self, chunk: Chunk) -> None:
        """Take all steps of a chunk."""
        replay, count = self.replay, chunk.action.shape[1]
        rings = np.arange(chunk.actor * count, (chunk.actor + 1) * count)
        if chunk.first is not None:  # what a former actor was at ends here, as if cut
            replay.open(rings, chunk.first)
        begun = 0
        for t in range(len(chunk.action)):
            here = replay.add(chunk.action[t], chunk.reward[t], chunk.discount[t], chunk.frames[t], rings=rings)
            if chunk.priority is not None:
                self.set_priorities(here, chunk.priority[t])
            if (over := chunk.done[t]).any():
                end = begun + int(over.sum())
                replay.open(rings[over], chunk.begun[begun:end])
                begun = end
        self.steps += chunk.transitions
        self._taken += chunk.transitions

    def _owe(self) -> None:
        """Count the updates that are due for what was taken."""
        self.updates_due += self._taken * self.config.replay_ratio / self.config.batch_size
        self._taken = 0


class RemoteEpisodes:
    """What a trainer asks of its environments, where they are the actors'.

    A state has none of their running episodes: after a resume actors begin new ones.
    """

    overlaps = abandoned = False
    restored = 1.0

    def __init__(self, plan: ActorPlan) -> None:
        vec = envs.make_vec(plan.env_id, 1, **env_options(plan.env_id, plan.config, evaluation=False))
        self.stack = int(getattr(vec, "frame_stack", 1))
        space, actions = vec.single_observation_space, vec.single_action_space
        vec.close()
        assert isinstance(space, spaces.Box)
        assert isinstance(actions, spaces.Discrete)
        self.space, self.num_actions, self.num_envs = space, int(actions.n), plan.config.num_envs
        self.finished = self.generation = 0
        self.lengths = self.returns = np.zeros(self.num_envs)  # of running episodes: not known here

    def state(self) -> dict[str, Any]:
        """Return what `load` needs, as JSON's types."""
        return {"finished": self.finished, "generation": self.generation}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on after a state."""
        self.finished, self.generation = int(state["finished"]), int(state["generation"]) + 1

    load_next = load

    def abandon(self) -> None:
        """Nothing is to be done: the actors' episodes are in no state."""

    def close(self) -> None:
        """Nothing is open here."""


class ApexTrainer(Trainer):
    """A run whose steps are chunks that actors send; what is logged, evaluated and saved is as in any run."""

    def __init__(self, plan: Plan, run: RunFolder | None, fleet: Fleet, actor_plan: ActorPlan) -> None:
        actor_plan.check()
        self.fleet, self.actor_plan = fleet, actor_plan
        recipe = dataclasses.replace(plan.recipe, experience=ChunkReplay)
        super().__init__(dataclasses.replace(plan, recipe=recipe), run)
        self.lag = 0  # updates between the last chunk's weights and now
        self._published = 0
        self._started = False

    def _make_episodes(self, vec: Any) -> Any:
        return RemoteEpisodes(self.actor_plan)

    def run(self, watcher: Watcher) -> bool:
        """Train as any trainer does; the actors are stopped at the end, whatever it is."""
        try:
            return super().run(watcher)
        finally:
            self.fleet.close()

    def _take_fingerprint(self, folder: Path) -> None:
        """Take none: a repetition is another run."""

    def begin(self) -> None:
        """Nothing is to be done before actors are started."""
        self.begun = True

    def step(self) -> None:
        """Take a chunk, then learn what is due; now and then hand out the weights."""
        if not self._started:
            self.fleet.start(self.weights(), self.episodes.generation, self.agent.epsilon)  # type: ignore[attr-defined]
            self._started = True
        with self.agent.watch("environment"):
            chunk = self.fleet.next()
        experience = self.experience
        assert isinstance(experience, ChunkReplay)
        with self.agent.watch("acting"):  # the learner does not act: this is what taking chunks costs
            experience.take(chunk)
        self.agent.steps += chunk.transitions
        self.lag = self.learner.updates - chunk.version
        self.recent.extend(chunk.finished)
        self.episodes.finished += len(chunk.finished)
        self.agent.learn()
        if self.learner.updates >= self._published + PUBLISH_EVERY:
            self._published = self.learner.updates
            self.fleet.publish(self.weights(), self.learner.updates, self.agent.epsilon)

    def weights(self) -> Weights:
        """Return the online network's, as arrays that can travel."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.learner.online.state_dict().items()}
