"""Before the start: which device, how much memory, how long; all measured, none guessed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import psutil
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv

import envs
from common.errors import UserError
from learning.learner import Learner
from learning.networks import count_parameters
from learning.replay import Replay
from learning.trainer import Plan

SAFE_SHARE = 0.9  # of the free memory; the rest is for everything that is not the replay


@dataclass(frozen=True)
class Preflight:
    """What the first line tells; ``seconds`` is an estimate."""

    device: str
    replay_bytes: int
    parameters: int
    seconds: float

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.seconds), 60)
        return (
            f"device {self.device} | replay {self.replay_bytes / 1e6:,.0f} MB | network {self.parameters:,} parameters"
            f" | about {minutes} min {seconds:02d} s"
        )


def preflight(plan: Plan, device: str) -> Preflight:
    """Return what a run will take; ``device`` "auto" means the one that learns fastest, by measuring.

    Raises:
        UserError: the replay does not fit into memory (with the size that would), or no such device.
    """
    vec = envs.make_vec(plan.env_id, plan.config.num_envs, seed=0)
    try:
        space, actions = vec.single_observation_space, vec.single_action_space
        assert isinstance(space, spaces.Box)
        assert isinstance(actions, spaces.Discrete)
        candidates = available_devices() if device == "auto" else [device]
        if candidates[0] not in available_devices():
            raise UserError(f"--device {device} is not there; this machine has {', '.join(available_devices())}")
        needed = Replay.bytes_needed(plan.config.capacity, space)
        check_memory(needed, space, psutil.virtual_memory().available)
        steps, updates = _amounts(plan)
        step_s = _time_environment(vec)
        times = {}
        for name in candidates:
            act_s, update_s, parameters = _time_learner(plan, space, int(actions.n), name)
            times[name] = steps * (step_s + act_s) + updates * update_s
    finally:
        vec.close()
    fastest = min(times, key=times.__getitem__)
    return Preflight(fastest, needed, parameters, times[fastest])


def available_devices() -> list[str]:
    """Return the devices torch can use here, the CPU first."""
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices.append("cuda")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices


def check_memory(needed: int, space: spaces.Box, free: int) -> None:
    """Raise `UserError` with the capacity that would fit when a replay of ``needed`` bytes does not."""
    usable = int(free * SAFE_SHARE)
    if needed > usable:
        fits = usable // Replay.bytes_needed(1, space)
        raise UserError(
            f"the replay would take {needed / 1e9:,.1f} GB and {usable / 1e9:,.1f} GB can be used;"
            f" --capacity {fits} would fit"
        )


def _amounts(plan: Plan) -> tuple[float, float]:
    """Return how many vector steps and updates are to come."""
    config = plan.config
    learning = max(config.total_timesteps - config.learning_starts, 0)
    return config.total_timesteps / config.num_envs, learning * config.replay_ratio / config.batch_size


def _time_environment(vec: VectorEnv[Any, Any, Any], repeats: int = 20) -> float:
    """Return the seconds of one vector step; the kernels are compiled before the clock starts."""
    actions = np.zeros(vec.num_envs, np.int64)
    vec.step(actions)
    vec.reset(seed=0)
    began = time.perf_counter()
    for _ in range(repeats):
        _, _, terminated, truncated, _ = vec.step(actions)
        if (done := terminated | truncated).any():
            vec.reset(options={"reset_mask": done})
    return (time.perf_counter() - began) / repeats


def _time_learner(
    plan: Plan, space: spaces.Box, num_actions: int, device: str, repeats: int = 20
) -> tuple[float, float, int]:
    """Return the seconds of acting once and of one update, and the network's size, on a throwaway learner."""
    # never larger than asked for, so that a capacity that is too small is refused here, before the start
    config = replace(plan.config, capacity=min(plan.config.capacity, max(4 * plan.config.num_envs, 1024)))
    learner = Learner(plan.recipe, config, space, num_actions, seed=0, device=device)
    replay = Replay(config.capacity, config.num_envs, space, config.n_step, device)
    policy, rng = learner.policy(plan.env_id), np.random.default_rng(0)
    obs = np.zeros((config.num_envs, *space.shape), space.dtype)
    zeros = np.zeros(config.num_envs)
    replay.reset(obs)
    replay.add(zeros, zeros, zeros, obs)

    def timed(action: Callable[[], object], count: int) -> float:
        for _ in range(3):
            action()
        began = time.perf_counter()
        for _ in range(count):
            action()
        if device != "cpu":
            torch.accelerator.synchronize()  # the clock stops when the work is done, not when it is queued
        return (time.perf_counter() - began) / count

    act_s = timed(lambda: policy.act(obs, 0.5, rng), repeats)
    update_s = timed(lambda: learner.update(replay.sample(config.batch_size, rng), 0.0).loss, repeats)
    return act_s, update_s, count_parameters(learner.online)
