"""What the entries of a vector observation are, and which of them mattered. No pygame here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.rldemo import RLDemo
from envs.waterworld import Waterworld

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Inputs:
    """What the entries of a vector observation are: eyes with some numbers each, then the rest."""

    eyes: int
    kinds: tuple[str, ...]
    """Of each eye's numbers, in their order."""
    rest: tuple[str, ...]

    @property
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


SEEN = ("wall", "apple", "poison")  # distances: 1 is as far as the eye sees, or not there
PASSED = ("its speed x", "its speed y")


def inputs_of(env: gymnasium.Env[Any, Any]) -> Inputs | None:
    """Return what an environment's observations are made of; None for frames.

    Waterworld: 30 eyes of five numbers, and the own speed. RLDemo: 9 eyes of three, and with a temporal window what
    they saw before and what was done.
    """
    world = getattr(env.unwrapped, "worlds", None)
    shape = env.observation_space.shape
    assert shape is not None
    if len(shape) != 1:
        return None
    found = Inputs(0, (), ())
    if isinstance(world, Waterworld):
        found = Inputs(world.num_eyes, SEEN + PASSED, ("own speed x", "own speed y"))
    elif isinstance(world, RLDemo):
        found = Inputs(world.num_eyes, SEEN, _past(world))
    if len(found.names) == shape[0]:
        return found
    return Inputs(0, (), tuple(f"input {number}" for number in range(1, shape[0] + 1)))


def _past(world: RLDemo) -> tuple[str, ...]:
    names: list[str] = []
    for ago in range(1, world.window + 1):
        names += [f"eye {eye} {kind}, {ago} ago" for eye in range(1, world.num_eyes + 1) for kind in SEEN]
        names += [f"{action}, {ago} ago" for action in world.action_names]
    return tuple(names)


def strongest(saliency: Array, names: Sequence[str], count: int = 5) -> list[tuple[str, float]]:
    """Return the inputs (D,) that mattered most, each with its share of all, 0 to 1; none where nothing mattered."""
    total = float(saliency.sum())
    if not total > 0:
        return []
    order = np.argsort(-saliency, kind="stable")[:count]
    return [(names[place], float(saliency[place]) / total) for place in order]
