"""Waterworld and RLDemo as pictures, after the canvases of REINFORCEjs and ConvNetJS.

Draws on any pygame surface; needs no display and opens none. A surface larger or smaller than the
world's 700 x 500 pixels is filled as far as the shape allows: everything is drawn at that scale, not
stretched afterwards. Besides its colour every apple has a leaf and every poison a cross, for those
who can't tell red from green, and a second player has an arrow head.

In the agent view there is only what the agent knows: its rays and a mark where one meets something, a
dot on an apple, a cross on poison, a square on a wall. A second player is always drawn.

Rays can be underlaid with how much each eye mattered to a network: the wider, the more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
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
TEAL: Color = (0, 150, 150)
ORANGE: Color = (200, 84, 0)  # a second player: the window's colour of people, which no eye takes for teal
BLUE: Color = (150, 195, 225)  # what mattered: light, so that the ray on top of it can be seen

WALL, APPLE, POISON, SECOND_PLAYER = 0, 1, 2, 3
UP = math.pi  # directions are radians, (sin, cos), and y grows downwards
DIRECTIONS = 64  # that sprites are kept for
STILL = 0.1  # pixels per tick below which a swimmer's direction is noise
BROADEST = 12.0  # world pixels, under the ray of the eye that mattered most
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
    """What drawing asks of a world; `envs.world_env.WorldEnv` has it."""

    @property
    def size(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def walls(self) -> NDArray[np.float64]: ...  # noqa: D102
    @property
    def radius(self) -> float: ...  # noqa: D102
    def get_state(self) -> dict[str, Any]: ...  # noqa: D102
    def eyes(self) -> Any: ...  # noqa: D102
    def eyes_of(self, state: Mapping[str, Any]) -> Any: ...  # noqa: D102


def look_of(state: Mapping[str, Any]) -> Look:
    """Return the colours that belong to a state: only RLDemo's creature has a heading."""
    return RLDEMO if "angle" in state else WATERWORLD


def draw_world(
    surface: pygame.Surface, world: World, *, agent_view: bool = False, mattered: NDArray[np.float64] | None = None
) -> None:
    """Draw ``world`` on ``surface``: walls, the agent, its rays, the items, a second player; white where nothing is.

    ``mattered``: how much each eye did, (eyes,), 0 to 1; None: not shown.
    """
    _draw(surface, world, world.get_state(), world.eyes(), agent_view, mattered)


def draw_state(
    surface: pygame.Surface,
    world: World,
    state: Mapping[str, Any],
    *,
    agent_view: bool = False,
    mattered: NDArray[np.float64] | None = None,
) -> None:
    """Draw a moment of ``world`` from what its ``get_state`` returned then; the world itself is not touched."""
    _draw(surface, world, state, world.eyes_of(state), agent_view, mattered)


def _draw(
    surface: pygame.Surface,
    world: World,
    state: Mapping[str, Any],
    eyes: Any,
    agent_view: bool,
    mattered: NDArray[np.float64] | None,
) -> None:
    width, height = world.size
    scale = min(surface.get_width() / width, surface.get_height() / height)
    look = look_of(state)
    surface.fill(WHITE)
    if not agent_view:
        _draw_walls(surface, world.walls, scale)
    x, y = (float(value) * scale for value in state["pos"])
    if mattered is not None:
        _draw_mattered(surface, eyes, x, y, scale, mattered)
    _draw_rays(surface, eyes, look, x, y, scale)
    # after its rays, unlike in the originals: thirty of them hide the body
    stamp(surface, _disc(_body_color(state), world.radius * scale), x, y)
    if agent_view:
        draw_hits(surface, eyes, look, x, y, scale)
    else:
        _draw_items(surface, state["items"], look, world.radius, scale)
    if state.get("second_player") is not None:
        draw_second_player(surface, state["second_player"], world.radius, scale)


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
    for end, kind in ray_ends(eyes, x, y, scale):
        pygame.draw.aaline(surface, look.of(kind), (x, y), end, max(1, round(scale)))  # width: pygame-ce 2.5.3


def _draw_mattered(
    surface: pygame.Surface, eyes: Any, x: float, y: float, scale: float, mattered: NDArray[np.float64]
) -> None:
    """Draw a band below each ray, as broad as its eye mattered."""
    for (end, _), share in zip(ray_ends(eyes, x, y, scale), mattered, strict=True):
        broad = round(BROADEST * scale * float(share))
        if broad > 0:
            pygame.draw.line(surface, BLUE, (x, y), end, broad)


def ray_ends(eyes: Any, x: float, y: float, scale: float) -> Iterator[tuple[tuple[float, float], int]]:
    """Yield where each ray ends on the surface, and what it sees there."""
    for angle, distance, kind in zip(eyes.angle, eyes.distance, eyes.kind, strict=True):
        yield (x + distance * scale * math.sin(angle), y + distance * scale * math.cos(angle)), int(kind)


def draw_hits(surface: pygame.Surface, eyes: Any, look: Look, x: float, y: float, scale: float) -> None:
    """Mark where rays meet something, in a shape for each kind of thing."""
    size = max(2.0, 3.5 * scale)
    for (end_x, end_y), kind in ray_ends(eyes, x, y, scale):
        if kind == APPLE:
            pygame.draw.circle(surface, BLACK, (end_x, end_y), size + max(1.0, scale))
            pygame.draw.circle(surface, look.apple, (end_x, end_y), size)
        elif kind == POISON:
            for slope in (-size, size):
                start, end = (end_x - size, end_y - slope), (end_x + size, end_y + slope)
                pygame.draw.line(surface, _darker(look.poison), start, end, max(2, round(2 * scale)))
        elif kind == WALL:
            pygame.draw.rect(surface, BLACK, (end_x - 0.6 * size, end_y - 0.6 * size, 1.2 * size, 1.2 * size))


def _draw_items(surface: pygame.Surface, items: NDArray[np.float64], look: Look, radius: float, scale: float) -> None:
    sprites = {kind: _disc(look.of(kind), radius * scale, kind) for kind in (APPLE, POISON)}
    kinds = items[:, -2].astype(int)  # columns end in type, age
    for kind, (x, y) in zip(kinds, items[:, :2] * scale, strict=True):
        stamp(surface, sprites[int(kind)], x, y)


def draw_second_player(surface: pygame.Surface, second_player: Mapping[str, Any], radius: float, scale: float) -> None:
    """Draw a second player; its arrow shows where it heads, or swims."""
    x, y = (float(value) * scale for value in second_player["pos"])
    if "angle" in second_player:
        direction = float(second_player["angle"])
    else:
        across, down = (float(value) for value in second_player["vel"])
        direction = math.atan2(across, down) if math.hypot(across, down) > STILL else UP
    pointing = round(direction / math.tau * DIRECTIONS) % DIRECTIONS
    stamp(surface, _disc(ORANGE, radius * scale, SECOND_PLAYER, pointing), x, y)


def _body_color(state: Mapping[str, Any]) -> Color:
    """Return the agent's colour: teal, and in RLDemo the redder the more reward it just had."""
    reward = float(state.get("reward", 0.0)) if look_of(state) is RLDEMO else 0.0
    return (int(min(max(reward * 200.0, 0.0), 255.0)), *TEAL[1:])


def stamp(surface: pygame.Surface, sprite: pygame.Surface, x: float, y: float) -> None:
    """Put a sprite of odd size with its middle pixel on (x, y)."""
    surface.blit(sprite, (round(x) - sprite.get_width() // 2, round(y) - sprite.get_height() // 2))


@lru_cache(maxsize=4 * DIRECTIONS)
def _disc(color: Color, radius: float, kind: int = 0, direction: int = 0) -> pygame.Surface:
    """Return a disc with a black outline and the mark of its kind; a second player's keeps its coloured middle.

    ``color`` and ``radius`` (in the surface's pixels) as drawn; transparent outside. ``direction``: of
    a second player, in parts of a circle.
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
    elif kind == SECOND_PLAYER:
        _draw_arrow(surface, middle, big, direction * math.tau / DIRECTIONS)
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
    for across, down in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        start = (middle + across * 0.2 * radius, middle + down * 0.2 * radius)
        end = (middle + across * 0.48 * radius, middle + down * 0.48 * radius)
        pygame.draw.line(surface, _darker(color), start, end, max(1, round(0.2 * radius)))


def _draw_arrow(surface: pygame.Surface, middle: float, radius: float, direction: float) -> None:
    """Draw a white arrow head whose tip points where the second player goes."""
    corners = ((0.78, 0.0), (0.62, 2.4), (0.22, math.pi), (0.62, -2.4))  # (distance in radii, angle from the tip's)
    points = [
        (middle + far * radius * math.sin(direction + turn), middle + far * radius * math.cos(direction + turn))
        for far, turn in corners
    ]
    pygame.draw.polygon(surface, WHITE, points)


def _darker(color: Color) -> Color:
    return color[0] // 2, color[1] // 2, color[2] // 2
