"""Evaluation: whole episodes on environments of their own, with raw rewards and fixed seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

import envs
from learning.config import episode_generator, episode_seed, numpy_generator
from learning.policy import Policy

EVALUATION_SEED = 2015  # all agents are evaluated in the same episodes, whatever their training seed
MAX_LANES = 100
ATARI_LANES = 32  # a seeded reset of an emulator takes 0.08 s, and an evaluation on the way has 20 episodes
# Agent steps of an episode where the environment has no limit: five times the longest that Gymnasium's own
# environments have, 2,000. An agent that goes in circles takes seconds then, and hardly a game that ends is cut.
CAP = 10_000
GROUP = 10  # lanes of a Gymnasium environment that step together: alone, each takes three times as long


class EpisodeResult(NamedTuple):
    """One evaluation episode."""

    episode: int
    episode_return: float  # undiscounted sum of raw rewards
    episode_length: int  # agent steps
    cut: bool = False  # by the evaluation's cap: it would have gone on


class Progress(NamedTuple):
    """How far an evaluation is."""

    finished: int  # episodes
    episodes: int
    steps: int  # agent steps of all episodes so far
    finished_steps: int  # those of the finished ones
    most_steps: int = 0  # those of all episodes at most; 0: not known yet


class Pace(NamedTuple):
    """How long evaluation takes."""

    start: float  # seconds to begin an episode
    step: float  # seconds an agent step, of all the episodes that run side by side


class Stopped(Exception):
    """Raised by whoever watches an evaluation, to end it."""


def step_limit(env_id: str, options: Mapping[str, Any]) -> int | None:
    """Return the environment's own limit of an episode, agent steps; None if it has none."""
    if (frames := options.get("frame_cap")) is not None:
        return int(frames) // envs.protocol(env_id).frames_per_step
    options = {**options, **options.get("env_kwargs", {})}
    limit = options.get("max_episode_steps", gymnasium.spec(env_id).max_episode_steps)
    return None if limit is None or limit < 1 else -(-int(limit) // options.get("action_repeat", 1))


def episode_cap(env_id: str, options: Mapping[str, Any], asked: int | None = None) -> int | None:
    """Return after how many agent steps an evaluation cuts an episode; None: the environment's own limit comes first.

    Args:
        env_id: of the environment.
        options: that it is made with.
        asked: the cap asked for; None: `CAP`, and only where there is no limit.
    """
    limit = step_limit(env_id, options)
    if asked is None:
        return CAP if limit is None else None
    return asked if limit is None or asked < limit else None


def longest_episode(env_id: str, options: Mapping[str, Any], asked: int | None = None) -> int:
    """Return the most agent steps that an episode of evaluation has; the arguments are those of `episode_cap`."""
    cap, limit = episode_cap(env_id, options, asked), step_limit(env_id, options)
    longest = limit if cap is None else cap
    assert longest is not None  # without a limit there is a cap
    return longest


def protocol_name(rules: str, cap: int | None) -> str:
    """Return the name of an evaluation's protocol: another cap is another protocol."""
    return rules if cap is None else f"{rules} cap={cap}"


def cut_text(results: Sequence[EpisodeResult]) -> str:
    """Return how many episodes were cut, as "3 of 20 episodes were cut at 10,000 steps"; empty if none was."""
    lengths = [result.episode_length for result in results if result.cut]
    if not lengths:
        return ""
    return f"{len(lengths)} of {len(results)} episodes were cut at {max(lengths):,} steps"


def evaluate(
    policy: Policy,
    env_id: str,
    episodes: int,
    epsilon: float,
    seed: int = EVALUATION_SEED,
    max_steps: int | None = None,
    **options: Any,
) -> list[EpisodeResult]:
    """Return the results of ``episodes`` whole episodes, in order, on environments with these options.

    ``max_steps`` is the cap asked for; see `episode_cap`.
    """
    evaluator = Evaluator(env_id, options, max_steps)
    try:
        return evaluator.evaluate(policy, episodes, epsilon, seed)
    finally:
        evaluator.close()


class Evaluator:
    """Environments for evaluation, kept from one evaluation to the next.

    Episodes run side by side, each in a lane. A lane whose episode has ended takes the next one; when none is left,
    it is not stepped any more, unless the others of its group are: the lanes of a group can only step together. All
    lanes of a world are one group, since a step of all costs little; an Atari game is a group of its own.

    Each episode has its own seed and its own random actions, so that its result does not depend on how many run
    beside it: only on the rounding of the network's sums, which may vary with the size of a batch, and on the draws
    of a policy that is random of itself.
    """

    def __init__(self, env_id: str, options: Mapping[str, Any] | None = None, max_steps: int | None = None) -> None:
        """``max_steps``: the cap asked for; see `episode_cap`."""
        self.env_id, self.options = env_id, dict(options or {})
        self.cap = episode_cap(env_id, self.options, max_steps)
        self.longest = longest_episode(env_id, self.options, max_steps)
        self.most = ATARI_LANES if envs.is_atari(env_id) else MAX_LANES
        self.groups: list[Any] = []

    def evaluate(
        self,
        policy: Policy,
        episodes: int,
        epsilon: float,
        seed: int = EVALUATION_SEED,
        watch: Callable[[Progress], None] = lambda progress: None,
    ) -> list[EpisodeResult]:
        """Return the results of ``episodes`` whole episodes, in order.

        Args:
            policy: who plays.
            episodes: how many.
            epsilon: share of random actions.
            seed: of the episodes; all policies meet the same ones.
            watch: called after each step with how far it is; what it raises ends the evaluation.
        """
        results: dict[int, EpisodeResult] = {}
        with closing(self._play(policy, episodes, epsilon, seed, min(episodes, self.most), results)) as playing:
            for progress in playing:
                watch(progress)
        return [results[episode] for episode in range(episodes)]

    def pace(self, policy: Policy, epsilon: float, lanes: int, seconds: float) -> Pace:
        """Return how long evaluation takes with this many lanes, by playing for about so many seconds."""
        began = time.perf_counter()
        playing = self._play(policy, lanes * 1_000_000, epsilon, EVALUATION_SEED, min(lanes, self.most), {})
        next(playing)
        steps = last = next(playing).steps  # environments are made, kernels compiled
        started = time.perf_counter()
        for progress in playing:
            last = progress.steps
            if time.perf_counter() - started > seconds:
                break
        return Pace((started - began) / lanes, (time.perf_counter() - started) / max(last - steps, 1))

    def _play(
        self,
        policy: Policy,
        episodes: int,
        epsilon: float,
        seed: int,
        num_lanes: int,
        results: dict[int, EpisodeResult],
    ) -> Generator[Progress, None, None]:
        """Fill ``results``; yield after each step of all."""
        groups, queue = self._grouped(num_lanes), iter(range(episodes))
        # emulators have threads of their own: one half of them works while the network decides for the other one
        parts = [groups[::2], groups[1::2]] if len(groups) > 1 and hasattr(groups[0], "send") else [groups]
        parties = [_Lanes(part, queue, seed, self.cap) for part in parts]
        rng = numpy_generator(seed, "evaluation")  # for policies that are random of themselves
        try:
            while any(lanes.playing.any() for lanes in parties):
                for lanes in parties:
                    lanes.receive(results)
                    if lanes.playing.any():
                        lanes.send(policy.act(lanes.obs[lanes.playing], 0.0, rng), epsilon)
                steps, finished_steps = (sum(lanes.counted[i] for lanes in parties) for i in (0, 1))
                yield Progress(len(results), episodes, steps, finished_steps, self.longest * episodes)
        finally:
            for lanes in parties:
                lanes.receive(results)  # nothing is left on its way when another evaluation begins

    def _grouped(self, num_lanes: int) -> list[Any]:
        """Return groups with at least so many lanes in all; those that are there already come first."""
        size = 1 if envs.is_atari(self.env_id) else num_lanes if envs.is_world(self.env_id) else GROUP
        if self.groups and self.groups[0].num_envs != size:
            self.close()
        more = {"num_threads": 1} if envs.is_atari(self.env_id) else {}
        needed = -(-num_lanes // size)
        while len(self.groups) < needed:
            self.groups.append(envs.make_vec(self.env_id, size, **self.options, **more))
            if envs.in_processes(self.groups[0]):
                break  # more would only take memory
        return self.groups[:needed]

    def close(self) -> None:
        """Close the environments."""
        for group in self.groups:
            group.close()
        self.groups = []


class _Lanes:
    """Episodes in progress: L lanes in groups of equal size, which take the next episode from a queue."""

    def __init__(self, groups: list[Any], queue: Iterator[int], seed: int, cap: int | None) -> None:
        self.groups, self.queue, self.seed = groups, queue, seed
        self.cap = np.iinfo(np.int64).max if cap is None else cap
        self.size = groups[0].num_envs
        count = len(groups) * self.size
        self.slices = [slice(start, start + self.size) for start in range(0, count, self.size)]
        space, actions = groups[0].single_observation_space, groups[0].single_action_space
        self.space = space
        assert isinstance(actions, spaces.Discrete)
        self.num_actions = int(actions.n)
        self.obs: NDArray[Any] = np.zeros((count, *space.shape), space.dtype)
        self.episode = np.zeros(count, np.int64)
        self.playing = np.zeros(count, np.bool_)  # the others play on unrecorded while their group steps
        self.returns, self.lengths = np.zeros(count), np.zeros(count, np.int64)
        self.draws = [numpy_generator(seed, "evaluation")] * count  # each episode brings its own
        self.counted = [0, 0]  # agent steps: of all episodes so far, of those that are finished
        self._sent: list[tuple[Any, slice, NDArray[np.int64]]] = []
        seeds = [self._next(i) for i in range(count)]

        def reset(group: Any, lanes: slice) -> None:
            if self.playing[lanes].any():
                self.obs[lanes], _ = group.reset(seed=seeds[lanes])

        if not hasattr(groups[0], "send"):
            for group, lanes in zip(groups, self.slices, strict=True):
                reset(group, lanes)
            return
        # an emulator's seeded reset takes 0.08 s, in which it lets other threads run; nothing else gains
        with ThreadPoolExecutor() as pool:
            list(pool.map(reset, groups, self.slices))

    def _next(self, i: int) -> int | None:
        """Let a lane take the next episode; return its seed, None if there is none."""
        self.returns[i], self.lengths[i] = 0.0, 0
        episode = next(self.queue, None)
        self.playing[i] = episode is not None
        if episode is None:
            return None
        self.episode[i], self.draws[i] = episode, episode_generator(self.seed, "evaluation", episode)
        return episode_seed(self.seed, "evaluation", 0, episode)

    def send(self, chosen: NDArray[np.int64], epsilon: float) -> None:
        """Send the policy's actions for the lanes that play, some of them replaced by random ones."""
        actions = envs.idle(self.space, self.obs)
        actions[self.playing] = chosen
        if epsilon > 0:
            allowed = envs.allowed(self.space, self.obs)
            for i in np.flatnonzero(self.playing):
                if self.draws[i].random() < epsilon:
                    only = None if allowed is None else np.flatnonzero(allowed[i])
                    drawn = self.draws[i].integers(self.num_actions if only is None else len(only))
                    actions[i] = drawn if only is None else only[drawn]
        for group, lanes in zip(self.groups, self.slices, strict=True):
            if self.playing[lanes].any():
                self._sent.append((group, lanes, actions[lanes]))
                if hasattr(group, "send"):
                    group.send(actions[lanes])

    def receive(self, results: dict[int, EpisodeResult]) -> None:
        """Take what the actions brought, if any were sent; add the episodes that ended to ``results``."""
        sent, self._sent = self._sent, []  # after a fault nothing is waited for a second time
        for group, lanes, actions in sent:
            answer = group.recv() if hasattr(group, "send") else group.step(actions)
            self.obs[lanes], reward, terminated, truncated, _ = answer
            self.returns[lanes] += reward
            self.lengths[lanes] += 1
            self.counted[0] += int(self.playing[lanes].sum())
            over = self.playing[lanes] & (self.lengths[lanes] >= self.cap)
            if (done := terminated | truncated | over).any():
                self._end(group, lanes, done, over & ~(terminated | truncated), results)

    def _end(
        self,
        group: Any,
        lanes: slice,
        done: NDArray[np.bool_],
        cut: NDArray[np.bool_],
        results: dict[int, EpisodeResult],
    ) -> None:
        """Record what ended in a group, of itself or cut, and begin the next episodes there."""
        seeds: list[int | None] = [None] * self.size
        for k in np.flatnonzero(done):
            i = lanes.start + int(k)
            if self.playing[i]:
                episode, length = int(self.episode[i]), int(self.lengths[i])
                results[episode] = EpisodeResult(episode, float(self.returns[i]), length, bool(cut[k]))
                self.counted[1] += length
                seeds[k] = self._next(i)
        if self.playing[lanes].any():
            self.obs[lanes], _ = group.reset(seed=seeds, options={"reset_mask": done})
