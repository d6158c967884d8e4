from __future__ import annotations

import math
from typing import Any

import numpy as np
import pygame
import pytest

import envs
from envs.drawing import BLACK, GREEN, GREY, RED, WHITE, draw_world, world_picture
from tests.viewer.helpers import RLDEMO, V1, color_at
from viewer.drawing.canvas import font

APPLE, POISON = 1, 2


def world(env_id: str, items: list[tuple[float, float, int]], pos: tuple[float, float], **motion: Any) -> Any:
    """Return a world with just these items (x, y, type)."""
    env = envs.make(env_id)
    env.reset(seed=1)
    rows = [[x, y, 0, 0, kind, 0] if env_id == V1 else [x, y, kind, 0] for x, y, kind in items]
    motion = motion or ({"vel": (0.0, 0.0)} if env_id == V1 else {"angle": 0.0})
    env.unwrapped.set_state({"clock": 0, "pos": pos, "items": np.array(rows, float), **motion})  # type: ignore[attr-defined]
    return env.unwrapped


def drawn(shown: Any, scale: float = 1.0) -> pygame.Surface:
    surface = pygame.Surface((round(700 * scale), round(500 * scale)), depth=24)
    draw_world(surface, shown)
    return surface


@pytest.mark.parametrize("scale", [1.0, 0.6, 2.0])
@pytest.mark.parametrize(("env_id", "apple", "poison"), [(V1, RED, GREEN), (RLDEMO, GREEN, RED)])
def test_items_have_the_colours_of_their_demo(env_id: str, apple: Any, poison: Any, scale: float) -> None:
    surface = drawn(world(env_id, [(350, 250, APPLE), (550, 130, POISON)], (50, 50)), scale)
    assert color_at(surface, 350 * scale, 250 * scale) == apple
    assert color_at(surface, 550 * scale, 130 * scale) == poison


def test_items_have_a_black_outline_and_only_apples_have_a_leaf() -> None:
    surface = drawn(world(V1, [(350, 250, APPLE), (550, 130, POISON)], (50, 50)))
    for x, y in ((350, 250), (550, 130)):
        assert max(color_at(surface, x - 10, y)) < 140  # on the circle
        assert color_at(surface, x - 13, y) == WHITE
    above_apple = {color_at(surface, 350 + dx, 250 - 12) for dx in range(7)}
    above_poison = {color_at(surface, 550 + dx, 130 - 12) for dx in range(7)}
    assert above_poison == {WHITE}
    assert min(min(color) for color in above_apple) < 100


def test_apple_and_poison_differ_without_colour() -> None:
    surface = drawn(world(V1, [(350, 250, APPLE), (550, 130, POISON)], (50, 50)))
    arm = color_at(surface, 550 + 3, 130 + 3)  # of the cross
    assert max(arm) < 230
    assert color_at(surface, 350 + 3, 250 + 3) == RED


@pytest.mark.parametrize(("kind", "color"), [(APPLE, RED), (POISON, GREEN)])
def test_a_ray_has_the_colour_of_what_it_sees(kind: int, color: Any) -> None:
    shown = world(V1, [(300, 380, kind)], (300, 300))  # eye 0 looks straight down
    eyes = shown.eyes()
    assert (eyes.kind[0], eyes.distance[0]) == (kind, 70.0)
    surface = drawn(shown)
    assert color_at(surface, 300, 350) == color


def test_a_ray_that_sees_nothing_is_grey_and_ends_at_the_range() -> None:
    surface = drawn(world(V1, [], (300, 300)))
    assert color_at(surface, 300, 350) == GREY
    assert color_at(surface, 300, 300 + 118) == GREY
    assert color_at(surface, 300, 300 + 123) == WHITE


def test_rldemos_rays_are_black_and_turn_with_the_agent() -> None:
    shown = world(RLDEMO, [], (350, 450), angle=math.pi / 2)  # faces right; eye 3 straight ahead
    surface = drawn(shown)
    assert color_at(surface, 400, 450) == BLACK
    assert color_at(surface, 300, 450) == WHITE


def test_the_agent_is_a_teal_disc_redder_with_reward() -> None:
    assert color_at(drawn(world(V1, [], (300, 300))), 300, 300) == (0, 150, 150)
    env = envs.make(RLDEMO)
    env.reset(seed=1)
    shown: Any = env.unwrapped
    assert color_at(drawn(shown), 50, 50) == (0, 150, 150)
    reward = float(env.step(1)[1])
    x, y = shown.get_state()["pos"]
    assert color_at(drawn(shown), x, y) == (min(int(reward * 200), 255), 150, 150)


@pytest.mark.parametrize(
    ("env_id", "points"),
    [
        (V1, [(0, 250), (699, 250), (350, 0), (350, 499)]),
        (RLDEMO, [(10, 250), (690, 250), (350, 10), (350, 490), (300, 250), (600, 250), (200, 100), (200, 400)]),
    ],
)
def test_walls_are_black(env_id: str, points: list[tuple[int, int]]) -> None:
    surface = drawn(world(env_id, [], (50, 50)))
    assert {color_at(surface, *point) for point in points} == {BLACK}
    assert color_at(surface, 100 if env_id == RLDEMO else 350, 250) == WHITE  # the boxes are open to the left


def test_render_returns_the_same_picture_and_opens_no_display() -> None:
    env = envs.make(V1, render_mode="rgb_array")
    env.reset(seed=5)
    rendered = np.asarray(env.render())
    assert rendered.shape == (500, 700, 3)
    assert rendered.dtype == np.uint8
    assert np.array_equal(rendered, world_picture(env.unwrapped))  # type: ignore[arg-type]
    assert pygame.display.get_surface() is None


def test_fonts_outlive_an_end_of_pygame() -> None:
    """As when a window is opened again in a notebook: pygame's end makes all fonts invalid."""
    before = font(13).size("tide")
    pygame.quit()
    pygame.init()
    assert font(13).size("tide") == before


@pytest.mark.parametrize("bold", [False, True])
def test_figures_have_one_width_but_a_hyphen_is_narrow(bold: bool) -> None:
    """A hyphen as wide as a figure would make "Waterworld-v1" two words."""
    wide = {figure: font(18, bold).size(figure)[0] for figure in "0123456789\N{MINUS SIGN}-"}
    hyphen = wide.pop("-")
    assert len(set(wide.values())) == 1
    assert hyphen <= 0.8 * wide["0"]
