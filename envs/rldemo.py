"""RLDemo, after Karpathy's ConvNetJS demo: a two-wheeled creature between walls; apples +5, poison -6."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.geometry import (
    F64,
    HEIGHT,
    I64,
    NOTHING,
    OVERSHOOT,
    RADIUS,
    WALL,
    WIDTH,
    any_wall_between,
    box,
    kernel,
    look,
    tick_items,
)
from envs.worlds import STATIC, WORLDS, Worlds

EYE_RANGE = 85.0
EYE_OFFSETS = (np.arange(9) - 3) * 0.25  # radians from the heading; lopsided in the original
WHEELS = np.array([[1.0, 1.0], [0.8, 1.0], [1.0, 0.8], [0.5, 0.0], [0.0, 0.5]])  # rotation of each, radians
STATIC_ITEMS = 0.0  # speed


@kernel
def drive(i, pos, angle, left, right, walls):  # type: ignore[no-untyped-def]
    """Turn world ``i``'s wheels: each swings the axle about the other; a wall on the way undoes the move."""
    x, y = pos[i, 0], pos[i, 1]
    facing = angle[i] + math.pi / 2.0
    ax, ay = RADIUS / 2.0 * math.sin(facing), RADIUS / 2.0 * math.cos(facing)  # half an axle
    # from each wheel to the centre, turned about that wheel
    sin_l, cos_l = math.sin(-left), math.cos(-left)
    sin_r, cos_r = math.sin(right), math.cos(right)
    one_x, one_y = x - ax + ax * cos_l + ay * sin_l, y - ay - ax * sin_l + ay * cos_l
    two_x, two_y = x + ax - ax * cos_r - ay * sin_r, y + ay + ax * sin_r - ay * cos_r
    to_x, to_y = 0.5 * one_x + 0.5 * two_x, 0.5 * one_y + 0.5 * two_y
    angle[i] -= left
    if angle[i] < 0.0:
        angle[i] += 2.0 * math.pi
    angle[i] += right
    if angle[i] > 2.0 * math.pi:
        angle[i] -= 2.0 * math.pi
    if not any_wall_between(x, y, to_x, to_y, walls):
        pos[i, 0], pos[i, 1] = to_x, to_y
    pos[i, 0] = min(max(pos[i, 0], 0.0), WIDTH)
    pos[i, 1] = min(max(pos[i, 1], 0.0), HEIGHT)


@kernel
def tick(clock, pos, angle, items, count, rng, walls, actions, kind, distance, reward, eaten):  # type: ignore[no-untyped-def]
    """Advance all worlds by one tick; rewards depend on what the eyes saw *before* the move, as the original does."""
    num_eyes = kind.shape[1]
    for i in range(clock.shape[0]):
        clock[i] += 1
        action = actions[i]
        if action >= 0:
            drive(i, pos, angle, WHEELS[action, 0], WHEELS[action, 1], walls)
        tick_items(i, clock, pos, items, count, rng, walls, STATIC_ITEMS, eaten)
        open_view = 0.0
        for e in range(num_eyes):
            open_view += distance[i, e] / EYE_RANGE if kind[i, e] == WALL else 1.0
        away_from_walls = min(1.0, open_view / num_eyes * 2.0)
        straight = 0.1 * away_from_walls if action == 0 and away_from_walls > 0.75 else 0.0
        reward[i] = away_from_walls + straight + 5.0 * eaten[i, 0] - 6.0 * eaten[i, 1]


@kernel
def observe(pos, angle, items, count, walls, kind, distance, which, obs):  # type: ignore[no-untyped-def]
    """Fill the first 27 columns of ``obs``: per eye wall, apple, poison proximity."""
    num_eyes = kind.shape[1]
    nearest = np.empty(num_eyes)
    rays = np.empty((num_eyes, 2))
    for i in range(pos.shape[0]):
        for e in range(num_eyes):
            rays[e, 0], rays[e, 1] = math.sin(angle[i] + EYE_OFFSETS[e]), math.cos(angle[i] + EYE_OFFSETS[e])
        look(i, pos, items, count, walls, rays, EYE_RANGE, False, kind, distance, which, nearest)
        for e in range(num_eyes):
            obs[i, 3 * e] = obs[i, 3 * e + 1] = obs[i, 3 * e + 2] = 1.0
            if kind[i, e] != NOTHING:
                obs[i, 3 * e + kind[i, e]] = distance[i, e] / EYE_RANGE


class RLDemo(Worlds):
    """N worlds of the ConvNetJS demo.

    Observation (27,): for each of 9 eyes [wall, apple, poison] proximity, 1 unless that kind is the
    nearest thing on the ray: then distance / 85. ``temporal_window`` = k appends, newest first, the
    eyes (27) and the action (one-hot of 5, times 27) of each of the last k ticks: the input of the
    demo's own network has k = 1. Before there was a past, the past eyes are the present ones and no
    action is marked.
    """

    capacity = 30
    num_eyes = len(EYE_OFFSETS)
    eye_range = EYE_RANGE
    start = (50.0, 50.0)
    item_speed = STATIC_ITEMS
    action_names = ("straight", "bear left", "bear right", "turn right", "turn left")
    state_columns = STATIC
    pays = (5.0, -6.0)
    walls: F64 = np.array(
        # the inner boxes are open: each lacks its left wall
        box(10.0, 10.0, WIDTH - 20.0, HEIGHT - 20.0)
        + box(100.0, 100.0, 200.0, 300.0)[:3]
        + box(400.0, 100.0, 200.0, 300.0)[:3]
    )
    inner_walls: F64 = walls

    def __init__(self, num_worlds: int, *, temporal_window: int = 0) -> None:
        if not 0 <= temporal_window <= 100:
            raise ValueError(f"temporal_window {temporal_window} is out of range; allowed: 0 to 100")
        self.window = temporal_window
        self._actions: I64 | None = None
        super().__init__(num_worlds)

    @property
    def _num_inputs(self) -> int:
        return 3 * self.num_eyes

    def observation_space(self) -> spaces.Box:
        """Return the bounds that the kernel keeps."""
        farthest = float(np.hypot(EYE_RANGE + OVERSHOOT, OVERSHOOT) / EYE_RANGE)
        now = [farthest] * self._num_inputs
        past = now + [float(self._num_inputs)] * len(self.action_names)
        high = np.array(now + past * self.window, np.float32)
        return spaces.Box(np.zeros_like(high), high, dtype=np.float32)

    def sense(self, mask: NDArray[np.bool_] | None = None) -> None:
        """Look through all eyes of all worlds; what was seen and done before moves one place back."""
        eyes, block = self._num_inputs, self._num_inputs + len(self.action_names)
        if self.window and self._actions is not None:
            self.obs[:, eyes + block :] = self.obs[:, eyes:-block]
            self.obs[:, eyes : 2 * eyes] = self.obs[:, :eyes]
            chosen = self._actions[:, None] == np.arange(len(self.action_names))
            self.obs[:, 2 * eyes : eyes + block] = chosen * float(eyes)
            self._actions = None
        observe(
            self.pos,
            self.angle,
            self.items,
            self.count,
            self.walls,
            self.kind,
            self.distance,
            self.which,
            self.obs,
        )
        if self.window and mask is not None:
            past = np.hstack([self.obs[mask, :eyes], np.zeros((mask.sum(), len(self.action_names)))])
            self.obs[mask, eyes:] = np.tile(past, self.window)

    def _tick(self, actions: I64) -> None:
        tick(
            self.clock,
            self.pos,
            self.angle,
            self.items,
            self.count,
            self.rng,
            self.walls,
            actions,
            self.kind,
            self.distance,
            self.reward,
            self.eaten,
        )
        self._actions = actions

    def eye_angles(self, i: int) -> F64:
        """Return the directions: they turn with the agent."""
        return np.asarray(self.angle[i] + EYE_OFFSETS)

    def _motion(self, i: int) -> dict[str, Any]:
        return {"angle": float(self.angle[i])}


WORLDS["RLDemo-v0"] = RLDemo
