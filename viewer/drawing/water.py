"""Waterworld's version 1 as the window draws it: water with depth, thin rays, shaded fruit, a ring where one is eaten.

Version 0 and `env.render` stay as the original draws them (`envs.drawing`). Apples keep their leaf and poison its
cross, for those who can't tell red from green.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pygame
from numpy.typing import NDArray

from envs.drawing import APPLE, POISON, TEAL, Look, World, draw_hits, draw_second_player, ray_ends, stamp
from viewer.drawing.theme import DARK, Color, Theme

RED, GREEN = (226, 84, 92), (104, 176, 88)
LOOK = Look(apple=RED, poison=GREEN, ray=(150, 186, 202))
WATER: dict[bool, tuple[Color, Color]] = {False: ((228, 243, 248), (178, 215, 230)), True: ((18, 54, 74), (7, 26, 40))}
RAY: dict[bool, Color] = {False: (146, 184, 201), True: (58, 104, 126)}  # of an eye that sees nothing
BAND: dict[bool, Color] = {False: (246, 252, 254), True: (34, 84, 110)}  # under a ray of an eye that mattered
EDGE: dict[bool, Color] = {False: (112, 160, 182), True: (48, 92, 114)}
CAUSTICS, LIGHT_OF = 9, 9.0  # waves of light on the ground; how much lighter, of 255
LEAF, STEM, DEEP_GREEN = (96, 160, 72), (108, 74, 48), (44, 104, 48)
BROADEST = 12.0  # world pixels, under the ray of the eye that mattered most
POP_STEPS = 12  # that a ring is seen after something was eaten
SMOOTHING = 4  # sprites are drawn this much larger, then averaged down


class Ground:
    """Whether the water has its bands of light; without them a GIF, which has 256 colours, is a fraction as large."""

    flat: ClassVar[bool] = False


@contextmanager
def flat(wanted: bool) -> Iterator[None]:
    """Draw the water in one colour, if that is wanted."""
    before, Ground.flat = Ground.flat, wanted
    try:
        yield
    finally:
        Ground.flat = before


class Pop(NamedTuple):
    """Something that was eaten: where, how many steps ago, and whether it was an apple."""

    x: float
    y: float
    age: int
    apple: bool


class Scene(NamedTuple):
    """All that is drawn."""

    world: World
    state: Mapping[str, Any]
    eyes: Any
    agent_view: bool = False
    mattered: NDArray[np.float64] | None = None
    """How much each eye did, (eyes,), 0 to 1; None: not shown."""
    pops: Sequence[Pop] = ()


def draw(surface: pygame.Surface, scene: Scene) -> None:
    """Draw a scene; it fills the surface as far as the world's shape allows."""
    world, state, dark = scene.world, scene.state, Theme.name == DARK
    scale = min(surface.get_width() / world.size[0], surface.get_height() / world.size[1])
    surface.blit(_water(surface.get_size(), dark, Ground.flat), (0, 0))
    x, y = (float(value) * scale for value in state["pos"])
    radius = world.radius * scale
    ends = list(ray_ends(scene.eyes, x, y, scale))
    if scene.mattered is not None:
        for (end, _), share in zip(ends, scene.mattered, strict=True):
            if (broad := round(BROADEST * scale * float(share))) > 0:
                pygame.draw.line(surface, BAND[dark], (x, y), end, broad)
    _draw_rays(surface, ends, x, y, scale, dark)
    if not scene.agent_view:
        _draw_items(surface, state["items"], radius, scale)
    for pop in scene.pops:
        _draw_pop(surface, pop, radius, scale)
    stamp(surface, _shadow(radius), x + 0.2 * radius, y + 0.35 * radius)
    stamp(surface, _sprite(0, radius), x, y)
    if scene.agent_view:
        draw_hits(surface, scene.eyes, LOOK, x, y, scale)
    if state.get("second_player") is not None:
        draw_second_player(surface, state["second_player"], world.radius, scale)


def _draw_rays(
    surface: pygame.Surface,
    ends: Sequence[tuple[tuple[float, float], int]],
    x: float,
    y: float,
    scale: float,
    dark: bool,
) -> None:
    """Draw a thin line for each eye, with a small dot where it meets something."""
    for end, kind in ends:
        color = LOOK.of(kind) if kind in (APPLE, POISON) else RAY[dark]
        pygame.draw.aaline(surface, color, (x, y), end)
        if kind in (APPLE, POISON):
            pygame.draw.circle(surface, color, end, max(1.5, 1.6 * scale))


def _draw_items(surface: pygame.Surface, items: NDArray[np.float64], radius: float, scale: float) -> None:
    shadow = _shadow(radius)
    places = items[:, :2] * scale
    surface.fblits([(shadow, _corner(shadow, x + 0.2 * radius, y + 0.35 * radius)) for x, y in places.tolist()])
    sprites = {kind: _sprite(kind, radius) for kind in (APPLE, POISON)}
    kinds = items[:, -2].astype(int).tolist()  # columns end in type, age
    shown = [(sprites[kind], _corner(sprites[kind], x, y)) for kind, (x, y) in zip(kinds, places.tolist(), strict=True)]
    surface.fblits(shown)


def _corner(sprite: pygame.Surface, x: float, y: float) -> tuple[int, int]:
    return round(x) - sprite.get_width() // 2, round(y) - sprite.get_height() // 2


def _draw_pop(surface: pygame.Surface, pop: Pop, radius: float, scale: float) -> None:
    """Draw a ring that widens and fades, and drops around it."""
    share = pop.age / POP_STEPS
    color = RED if pop.apple else GREEN
    reach = radius * (1.0 + 1.6 * math.sqrt(share))
    stamp(surface, _ring(color, round(reach, 0), 1.0 - share), pop.x * scale, pop.y * scale)


@lru_cache(maxsize=128)
def _ring(color: Color, radius: float, strength: float) -> pygame.Surface:
    side = 2 * math.ceil(radius * 1.3) + 3
    ring = pygame.Surface((side, side), pygame.SRCALPHA)
    middle, alpha = side / 2, round(220 * strength)
    pygame.draw.circle(ring, (*color, alpha), (middle, middle), radius, max(1, round(0.22 * radius * strength)))
    for turn in range(8):
        angle = (turn + 0.5) * math.tau / 8
        drop = (middle + 1.2 * radius * math.sin(angle), middle + 1.2 * radius * math.cos(angle))
        pygame.draw.circle(ring, (*color, alpha), drop, max(1.0, 0.09 * radius))
    return ring


@lru_cache(maxsize=4)
def _water(size: tuple[int, int], dark: bool, flat: bool) -> pygame.Surface:
    """Return the water: lighter at the top, with bands of light on the ground, darker towards the edge; or ``flat``."""
    width, height = size
    if flat:
        water = pygame.Surface(size, depth=24)
        water.fill(WATER[dark][0])
        pygame.draw.rect(water, EDGE[dark], water.get_rect(), 1)
        return water
    top, bottom = (np.array(color, float) for color in WATER[dark])
    down = np.linspace(0, 1, height)[None, :, None]
    colors = top + (bottom - top) * down  # (1, H, 3)
    xs, ys = np.meshgrid(np.arange(width) / 700, np.arange(height) / 700, indexing="ij")
    rng = np.random.default_rng(7)
    light = np.zeros((width, height))
    for _ in range(CAUSTICS):
        angle, length, phase = rng.uniform(0, math.tau), rng.uniform(9, 26), rng.uniform(0, math.tau)
        light += np.sin((xs * math.cos(angle) + ys * math.sin(angle)) * length + phase + 1.4 * np.sin(7 * ys + phase))
    light = np.clip(light / math.sqrt(CAUSTICS), -1, 1.6) * (0.5 if dark else 0.6)
    x, y = np.abs(np.linspace(-1, 1, width))[:, None], np.abs(np.linspace(-1, 1, height))[None, :]
    deep = 14.0 * np.maximum(x, y) ** 6
    picture = colors + (LIGHT_OF * light - deep)[..., None]
    water = pygame.Surface(size, depth=24)
    pygame.surfarray.blit_array(water, np.clip(picture, 0, 255).astype(np.uint8))
    pygame.draw.rect(water, EDGE[dark], water.get_rect(), 1)
    return water


@lru_cache(maxsize=8)
def _shadow(radius: float) -> pygame.Surface:
    """Return a soft shadow, as of something that floats above the ground."""
    reach = math.ceil(1.5 * radius) + 1
    steps = np.arange(-reach, reach + 1)
    far = np.hypot(steps[:, None], steps[None, :]) / (1.35 * radius)
    shadow = pygame.Surface((2 * reach + 1, 2 * reach + 1), pygame.SRCALPHA)
    shadow.fill((10, 44, 66))
    alpha = pygame.surfarray.pixels_alpha(shadow)
    alpha[:] = (58 * np.clip(1 - far, 0, 1) ** 0.8).astype(np.uint8)
    return shadow


@lru_cache(maxsize=16)
def _sprite(kind: int, radius: float) -> pygame.Surface:
    """Return the agent (0), an apple or poison: a shaded disc with its mark, transparent outside."""
    color = {APPLE: RED, POISON: GREEN}.get(kind, TEAL)
    big, reach = radius * SMOOTHING, math.ceil(radius * 1.35) + 1
    side = 2 * reach + 1
    middle = side * SMOOTHING / 2
    sprite = pygame.Surface((side * SMOOTHING, side * SMOOTHING), pygame.SRCALPHA)
    places = np.arange(side * SMOOTHING) + 0.5 - middle
    x, y = places[:, None], places[None, :]
    far = np.hypot(x, y) / big
    lit = np.clip(1 - np.hypot(x + 0.42 * big, y + 0.46 * big) / (0.58 * big), 0, 1) ** 1.5  # from the upper left
    rim = np.clip((far - 0.72) / 0.28, 0, 1) ** 2
    shade = np.array(color, float) * (1 - 0.38 * rim)[..., None]
    shade += (255 - shade) * (0.62 * lit)[..., None]
    pygame.surfarray.pixels3d(sprite)[:] = np.clip(shade, 0, 255).astype(np.uint8)
    pygame.surfarray.pixels_alpha(sprite)[:] = np.where(far <= 1.0, 255, 0)
    if kind == APPLE:
        _draw_leaf(sprite, middle, big)
    elif kind == POISON:
        for across, down in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            start, end = ((middle + across * s * big, middle + down * s * big) for s in (0.16, 0.46))
            pygame.draw.line(sprite, DEEP_GREEN, start, end, max(1, round(0.17 * big)))
    return pygame.transform.smoothscale(sprite, (side, side))


def _draw_leaf(sprite: pygame.Surface, middle: float, radius: float) -> None:
    """Draw a stem with one leaf on top of an apple."""
    root, tip = (middle, middle - 0.7 * radius), (middle + 0.1 * radius, middle - 1.22 * radius)
    pygame.draw.line(sprite, STEM, root, tip, max(1, round(0.15 * radius)))
    leaf = [
        (middle + dx * radius, middle - dy * radius)
        for dx, dy in ((0.06, 1.0), (0.26, 1.26), (0.54, 1.28), (0.72, 1.18), (0.54, 0.98), (0.28, 0.92))
    ]
    pygame.draw.polygon(sprite, LEAF, leaf)
