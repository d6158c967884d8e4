"""The entries of a vector observation, and which of them mattered most. No pygame here."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

import envs
from common.text import number_of
from envs import classics
from envs.rldemo import RLDemo
from envs.waterworld import Waterworld

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The entries of a vector observation: eyes with some numbers each, then the rest."""

    eyes: int
    kinds: tuple[str, ...]
    """The names of each eye's numbers, in order."""
    rest: tuple[str, ...]

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Return the name of each input."""
        eyes = (f"eye {eye} {kind}" for eye in range(1, self.eyes + 1) for kind in self.kinds)
        return (*eyes, *self.rest)

    def by_eye(self, values: Array) -> Array:
        """Return the eyes' part of values (..., inputs), such as a saliency or weights, as (..., eyes, kinds)."""
        count = self.eyes * len(self.kinds)
        return values[..., :count].reshape(*values.shape[:-1], self.eyes, len(self.kinds))

    def others(self, values: Array) -> Array:
        """Return the rest of values (..., inputs)."""
        return values[..., self.eyes * len(self.kinds) :]


EYE_DISTANCES = ("wall", "apple", "poison")  # 1: at the limit of the eye's range, or nothing seen
EYE_VELOCITIES = ("its speed x", "its speed y")  # of the item seen


def inputs_of(env: gymnasium.Env[Any, Any]) -> Inputs | None:
    """Return the entries of an environment's observations; None for frames.

    Waterworld: 30 eyes of five numbers, and the agent's own speed. RLDemo: 9 eyes of three, and with a temporal window
    the earlier ones and the actions taken.
    """
    world = getattr(env.unwrapped, "worlds", None)
    shape = env.observation_space.shape
    assert shape is not None
    if len(shape) != 1:
        return None
    found = Inputs(0, (), ())
    if isinstance(world, Waterworld):
        found = Inputs(world.num_eyes, EYE_DISTANCES + EYE_VELOCITIES, ("own speed x", "own speed y"))
    elif isinstance(world, RLDemo):
        found = Inputs(world.num_eyes, EYE_DISTANCES, _past(world))
    if len(found.names) == shape[0]:
        return found
    if env.spec is not None and (names := classics.observation_names(env.spec.id, shape[0], envs.action_names(env))):
        return Inputs(0, (), names)
    return Inputs(0, (), tuple(f"input {number}" for number in range(1, shape[0] + 1)))


def _past(world: RLDemo) -> tuple[str, ...]:
    names: list[str] = []
    for steps in range(1, world.window + 1):
        ago = f"{number_of(steps, 'step')} ago"
        names += [f"eye {eye} {kind}, {ago}" for eye in range(1, world.num_eyes + 1) for kind in EYE_DISTANCES]
        names += [f"{action}, {ago}" for action in world.action_names]
    return tuple(names)


def strongest(saliency: Array, names: Sequence[str], count: int = 5) -> list[tuple[str, float]]:
    """Return the inputs (D,) of the largest saliency, each with its share of the sum, 0 to 1; none if all are 0."""
    total = float(saliency.sum())
    if not total > 0:
        return []
    order = np.argsort(-saliency, kind="stable")[:count]
    return [(names[place], float(saliency[place]) / total) for place in order]
