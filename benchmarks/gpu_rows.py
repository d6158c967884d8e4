"""Rows of `benchmarks/gpu.py`: an update beside the sum of its kernels, and training beside the emulators alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch.profiler import ProfilerActivity, profile

import envs
from agents import recipe
from learning import compiled
from learning.config import RolloutConfig, numpy_generator
from learning.episodes import Episodes
from learning.graphs import GraphLearner, use_tensor_cores
from learning.learner import Learner
from learning.networks import QNetwork
from learning.plan import Plan
from learning.replay import ReplayExperience
from learning.rollout import Rollout
from learning.trainer import Trainer

PONG = "ALE/Pong-v5"
ACTIONS = 6
SMALL = {"frame_size": 42, "hidden": (16,), "capacity": 1_000, "learning_starts": 100, "total_timesteps": 10_000}
TINY: dict[str, dict[str, Any]] = {
    "pqn": {"num_envs": 2, "rollout_steps": 4, "minibatches": 2, "epochs": 1, "encoder": "small"},
    "dqn": {"num_envs": 2, "batch_size": 4, "encoder": "small"},
    "btr": {"num_envs": 2, "batch_size": 4, "impala_width": 1, "head_hidden": (16,), "replay_ratio": 2.0},
}
# A replay that is quickly filled: one update costs the same, and 100,000 frames are far more than a cache holds.
QUICK = {"capacity": 100_000, "learning_starts": 2_000}

Row = Callable[[], dict[str, Any]]


def all_rows(device: str, rehearse: bool) -> dict[str, Row]:
    """Return all rows, the most wanted first."""
    if device == "cuda":
        use_tensor_cores()
    torch.set_num_threads(1)
    seconds = 0.1 if rehearse else 6.0
    rows: dict[str, Row] = {"device": partial(about, device)}
    updates = {"pqn": "paper", "btr": "paper", "dqn": "nature"}
    for agent, preset in updates.items():
        rows[f"update {agent}"] = partial(update, agent, preset, device, rehearse)
    envs = 2 if rehearse else 128
    rows["update btr bf16"] = partial(update, "btr", "paper", device, rehearse, bf16=True)
    rows["emulators alone"] = partial(emulators, envs, seconds, rehearse)
    for agent, preset in (("pqn", "paper"), ("btr", "paper"), ("dqn", "modern"), ("pqn", "cpu")):
        rows[f"training {agent} {preset}"] = partial(training, agent, preset, device, seconds, rehearse)
    for agent, preset, more in (("pqn", "paper", {}), ("btr", "paper", {"bf16": True}), ("dqn", "nature", {})):
        name = " ".join([agent, *more, "compiled"])
        rows[f"update {name}"] = partial(update, agent, preset, device, rehearse, compile=True, **more)
        if agent != "dqn":
            rows[f"training {name}"] = partial(training, agent, preset, device, seconds, rehearse, compile=True, **more)
    rows["update dqn modern"] = partial(update, "dqn", "modern", device, rehearse)
    rows["update rainbow"] = partial(update, "rainbow", "paper", device, rehearse)
    return rows


def about(device: str) -> dict[str, Any]:
    """Return what is measured on."""
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {"text": f"{name}, torch {torch.__version__}", "matmul": torch.get_float32_matmul_precision()}


def settings(agent: str, preset: str, rehearse: bool, **more: Any) -> Any:
    """Return an agent's settings, with a replay that is soon filled."""
    found = recipe(agent)
    known = found.config.__dataclass_fields__
    tiny = {**SMALL, **TINY.get(agent, TINY["dqn"])} if rehearse else {}
    changes = {name: value for name, value in {**QUICK, **tiny}.items() if name in known}
    return found.config(**{**found.presets[preset].settings, **changes, **more})


def synchronize(device: str) -> None:
    """Wait until the device has done what it was told."""
    if device == "cuda":
        torch.cuda.synchronize()


# ------------------------------------------------------------------ one update


def update(agent: str, preset: str, device: str, rehearse: bool, **more: Any) -> dict[str, Any]:
    """Return milliseconds an update: as graphs and launched one by one, whole and the sum of its kernels."""
    config = settings(agent, preset, rehearse, **more)
    count = 2 if rehearse else 200
    space = spaces.Box(0, 255, (config.frame_stack, config.frame_size, config.frame_size), np.uint8)
    graphs = GraphLearner(recipe(agent), config, space, ACTIONS, 1, device)
    once = Driven(graphs, config, space)
    once.updates(count if rehearse else 20)
    figures = {"graphs_ms": timed(once, count, device), "kernels_ms": kernels(once, min(count, 20), device)}
    figures["over_kernels"] = figures["graphs_ms"] / figures["kernels_ms"] - 1 if figures["kernels_ms"] else 0.0
    eager = Driven(Learner(recipe(agent), config, space, ACTIONS, 1, device), config, space)
    eager.updates(min(count, 10))
    figures["torch_ms"] = timed(eager, -(-count // 4), device)
    rounded: dict[str, Any] = {name: round(value, 4) for name, value in figures.items()}
    if config.compile:
        rounded["differs"] = compiled_differs(graphs, space)
    return {**rounded, "batch": once.batch, "captured": graphs.captured, "objections": "; ".join(graphs.objections)}


def compiled_differs(learner: GraphLearner, space: spaces.Box) -> float:
    """Return by how much an encoder's features differ when it is compiled, relative to the largest."""
    assert isinstance(learner.online, QNetwork)
    assert learner.online.convolutions is not None
    obs = torch.randint(0, 256, (64, *space.shape), dtype=torch.uint8, device=learner.device)
    found = []
    for wanted in (False, True):
        with torch.inference_mode(), compiled.joined([learner.online.convolutions], wanted):
            found.append(learner.online.convolutions(obs))
    return float(((found[0] - found[1]).abs().max() / found[0].abs().max()).cpu())


class Driven:
    """A learner and an experience of random frames."""

    def __init__(self, learner: Learner, config: Any, space: spaces.Box) -> None:
        self.learner, self.config, self.shape = learner, config, (config.num_envs, *space.shape)
        self.rng = np.random.default_rng(0)
        policy = learner.policy(PONG)
        self.experience: Any = recipe(learner.recipe.name).experience(
            config,
            space,
            config.frame_stack,
            numpy_generator(1, "replay"),
            str(learner.device),
            None,
            lambda obs: policy.q_values(obs).max(1),
        )
        learner.attach(self.experience)
        self.batch = 0
        self.q_values = np.zeros((config.num_envs, ACTIONS))
        self.experience.reset(self._frames())
        if isinstance(self.experience, ReplayExperience):
            for _ in range(max(20, 2_000 // config.num_envs)):
                self._step()
            self.experience.steps = max(self.experience.steps, config.learning_starts + 1)

    def _frames(self) -> NDArray[np.uint8]:
        return self.rng.integers(0, 256, self.shape, np.uint8)

    def _step(self) -> None:
        envs = self.shape[0]
        self.experience.add(self.rng.integers(0, ACTIONS, envs), np.zeros(envs), np.full(envs, 0.99), self._frames())

    def updates(self, count: int) -> int:
        """Make about so many updates; return how many."""
        before = self.learner.updates
        while (left := count - (self.learner.updates - before)) > 0:
            if isinstance(self.experience, Rollout):
                assert isinstance(self.config, RolloutConfig)
                if self.experience.filled == 0:
                    self.prepare()
            else:
                self.experience.updates_due = float(left)
            self.learner.learn(self.experience, self.q_values, 1e-4, self._seen)
        return self.learner.updates - before

    def prepare(self) -> None:
        """Take what comes before the updates, untimed: a rollout."""
        while isinstance(self.experience, Rollout) and self.experience.filled < self.config.rollout_steps:
            self._step()

    def _seen(self, report: Any) -> None:
        self.batch = len(report.priority)


def timed(driven: Driven, count: int, device: str) -> float:
    """Return milliseconds an update, waiting once at the end; the best of three rounds, one off a GPU."""
    best = float("inf")
    for _ in range(3 if device == "cuda" else 1):
        done, seconds = 0, 0.0
        while done < count:
            driven.prepare()
            synchronize(device)
            began = time.perf_counter()
            done += driven.updates(1 if isinstance(driven.experience, Rollout) else count)
            synchronize(device)
            seconds += time.perf_counter() - began
        best = min(best, 1e3 * seconds / done)
    return best


def kernels(driven: Driven, count: int, device: str) -> float:
    """Return the milliseconds of an update's kernels and copies, added up by the profiler; of operations on a CPU."""
    driven.prepare()
    synchronize(device)
    activity = ProfilerActivity.CUDA if device == "cuda" else ProfilerActivity.CPU
    with profile(activities=[activity]) as profiler:
        done = driven.updates(1 if isinstance(driven.experience, Rollout) else count)
        synchronize(device)
    if device != "cuda":
        return float(sum(event.self_cpu_time_total for event in profiler.key_averages())) / done / 1e3
    events = [event for event in profiler.events() or [] if event.device_type.name == "CUDA"]
    spans = [event.time_range.elapsed_us() for event in events if not getattr(event, "is_user_annotation", False)]
    return float(sum(spans)) / done / 1e3


# ------------------------------------------------------------------ whole training


def emulators(num_envs: int, seconds: float, rehearse: bool) -> dict[str, Any]:
    """Return frames a second of the emulators alone: with random actions, resets and stacks."""
    config = settings("pqn", "paper", rehearse)
    plan = Plan(PONG, recipe("pqn"), replace(config, num_envs=num_envs), 1)
    episodes = Episodes(PONG, num_envs, 1, plan.env_options())
    try:
        return {"envs": num_envs, "frames_per_second": alone(episodes, plan, seconds)}
    finally:
        episodes.close()


def alone(episodes: Episodes, plan: Plan, seconds: float) -> int:
    """Return the frames a second of a plan's environments with nothing beside them."""
    rng, steps, num_envs = np.random.default_rng(0), 0, plan.config.num_envs
    episodes.begin()
    for _ in range(10):
        episodes.step(rng.integers(0, ACTIONS, num_envs))
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        episodes.step(rng.integers(0, ACTIONS, num_envs))
        steps += num_envs
    return round(plan.protocol.frames_per_step * steps / (time.perf_counter() - began))


def training(agent: str, preset: str, device: str, seconds: float, rehearse: bool, **more: Any) -> dict[str, Any]:
    """Return the pace of training on Pong as train.py trains, and its shares; its emulators alone before."""
    config = settings(agent, preset, rehearse, **more)
    if preset == "cpu" and not rehearse:
        config = replace(config, num_envs=128, minibatches=32)
    plan = Plan(PONG, recipe(agent), config, 1, device)
    vec = envs.make_vec(PONG, config.num_envs, **plan.env_options())
    bare = alone(Episodes(PONG, config.num_envs, 1, plan.env_options(), vec), plan, seconds / 2)
    trainer = Trainer(plan, None, vec)
    try:
        trainer.begin()
        while trainer.learner.updates <= trainer.learner.warm_up:
            trainer.step()
        synchronize(device)
        trainer.agent.watch.seconds = dict.fromkeys(trainer.agent.watch.seconds, 0.0)
        steps, updates, began = trainer.agent_steps, trainer.learner.updates, time.perf_counter()
        while time.perf_counter() - began < seconds or trainer.learner.updates == updates:
            trainer.step()
        synchronize(device)
        took = time.perf_counter() - began
    finally:
        trainer.episodes.close()
    paces = {
        "frames_per_second": trainer.rules.frames_per_step * (trainer.agent_steps - steps) / took,
        "emulators_alone": bare,
        "agent_steps_per_second": (trainer.agent_steps - steps) / took,
        "updates_per_second": (trainer.learner.updates - updates) / took,
    }
    learner = trainer.learner
    return {
        "envs": config.num_envs,
        "engine": learner.engine,
        **{name: round(value, 1) for name, value in paces.items()},
        **{name: round(share, 3) for name, share in trainer.agent.watch.shares().items()},
        "objections": "; ".join(learner.objections) if isinstance(learner, GraphLearner) else "",
    }
