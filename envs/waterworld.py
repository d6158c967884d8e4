"""Waterworld, after Karpathy's REINFORCEjs demo: swim, eat red apples, avoid green poison.

v0 is the original, bug for bug. v1 is the same game seen with mended eyes: exact distances, and
observations within [-1, 1].
"""

from __future__ import annotations

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
    VX,
    VY,
    WIDTH,
    box,
    kernel,
    look,
    tick_items,
)
from envs.mirrors import MIRRORS, MirroredBox, Mirrors, together
from envs.worlds import MOVING, WORLDS, Worlds

EYE_RANGE = 120.0
EYE_ANGLES = np.arange(30) * 0.21
ITEM_SPEED = 2.5  # pixels per tick on each axis, at most
# v <- 0.95 (v + 1) has its fixed point at 19: no agent is ever faster on an axis.
AGENT_SPEED = 19.0
NO_WALLS = np.empty((0, 4))


@kernel
def tick(clock, pos, vel, items, count, rng, actions, reward, eaten):  # type: ignore[no-untyped-def]
    """Advance all worlds by one tick: thrust, damping, move, border, then the items."""
    for i in range(clock.shape[0]):
        clock[i] += 1
        action = actions[i]
        if action >= 0:
            vel[i, action // 2] += 1.0 if action % 2 == 1 else -1.0
        vel[i, 0] *= 0.95
        vel[i, 1] *= 0.95
        pos[i, 0] += vel[i, 0]
        pos[i, 1] += vel[i, 1]
        inside_x = min(max(pos[i, 0], 1.0), WIDTH - 1.0)
        inside_y = min(max(pos[i, 1], 1.0), HEIGHT - 1.0)
        if inside_x != pos[i, 0] or inside_y != pos[i, 1]:
            pos[i, 0], pos[i, 1] = inside_x, inside_y
            vel[i, 0], vel[i, 1] = 0.0, 0.0  # a border stops the agent on both axes
        tick_items(i, clock, pos, items, count, rng, NO_WALLS, ITEM_SPEED, eaten)
        reward[i] = eaten[i, 0] - eaten[i, 1]


@kernel
def observe(pos, vel, items, count, walls, rays, exact, kind, distance, which, item_scale, agent_scale, obs):  # type: ignore[no-untyped-def]
    """Fill ``obs`` (N, 152): per eye wall, apple, poison, item's vx, vy; then the agent's vx, vy."""
    num_eyes = rays.shape[0]
    nearest = np.empty(num_eyes)
    for i in range(pos.shape[0]):
        look(i, pos, items, count, walls, rays, EYE_RANGE, exact, kind, distance, which, nearest)
        for e in range(num_eyes):
            at = 5 * e
            obs[i, at] = obs[i, at + 1] = obs[i, at + 2] = 1.0
            obs[i, at + 3] = obs[i, at + 4] = 0.0
            if kind[i, e] != NOTHING:
                obs[i, at + kind[i, e]] = distance[i, e] / EYE_RANGE
            if which[i, e] >= 0:
                obs[i, at + 3] = items[i, which[i, e], VX] * item_scale
                obs[i, at + 4] = items[i, which[i, e], VY] * item_scale
        obs[i, 5 * num_eyes] = vel[i, 0] * agent_scale
        obs[i, 5 * num_eyes + 1] = vel[i, 1] * agent_scale


class Waterworld(Worlds):
    """N waterworlds; ``exact`` eyes and scaled observations make v1.

    Observation (152,): for each of 30 eyes [wall, apple, poison] proximity (1 unless that kind is the
    nearest thing on the ray: then distance / 120) and the seen item's vx, vy; then the agent's vx, vy.
    v0 has velocities in pixels per tick, v1 divides them by their bounds (2.5 and 19).
    """

    capacity = 50
    num_eyes = len(EYE_ANGLES)
    eye_range = EYE_RANGE
    start = (300.0, 300.0)
    item_speed = ITEM_SPEED
    action_names = ("left", "right", "up", "down")
    state_columns = MOVING
    pays = (1.0, -1.0)
    walls: F64 = np.array(box(0.0, 0.0, WIDTH, HEIGHT))
    inner_walls: F64 = NO_WALLS

    def __init__(self, num_worlds: int, *, exact: bool) -> None:
        self.exact = exact
        self._rays = np.stack([np.sin(EYE_ANGLES), np.cos(EYE_ANGLES)], axis=1)
        super().__init__(num_worlds)

    def observation_space(self) -> spaces.Box:
        """Return the bounds that the kernel keeps."""
        # v0 reports distances to points beyond the ray's end
        farthest = 1.0 if self.exact else float(np.hypot(EYE_RANGE + OVERSHOOT, OVERSHOOT) / EYE_RANGE)
        item, agent = (1.0, 1.0) if self.exact else (ITEM_SPEED, AGENT_SPEED)
        eye_low, eye_high = [0.0, 0.0, 0.0, -item, -item], [farthest] * 3 + [item, item]
        low = np.array(eye_low * self.num_eyes + [-agent, -agent], np.float32)
        high = np.array(eye_high * self.num_eyes + [agent, agent], np.float32)
        space = spaces.Box(low, high, dtype=np.float32)
        return MirroredBox(space, mirrors()) if self.exact else space

    def sense(self, mask: NDArray[np.bool_] | None = None) -> None:
        """Look through all eyes of all worlds."""
        item_scale, agent_scale = (1.0 / ITEM_SPEED, 1.0 / AGENT_SPEED) if self.exact else (1.0, 1.0)
        observe(
            self.pos,
            self.vel,
            self.items,
            self.count,
            self.walls,
            self._rays,
            self.exact,
            self.kind,
            self.distance,
            self.which,
            item_scale,
            agent_scale,
            self.obs,
        )

    def _tick(self, actions: I64) -> None:
        tick(self.clock, self.pos, self.vel, self.items, self.count, self.rng, actions, self.reward, self.eaten)

    def eye_angles(self, i: int) -> F64:
        """Return the fixed directions: the agent does not turn."""
        return EYE_ANGLES.astype(np.float64)

    def _motion(self, i: int) -> dict[str, Any]:
        return {"vel": self.vel[i].copy()}


def mirrors() -> Mirrors:
    """Return the images of v1's observations, left and right or up and down swapped; canonically it swims right, down.

    Mirrored, an eye looks where another one does, to within 1.5 degrees: the angle between two eyes is 0.21, not a
    thirtieth of a turn.
    """
    eyes = np.arange(len(EYE_ANGLES))
    size, found = 5 * len(eyes) + 2, []
    for axis, (middle, action) in enumerate(((len(eyes), [1, 0, 2, 3]), (len(eyes) // 2, [0, 1, 3, 2]))):
        order, sign = np.arange(size), np.ones(size, np.float32)
        order[:-2] = (5 * ((middle - eyes) % len(eyes))[:, None] + np.arange(5)).ravel()
        sign[3 + axis : -2 : 5] = sign[-2 + axis] = -1.0
        found.append((size - 2 + axis, order, sign, np.array(action)))
    return together(found)


WORLDS["Waterworld-v0"] = lambda n, **options: Waterworld(n, exact=False, **options)
WORLDS["Waterworld-v1"] = lambda n, **options: Waterworld(n, exact=True, **options)
MIRRORS["tidepool/Waterworld-v1"] = mirrors
