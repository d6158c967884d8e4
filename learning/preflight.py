"""Before the start: which device, how much memory, how long; all measured, none guessed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv

import envs
from common import machine
from common.errors import UserError
from common.kernels import Cache, unless_compiling
from common.waiting import waiting
from learning.config import LearnerConfig, ReplayConfig
from learning.forecast import SHARE_ON_THE_WAY, Evaluations, typical_length
from learning.fused import keep_to_one_core
from learning.networks import count_parameters, gains_from_threads
from learning.plan import Plan
from learning.trainer import Trainer

ALL_CORES = min(torch.get_num_threads(), machine.cores())  # before anyone has set another number
SAFE_SHARE = 0.9  # of the free memory; the rest is for everything that is not the replay,
LEAST_REST = 300_000_000  # bytes: emulators, threads, evaluations take 230 MB later; but half where less is free
REHEARSAL_STEPS = 1_000  # agent steps that are timed at least
REHEARSAL_SECONDS = 2.0  # and at most so long, after kernels are compiled
LONGEST_REHEARSAL = 15.0  # where a budget depends on it
EVALUATION_SECONDS = 0.3  # that an evaluation is timed, and at most this share of the training:
EVALUATION_SHARE = 0.1
EVALUATION_LANES, EMULATORS = 20, 4  # episodes side by side in that; an emulator takes 0.17 s to start


@dataclass(frozen=True)
class Preflight:
    """What the first lines print; the pace is measured."""

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
    """Agent steps of training."""
    episode_seconds: float
    """Seconds of an episode of evaluation; its length may be a guess."""
    emulators: VectorEnv[Any, Any, Any] | None = None
    """Those that were played with, for the run: starting 32 takes 2.6 s. None: its environments are made quickly."""

    def __str__(self) -> str:
        threads = f" ({self.threads} threads)" if self.threads > 1 and self.device == "cpu" else ""
        device = f"{self.device}{threads}, {self.engine} engine"
        where = "" if self.storage == self.device else " in host memory"
        return (
            f"device {device} | {self.memory} {self.replay_bytes / 1e6:,.0f} MB{where}"
            f" | network {self.parameters:,} parameters"
        )


def preflight(
    plan: Plan,
    device: str,
    threads: int | None = None,
    longest: float = REHEARSAL_SECONDS,
    say: Callable[[str], None] | None = None,
) -> Preflight:
    """Return what a run will take, and set torch's number of threads.

    A throwaway trainer plays and learns on each device, then evaluates, for a few seconds.

    Args:
        plan: what is to be trained.
        device: "auto" means the one that learns fastest: a GPU for frames, else by measuring.
        threads: CPU threads of torch; None: all for convolutions and large networks, one for small ones, which the
            fused engine trains with a second one of its own. 1: it has none.
        longest: seconds to measure.
        say: prints a line on what is being done where it takes long.

    Raises:
        UserError: the replay does not fit into memory (with the size that would), or no such device.
    """
    vec = envs.make_vec(plan.env_id, 1, **plan.env_options())
    space, actions, stack = vec.single_observation_space, vec.single_action_space, int(getattr(vec, "frame_stack", 1))
    vec.close()
    for note in getattr(vec, "notes", ()):
        (say or print)(f"note: {note}")
    assert isinstance(space, spaces.Box)
    assert isinstance(actions, spaces.Discrete)
    candidates = devices_for(device, plan, space)
    needed = plan.recipe.experience.bytes_needed(plan.config, space, stack)
    network = plan.recipe.network(space, int(actions.n), plan.config, torch.Generator())
    if getattr(plan.config, "canonical", False) and getattr(network, "canonical", None) is None:
        (say or print)(f"note: {plan.env_id} has no mirror images that are known here: --canonical changes nothing")
    parameters = count_parameters(network)
    if threads == 1:
        keep_to_one_core()
    # beside a GPU they would only take cores from the environments
    threads = threads or (ALL_CORES if "cpu" in candidates and gains_from_threads(network) else 1)
    torch.set_num_threads(threads)
    capacity = getattr(plan.config, "capacity", None)
    storages = places(needed, capacity, candidates)
    measured, emulators = rehearsals(plan, storages, longest, say)
    fastest = max(measured, key=lambda name: measured[name].steps_per_second)
    engine, steps_per_second, seconds = measured[fastest]
    return Preflight(
        fastest,
        storages[fastest],
        engine,
        plan.recipe.experience.label,
        needed,
        parameters,
        threads,
        steps_per_second,
        seconds,
        emulators,
    )


def rehearsals(
    plan: Plan, storages: dict[str, str], longest: float, say: Callable[[str], None] | None
) -> tuple[dict[str, Rehearsal], VectorEnv[Any, Any, Any] | None]:
    """Return what each device does, with the experience where it is stored, and the emulators that were started."""
    measured: dict[str, Rehearsal] = {}
    emulators: VectorEnv[Any, Any, Any] | None = None
    for name, storage in storages.items():
        text = f"timing {plan.recipe.name} on {name}"
        if envs.is_atari(plan.env_id):
            text = f"starting {plan.config.num_envs} emulators, {text}"
        with waiting(unless_compiling(text), say):
            if envs.is_atari(plan.env_id) and emulators is None:
                emulators = envs.make_vec(plan.env_id, plan.config.num_envs, **plan.env_options())
            measured[name] = rehearse(replace(plan, device=name, storage=storage), longest, emulators)
    return measured, emulators


def available_devices() -> list[str]:
    """Return the devices torch can use here, the CPU first."""
    devices = ["cpu"]
    if torch.cuda.is_available():
        devices.append("cuda")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices


def devices_for(device: str, plan: Plan, space: spaces.Box) -> list[str]:
    """Return the devices that come into question; `UserError` if the one asked for is not there.

    With a GPU, convolutions are not timed on the CPU: that would take minutes, and the answer is known. Small networks
    for vectors are often faster there, and timed on both.
    """
    available = available_devices()
    if device != "auto":
        if device not in available:
            raise UserError(f"--device {device} is not available; this machine has {', '.join(available)}")
        return [device]
    if not plan.recipe.gains_from_gpu:
        return ["cpu"]
    return available[1:] if len(space.shape) == 3 and len(available) > 1 else available


def places(needed: int, capacity: int | None, devices: list[str]) -> dict[str, str]:
    """Return where experience lies for each device; those for which it fits nowhere are left out, unless all are."""
    storages, errors = {}, []
    for device in devices:
        try:
            storages[device] = place(needed, capacity, device)
        except UserError as error:
            errors.append(error)
    if not storages:
        raise errors[-1]
    return storages


def place(needed: int, capacity: int | None, device: str) -> str:
    """Return where ``needed`` bytes of experience fit: with the learner, else with the host; `UserError` if nowhere."""
    if device == "cuda" and needed <= torch.cuda.mem_get_info()[0] * SAFE_SHARE:
        return device
    check_memory(needed, capacity, machine.free_memory())
    return "cpu" if device == "cuda" else device  # MPS shares the host's memory


def check_memory(needed: int, capacity: int | None, free: int) -> None:
    """Raise `UserError` when ``needed`` bytes are too many, with the capacity that would fit if it is a replay's."""
    usable = int(free - min(max(free * (1 - SAFE_SHARE), LEAST_REST), free / 2))
    if needed <= usable:
        return
    remedy = f"--capacity {usable * capacity // needed} would fit" if capacity else "take fewer --rollout-steps"
    label = "replay" if capacity else "rollout"
    raise UserError(f"the {label} would take {needed / 1e9:,.1f} GB and {usable / 1e9:,.1f} GB can be used; {remedy}")


class Rehearsal(NamedTuple):
    """What playing and learning for a moment showed."""

    engine: str
    steps_per_second: float  # agent steps, acting and learning included
    episode_seconds: float  # of evaluation


def rehearse(plan: Plan, longest: float, vec: VectorEnv[Any, Any, Any] | None = None) -> Rehearsal:
    """Return how quickly a run goes, by a throwaway trainer; ``vec``: environments for it, which stay open."""
    config = plan.recipe.experience.rehearsal(plan.config)
    trainer = Trainer(replace(plan, config=config), None, vec)
    try:
        trainer.begin()
        began = time.perf_counter()
        while trainer.learner.updates < trainer.learner.warm_up and time.perf_counter() - began < longest:
            trainer.step()  # kernels are compiled, the first updates made, before the clock starts
        # updates may come seldom: as many steps as lie between two of them, several times; of a short run, half of it
        most = plan.config.total_timesteps // 2
        least, misses = min(max(REHEARSAL_STEPS, 2 * trainer.agent_steps), most), -1
        while misses != Cache.misses:  # again where kernels were compiled meanwhile
            misses = Cache.misses
            began, passed, before, made = time.perf_counter(), 0.0, trainer.agent_steps, 0
            while not made or (passed < longest and (made < least or (passed < longest / 4 and made < most))):
                trainer.step()
                passed, made = time.perf_counter() - began, trainer.agent_steps - before
        if plan.device != "cpu":
            torch.accelerator.synchronize()  # the clock stops when the work is done, not when it is queued
        steps_per_second = (trainer.agent_steps - before) / (time.perf_counter() - began)
        seconds = min(EVALUATION_SECONDS, EVALUATION_SHARE * plan.config.total_timesteps / steps_per_second)
        return Rehearsal(trainer.learner.engine, steps_per_second, episode_seconds(plan, trainer, seconds))
    finally:
        if vec is None:
            trainer.episodes.close()


def episode_seconds(plan: Plan, trainer: Trainer, seconds: float) -> float:
    """Return the seconds that an episode of evaluation takes beside others, timed for so many seconds."""
    evaluator, lanes = trainer.evaluator, EMULATORS if envs.is_atari(plan.env_id) else EVALUATION_LANES
    try:
        pace = evaluator.pace(trainer.policy, trainer.policy.default_epsilon, lanes, seconds)
    finally:
        evaluator.close()
    return pace.start + pace.step * typical_length(evaluator.longest)


# ------------------------------------------------------------------ a wall-clock budget

LEAST_SECONDS = 10
FINISH_SECONDS = 1.5  # of the budget, for the table at the end
FINAL_SHARE = 0.25  # of what is left of the budget, which the final evaluation may take
LEAST_FINAL = 10  # episodes of it all the same
# Of the target network, over the run. Measured with d3qn, means of three seeds: in 60,000 steps of Waterworld-v1 (3,750
# updates) it scored 11.5 with a period of 500 updates, 14.5 with 190, 13.9 with 75; in 24,672 of CartPole-v1 (1,540
# updates) 350 with 200 and 328 with 75, where the seeds differ by more.
LEAST_COPIES = 20
LEAST_TARGET_PERIOD = 50  # updates
Settings = TypeVar("Settings", bound=LearnerConfig)
UNITS = {"h": 3600, "m": 60, "s": 1}


def seconds_of(text: str, name: str = "--budget", least: float = LEAST_SECONDS) -> float:
    """Return the seconds of ``20m``, ``1h30m`` or ``90s``; `UserError` when it is none of these, or too short."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UserError(f"{name} {text} is not a time; write 90s, 20m or 1h30m")
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if seconds < least:
        raise UserError(f"{name} {text} is too short; at least {least:g}s")
    return seconds


def fit(config: Settings, seconds: float, steps_per_second: float, keep: Collection[str] = ()) -> Settings:
    """Return the settings for a run whose training takes so many seconds, but for those to ``keep``, which stay.

    The learning rate falls over the total anyway. In a run shorter than the preset's, epsilon's fall and the warm-up
    are shortened in proportion; in a longer one they stay, as in the preset ``long``. The target network's period stays
    too, being counted in updates, unless it would be copied fewer than `LEAST_COPIES` times. Environments' steps come
    in vector steps of ``num_envs``, so the total is a multiple of that.
    """
    total = max(int(seconds * steps_per_second) // config.num_envs, 1) * config.num_envs
    scale = min(total / config.total_timesteps, 1.0)
    fitted: dict[str, int] = {"epsilon_steps": max(round(config.epsilon_steps * scale), 1)}
    if isinstance(config, ReplayConfig):
        least = min(config.learning_starts, config.batch_size)  # else the first batches are the same few transitions
        fitted["learning_starts"] = max(round(config.learning_starts * scale), least)
        updates = total * config.replay_ratio / config.batch_size
        longest = max(round(updates / LEAST_COPIES), LEAST_TARGET_PERIOD)
        fitted["target_period"] = min(config.target_period, longest)
    changed: dict[str, Any] = {name: value for name, value in fitted.items() if name not in keep}
    return replace(config, total_timesteps=total, **changed)


def fit_evaluations(evaluations: Evaluations, episode: float, seconds: float) -> tuple[Evaluations, float]:
    """Return the evaluations of a run of so many seconds, and the seconds that they leave for training.

    The final one has fewer episodes where they would take more than a quarter of the time, and at least ten.
    """
    most = max(int(FINAL_SHARE * seconds / episode), min(LEAST_FINAL, evaluations.episodes))
    evaluations = replace(evaluations, episodes=min(evaluations.episodes, most))
    training = max(seconds - evaluations.episodes * episode, 0.0)
    evaluations = evaluations.fitted(training * (1 - SHARE_ON_THE_WAY), episode)
    return evaluations, training - sum(evaluations.ahead(0)[:-1]) * episode
