"""Before the start: which device, how much memory, how long; all measured, none guessed."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from typing import TypeVar

import psutil
import torch
from gymnasium import spaces

import envs
from common.errors import UserError
from learning.config import LearnerConfig, ReplayConfig
from learning.networks import count_parameters
from learning.trainer import Plan, Trainer

ALL_CORES = torch.get_num_threads()  # before anyone has set another number
LARGE = 1_000_000  # parameters from which a network gains from more than one CPU thread: Nature's does, 1.6 times
SAFE_SHARE = 0.9  # of the free memory; the rest is for everything that is not the replay
REHEARSAL_STEPS = 1_000  # agent steps that are timed
REHEARSAL_SECONDS = 5.0  # and at most so long, unless a budget depends on it


@dataclass(frozen=True)
class Preflight:
    """What the first line prints; ``steps_per_second`` is measured, ``seconds`` estimated from it."""

    device: str
    storage: str
    engine: str
    """What computes updates."""
    memory: str
    """What takes the memory: a replay, a rollout."""
    replay_bytes: int
    parameters: int
    threads: int
    """CPU threads of torch."""
    steps_per_second: float
    seconds: float

    def __str__(self) -> str:
        minutes, seconds = divmod(round(self.seconds), 60)
        hours, minutes = divmod(minutes, 60)
        time_left = f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"
        threads = f" ({self.threads} threads)" if self.threads > 1 else ""
        device = f"{self.device}{threads}, {self.engine} engine"
        where = "" if self.storage == self.device else " in host memory"
        return (
            f"device {device} | {self.memory} {self.replay_bytes / 1e6:,.0f} MB{where}"
            f" | network {self.parameters:,} parameters | about {time_left}"
        )


def preflight(plan: Plan, device: str, threads: int | None = None, longest: float = REHEARSAL_SECONDS) -> Preflight:
    """Return what a run will take, and set torch's number of threads.

    A throwaway trainer plays and learns a thousand steps on each device, at most ``longest`` seconds.

    Args:
        plan: what is to be trained.
        device: "auto" means the one that learns fastest, by measuring.
        threads: CPU threads of torch; None: all for large networks, one for small ones.
        longest: seconds to measure.

    Raises:
        UserError: the replay does not fit into memory (with the size that would), or no such device.
    """
    candidates = available_devices() if device == "auto" else [device]
    if candidates[0] not in available_devices():
        raise UserError(f"--device {device} is not available; this machine has {', '.join(available_devices())}")
    vec = envs.make_vec(plan.env_id, 1, **plan.env_options())
    space, actions, stack = vec.single_observation_space, vec.single_action_space, int(getattr(vec, "frame_stack", 1))
    vec.close()
    assert isinstance(space, spaces.Box)
    assert isinstance(actions, spaces.Discrete)
    needed = plan.recipe.experience.bytes_needed(plan.config, space, stack)
    network = plan.recipe.network(space, int(actions.n), plan.config, torch.Generator())
    parameters = count_parameters(network)
    threads = threads or (ALL_CORES if parameters >= LARGE else 1)
    torch.set_num_threads(threads)
    capacity = getattr(plan.config, "capacity", None)
    storages = {name: place(needed, capacity, name) for name in candidates}
    measured = {name: rehearse(replace(plan, device=name, storage=storages[name]), longest) for name in candidates}
    fastest = max(measured, key=lambda name: measured[name][0])
    steps_per_second, engine = measured[fastest]
    seconds = plan.config.total_timesteps / steps_per_second
    label = plan.recipe.experience.label
    return Preflight(fastest, storages[fastest], engine, label, needed, parameters, threads, steps_per_second, seconds)


def available_devices() -> list[str]:
    """Return the devices torch can use here, the CPU first."""
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices.append("cuda")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices


def place(needed: int, capacity: int | None, device: str) -> str:
    """Return where ``needed`` bytes of experience fit: with the learner, else with the host; `UserError` if nowhere."""
    if device == "cuda" and needed <= torch.cuda.mem_get_info()[0] * SAFE_SHARE:
        return device
    check_memory(needed, capacity, psutil.virtual_memory().available)
    return "cpu" if device == "cuda" else device  # MPS shares the host's memory


def check_memory(needed: int, capacity: int | None, free: int) -> None:
    """Raise `UserError` when ``needed`` bytes are too many, with the capacity that would fit if it is a replay's."""
    usable = int(free * SAFE_SHARE)
    if needed <= usable:
        return
    remedy = f"--capacity {usable * capacity // needed} would fit" if capacity else "take fewer --rollout-steps"
    label = "replay" if capacity else "rollout"
    raise UserError(f"the {label} would take {needed / 1e9:,.1f} GB and {usable / 1e9:,.1f} GB can be used; {remedy}")


def rehearse(plan: Plan, longest: float) -> tuple[float, str]:
    """Return agent steps a second, acting and learning included, and the engine that learnt."""
    config = plan.recipe.experience.rehearsal(plan.config)
    trainer = Trainer(replace(plan, config=config), None)

    def play(steps: int) -> None:
        target = trainer.agent_steps + steps
        while trainer.agent_steps < target and time.perf_counter() - began < longest:
            trainer.step()

    try:
        trainer.begin()
        began = time.perf_counter()
        while trainer.learner.updates < 2 and time.perf_counter() - began < longest:
            trainer.step()  # kernels are compiled, the first updates made, before the clock starts
        # updates may come seldom: as many steps as lie between two of them, several times
        period = trainer.agent_steps
        began, before = time.perf_counter(), trainer.agent_steps
        play(max(REHEARSAL_STEPS, 2 * period))
        if plan.device != "cpu":
            torch.accelerator.synchronize()  # the clock stops when the work is done, not when it is queued
        return (trainer.agent_steps - before) / (time.perf_counter() - began), trainer.learner.engine
    finally:
        trainer.episodes.close()


# ------------------------------------------------------------------ a wall-clock budget

EVALUATION_SHARE = 0.1  # of the budget; episodes get longer as the agent gets better, so this is a guess
LEAST_SECONDS = 10
LEAST_TARGET_PERIOD = 100  # updates; a shorter period hardly makes a target network
Settings = TypeVar("Settings", bound=LearnerConfig)
UNITS = {"h": 3600, "m": 60, "s": 1}


def seconds_of(text: str) -> float:
    """Return the seconds of ``20m``, ``1h30m`` or ``90s``; `UserError` when it is none of these."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UserError(f"--budget {text} is not a time; write 90s, 20m or 1h30m")
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if seconds < LEAST_SECONDS:
        raise UserError(f"--budget {text} is too short; at least {LEAST_SECONDS}s")
    return seconds


def fit(config: Settings, seconds: float, steps_per_second: float) -> Settings:
    """Return the settings with total, epsilon's fall, warm-up and target period scaled to a budget.

    The learning rate falls over the total anyway. Environments' steps come in vector steps of
    ``num_envs``, so the total is a multiple of that.
    """
    total = int((1 - EVALUATION_SHARE) * seconds * steps_per_second)
    total = max(total // config.num_envs, 1) * config.num_envs
    scale = total / config.total_timesteps
    fitted = replace(config, total_timesteps=total, epsilon_steps=max(round(config.epsilon_steps * scale), 1))
    if not isinstance(fitted, ReplayConfig):
        return fitted
    least = min(LEAST_TARGET_PERIOD, fitted.target_period)
    return replace(
        fitted,
        learning_starts=round(fitted.learning_starts * scale),
        target_period=max(round(fitted.target_period * scale), least),
    )
