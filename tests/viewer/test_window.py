from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise

import numpy as np
import pygame
import pytest

from common.errors import UserError
from tests.viewer.helpers import CARTPOLE, Q4, RLDEMO, V1, Known, NoQValues, color_at, drawn, key, session_in, view_of
from viewer import screen
from viewer.drawing.canvas import MINUS, Area
from viewer.drawing.theme import Theme
from viewer.panels import PANELS, View
from viewer.panels.control import ControlPanel
from viewer.panels.q_bars import QBarsPanel
from viewer.playing.scored_play import PLAYING, READY, SUMMARY, ScoredPlay
from viewer.playing.session import AGENT, HUMAN, Score
from viewer.window import Window, fitting, open_display


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    opened = Window(view_of(session_in(policy=Known(Q4))))
    yield opened
    pygame.display.quit()


def press(window: Window, *codes: int) -> None:
    """Send keys the way SDL does, and let one frame pass."""
    for code in codes:
        pygame.event.post(key(pygame.KEYDOWN, code))
        pygame.event.post(key(pygame.KEYUP, code))
    window.frame(0.0)


# the picture


def bars(view: View) -> list[tuple[int, tuple[int, int, int]]]:
    """Return the length in pixels and the colour of each action's bar, as drawn."""
    surface = drawn(view)
    panel, area = next((panel, area) for panel, area in screen.layout(view).panels if isinstance(panel, QBarsPanel))
    found = []
    for action in range(view.session.num_actions):
        zone = panel.bar_zone(panel.row_area(area, action, view), view)
        y = zone.y + zone.h / 2
        row = [color_at(surface, x, y) for x in range(round(zone.x), round(zone.right))]
        colored = [color for color in row if color in (Theme.agent, Theme.agent_pale)]
        found.append((len(colored), colored[0] if colored else Theme.track))
    return found


def test_bars_are_as_long_as_the_q_values_and_the_best_is_dark() -> None:
    lengths, colors = zip(*bars(view_of(session_in(policy=Known((1.0, 4.0, 2.0, 3.0))))), strict=True)
    full = lengths[1]
    assert full > 140
    assert [length / full for length in lengths] == pytest.approx([0.25, 1.0, 0.5, 0.75], abs=0.02)
    assert colors == (Theme.agent_pale, Theme.agent, Theme.agent_pale, Theme.agent_pale)


def test_bars_of_the_past_stay_within_their_zone() -> None:
    """The axis has shrunk since then, so it is widened to what was expected."""
    view = view_of(session_in(policy=Known(Q4)))
    panel, area = next((panel, area) for panel, area in screen.layout(view).panels if isinstance(panel, QBarsPanel))
    past = np.array([-5.0, 9.0, np.nan, 1.0])
    assert panel.axis(view, past) == (-5.0, 9.0)
    assert panel.axis(view, np.array(Q4)) == view.session.q_axis()
    zone = panel.bar_zone(panel.row_area(area, 1, view), view)
    assert panel.bar(zone, 9.0, panel.axis(view, past)).right == pytest.approx(zone.right)


def test_small_expectations_have_digits_that_say_something_and_all_have_the_same() -> None:
    view = view_of(session_in(policy=Known((0.003, -0.0214, 0.0, 0.01))))
    assert [QBarsPanel().number(value, view) for value in (0.003, -0.0214, 0.0)] == [
        "+0.003",
        f"{MINUS}0.021",
        "+0.000",
    ]
    view = view_of(session_in(policy=Known((0.003, -21.4, 0.0, 0.01))))
    assert [QBarsPanel().number(value, view) for value in (0.003, -21.4)] == ["+0.00", f"{MINUS}21.40"]


def test_negative_bars_grow_to_the_left_of_zero() -> None:
    view = view_of(session_in(policy=Known((-3.0, -1.0, 1.0, 0.0))))
    panel, area = next((panel, area) for panel, area in screen.layout(view).panels if isinstance(panel, QBarsPanel))
    found = []
    for action, value in enumerate((-3.0, -1.0, 1.0)):
        zone = panel.bar_zone(panel.row_area(area, action, view), view)
        found.append(panel.bar(zone, value, (-3.0, 1.0)))
        assert found[-1].w == pytest.approx(abs(value) * zone.w / 4)
    assert found[0].right == found[1].right == pytest.approx(found[2].x)
    pixels = [round(bar.right) - round(bar.x) for bar in found]
    pixels[2] -= 1  # the first one on the right of zero is the zero line
    assert [length for length, _ in bars(view)] == [*pixels, 0]


def test_a_q_value_of_nan_has_no_bar() -> None:
    assert bars(view_of(session_in(policy=Known((np.nan, 1.0, 0.0, np.inf)))))[0][0] == 0


def test_the_action_of_the_human_is_marked() -> None:
    view = view_of(session_in(policy=Known(Q4)))
    panel, area = next((panel, area) for panel, area in screen.layout(view).panels if isinstance(panel, QBarsPanel))
    row = panel.row_area(area, 2, view)
    spot = (row.x - 3, row.y + row.h / 2)
    assert color_at(drawn(view), *spot) == Theme.card
    view.human_control.press("up")
    assert color_at(drawn(view), *spot) == Theme.human_pale


def test_card_and_frame_show_who_is_in_control() -> None:
    view = view_of(session_in(policy=Known(Q4)))
    card, frame = (
        (screen.layout(view).panels[0][1].x + 5, screen.layout(view).panels[0][1].y + 40),
        (screen.layout(view).world.x - 2, screen.layout(view).world.y + 100),
    )
    surface = drawn(view)
    assert (color_at(surface, *card), color_at(surface, *frame)) == (Theme.agent, Theme.border)
    view.session.take_over()
    surface = drawn(view)
    assert (color_at(surface, *card), color_at(surface, *frame)) == (Theme.human, Theme.human)


@pytest.mark.parametrize("scale", [1.0, 0.5, 1.5])
def test_the_world_is_in_its_place_at_every_size(scale: float) -> None:
    session = session_in(policy=Known(Q4))
    view = view_of(session)
    surface = drawn(view, scale)
    places = screen.layout(view, surface.get_size())
    x, y = (value * places.world.w / 700 for value in session.env.unwrapped.get_state()["pos"])  # type: ignore[attr-defined]
    place = places.world
    color = color_at(surface, (place.x + x) * places.scale, (place.y + y) * places.scale)
    assert color == pytest.approx((0, 150, 150), abs=1 if scale < 1 else 0)  # a smaller one is smoothed


def test_other_environments_show_their_own_picture() -> None:
    session = session_in(CARTPOLE, Known((0.0, 1.0)))
    view = view_of(session, CARTPOLE)
    surface, place = drawn(view), screen.layout(view).world
    picture = session.picture()
    assert picture is not None
    scale = 700 / picture.shape[1]
    top = place.y + (500 - picture.shape[0] * scale) / 2
    cart = np.argwhere((picture == 0).all(-1) & (np.arange(600) % 600 > 200))[-1]  # a pixel of the black cart
    assert max(color_at(surface, place.x + cart[1] * scale, top + (cart[0] - 6) * scale)) < 40


def apart(a: Area, b: Area) -> bool:
    return a.right <= b.x or b.right <= a.x or a.bottom <= b.y or b.bottom <= a.y


@pytest.mark.parametrize("hidden", [set(), {"truth", "rewards"}, {panel.name for panel in PANELS}])
def test_nothing_overlaps_and_everything_is_within_the_window(hidden: set[str]) -> None:
    for policy, env_id in ((Known(Q4), V1), (Known(range(5)), RLDEMO), (NoQValues(Q4), V1), (None, CARTPOLE)):
        view = view_of(session_in(env_id, policy), env_id)
        view.hidden = hidden
        places = screen.layout(view)
        areas = [places.header, places.world, places.bar, places.footer, *(area for _, area in places.panels)]
        assert all(apart(a, b) for a, b in combinations(areas, 2))
        assert all(area.x >= 0 and area.right <= places.size[0] for area in areas)
        assert all(area.y >= 0 and area.bottom <= places.size[1] for area in areas)
        assert places.left_out == ()
        assert {panel.name for panel, _ in places.panels} == {
            panel.name for panel in PANELS if panel.height(view) > 0 and panel.name not in hidden
        }


def test_eighteen_actions_fit() -> None:
    session = session_in(policy=Known(Q4))
    session.num_actions, session.action_names = 18, tuple(f"action {number}" for number in range(18))
    session.policy = Known(range(18))
    session.restart()
    view = view_of(session)
    lengths = [length for length, _ in bars(view)]
    assert all(b > a for a, b in pairwise(lengths))
    assert lengths[17] > 36  # no number covers its end
    panel, _ = next((panel, area) for panel, area in screen.layout(view).panels if isinstance(panel, QBarsPanel))
    assert panel.row(view) > 15  # readable
    rows = [panel.row_area(Area(0, 0, 428, 400), action, view) for action in range(18)]
    assert all(rows[0].y <= row.y < rows[8].bottom for row in rows[9:])  # a second column
    view.help = True
    drawn(view)


def test_everything_can_be_drawn() -> None:
    view = view_of(session_in(policy=Known(Q4)))
    plain = drawn(view)
    view.help = True
    assert pygame.image.tobytes(drawn(view), "RGB") != pygame.image.tobytes(plain, "RGB")
    view.help, view.session.paused = False, True
    assert pygame.image.tobytes(drawn(view), "RGB") != pygame.image.tobytes(plain, "RGB")
    scored = view_of(session_in(), locked=True)
    scored.scored_play = ScoredPlay(scored.session, 2, lambda score: None)
    for phase in (READY, PLAYING, SUMMARY):
        while scored.scored_play.phase != phase:
            scored.scored_play.advance(0.25)
        drawn(scored)
        scored.help = True
        drawn(scored, 0.3)
        scored.help = False


# the keys


def test_space_pauses_and_n_and_dot_step(window: Window) -> None:
    session = window.view.session
    press(window, pygame.K_SPACE)
    assert session.paused
    window.frame(0.1)
    assert session.score.steps == 0
    press(window, pygame.K_n)
    press(window, pygame.K_PERIOD)
    assert session.score.steps == 2
    press(window, pygame.K_SPACE)
    window.frame(0.09)
    assert session.score.steps == 5


def test_a_step_pauses_first(window: Window) -> None:
    press(window, pygame.K_n)
    assert window.view.session.paused
    assert window.view.session.score.steps == 1


def test_speed_keys(window: Window) -> None:
    press(window, pygame.K_PLUS, pygame.K_EQUALS, pygame.K_KP_PLUS)
    assert window.view.session.speed == 10.0
    press(window, pygame.K_MINUS, pygame.K_KP_MINUS)
    assert window.view.session.speed == 2.0


def test_arrows_take_over_and_enter_hands_control_back(window: Window) -> None:
    session = window.view.session
    pygame.event.post(key(pygame.KEYDOWN, pygame.K_UP))
    window.frame(0.031)
    assert (session.control, session.history[-1].action) == (HUMAN, 2)
    pygame.event.post(key(pygame.KEYUP, pygame.K_UP))
    window.frame(0.031)
    assert (session.control, session.history[-1].action) == (HUMAN, -1)
    press(window, pygame.K_RETURN)
    assert session.control == AGENT
    window.frame(0.031)
    assert (session.history[-1].action, session.history[-1].by_human) == (1, False)


def test_control_returns_by_itself(window: Window) -> None:
    press(window, pygame.K_LEFT)
    assert window.view.session.control == HUMAN
    for _ in range(9):
        window.frame(0.25)
    assert window.view.session.control == AGENT


def test_p_pauses_too(window: Window) -> None:
    press(window, pygame.K_p)
    assert window.view.session.paused
    press(window, pygame.K_SPACE)
    assert not window.view.session.paused


def test_restart_and_help(window: Window) -> None:
    session = window.view.session
    window.frame(0.25)
    press(window, pygame.K_r)
    assert session.score.steps == 0
    press(window, pygame.K_h)
    assert window.view.help
    window.frame(0.25)
    assert session.score.steps == 0  # the game is paused behind the help
    press(window, pygame.K_q)  # any key closes it
    assert window.open
    assert not window.view.help


@pytest.mark.parametrize("code", [pygame.K_ESCAPE, pygame.K_q])
def test_quit_keys(window: Window, code: int) -> None:
    press(window, code)
    assert not window.open


def test_the_close_button_ends_the_loop(window: Window) -> None:
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    window.run()
    assert not pygame.display.get_init()


def test_a_resized_window_draws_at_its_new_size(window: Window) -> None:
    pygame.display.set_mode((500, 420), pygame.RESIZABLE)
    window.frame(0.0)
    surface = pygame.display.get_surface()
    assert surface is not None
    assert color_at(surface, 2, 2) == Theme.background  # above the layout, which keeps its shape


def test_steps_and_episodes_close_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    session = session_in(policy=Known(Q4), speed=50.0)
    Window(view_of(session), max_steps=60).run()
    assert session.total_steps == 60
    session = session_in(CARTPOLE, Known((0.0, 1.0)), speed=50.0)
    Window(view_of(session, CARTPOLE), max_episodes=2).run()
    assert len(session.results) == 2


def test_a_lost_window_ends_the_loop(window: Window) -> None:
    window.frame(0.0)
    pygame.display.quit()
    window.run()  # no error


def test_a_scored_episode_from_the_keyboard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    view = view_of(session_in(), locked=True)
    recorded: list[Score] = []
    view.scored_play = ScoredPlay(view.session, 1, recorded.append)
    window = Window(view)
    press(window, pygame.K_PLUS, pygame.K_n)  # neither speed nor single steps in a scored episode
    assert (view.session.speed, view.session.score.steps) == (1.0, 0)
    for _ in range(13):
        window.frame(0.25)
    pygame.event.post(key(pygame.KEYDOWN, pygame.K_RIGHT))
    while view.scored_play.phase == PLAYING:
        window.frame(0.25)
    assert [score.steps for score in recorded] == [1000]
    assert {step.action for step in view.session.history} == {-1, 1}
    press(window, pygame.K_RETURN)
    assert not window.open
    pygame.display.quit()


# the screen


@pytest.mark.parametrize(
    ("desktop", "size", "scale"),
    [
        ((1920, 1080), (1464, 836), 1.0),
        ((1366, 768), (1464, 836), 0.9 * 768 / 836),  # a laptop: as large as fits
        ((3840, 2160), (1464, 836), 2.0),  # small pixels: the same apparent size
        ((2560, 1440), (1464, 836), 4 / 3),
        ((1080, 1920), (1464, 836), 0.9 * 1080 / 1464),  # portrait
    ],
)
def test_the_window_fits_the_desktop(
    desktop: tuple[int, int], size: tuple[int, int], scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pygame.display, "get_desktop_sizes", lambda: [desktop])
    assert fitting(size) == (int(size[0] * scale), int(size[1] * scale))


@pytest.mark.skipif("sys.platform != 'linux'", reason="elsewhere there is always a screen")
@pytest.mark.parametrize("display", [None, ":6789"])
def test_no_screen_is_reported(monkeypatch: pytest.MonkeyPatch, display: str | None) -> None:
    for name in ("SDL_VIDEODRIVER", "SDL_VIDEO_DRIVER", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    if display:
        monkeypatch.setenv("DISPLAY", display)  # no server listens there
    with pytest.raises(UserError, match=r"no screen.*--record film\.mp4"):
        open_display()
    assert pygame.display.get_surface() is None


def test_a_player_without_q_values_has_no_best_action() -> None:
    session = session_in(policy=NoQValues(Q4))
    panel = ControlPanel()
    assert panel.about(view_of(session)) == ["mute"]
    session.epsilon = 0.05
    assert panel.about(view_of(session))[0] == "mute · 5% random"
    assert panel.about(view_of(session_in(policy=Known(Q4))))[0] == "known · best action"
