from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest
from PIL import Image

from common.files import PRETRAINED
from envs.drawing import picture
from tests.viewer.helpers import CARTPOLE, Q4, RLDEMO, V1, EpsilonGreedy, Known, drawn, key, session_in, view_of
from tests.viewer.panels.test_senses import drawn_texts
from viewer import commands, opening, screen, settings
from viewer.drawing.canvas import Area
from viewer.drawing.theme import Theme
from viewer.drawing.widgets import Slider
from viewer.options import Options
from viewer.panel_titles import PANEL_TITLES, WITHOUT_CONTENT
from viewer.panels import PANELS, View, overlays, timeline_bar
from viewer.panels.control import ControlPanel
from viewer.panels.world import halves
from viewer.playing import players
from viewer.playing.human_control import HumanControl
from viewer.playing.keys import keys_for
from viewer.playing.scored_play import ScoredPlay
from viewer.playing.session import AGENT, HUMAN
from viewer.playing.versus import Versus
from viewer.window import Window

__all__ = ["drawn_texts"]


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Window]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    view = view_of(session_in(policy=EpsilonGreedy(Q4)))
    view.runs_dir = tmp_path
    opened = Window(view)
    yield opened
    pygame.display.quit()


def press(window: Window, *names: str) -> None:
    for name in names:
        code = pygame.key.key_code(name)
        text = name if len(name) == 1 else ""
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=code, unicode=text, mod=0))
        pygame.event.post(key(pygame.KEYUP, code))
    window.frame(0.0)


def mouse(window: Window, kind: int, x: float, y: float) -> None:
    """Move or click at a logical point."""
    surface = pygame.display.get_surface()
    assert surface is not None
    scale = surface.get_width() / window.places.size[0]
    more: dict[str, Any] = {} if kind == pygame.MOUSEMOTION else {"button": 1}
    pygame.event.post(pygame.event.Event(kind, pos=(round(x * scale), round(y * scale)), **more))
    window.frame(0.0)


def click(window: Window, x: float, y: float) -> None:
    mouse(window, pygame.MOUSEBUTTONDOWN, x, y)
    mouse(window, pygame.MOUSEBUTTONUP, x, y)


def play(window: Window, steps: int) -> None:
    for _ in range(steps):
        window.view.session.step()


# the table


def test_no_key_has_two_commands_and_the_help_lists_every_command() -> None:
    for view in (view_of(session_in(policy=Known(Q4))), view_of(session_in(), locked=True)):
        for scored_play in (None, ScoredPlay(view.session, 1, lambda score: None)):
            view.scored_play = scored_play
            keys = [key for command in commands.commands(view) for key in command.keys]
            assert sorted(keys) == sorted(set(keys))
            listed = " ".join(cap for cap, _ in overlays.help_rows(view))
            for command in (one for one in commands.commands(view) if one.about):
                idle = command.name in {
                    f"panel {name}" for name in PANEL_TITLES if not commands.has_content(view, name)
                }
                assert idle or command.cap.split()[0] in listed, command.name


def test_every_panel_has_a_function_key() -> None:
    assert len(PANELS) <= len(commands.PANEL_KEYS)
    view = view_of(session_in(policy=Known(Q4)))
    assert len({panel.name for panel in PANELS}) == len(PANELS)
    assert set(PANEL_TITLES) == {panel.name for panel in PANELS}
    for name, key_name in zip(PANEL_TITLES, commands.PANEL_KEYS, strict=True):
        command = commands.find(view, key_name, "")
        assert command is not None
        command.run(view)
        if name in WITHOUT_CONTENT and not commands.has_content(view, name):
            assert not view.hidden  # nobody would see that it is hidden, and miss it another day
            assert PANEL_TITLES[name] in view.notice
            assert WITHOUT_CONTENT[name] in view.notice
            continue
        assert view.hidden == {name}
        command.run(view)
        assert not view.hidden


def test_the_help_has_no_keys_that_show_nothing(tmp_path: Path) -> None:
    view = view_of(session_in(policy=Known(Q4)))
    view.runs_dir = tmp_path
    panels = {cap for cap, _ in overlays.help_groups(view)["Panels"]}
    assert {"F1", "F2", "F5", "F12"} <= panels
    assert not panels & {"C", "F3", "F6"}  # no run, no frames, no distributions
    assert ("O", "load another trained agent") in overlays.help_groups(view)["Learn"]
    rainbow = Options(runs_dir=tmp_path)
    policy: Any = players.load(PRETRAINED / "waterworld_rainbow")
    other = opening.open_view(
        rainbow, opening.open_session(rainbow, policy, players.rules_for(V1, policy)), players.rules_for(V1, policy)
    )
    assert "F6" in {cap for cap, _ in overlays.help_groups(other)["Panels"]}


def test_the_help_offers_another_agent_only_where_there_is_one(tmp_path: Path) -> None:
    view = view_of(session_in(CARTPOLE, Known((0.0, 1.0))), CARTPOLE)
    view.runs_dir = tmp_path
    assert "O" not in {cap for cap, _ in overlays.help_groups(view)["Learn"]}


def test_a_sentence_does_not_outlive_the_next_key_or_click(window: Window) -> None:
    play(window, 30)
    window.frame(0.0)
    area = next(area for panel, area in window.places.panels if panel.name == "truth")
    click(window, area.x + 40, area.y + 20)
    assert "what the network expected" in window.view.notice
    press(window, "f10")  # hides the meter
    assert "truth" in window.view.hidden
    assert not window.view.notice
    press(window, "f10")
    click(window, area.x + 40, area.y + 20)
    assert "what the network expected" in window.view.notice
    click(window, window.places.world.x + 60, window.places.world.y + 60)
    assert not window.view.notice


def test_a_scored_episode_can_not_be_looked_back_in_or_sped_up() -> None:
    view = view_of(session_in(), locked=True)
    view.scored_play = ScoredPlay(view.session, 1, lambda score: None)
    names = {command.name for command in commands.commands(view)}
    assert not names & {"back", "forward", "faster", "slower", "unlimited", "learn", "second_player", "page back"}
    assert {"pause", "new episode", "help", "quit", "agent view"} <= names


def test_the_help_fits_into_the_smallest_window() -> None:
    for env_id in (V1, CARTPOLE):
        view = view_of(session_in(env_id, Known(range(4 if env_id == V1 else 2))), env_id)
        view.hidden = {panel.name for panel in PANELS}
        corners = picture(drawn(view))[[4, 4, -4, -4], [4, -4, 4, -4]]
        view.help = True
        darkened = picture(drawn(view))
        assert (darkened[[4, 4, -4, -4], [4, -4, 4, -4]] < corners).all()  # the window is visible around the card
        cards = np.argwhere((darkened == Theme.card).all(-1))
        (top, left), (bottom, right) = cards.min(0), cards.max(0)
        assert top > 0
        assert left > 0
        assert bottom < len(darkened) - 1
        assert right < darkened.shape[1] - 1


@pytest.mark.parametrize("env_id", [V1, RLDEMO, CARTPOLE, "ALE/Pong-v5", "ALE/Breakout-v5", "ALE/Seaquest-v5"])
def test_no_line_of_the_help_is_cut_off(drawn_texts: list[str], env_id: str) -> None:
    session = session_in(env_id)
    view = view_of(session_in(env_id, Known(range(session.num_actions))), env_id)
    view.muted, view.help = False, True
    drawn(view)  # the window below the help may have a line that is cut off
    start = drawn_texts.index("Play")
    assert "full screen on, off" in drawn_texts[start:]
    assert [line for line in drawn_texts[start:] if line.endswith("\N{HORIZONTAL ELLIPSIS}")] == []


@pytest.mark.parametrize("agent", ["waterworld", "waterworld_rainbow", "pong"])
def test_no_line_of_the_window_is_cut_off(drawn_texts: list[str], agent: str) -> None:
    policy: Any = players.load(PRETRAINED / agent)
    rules = players.rules_for(policy.env_id, policy)
    session = opening.open_session(Options(seed=3), policy, rules)
    view = opening.open_view(Options(panels="all"), session, rules)
    for _ in range(150):
        view.session.step()
    for cursor in (view.session.timeline.last, 100):
        view.session.paused = True
        view.session.timeline.to(cursor)
        drawn(view)
    assert [line for line in drawn_texts if line.endswith("\N{HORIZONTAL ELLIPSIS}")] == []


# looking back


def test_steps_back_and_forward(window: Window) -> None:
    play(window, 40)
    timeline = window.view.session.timeline
    past = timeline[timeline.last - 2].obs
    press(window, "b", "b")
    assert window.view.session.paused
    assert timeline.cursor == timeline.last - 2
    assert np.array_equal(window.view.inspector.moment.obs, past)
    assert window.view.session.score.steps == 40
    press(window, "n")
    assert timeline.cursor == timeline.last - 1
    press(window, "n")
    assert timeline.live
    assert window.view.session.score.steps == 40
    press(window, "n")  # at the present it makes a step
    assert window.view.session.score.steps == 41


def test_looking_back_pauses_and_play_resumes_from_the_present(window: Window) -> None:
    play(window, 10)
    press(window, "b")
    window.frame(0.2)
    assert window.view.session.score.steps == 10
    press(window, "space")
    assert window.view.session.timeline.live
    window.frame(0.061)
    assert window.view.session.score.steps == 12


def test_pages_and_both_ends(window: Window) -> None:
    play(window, 100)
    timeline = window.view.session.timeline
    press(window, "page up")
    assert timeline.cursor == 100 - 33  # a second is 33 ticks of 30 ms
    press(window, "home")
    assert timeline.cursor == 0
    press(window, "page down")
    assert timeline.cursor == 33
    press(window, "end")
    assert timeline.live


def test_world_and_bars_show_the_moment_looked_at(window: Window) -> None:
    view = window.view
    before = picture(drawn(view))
    play(window, 60)
    now = picture(drawn(view))
    view.look(0)
    place = screen.layout(view).world
    inside = np.s_[round(place.y) + 60 : round(place.bottom), round(place.x) : round(place.right)]  # below the note
    assert np.array_equal(picture(drawn(view))[inside], before[inside])
    assert not np.array_equal(now[inside], before[inside])


def test_the_timeline_is_clicked_and_dragged(window: Window) -> None:
    play(window, 200)
    track, timeline = timeline_bar.track(window.places.bar), window.view.session.timeline
    mouse(window, pygame.MOUSEBUTTONDOWN, track.x + track.w / 4, track.y + 3)
    assert timeline.cursor == pytest.approx(50, abs=2)
    mouse(window, pygame.MOUSEMOTION, track.x + track.w / 2, track.y + 90)  # the mouse may leave the bar
    assert timeline.cursor == pytest.approx(100, abs=2)
    mouse(window, pygame.MOUSEBUTTONUP, track.x + track.w / 2, track.y)
    mouse(window, pygame.MOUSEMOTION, track.x, track.y)
    assert timeline.cursor == pytest.approx(100, abs=2)
    mouse(window, pygame.MOUSEBUTTONDOWN, track.right + 50, track.y)
    assert timeline.live


def test_the_bar_shows_who_played_and_where_an_episode_started() -> None:
    session = session_in(policy=Known(Q4))
    for _ in range(5):
        session.step()
    session.take_over()
    session.step()
    session.hand_back()
    session.next_episode()
    session.step()
    kinds = timeline_bar.kinds_of(session.timeline).tolist()
    agent, human, start = timeline_bar.AGENT, timeline_bar.HUMAN, timeline_bar.BREAK
    assert kinds == [agent] * 5 + [human, agent, start, agent]  # the last moment of an episode has no action


# speed


def test_unlimited_speed_keeps_the_window_responsive(window: Window) -> None:
    press(window, "u")
    assert math.isinf(window.view.session.speed)
    steps = []
    for _ in range(3):
        window.frame(1 / 60)
        steps.append(window.view.session.total_steps)
    assert 0 < steps[0] < steps[1] < steps[2]  # each frame ends
    press(window, "-")
    assert window.view.session.speed == 50.0
    press(window, "u", "u")
    assert window.view.session.speed == 1.0


# the agent's view, a second player


def test_the_agents_view_hides_what_it_does_not_see(window: Window) -> None:
    whole = picture(drawn(window.view))
    press(window, "v")
    assert window.view.agent_view
    assert not np.array_equal(picture(drawn(window.view)), whole)
    assert commands.find(view_of(session_in(CARTPOLE, Known((0.0, 1.0))), CARTPOLE), "v", "v") is None


def test_a_second_player_has_its_own_body_and_the_agent_continues(window: Window) -> None:
    session = window.view.session
    world: Any = session.env.unwrapped
    press(window, "g")
    assert world.second_player is not None
    start = world.second_player.pos
    pygame.event.post(key(pygame.KEYDOWN, pygame.K_LEFT))
    for _ in range(20):
        window.frame(0.031)
    assert session.control == AGENT
    assert not any(step.by_human for step in session.history)
    assert world.second_player.pos[0] < start[0] - 1
    assert world.second_player.pos[1] == pytest.approx(start[1])
    pygame.event.post(key(pygame.KEYUP, pygame.K_LEFT))
    window.frame(0.031)
    assert world.second_player_action == -1
    press(window, "g")
    assert world.second_player is None
    pygame.event.post(key(pygame.KEYDOWN, pygame.K_LEFT))
    window.frame(0.031)
    assert session.control == HUMAN


# panels, size, settings


def test_panels_never_change_the_size_of_the_window(window: Window) -> None:
    size, world = pygame.display.get_window_size(), window.places.world
    press(window, "a")
    assert len(window.view.hidden) == len(PANELS)
    assert window.places.world.w > world.w  # it has the room of the panels
    press(window, "a")
    assert not window.view.hidden
    assert pygame.display.get_window_size() == size
    pygame.display.set_mode((700, 500), pygame.RESIZABLE)
    pygame.event.post(pygame.event.Event(pygame.VIDEORESIZE, w=700, h=500, size=(700, 500)))
    window.frame(0.0)
    press(window, "a")
    assert pygame.display.get_window_size() == (700, 500)
    assert window.chosen == (700, 500)


def test_settings_are_saved_and_restored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIDEPOOL_CONFIG_DIR", str(tmp_path / "not" / "there yet"))
    view = view_of(session_in(policy=Known(Q4)))
    known = [panel.name for panel in PANELS]
    settings.restore(view, known)
    assert (view.hidden, view.agent_view) == (set(settings.WindowSettings.hidden) & set(known), False)
    view.hidden, view.agent_view = {"score"}, True
    settings.save(view, "worlds", (800, 600))
    other = view_of(session_in(policy=Known(Q4)))
    assert settings.restore(other, known).sizes == {"worlds": (800, 600)}
    settings.save(other, "versus", (900, 500))
    assert settings.load().sizes == {"worlds": (800, 600), "versus": (900, 500)}
    settings.save(other, "worlds", None)
    assert settings.load().sizes == {"versus": (900, 500)}
    assert (other.hidden, other.agent_view) == ({"score"}, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "nonsense",
        '{"hidden": 3, "sizes": "x", "theme": "pink"}',
        '{"sizes": {"worlds": [1, 2]}}',
        '{"sizes": {"worlds": [true, 5]}, "hints": 3}',
    ],
)
def test_a_damaged_settings_file_gives_the_defaults(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIDEPOOL_CONFIG_DIR", str(tmp_path))
    (tmp_path / "window.json").write_text(text)
    assert settings.load() == settings.WindowSettings()


def test_settings_that_can_not_be_written_are_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TIDEPOOL_CONFIG_DIR", str(tmp_path / "file"))
    settings.save(view_of(session_in(policy=Known(Q4))), "worlds", None)  # no error
    assert settings.load() == settings.WindowSettings()


def test_panels_of_another_version_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIDEPOOL_CONFIG_DIR", str(tmp_path))
    (tmp_path / "window.json").write_text(json.dumps({"hidden": ["score", "crystal ball"]}))
    view = view_of(session_in(policy=Known(Q4)))
    settings.restore(view, ["score", "actions"])
    assert view.hidden == {"score"}


# films


def test_a_film_of_the_window_in_real_time(window: Window, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("viewer.video.recorder.find_spec", lambda name: None)  # no encoder: a gif
    press(window, "f")
    path = Path(window.view.filming)
    assert path.suffix == ".gif"
    for _ in range(12):
        window.frame(0.06)
    press(window, "f")
    assert not window.view.filming
    assert "frames" in window.view.notice
    with Image.open(path) as film:
        seconds = 0.0
        for number in range(film.n_frames):  # type: ignore[attr-defined]
            film.seek(number)
            seconds += film.info["duration"] / 1000
    assert seconds == pytest.approx(12 * 0.06 + 0.06, abs=0.13)


def test_closing_the_window_completes_the_film(window: Window) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    press(window, "f")
    path = Path(window.view.filming)
    for _ in range(10):
        window.frame(1 / 30)
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    window.run()
    count, _ = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert count in (10, 11, 12)
    assert list(path.parent.iterdir()) == [path]  # no temporary file is left


def test_a_film_continues_when_the_window_changes_its_size(window: Window) -> None:
    pytest.importorskip("imageio_ffmpeg")
    press(window, "f")
    window.frame(0.05)
    press(window, "a")
    window.frame(0.05)
    press(window, "f")
    assert "frames" in window.view.notice


def test_a_film_that_can_not_be_written_is_reported_at_once(window: Window, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    window.view.runs_dir = tmp_path / "file"
    press(window, "f")
    assert not window.view.filming
    assert "can't be written" in window.view.notice


# two worlds


def versus_view() -> View:
    import envs

    names = envs.action_names(envs.make(V1))
    versus = Versus(lambda: envs.make(V1, render_mode="rgb_array"), Known(Q4), seed=3, action_names=names)
    view = View(versus.agent, HumanControl(versus.human, keys_for(versus.human.action_names)), V1)
    view.versus = versus
    return view


def test_two_worlds_are_side_by_side_and_the_keys_move_only_the_humans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    view = versus_view()
    versus = view.versus
    assert versus is not None
    window = Window(view)
    left, right = halves(screen.layout(view).world)
    assert left.w == right.w
    assert left.right < right.x
    shown = picture(drawn(view))
    parts = [shown[round(a.y) + 50 : round(a.bottom), round(a.x) : round(a.right)] for a in (left, right)]
    assert np.abs(parts[0].astype(int) - parts[1]).mean() < 0.5  # one seed, one world
    pygame.event.post(key(pygame.KEYDOWN, pygame.K_UP))
    for _ in range(10):
        window.frame(0.03)
    assert [step.action for step in versus.human.history][-5:] == [2] * 5
    assert {step.action for step in versus.agent.history} == {1}
    assert versus.agent.score.steps == versus.human.score.steps > 5
    assert ControlPanel().about(view)[0] == "even · known"
    versus.human.score.episode_return = -2.0
    assert ControlPanel().about(view)[0] == "you are behind by 2 · known"
    commands.back(view)
    assert versus.paused
    assert versus.human.timeline.cursor == versus.agent.timeline.cursor == versus.agent.timeline.last - 1
    window.frame(0.1)
    assert not versus.human.timeline.live
    press(window, "space")
    assert versus.human.timeline.live
    pygame.display.quit()


# sliders


@pytest.mark.parametrize("slider", [Slider(0.0, 1.0), Slider(1e-6, 1e-2, logarithmic=True), Slider(-3.0, 5.0)])
def test_a_sliders_place_and_value_are_inverse(slider: Slider) -> None:
    track = Area(100, 10, 200, 5)
    for place in (0.0, 0.25, 0.5, 1.0):
        value = slider.value_at(track, 100 + 200 * place)
        assert slider.place(value) == pytest.approx(place)
    assert slider.value_at(track, -1000) == pytest.approx(slider.low)
    assert slider.value_at(track, 1000) == pytest.approx(slider.high)
    assert slider.place(slider.low - 1) == 0.0


def test_a_logarithmic_slider_has_its_geometric_mean_in_the_middle() -> None:
    assert Slider(1e-6, 1e-2, logarithmic=True).value(0.5) == pytest.approx(1e-4)


def test_the_epsilon_slider_is_dragged(window: Window) -> None:
    from viewer.panels.learning import LearningPanel

    found = screen.place_of(window.view, "learning", pygame.display.get_window_size())
    assert found is not None
    panel, area = found
    assert isinstance(panel, LearningPanel)
    place = panel.sliders(area, window.view)[0]
    mouse(window, pygame.MOUSEBUTTONDOWN, place.track.x, place.track.y + 2)
    mouse(window, pygame.MOUSEMOTION, place.track.x + place.track.w / 2, place.track.y + 2)
    assert window.view.session.epsilon == pytest.approx(0.5, abs=0.01)
    mouse(window, pygame.MOUSEBUTTONUP, 0, 0)
    window.view.session.epsilon = 0.5
    press(window, "[")
    assert window.view.session.epsilon == 0.3
    press(window, "]", "]", "]", "]", "]")
    assert window.view.session.epsilon == 1.0


def test_a_notice_disappears_after_a_while(window: Window) -> None:
    window.view.show_notice("a notice")
    window.frame(0.2)
    assert window.view.notice == "a notice"
    for _ in range(20):
        window.frame(0.2)
    assert window.view.notice == ""
