"""Learners driven without environments: random observations, episodes and rewards, for tests of engines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from agents import recipe
from learning.config import numpy_generator
from learning.learner import Learner, Update
from learning.recipe import Experience

FRAMES = spaces.Box(0, 255, (4, 36, 36), np.uint8)  # as small as Nature's convolutions allow
COLOURS = spaces.Box(0, 255, (6, 36, 36), np.uint8)  # two frames of three colours
VECTOR = spaces.Box(-1, 1, (5,), np.float32)
ENVS, ACTIONS = 3, 4
# Small, so that records are written over, and with an update in most steps, or more.
SETTINGS: dict[str, Any] = {
    "num_envs": ENVS,
    "hidden": (16,),
    "head_hidden": (),
    "capacity": 100,
    "learning_starts": 30,
    "batch_size": 8,
    "replay_ratio": 4.0,
    "target_period": 5,
    "rollout_steps": 8,
    "minibatches": 3,
    "epochs": 2,
    "num_quantiles": 4,
    "learning_rate": 1e-3,
    "total_timesteps": 3_000,
}


def settings(agent: str, **changes: Any) -> Any:
    """Return small settings of an agent; those that it does not have are left out."""
    found = recipe(agent)
    known = found.config.__dataclass_fields__
    values = {**SETTINGS, **found.switches, **changes}
    return found.config(**{name: value for name, value in values.items() if name in known})


def experience_of(agent: str, config: Any, space: spaces.Box, learner: Learner) -> Experience:
    """Return what an agent learns from, with the learner."""
    policy = learner.policy("CartPole-v1")
    stack = stack_of(space)
    rng = numpy_generator(1, "replay")
    device = str(learner.device)
    return recipe(agent).experience(config, space, stack, rng, device, None, lambda obs: policy.q_values(obs).max(1))


def stack_of(space: spaces.Box) -> int:
    """Return the frames of an observation."""
    return 1 if space is VECTOR else 2 if space is COLOURS else 4


class Episodes:
    """Random observations, each one array that is written over; of frames the newest one, behind those before."""

    def __init__(self, space: spaces.Box, seed: int = 0) -> None:
        self.space, self.rng = space, np.random.default_rng(seed)
        self.planes = 0 if space is VECTOR else space.shape[0] // stack_of(space)  # of a frame; 0: there are none
        self.obs = np.zeros((ENVS, *space.shape), space.dtype)
        self.reset(np.ones(ENVS, np.bool_))

    def reset(self, mask: NDArray[np.bool_]) -> None:
        self.obs[mask] = 0
        self._new(mask)

    def step(self) -> None:
        if self.planes:
            self.obs[:, : -self.planes] = self.obs[:, self.planes :].copy()
        self._new(np.ones(ENVS, np.bool_))

    def _new(self, mask: NDArray[np.bool_]) -> None:
        shape, (low, high) = self.space.shape, (0, 256) if self.planes else (-1, 1)
        shape = (self.planes, *shape[1:]) if self.planes else shape
        drawn = self.rng.uniform(low, high, (int(mask.sum()), *shape)).astype(self.space.dtype)
        if self.planes:
            self.obs[mask, -self.planes :] = drawn
        else:
            self.obs[mask] = drawn


def drive(
    learner: Learner, experience: Experience, episodes: Episodes, steps: int, begin: bool = True
) -> Iterator[tuple[NDArray[np.float64], list[Update]]]:
    """Act and learn; yield the expectations by which it acted in each step, and the updates before it."""
    if begin:
        experience.reset(episodes.obs)
    rng = episodes.rng
    for number in range(steps):
        q_values = learner.noisy_q_values(episodes.obs)
        updates: list[Update] = []
        learner.learn(experience, q_values, 1e-3 / (1 + number), updates.append)
        reward, terminated, truncated = rng.normal(size=ENVS), rng.random(ENVS) < 0.1, rng.random(ENVS) < 0.1
        episodes.step()
        experience.add(q_values.argmax(1), reward, 0.9 * (1.0 - terminated), episodes.obs)
        if (done := terminated | truncated).any():
            episodes.reset(done)
            experience.reset(episodes.obs, done)
        yield q_values, updates
