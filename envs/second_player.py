"""A second player in a single world: moves and eats by the agent's own rules, unseen by its eyes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.errors import UserError
from envs.geometry import AGE, F64, tick_items
from envs.worlds import Worlds

# New items come in every tenth tick, old ones go in every hundredth: at this clock nothing is random.
NO_CHANCE = np.array([1], np.int64)


class SecondPlayer:
    """A human player in the agent's world.

    The agent learned alone, so its eyes do not see a second player and neither blocks the other;
    what they share are the items. A second player moves by the kernel that moves the agent, and before it: of
    two who reach an item in the same tick the second player gets it. It begins where the agent's start is when
    the world is turned by half a circle.

    Attributes:
        action: of the last tick, -1 for no key.
        eaten: apples and poison of the last tick.
        apples, poison: eaten since it came, or since the episode began.
    """

    def __init__(self, body: Worlds, world: Worlds) -> None:
        """Take the ``world`` to eat in, and another of that kind (both N = 1) that only moves this player's body."""
        self._world, self._body = world, body
        body.items = np.zeros((1, 0, 6))  # no room: nothing ever comes into it
        self._eaten = np.zeros((1, 2), np.int64)
        self.begin()

    def begin(self) -> None:
        """Stand at the start with nothing eaten."""
        (width, height), (x, y) = self._body.size, self._body.start
        self._body.pos[0] = width - x, height - y
        self._body.vel[0] = 0.0
        self._body.angle[0] = np.pi  # the agent's 0, turned by half a circle
        self.action = self._body.coast
        self.apples = self.poison = 0
        self._eaten[:] = 0

    def act(self, action: int) -> None:
        """Move and eat, before the world's own tick.

        Raises:
            ValueError: ``action`` is neither one of the world's nor -1.
        """
        self._body.step(np.array([action]))
        self.action = int(action)
        self._eat()
        apples, poison = self.eaten
        self.apples += apples
        self.poison += poison

    def _eat(self) -> None:
        """Take what is in reach out of the world by the kernel by which the agent eats."""
        world = self._world
        world.items[0, : world.count[0], AGE] -= 1.0  # the kernel ages them, and so will the world's own tick
        tick_items(
            0, NO_CHANCE, self._body.pos, world.items, world.count, world.rng, world.inner_walls, 0.0, self._eaten
        )

    @property
    def pos(self) -> F64:
        """Return where it is, (2,) pixels."""
        return self._body.pos[0].copy()

    @property
    def vel(self) -> F64:
        """Return how it swims, (2,) pixels per tick; 0 where bodies have wheels."""
        return self._body.vel[0].copy()

    @property
    def angle(self) -> float:
        """Return where it heads in a world with wheels, radians, as `Eyes` has them."""
        return float(self._body.angle[0])

    @property
    def radius(self) -> float:
        """Return its size, pixels."""
        return self._body.radius

    @property
    def eaten(self) -> tuple[int, int]:
        """Return the apples and the poison of the last tick."""
        return int(self._eaten[0, 0]), int(self._eaten[0, 1])

    @property
    def score(self) -> float:
        """Return what the world pays an agent for such a meal; RLDemo's pay for an open view is not in it."""
        apple, poison = self._world.pays
        return self.apples * apple + self.poison * poison

    def get_state(self) -> dict[str, Any]:
        """Return it as plain values: pos, vel or angle, action, apples, poison."""
        body = self._body.get_state()
        motion: dict[str, Any] = {name: body[name] for name in ("pos", "vel", "angle") if name in body}
        return {**motion, "action": self.action, "apples": self.apples, "poison": self.poison}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Be as described.

        Raises:
            UserError: something is missing.
        """
        missing = {"action", "apples", "poison"} - set(state)
        if missing:
            raise UserError(f"the state of a second player needs '{min(missing)}'; it has {', '.join(state)}")
        self._body.set_state({**state, "clock": 0, "items": ()})
        self.action, self.apples, self.poison = (int(state[name]) for name in ("action", "apples", "poison"))
        self._eaten[:] = 0
