"""Mirror images: a world that looks the same in a mirror is learnt from one image of an observation in place of all.

What is true of an observation is true of its image, with the actions of the image. So a network need only know one
image of each observation, the *canonical* one, and learns from one transition what it would need several for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


class Mirrors(NamedTuple):
    """The 2^M images that M mirrors make of an observation of D numbers and of A actions.

    In image g the mirrors are used whose bits g has: its numbers are ``sign[g] * obs[order[g]]``, and ``action[g]`` are
    the images of the actions; twice the same image is the observation itself.
    """

    by: I64  # (M,) the number that decides: where it is below 0, the canonical image uses that mirror
    order: I64  # (2^M, D)
    sign: F32  # (2^M, D)
    action: I64  # (2^M, A)


class MirroredBox(spaces.Box):
    """A space of vectors that have mirror images."""

    def __init__(self, box: spaces.Box, mirrors: Mirrors) -> None:
        """``box``: without them."""
        super().__init__(box.low, box.high, dtype=np.float32)
        self.mirrors = mirrors


def mirrors_of(space: spaces.Space[object]) -> Mirrors | None:
    """Return the mirror images of a space's observations; None: none are known."""
    return space.mirrors if isinstance(space, MirroredBox) else None


MIRRORS: dict[str, Callable[[], Mirrors]] = {}
"""Those of environments, by their resolved ids."""


def with_mirrors(env_id: str, space: spaces.Box) -> spaces.Box:
    """Return an environment's space of observations, of which only the shape was kept, with their mirror images."""
    if env_id in MIRRORS and space.shape == (mirrors := MIRRORS[env_id]()).order.shape[1:]:
        return MirroredBox(space, mirrors)
    return space


def together(mirrors: Iterable[tuple[int, I64, F32, I64]]) -> Mirrors:
    """Return the images that some mirrors make: by, order (D,), sign (D,) and action (A,) of each alone."""
    by, one_order, one_sign, one_action = (list(column) for column in zip(*mirrors, strict=True))
    order, sign, action = [np.arange(len(one_order[0]))], [np.ones_like(one_sign[0])], [np.arange(len(one_action[0]))]
    for more, turned, swapped in zip(one_order, one_sign, one_action, strict=True):
        order += [before[more] for before in order]
        sign += [turned * before[more] for before in sign]
        action += [swapped[before] for before in action]
    return Mirrors(np.array(by), np.array(order), np.array(sign, np.float32), np.array(action))
