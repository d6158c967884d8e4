"""Waterworld and RLDemo as pictures, after the canvases of REINFORCEjs and ConvNetJS.

Draws on any pygame surface; needs no display and opens none. A surface larger or smaller than the
world's 700 x 500 pixels is filled as far as the shape allows: everything is drawn at that scale, not
stretched afterwards. Besides its colour every apple has a leaf and every poison a cross, for those
who can't tell red from green.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import pygame
from numpy.typing import NDArray

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)
BLACK: Color = (0, 0, 0)
RED: Color = (255, 150, 150)
GREEN: Color = (150, 255, 150)
GREY: Color = (200, 200, 200)

APPLE, POISON = 1, 2
SMOOTHING = 4  # sprites are drawn this much larger, then averaged down


class Look(NamedTuple):
    """The colours of one of the two demos."""

    apple: Color
    poison: Color
    ray: Color  # of an eye that sees a wall or nothing

    def of(self, kind: int) -> Color:
        """Return the colour of a ray that sees ``kind`` (-1 nothing, 0 wall, 1 apple, 2 poison)."""
        return {APPLE: self.apple, POISON: self.poison}.get(kind, self.ray)


WATERWORLD = Look(apple=RED, poison=GREEN, ray=GREY)
RLDEMO = Look(apple=GREEN, poison=RED, ray=BLACK)  # the other way round, as in the original


class World(Protocol):
    """What drawing asks of a world; `envs.adapters.WorldEnv` has it."""

    @property
    def size(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def walls(self) -> NDArray[np.float64]: ...  # noqa: D102
    @property
    def radius(self) -> float: ...  # noqa: D102
    def get_state(self) -> dict[str, Any]: ...  # noqa: D102
    def eyes(self) -> Any: ...  # noqa: D102


def look_of(state: dict[str, Any]) -> Look:
    """Return the colours that belong to a state: only RLDemo's creature has a heading."""
    return RLDEMO if "angle" in state else WATERWORLD


def draw_world(surface: pygame.Surface, world: World) -> None:
    """Draw ``world`` on ``surface``: walls, the agent, its rays, the items; white where nothing is."""
    width, height = world.size
    scale = min(surface.get_width() / width, surface.get_height() / height)
    state = world.get_state()
    look = look_of(state)
    surface.fill(WHITE)
    _draw_walls(surface, world.walls, scale)
    x, y = (float(value) * scale for value in state["pos"])
    _draw_rays(surface, world.eyes(), look, x, y, scale)
    # after its rays, unlike in the originals: thirty of them hide the body
    _stamp(surface, _disc(_body_color(world, state), world.radius * scale, 0), x, y)
    kinds = state["items"][:, -2].astype(int)  # columns end in type, age
    sprites = {kind: _disc(look.of(kind), world.radius * scale, kind) for kind in (APPLE, POISON)}
    for kind, (item_x, item_y) in zip(kinds, state["items"][:, :2] * scale, strict=True):
        _stamp(surface, sprites[int(kind)], item_x, item_y)


def world_picture(world: World) -> NDArray[np.uint8]:
    """Return the picture of ``world``, (height, width, 3) uint8."""
    surface = pygame.Surface(world.size, depth=24)
    draw_world(surface, world)
    return picture(surface)


def picture(surface: pygame.Surface) -> NDArray[np.uint8]:
    """Return a copy of a surface's pixels, (height, width, 3) uint8."""
    flat = np.frombuffer(pygame.image.tobytes(surface, "RGB"), np.uint8)
    return flat.reshape(surface.get_height(), surface.get_width(), 3).copy()


def _draw_walls(surface: pygame.Surface, walls: NDArray[np.float64], scale: float) -> None:
    right, bottom = surface.get_width() - 1, surface.get_height() - 1
    for x1, y1, x2, y2 in (walls * scale).round().astype(int).tolist():
        # the world's own border lies on its last pixel, where half of the canvas's line is seen too
        start, end = (min(x1, right), min(y1, bottom)), (min(x2, right), min(y2, bottom))
        pygame.draw.line(surface, BLACK, start, end, max(1, round(scale)))


def _draw_rays(surface: pygame.Surface, eyes: Any, look: Look, x: float, y: float, scale: float) -> None:
    for angle, distance, kind in zip(eyes.angle, eyes.distance, eyes.kind, strict=True):
        end = (x + distance * scale * math.sin(angle), y + distance * scale * math.cos(angle))
        pygame.draw.aaline(surface, look.of(int(kind)), (x, y), end, max(1, round(scale)))  # width: pygame-ce 2.5.3


def _body_color(world: World, state: dict[str, Any]) -> Color:
    """Return the agent's colour: teal, and in RLDemo the redder the more reward it just had."""
    reward = 0.0
    if look_of(state) is RLDEMO and state["clock"] > 0 and hasattr(world, "worlds"):
        reward = float(world.worlds.reward[0])
    return (int(min(max(reward * 200.0, 0.0), 255.0)), 150, 150)


def _stamp(surface: pygame.Surface, sprite: pygame.Surface, x: float, y: float) -> None:
    """Put a sprite of odd size with its middle pixel on (x, y)."""
    surface.blit(sprite, (round(x) - sprite.get_width() // 2, round(y) - sprite.get_height() // 2))


@lru_cache(maxsize=64)
def _disc(color: Color, radius: float, kind: int) -> pygame.Surface:
    """Return a disc with a black outline and the mark of its kind; the middle keeps the colour.

    ``color`` and ``radius`` (in the surface's pixels) as drawn; transparent outside.
    """
    big = radius * SMOOTHING
    reach = math.ceil(radius * 1.3) + 1  # a leaf stands out of the apple
    side = 2 * reach + 1
    surface = pygame.Surface((side * SMOOTHING, side * SMOOTHING), pygame.SRCALPHA)
    middle = side * SMOOTHING / 2
    outline = max(1.0, radius / 10.0) * SMOOTHING
    pygame.draw.circle(surface, BLACK, (middle, middle), big + outline / 2)
    pygame.draw.circle(surface, color, (middle, middle), big - outline / 2)
    if kind == APPLE:
        _draw_leaf(surface, middle, big)
    elif kind == POISON:
        _draw_cross(surface, middle, big, color)
    return pygame.transform.smoothscale(surface, (side, side))


def _draw_leaf(surface: pygame.Surface, middle: float, radius: float) -> None:
    """Draw a stem with one leaf on top of an apple."""
    root = (middle, middle - 0.62 * radius)
    tip = (middle + 0.08 * radius, middle - 1.2 * radius)
    pygame.draw.line(surface, BLACK, root, tip, max(1, round(0.12 * radius)))
    leaf = [
        (middle + dx * radius, middle - dy * radius)
        for dx, dy in ((0.06, 1.0), (0.26, 1.24), (0.52, 1.26), (0.68, 1.18), (0.52, 1.0), (0.28, 0.94))
    ]
    pygame.draw.polygon(surface, BLACK, leaf)


def _draw_cross(surface: pygame.Surface, middle: float, radius: float, color: Color) -> None:
    """Draw the four arms of a cross, darker than the poison, with a gap in the middle."""
    dark = (color[0] // 2, color[1] // 2, color[2] // 2)
    for across, down in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        start = (middle + across * 0.2 * radius, middle + down * 0.2 * radius)
        end = (middle + across * 0.48 * radius, middle + down * 0.48 * radius)
        pygame.draw.line(surface, dark, start, end, max(1, round(0.2 * radius)))
