"""Pixels of the second player, the agent view and past states."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pygame
import pytest

import envs
from envs.drawing import BLACK, BLUE, GREEN, GREY, ORANGE, RED, TEAL, WHITE, draw_state, draw_world, picture
from tests.viewer.helpers import RLDEMO, V1, Known, color_at, session_in, view_of
from viewer.drawing.canvas import Area, Canvas, Fonts
from viewer.drawing.theme import Theme
from viewer.panels import world as panel

APPLE, POISON = 1, 2


def world(
    env_id: str, rows: list[tuple[float, float, int]], pos: tuple[float, float], second_player: Any = None
) -> Any:
    """Return a world with only these items (x, y, type), and a second player at ``second_player``."""
    env: Any = envs.make(env_id).unwrapped
    items = [[x, y, 0, 0, kind, 0] if env_id == V1 else [x, y, kind, 0] for x, y, kind in rows]
    still: dict[str, Any] = {"vel": (0.0, 0.0)} if env_id == V1 else {"angle": 0.0}
    state = {"clock": 0, "pos": pos, **still, "items": items}
    if second_player is not None:
        state["second_player"] = {"pos": second_player, **still, "action": -1, "apples": 0, "poison": 0}
    env.set_state(state)
    return env


def drawn(shown: Any, scale: float = 1.0, **options: Any) -> pygame.Surface:
    surface = pygame.Surface((round(700 * scale), round(500 * scale)), depth=24)
    draw_world(surface, shown, **options)
    return surface


def has_color(surface: pygame.Surface, color: tuple[int, int, int], *area: float) -> bool:
    """Return whether a pixel of that colour is in an area (x, y, width, height), or anywhere."""
    pixels = picture(surface.subsurface([round(side) for side in area]) if area else surface)
    return bool((pixels == color).all(-1).any())


@pytest.mark.parametrize("scale", [1.0, 0.6, 2.0])
@pytest.mark.parametrize("env_id", [V1, RLDEMO])
def test_the_second_player_has_its_own_colour_and_mark(env_id: str, scale: float) -> None:
    surface = drawn(world(env_id, [], (50, 50), second_player=(350, 450)), scale)
    body = [side * scale for side in (343, 443, 14, 14)]  # within the disc
    assert has_color(surface, ORANGE, *body)
    assert has_color(surface, WHITE, *body)  # the arrow head
    assert not has_color(surface, TEAL, *body)
    assert color_at(surface, 50 * scale, 50 * scale) == TEAL
    assert not has_color(drawn(world(env_id, [], (50, 50)), scale), ORANGE)


@pytest.mark.parametrize("env_id", [V1, RLDEMO])
def test_salient_eyes_have_a_band_under_their_ray(env_id: str) -> None:
    """The band is as wide as the eye is salient; the ray stays on top."""
    shown = world(env_id, [], (350, 250))
    eyes = shown.eyes()
    chosen, half = 0, len(eyes.angle) // 2
    mattered = np.zeros(len(eyes.angle))
    mattered[chosen], mattered[half] = 1.0, 0.25
    surface = drawn(shown, mattered=mattered)

    def width(eye: int) -> int:
        """Count the band's pixels across a ray, far from the body."""
        angle, reach = float(eyes.angle[eye]), 0.8 * float(eyes.distance[eye])
        x, y = 350 + reach * np.sin(angle), 250 + reach * np.cos(angle)
        across = [(x + k / 4 * np.cos(angle), y - k / 4 * np.sin(angle)) for k in range(-40, 41)]
        return sum(color_at(surface, *point) == BLUE for point in across)

    assert width(chosen) > 2.5 * width(half) > 0
    assert not any(
        width(eye)
        for eye in range(len(mattered))
        if abs(eye - chosen) > 2 and abs(eye - half) > 2 and eye < len(mattered) - 2
    )
    assert not has_color(drawn(shown), BLUE)


def test_the_second_player_differs_in_lightness_from_agent_and_items() -> None:
    def luminance(color: tuple[int, int, int]) -> float:
        return float(np.dot((0.2126, 0.7152, 0.0722), (np.array(color) / 255) ** 2.2))

    others = [TEAL, RED, GREEN]
    assert all(luminance(other) / luminance(ORANGE) > 1.3 for other in others)


def test_the_arrow_points_in_the_second_players_direction() -> None:
    shown = world(V1, [], (50, 50), second_player=(350, 250))
    for vel, axis, sign in (((3.0, 0.0), 1, 1), ((-3.0, 0.0), 1, -1), ((0.0, 3.0), 0, 1), ((0.0, 0.0), 0, -1)):
        state = shown.get_state()
        state["second_player"]["vel"] = np.array(vel)
        surface = pygame.Surface((700, 500), depth=24)
        draw_state(surface, shown, state)
        white = np.argwhere((picture(surface)[241:260, 341:360] == 255).all(-1)) - 9
        inside = white[np.hypot(*white.T) < 8]
        tip = inside[np.argmax(sign * inside[:, axis])]
        assert sign * tip[axis] >= 6
        assert abs(tip[1 - axis]) <= 1


def test_the_agent_view_shows_only_what_rays_hit() -> None:
    rows = [(300.0, 380.0, APPLE), (300.0, 220.0, POISON), (600.0, 100.0, APPLE)]  # eye 0 down, eye 15 nearly up
    shown = world(V1, rows, (300, 300))
    full, seen = drawn(shown), drawn(shown, agent_view=True)
    assert color_at(full, 300, 380) == RED
    assert color_at(full, 600, 100) == RED
    assert color_at(full, 0, 250) == BLACK
    for x, y in ((300, 383), (600, 100), (0, 250), (300, 214)):
        assert color_at(seen, x, y) == WHITE
    assert color_at(seen, 300, 300) == TEAL
    assert color_at(seen, 300, 350) == RED  # the ray, up to the apple's rim at y = 370
    assert color_at(seen, 300, 370) == RED  # a dot with a dark outline
    assert has_color(seen, BLACK, 294, 364, 12, 12)
    assert has_color(seen, (GREEN[0] // 2, GREEN[1] // 2, GREEN[2] // 2), 290, 222, 20, 16)  # a cross
    assert not has_color(seen, BLACK, 345, 345, 80, 80)  # rays that hit nothing end without a mark
    assert has_color(seen, GREY, 345, 345, 80, 80)


def test_the_agent_view_marks_walls_and_shows_the_second_player() -> None:
    shown = world(V1, [], (300, 40), second_player=(500, 300))
    seen = drawn(shown, agent_view=True)
    assert has_color(seen, BLACK, 290, 0, 20, 4)  # eye 15 looks up (0.008 rad off), the border is 40 px away
    assert has_color(seen, ORANGE, 490, 290, 20, 20)


@pytest.mark.parametrize("env_id", [V1, RLDEMO])
@pytest.mark.parametrize("agent_view", [False, True])
def test_a_past_state_is_drawn_as_it_was(env_id: str, agent_view: bool) -> None:
    env = envs.make(env_id)
    env.reset(seed=2)
    shown: Any = env.unwrapped
    shown.join()
    for t in range(30):
        shown.second_player_action = t % 4
        env.step(t % 3)
    state, then = shown.get_state(), picture(drawn(shown, agent_view=agent_view))
    for t in range(40):
        env.step(t % 4)
    shown.leave()
    now = picture(drawn(shown, agent_view=agent_view))
    surface = pygame.Surface((700, 500), depth=24)
    draw_state(surface, shown, state, agent_view=agent_view)
    np.testing.assert_array_equal(picture(surface), then)
    assert not np.array_equal(now, then)
    np.testing.assert_array_equal(picture(drawn(shown, agent_view=agent_view)), now)  # nothing has moved
    assert shown.second_player is None


# the panel


def shown_by_panel(view: Any) -> np.ndarray[Any, Any]:
    surface = pygame.Surface((740, 540), depth=24)
    panel.draw(Canvas(surface, Fonts(), (740, 540)), Area(20, 20, 700, 500), view)
    return picture(surface)[20:520, 20:720]


def test_the_panel_shows_second_player_agent_view_and_past() -> None:
    view: Any = view_of(session_in(policy=Known((0.0, 1.0, 0.0, 0.0))))
    session = view.session
    shown: Any = session.env.unwrapped
    shown.join()
    session.step()
    then = shown_by_panel(view)
    number = session.timeline.last
    assert (then == ORANGE).all(-1).any()
    view.agent_view = True
    assert (shown_by_panel(view) != then).any(-1).mean() > 0.02  # what no eye sees is gone
    view.agent_view = False
    for _ in range(10):
        session.step()
    now = shown_by_panel(view)
    session.timeline.to(number)
    np.testing.assert_array_equal(shown_by_panel(view), then)
    session.timeline.to_live()
    np.testing.assert_array_equal(shown_by_panel(view), now)
    assert not np.array_equal(now, then)


def test_the_panel_shows_past_frames_and_says_where_none_was_kept() -> None:
    session = session_in("CartPole-v1")
    view = view_of(session, "CartPole-v1")
    then = shown_by_panel(view)  # drawing keeps the frame
    number = session.timeline.last
    for _ in range(6):
        session.step()
    now = shown_by_panel(view)
    assert not np.array_equal(now, then)
    session.timeline.to(number)
    np.testing.assert_array_equal(shown_by_panel(view), then)
    session.next_episode()
    session.step()
    session.timeline.to(session.timeline.last - 1)  # no frame of this one was kept
    blank = shown_by_panel(view)
    assert (blank[:100] == Theme.card).all()
    assert (blank != np.array(Theme.card)).any()  # the line that says that there is none


def test_drawing_uses_only_the_protocol_of_a_world() -> None:
    real = world(V1, [(100, 100, APPLE)], (300, 300))
    names = ("size", "walls", "radius", "get_state", "eyes", "eyes_of")
    bare: Any = SimpleNamespace(**{name: getattr(real, name) for name in names})
    np.testing.assert_array_equal(picture(drawn(bare)), picture(drawn(real)))
