"""v1's eyes against an exact reference that shares neither code nor formulas with the kernel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import envs

WORLD: Any = envs.make("tidepool/Waterworld-v1").unwrapped
REACH, RADIUS, WIDTH, HEIGHT = 120.0, 10.0, 700.0, 500.0

Item = tuple[float, float, float, float, int]
places = st.tuples(st.floats(1, WIDTH - 1), st.floats(1, HEIGHT - 1))
items = st.lists(
    st.tuples(
        st.floats(1, WIDTH - 1), st.floats(1, HEIGHT - 1), st.floats(-2.5, 2.5), st.floats(-2.5, 2.5), st.integers(1, 2)
    ),
    max_size=50,
)


def nearest_on_ray(x: float, y: float, angle: float, things: list[Item]) -> tuple[float, int, int]:
    """Return (distance, kind, index) of the first thing on a ray, by the roots of the circle's quadratic."""
    dx, dy = math.sin(angle), math.cos(angle)
    found: list[tuple[float, int, int]] = []
    for border, start, step in ((0.0, x, dx), (WIDTH, x, dx), (0.0, y, dy), (HEIGHT, y, dy)):
        if step and (border - start) / step >= 0:
            found.append(((border - start) / step, 0, -1))
    for which, (ix, iy, _, _, kind) in enumerate(things):
        # |p + t d - c|^2 = r^2
        roots = np.roots([1.0, 2 * ((x - ix) * dx + (y - iy) * dy), (x - ix) ** 2 + (y - iy) ** 2 - RADIUS**2])
        if abs(roots.imag).max() == 0:
            low, high = sorted(roots.real)
            if high >= 0:
                found.append((max(low, 0.0), kind, which))
    return min((one for one in found if one[0] <= REACH), default=(REACH, -1, -1))


@settings(max_examples=150, deadline=None)
@given(place=places, things=items, velocity=st.tuples(st.floats(-19, 19), st.floats(-19, 19)))
def test_sensing_equals_the_exact_reference(
    place: tuple[float, float], things: list[Item], velocity: tuple[float, float]
) -> None:
    rows = np.array([[*thing, 0.0] for thing in things]).reshape(-1, 6)
    obs = WORLD.set_state({"clock": 0, "pos": place, "vel": velocity, "items": rows})
    assert WORLD.observation_space.contains(obs)
    for eye in range(30):
        distance, kind, which = nearest_on_ray(*place, eye * 0.21, things)
        seen = obs[5 * eye : 5 * eye + 5]
        expected = [1.0, 1.0, 1.0, 0.0, 0.0]
        if kind >= 0:
            expected[kind] = distance / REACH
        if which >= 0:
            expected[3:] = [things[which][2] / 2.5, things[which][3] / 2.5]
        if np.allclose(seen, expected, atol=1e-5):
            continue
        # They may differ only for grazing rays: if the reference's ray or reach is changed slightly,
        # it must see what the kernel saw.
        nearby = [nearest_on_ray(*place, eye * 0.21 + turn, things) for turn in (-1e-6, 1e-6)]
        ties = {(k, w) for _, k, w in nearby} | {(kind, which)}
        near_reach = abs(distance - REACH) < 1e-4
        assert len(ties) > 1 or near_reach or coincide(place, eye, things), (eye, seen, expected)
    np.testing.assert_allclose(obs[150:], np.array(velocity) / 19.0, atol=1e-6)


def coincide(place: tuple[float, float], eye: int, things: list[Item]) -> bool:
    """Return whether the ray hits two things at the same distance, so that either may be reported."""
    distance, _, which = nearest_on_ray(*place, eye * 0.21, things)
    if which < 0:
        return any(abs(nearest_on_ray(*place, eye * 0.21, [thing])[0] - distance) < 1e-4 for thing in things)
    rest = things[:which] + things[which + 1 :]
    return abs(nearest_on_ray(*place, eye * 0.21, rest)[0] - distance) < 1e-4


def test_a_ray_through_an_items_centre_hits_its_rim() -> None:
    """Eye 0 looks along (0, 1): an apple 50 px below is hit at 50 - 10 = 40 px, 40 / 120 of the range."""
    apple = [[300.0, 350.0, 1.25, -2.5, 1, 0]]
    obs = WORLD.set_state({"clock": 0, "pos": (300, 300), "vel": (0, 0), "items": apple})
    np.testing.assert_allclose(obs[:5], [1.0, 40 / 120, 1.0, 0.5, -1.0], atol=1e-6)


def test_the_nearer_of_two_items_hides_the_other() -> None:
    rows = [[300.0, 380.0, 0, 0, 1, 0], [300.0, 340.0, 0, 0, 2, 0]]
    obs = WORLD.set_state({"clock": 0, "pos": (300, 300), "vel": (0, 0), "items": rows})
    np.testing.assert_allclose(obs[:3], [1.0, 1.0, 30 / 120], atol=1e-6)


def test_v0_keeps_the_originals_sensing_error() -> None:
    """An item 8 px to one side of a ray is reported 16 px off it; one on the other side, at its true foot.

    Ray of eye 0: (0, 1) from (300, 300). Item at x = 292, y = 350. The foot is moved by +8 in x:
    (300, 350), 50 px away. Item at x = 308: the foot becomes (316, 350), sqrt(16^2 + 50^2) = 52.498 px away.
    """
    old: Any = envs.make("tidepool/Waterworld-v0").unwrapped
    for x, distance in ((292.0, 50.0), (308.0, math.hypot(16, 50))):
        obs = old.set_state({"clock": 0, "pos": (300, 300), "vel": (0, 0), "items": [[x, 350.0, 0, 0, 2, 0]]})
        assert obs[2] * 120 == np.float32(distance / 120) * 120
