"""A scripted player of Waterworld that sees only what a network sees: the yardstick for learning.

It knows what a network has to learn, how thrust becomes motion, and imagines 16 plans ("5 ticks of one thrust,
then another up to tick 14"). The items in sight go straight on in its mind. It takes the first thrust of the
plan that promises most: apples on the way, no poison, no wall, and some speed when nothing is in sight.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import unknown
from learning.networks import epsilon_greedy

Array = NDArray[np.float32]

NUM_EYES, EYE_RANGE = 30, 120.0
ANGLES = np.arange(NUM_EYES) * 0.21  # radians; y grows downwards
RAYS = np.stack([np.sin(ANGLES), np.cos(ANGLES)], axis=1).astype(np.float32)  # (E, 2)
THRUSTS = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]], dtype=np.float32)  # (A, 2) pixels per tick
DAMPING = 0.95
TOUCH = 20.0  # pixels between two centres at which an item is eaten
APPLE = 1  # kinds in the order of an eye's readings: wall, apple, poison


@dataclasses.dataclass(frozen=True)
class Sensing:
    """What a version of Waterworld puts into its observation."""

    item_scale: float  # seen velocities times this are pixels per tick
    agent_scale: float  # the own velocity likewise
    to_centre: float  # pixels from the sensed point on the ray to the item's centre, on average


SENSING = {
    "tidepool/Waterworld-v0": Sensing(1.0, 1.0, 0.0),  # senses the foot of the perpendicular from the centre
    "tidepool/Waterworld-v1": Sensing(2.5, 19.0, 9.0),  # senses the near side of the circle, radius 10
}


@dataclasses.dataclass(frozen=True)
class PlanScore:
    """What plans are scored by; measured over 128 worlds, no value is critical."""

    horizon: int = 14  # ticks imagined
    stride: int = 2  # every how many of them are looked at
    switch: int = 5  # ticks of the first thrust, then the second
    discount: float = 0.95  # per tick until an apple or poison is reached
    apple_halo: float = 25.0  # pixels at which a missed apple's worth falls to 1/e: closer is better
    poison_margin: float = 2.0  # pixels by which a plan must clear poison
    poison_halo: float = 6.0  # pixels beyond that margin at which its threat falls to 1/e
    wall: float = 0.3  # price, in apples, of a plan spent wholly at a wall
    cruise: float = 0.4  # worth, in apples, of a plan that ends at 10 pixels per tick


class AppleChaser:
    """Plays tidepool/Waterworld-v0 or -v1 from observations alone, without learning or memory."""

    name = "apple_chaser"
    default_epsilon = 0.0

    def __init__(self, env_id: str = "tidepool/Waterworld-v1", score: PlanScore | None = None) -> None:
        """Imagine the plans for the version of Waterworld named; another environment is a ``UserError``."""
        if env_id not in SENSING:
            raise unknown("environment for the apple chaser", env_id, SENSING)
        self.env_id: str | None = env_id
        self.sensing, self.score = SENSING[env_id], score or PlanScore()
        pairs = list(itertools.product(range(len(THRUSTS)), repeat=2))
        self.first_action = np.array([first for first, _ in pairs])  # (P,)
        paths = [_path(THRUSTS[first], THRUSTS[then], self.score) for first, then in pairs]
        self.path = np.stack([path for path, _ in paths])  # (P, T, 2) from standing still at the origin
        self.final_velocity = np.stack([velocity for _, velocity in paths])  # (P, 2)
        self.ticks = np.arange(self.score.stride, self.score.horizon + 1, self.score.stride, dtype=np.float32)
        self.coasting = DAMPING * (1 - DAMPING**self.ticks) / (1 - DAMPING)  # (T,) pixels per unit of velocity

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64] | None:
        """Return None: a plan's score is no expected return."""
        return None

    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the best plan's first thrust (B,) for observations (B, 152)."""
        obs = np.asarray(obs, dtype=np.float32)
        velocity = obs[:, -2:] * self.sensing.agent_scale  # (B, 2)
        eyes = obs[:, :-2].reshape(len(obs), NUM_EYES, 5)
        drift: Array = np.multiply(eyes[..., 3:], self.sensing.item_scale, dtype=np.float32)  # (B, E, 2)
        kind, distance = eyes[..., :3].argmin(-1), eyes[..., :3].min(-1) * EYE_RANGE  # (B, E)
        path = self.path + (velocity[:, None] * self.coasting[:, None])[:, None]  # (B, P, T, 2)
        path, at_wall = _stay_inside(path, RAYS * distance[..., None])
        end_speed = np.linalg.norm(self.final_velocity + velocity[:, None] * DAMPING**self.score.horizon, axis=-1)
        worth = self.score.cruise * np.minimum(end_speed / 10, 1) - self.score.wall * at_wall  # (B, P)
        in_sight = (kind >= APPLE) & (distance < EYE_RANGE)
        centre, once = _items(kind, distance, drift, in_sight, self.sensing)
        worth += self._meals(path, centre, drift, kind == APPLE, once)
        return epsilon_greedy(self.first_action[worth.argmax(-1)], len(THRUSTS), epsilon, rng)

    def _meals(
        self, path: Array, centre: Array, drift: Array, apple: NDArray[np.bool_], once: NDArray[np.bool_]
    ) -> Array:
        """Return what each plan eats, (B, P): the sum over items of the best (or worst) moment on its path."""
        most = int(once.sum(1).max())
        if most == 0:
            return np.zeros(path.shape[:2], dtype=np.float32)
        chosen = np.argsort(~once, axis=1, kind="stable")[:, :most]  # (B, M) eyes that stand for an item
        row = np.arange(len(path))[:, None]
        apple, once = apple[row, chosen][:, None, :, None], once[row, chosen]
        place = centre[row, chosen][:, :, None] + drift[row, chosen][:, :, None] * self.ticks[:, None]  # (B, M, T, 2)
        gap = np.linalg.norm(path[:, :, None] - place[:, None], axis=-1) - TOUCH  # (B, P, M, T)
        score = self.score
        near = np.where(apple, (gap + 2) / score.apple_halo, (gap - score.poison_margin) / score.poison_halo)
        felt = (np.exp(-np.maximum(near, 0)) * score.discount**self.ticks).max(-1)  # (B, P, M)
        total: Array = (np.where(apple[..., 0], felt, -felt) * once[:, None]).sum(-1)
        return total


def _path(first: Array, then: Array, score: PlanScore) -> tuple[Array, Array]:
    """Return the places (T, 2) and the final velocity (2,) of a plan begun at rest: v = 0.95 (v + thrust)."""
    velocity, place, path = np.zeros(2), np.zeros(2), []
    for tick in range(score.horizon):
        velocity = DAMPING * (velocity + (first if tick < score.switch else then))
        place = place + velocity
        path.append(place)
    return np.array(path[score.stride - 1 :: score.stride], dtype=np.float32), velocity.astype(np.float32)


def _stay_inside(path: Array, seen: Array) -> tuple[Array, Array]:
    """Return the paths held within the walls, and the share of each (B, P) that leads into one.

    The points that the eyes see (B, E, 2) reach as far as the walls let them: where all of them stop
    short of the range on one side, there is a wall.
    """
    low, high = seen.min(1), seen.max(1)  # (B, 2)
    low, high = np.where(low > -0.98 * EYE_RANGE, low, -np.inf), np.where(high < 0.98 * EYE_RANGE, high, np.inf)
    inside = np.clip(path, low[:, None, None], high[:, None, None])
    return inside, (inside != path).any(-1).mean(-1, dtype=np.float32)


def _items(
    kind: NDArray[np.int64], distance: Array, drift: Array, in_sight: NDArray[np.bool_], sensing: Sensing
) -> tuple[Array, NDArray[np.bool_]]:
    """Return per eye the centre (B, E, 2) of the item it sees, and whether it is the first eye that sees it (B, E).

    No two items move alike, so eyes that see the same kind with the same velocity see one item: its
    centre is the mean of what they say.
    """
    guess = RAYS * (distance + sensing.to_centre)[..., None]
    same = (drift[:, :, None] == drift[:, None]).all(-1) & (kind[:, :, None] == kind[:, None])  # (B, E, E)
    same &= in_sight[:, :, None] & in_sight[:, None]
    votes = same.astype(np.float32)
    centre = votes @ guess / np.maximum(votes.sum(-1), 1)[..., None]
    return centre, in_sight & (same.argmax(-1) == np.arange(NUM_EYES))
