"""Our own contenders: the parts of Tidepool, and whole training."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces

import envs
from agents import recipe
from benchmarks.contenders import Counts, Run, repeat, repeat_counted
from learning.config import LearnerConfig, ReplayConfig, RolloutConfig
from learning.fused import make_learner
from learning.learner import Learner, Update
from learning.networks import epsilon_greedy, gains_from_threads
from learning.plan import Plan
from learning.replay import Batch, Replay
from learning.trainer import Trainer

SPACES: dict[str, spaces.Box] = {
    "waterworld": spaces.Box(-1.0, 1.0, (152,), np.float32),
    "frames": spaces.Box(0, 255, (4, 84, 84), np.uint8),
}
ACTIONS = {"waterworld": 4, "frames": 6}


def settings(agent: str, preset: str, changes: dict[str, Any]) -> LearnerConfig:
    """Return an agent's settings, with some of them changed; JSON's lists become tuples."""
    one = recipe(agent)
    changes = {key: tuple(value) if isinstance(value, list) else value for key, value in changes.items()}
    return one.config(**{**one.presets[preset].settings, **changes})


# ------------------------------------------------------------------ whole training


def training(env_id: str, agent: str, preset: str, engine: str = "torch", **changes: Any) -> Run:
    """Return what trains, as train.py would; the transitions of an update are counted while it warms up."""
    torch.set_flush_denormal(True)
    config = settings(agent, preset, changes)
    trainer = Trainer(Plan(env_id, recipe(agent), config, seed=1, engine=engine), None)
    learner, sizes = trainer.learner, []
    if not gains_from_threads(learner.online):
        torch.set_num_threads(1)
    report = trainer.agent.on_update

    def watched(update: Update) -> None:
        sizes.append(len(update.priority))
        report(update)

    trainer.agent.on_update = watched
    trainer.begin()
    while learner.updates < 20:
        trainer.step()
    trainer.agent.on_update = report  # nothing is counted while the clock runs
    size = sum(sizes) / len(sizes)
    steps = steps_between(config)

    def unit() -> None:
        for _ in range(steps):
            trainer.step()

    def counts() -> Counts:
        parts = {f"part:{name}": seconds for name, seconds in trainer.agent.watch.seconds.items()}
        updates = learner.updates
        return {"agent_steps": trainer.agent_steps, "updates": updates, "samples": updates * size, **parts}

    def run(seconds: float) -> Counts:
        done = repeat(unit, counts)(seconds)
        trainer.update_log.clear()  # as a line of metrics does
        return done

    return run


def steps_between(config: LearnerConfig) -> int:
    """Return the steps of all environments after which the updates repeat: a turn has whole ones."""
    if isinstance(config, RolloutConfig):
        return config.rollout_steps
    assert isinstance(config, ReplayConfig)
    return max(round(config.batch_size / (config.replay_ratio * config.num_envs)), 1)


# ------------------------------------------------------------------ parts


def batch_of(kind: str, size: int) -> Batch:
    """Return a random batch of transitions."""
    rng = np.random.default_rng(1)
    return Batch(
        observations(kind, size),
        torch.from_numpy(rng.integers(0, ACTIONS[kind], size)),
        torch.from_numpy(rng.random(size, np.float32)),
        torch.full((size,), 0.98),
        observations(kind, size, seed=2),
        torch.ones(size),
        np.arange(size),
    )


def observations(kind: str, size: int, seed: int = 1) -> torch.Tensor:
    """Return random observations, (size, ...)."""
    rng, shape = np.random.default_rng(seed), (size, *SPACES[kind].shape)
    if kind == "frames":
        return torch.from_numpy(rng.integers(0, 256, shape, np.uint8))
    return torch.from_numpy(rng.random(shape, np.float32))


def learner_of(kind: str, agent: str, preset: str, engine: str, changes: dict[str, Any]) -> Learner:
    """Return a fresh learner."""
    torch.set_flush_denormal(True)
    config = settings(agent, preset, changes)
    return make_learner(recipe(agent), config, SPACES[kind], ACTIONS[kind], 1, engine=engine)


def update(
    kind: str, agent: str, preset: str = "default", size: int = 128, engine: str = "torch", **changes: Any
) -> Run:
    """Return what learns from the same batch again and again."""
    learner, batch = learner_of(kind, agent, preset, engine, changes), batch_of(kind, size)

    def counts() -> Counts:
        return {"updates": learner.updates, "samples": learner.updates * size}

    return repeat(lambda: learner.update(batch, 1e-4), counts)


def act(kind: str, agent: str, preset: str = "default", size: int = 32, engine: str = "torch", **changes: Any) -> Run:
    """Return what chooses actions for some observations at once."""
    learner = learner_of(kind, agent, preset, engine, changes)
    obs, rng = observations(kind, size).numpy(), np.random.default_rng(1)

    def unit() -> None:
        epsilon_greedy(learner.noisy_q_values(obs).argmax(1), learner.num_actions, 0.03, rng)

    return repeat_counted(unit, calls=1)


def filled_replay(kind: str, capacity: int, num_envs: int, prioritized: bool) -> tuple[Replay, Callable[[], None]]:
    """Return a full replay, and what adds one step of all environments to it."""
    exponent = 0.6 if prioritized else None
    stack = 4 if kind == "frames" else 1
    replay = Replay(capacity, num_envs, SPACES[kind], stack=stack, priority_exponent=exponent)
    obs = observations(kind, num_envs).numpy()
    action, reward = np.zeros(num_envs, np.int64), np.zeros(num_envs)
    discount = np.full(num_envs, 0.98)
    replay.reset(obs)

    def add() -> None:
        replay.add(action, reward, discount, obs)

    for _ in range(capacity // num_envs + 1):
        add()
    return replay, add


def replay_add(kind: str, capacity: int, num_envs: int, prioritized: bool = False) -> Run:
    """Return what stores transitions."""
    _, add = filled_replay(kind, capacity, num_envs, prioritized)
    return repeat_counted(add, transitions=num_envs)


def replay_sample(kind: str, capacity: int, num_envs: int, size: int, prioritized: bool = False) -> Run:
    """Return what samples batches, and with priorities sets new ones, as each update does."""
    replay, _ = filled_replay(kind, capacity, num_envs, prioritized)
    rng, priorities = np.random.default_rng(1), np.random.default_rng(2).random(size)

    def unit() -> None:
        batch = replay.sample(size, rng, 0.4)
        if replay.sum_tree is not None and batch.index is not None:
            replay.sum_tree.update(batch.index, priorities)

    return repeat_counted(unit, transitions=size)


# ------------------------------------------------------------------ environments


def environment(env_id: str, num_envs: int, **options: Any) -> Run:
    """Return what steps an environment with random actions; finished episodes are reset, as in the trainer."""
    vec: Any = envs.make_vec(env_id, num_envs, seed=0, **options)
    actions = np.random.default_rng(0).integers(0, vec.single_action_space.n, (1000, num_envs))
    frames = envs.protocol(env_id).frames_per_step
    done_steps = 0

    def unit() -> None:
        nonlocal done_steps
        _, _, terminated, truncated, _ = vec.step(actions[done_steps % 1000])
        done_steps += 1
        done = terminated | truncated
        if done.any():
            vec.reset(seed=None if frames > 1 else [done_steps] * num_envs, options={"reset_mask": done})

    def counts() -> Counts:
        return {"agent_steps": done_steps * num_envs, "frames": done_steps * num_envs * frames}

    return repeat(unit, counts)


# ------------------------------------------------------------------ the window


def window(agent: str, learn: bool = False) -> Run:
    """Return what plays in a window with all panels, at most 60 frames a second, and counts the work of a frame."""
    from common.files import PRETRAINED
    from viewer.learning import controls
    from viewer.opening import open_session, open_view
    from viewer.options import Options
    from viewer.playing import players
    from viewer.window import FRAMES_PER_SECOND, Window

    options = replace(Options(), seed=3, panels="all", runs_dir=Path(tempfile.mkdtemp()))
    policy = players.load(PRETRAINED / agent)
    rules = players.rules_for(policy.env_id or "", policy)
    view = open_view(options, open_session(options, policy, rules), rules, PRETRAINED / agent)
    if learn:
        controls.toggle_learning(view)
    shown = Window(view)

    def run(seconds: float) -> Counts:
        work: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end and shown.open:
            elapsed = shown.clock.tick(FRAMES_PER_SECOND) / 1000
            before = time.perf_counter()
            shown.frame(elapsed)
            work.append(time.perf_counter() - before)
        late = sum(one > 1 / FRAMES_PER_SECOND for one in work)
        return {"frames": len(work), "late_frames": late, "worst_ms": 1000 * max(work), "seconds": sum(work)}

    return run
