"""Numba kernels that every world shares: random numbers, rays and items.

A batch of N worlds is a handful of arrays whose first axis is the world; each kernel works on world
``i`` of them, so that a world in a batch and a world alone run the very same instructions.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from common.kernels import cached_njit

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
U64 = NDArray[np.uint64]

WIDTH, HEIGHT = 700.0, 500.0
RADIUS = 10.0  # of the agent and of every item, pixels
NOTHING, WALL, APPLE, POISON = -1, 0, 1, 2
X, Y, VX, VY, TYPE, AGE = range(6)  # the columns of an item

# How far the one-sided foot of the original's sensing (see `original_hit`) can lie beyond the ray's
# end, and beside it. An item seen thus has its centre within range + 3 radii of the eye.
OVERSHOOT = 2.0 * RADIUS

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31 = (np.uint64(shift) for shift in (11, 27, 30, 31))

kernel = cached_njit(nogil=True, error_model="numpy")


@kernel
def mix(z: np.uint64) -> np.uint64:
    """Return the 64 bits of ``z`` well mixed (the finaliser of SplitMix64)."""
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@kernel
def uniform(rng: U64, i: int, low: float, high: float) -> float:
    """Return a number from U(low, high) and advance world ``i``'s generator.

    SplitMix64 (Steele, Lea and Flood 2014): one 64-bit word of state a world, which is all that a
    checkpoint has to keep.
    """
    rng[i] += _GAMMA
    unit: float = np.float64(mix(rng[i]) >> _S11) * (1.0 / 9007199254740992.0)  # 53 bits
    return unit * (high - low) + low


@kernel
def segment_hit(x: float, y: float, dx: float, dy: float, wall: F64) -> float:
    """Return where on the segment (x, y) + u (dx, dy), 0 < u < 1, the wall is met; 2.0 if nowhere.

    Ends do not count, on either segment, as in the originals.
    """
    wx, wy = wall[2] - wall[0], wall[3] - wall[1]
    denominator = wy * dx - wx * dy
    if denominator == 0.0:  # parallel
        return 2.0
    u = (wx * (y - wall[1]) - wy * (x - wall[0])) / denominator
    w = (dx * (y - wall[1]) - dy * (x - wall[0])) / denominator
    if 0.0 < u < 1.0 and 0.0 < w < 1.0:
        return u
    return 2.0


@kernel
def any_wall_between(x: float, y: float, to_x: float, to_y: float, walls: F64) -> bool:
    """Return whether a wall crosses the way from (x, y) to (to_x, to_y)."""
    for k in range(walls.shape[0]):  # noqa: SIM110 (numba compiles loops, not any())
        if segment_hit(x, y, to_x - x, to_y - y, walls[k]) < 1.0:
            return True
    return False


@kernel
def original_hit(rx: float, ry: float, sine: float, cosine: float, reach: float) -> tuple[float, float]:
    """Return (u, distance) at which the originals' eye sees an item at (rx, ry) from it; u = 2 if not.

    The originals drop the perpendicular from the item to the ray *on one side only*: for an item on
    the other side the foot lands up to two radii off the ray. v0 keeps that, and the distance with it.
    """
    off = abs(sine * ry - cosine * rx)  # distance of the centre from the ray's line
    if off > RADIUS:
        return 2.0, reach
    foot_x, foot_y = rx + off * cosine, ry - off * sine
    u = foot_x / (reach * sine) if abs(sine) > abs(cosine) else foot_y / (reach * cosine)
    if 0.0 < u < 1.0:
        return u, math.sqrt(foot_x * foot_x + foot_y * foot_y)
    return 2.0, reach


@kernel
def exact_hit(rx: float, ry: float, sine: float, cosine: float, reach: float) -> tuple[float, float]:
    """Return (u, distance) at which a ray first meets the circle of an item at (rx, ry); u = 2 if not.

    An eye within the circle sees it at distance 0.
    """
    along = rx * sine + ry * cosine
    square = rx * rx + ry * ry
    under_root = RADIUS * RADIUS - (square - along * along)
    if under_root < 0.0:
        return 2.0, reach
    distance = along - math.sqrt(under_root)
    if distance < 0.0 and square <= RADIUS * RADIUS:
        distance = 0.0
    if 0.0 <= distance <= reach:
        return distance / reach, distance
    return 2.0, reach


@kernel
def look(
    i: int,
    pos: F64,
    items: F64,
    count: I64,
    walls: F64,
    rays: F64,
    reach: float,
    exact: bool,
    kind: I64,
    distance: F64,
    which: I64,
    nearest: F64,
) -> None:
    """Find what each eye of world ``i`` sees first: fills kind, distance and which item, (N, E) each.

    ``rays`` (E, 2) holds each eye's (sin, cos); ``nearest`` (E,) is room to work in.
    """
    x, y = pos[i, 0], pos[i, 1]
    num_eyes = rays.shape[0]
    for e in range(num_eyes):
        nearest[e] = 1.5
        kind[i, e], distance[i, e], which[i, e] = NOTHING, reach, -1
    for k in range(walls.shape[0]):
        # walls are axis-parallel: the bounding box is the wall itself
        gap_x = max(min(walls[k, 0], walls[k, 2]) - x, x - max(walls[k, 0], walls[k, 2]))
        gap_y = max(min(walls[k, 1], walls[k, 3]) - y, y - max(walls[k, 1], walls[k, 3]))
        if gap_x > reach or gap_y > reach:
            continue
        for e in range(num_eyes):
            u = segment_hit(x, y, reach * rays[e, 0], reach * rays[e, 1], walls[k])
            if u < nearest[e]:
                nearest[e], kind[i, e], distance[i, e] = u, WALL, u * reach
    limit = (reach + 3.0 * RADIUS) * (reach + 3.0 * RADIUS)
    for k in range(count[i]):
        rx, ry = items[i, k, X] - x, items[i, k, Y] - y
        if rx * rx + ry * ry > limit:
            continue
        for e in range(num_eyes):
            sine, cosine = rays[e, 0], rays[e, 1]
            if abs(sine * ry - cosine * rx) > RADIUS:
                continue
            if exact:
                u, far = exact_hit(rx, ry, sine, cosine, reach)
            else:
                u, far = original_hit(rx, ry, sine, cosine, reach)
            if u < nearest[e]:
                nearest[e], distance[i, e], which[i, e] = u, far, k
                kind[i, e] = int(items[i, k, TYPE])


@kernel
def spawn(i: int, items: F64, count: I64, rng: U64, speed: float) -> None:
    """Put one new item into world ``i``: place, kind and (where items move) velocity at random."""
    k = count[i]
    items[i, k, X] = uniform(rng, i, 20.0, WIDTH - 20.0)
    items[i, k, Y] = uniform(rng, i, 20.0, HEIGHT - 20.0)
    items[i, k, TYPE] = math.floor(uniform(rng, i, 1.0, 3.0))
    if speed > 0.0:
        items[i, k, VX] = uniform(rng, i, -speed, speed)
        items[i, k, VY] = uniform(rng, i, -speed, speed)
    else:
        items[i, k, VX], items[i, k, VY] = 0.0, 0.0
    items[i, k, AGE] = 0.0
    count[i] += 1


@kernel
def tick_items(
    i: int, clock: I64, pos: F64, items: F64, count: I64, rng: U64, inner_walls: F64, speed: float, eaten: I64
) -> None:
    """Let world ``i``'s agent eat, move the items, clear the eaten and the old, refill.

    ``eaten`` (N, 2) receives the apples and the poison of this tick. Chance is drawn in the
    originals' order; items keep their order, which decides ties of sensing.
    """
    eaten[i, 0], eaten[i, 1] = 0, 0
    kept = 0
    for k in range(count[i]):
        items[i, k, AGE] += 1.0
        gone = False
        dx, dy = pos[i, 0] - items[i, k, X], pos[i, 1] - items[i, k, Y]
        if math.sqrt(dx * dx + dy * dy) < 2.0 * RADIUS and not any_wall_between(
            pos[i, 0], pos[i, 1], items[i, k, X], items[i, k, Y], inner_walls
        ):
            eaten[i, int(items[i, k, TYPE]) - 1] += 1
            gone = True
        if speed > 0.0:
            bounce(i, k, items)
        if items[i, k, AGE] > 5000.0 and clock[i] % 100 == 0 and uniform(rng, i, 0.0, 1.0) < 0.1:
            gone = True
        if not gone:
            if kept < k:
                for column in range(6):
                    items[i, kept, column] = items[i, k, column]
            kept += 1
    count[i] = kept
    if kept < items.shape[1] and clock[i] % 10 == 0 and uniform(rng, i, 0.0, 1.0) < 0.25:
        spawn(i, items, count, rng, speed)


@kernel
def bounce(i: int, k: int, items: F64) -> None:
    """Move item ``k`` of world ``i`` by its velocity; it turns back one pixel from the border."""
    items[i, k, X] += items[i, k, VX]
    items[i, k, Y] += items[i, k, VY]
    if items[i, k, X] < 1.0:
        items[i, k, X] = 1.0
        items[i, k, VX] *= -1.0
    if items[i, k, X] > WIDTH - 1.0:
        items[i, k, X] = WIDTH - 1.0
        items[i, k, VX] *= -1.0
    if items[i, k, Y] < 1.0:
        items[i, k, Y] = 1.0
        items[i, k, VY] *= -1.0
    if items[i, k, Y] > HEIGHT - 1.0:
        items[i, k, Y] = HEIGHT - 1.0
        items[i, k, VY] *= -1.0


def box(x: float, y: float, width: float, height: float) -> list[list[float]]:
    """Return the four walls [x1, y1, x2, y2] of a box, in the originals' order: top, right, bottom, left."""
    right, bottom = x + width, y + height
    return [[x, y, right, y], [right, y, right, bottom], [right, bottom, x, bottom], [x, bottom, x, y]]
