from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest
from PIL import Image

import envs
from common.errors import UserError
from envs.drawing import picture
from tests.viewer.helpers import EpsilonGreedy, Known, NoQValues, drawn, drawn_at, key, session_in, view_of
from viewer import screen
from viewer.drawing.canvas import Canvas, Fonts
from viewer.drawing.pixels import enlarge, fit_whole, to_surface
from viewer.drawing.theme import Theme
from viewer.panels import View, overlays
from viewer.panels.q_bars import QBarsPanel
from viewer.panels.score import ScorePanel, steps_text
from viewer.panels.seen import SeenPanel
from viewer.playing.session import AGENT, HUMAN, Session
from viewer.playing.stall_detector import MAX_STALLED_FRAMES, StallDetector
from viewer.video import record
from viewer.window import Window

pytest.importorskip("ale_py")

PONG, BREAKOUT, BOXING, AIR_RAID = "ALE/Pong-v5", "ALE/Breakout-v5", "ALE/Boxing-v5", "ALE/AirRaid-v5"
SMALL = (650, 362)


@functools.cache  # an emulator takes half a second to make; each session resets it with its own seed
def made(env_id: str, **options: Any) -> Any:
    return envs.make(env_id, render_mode="rgb_array", **options)


def session_of(env_id: str, policy: Known | None = None, seed: int = 3, **options: Any) -> Session:
    env = made(env_id, **options)
    return Session(env, policy, seed=seed, action_names=envs.action_names(env))


def pong(best: int = 0, steps: int = 0, **options: Any) -> View:
    """Return a view of Pong whose agent always plays one action."""
    session = session_of(PONG, Known(np.eye(6)[best].tolist()), **options)
    for _ in range(steps):
        session.step()
    return view_of(session, PONG)


def place_of(view: View, kind: type) -> tuple[Any, Any]:
    return next((panel, area) for panel, area in screen.layout(view).panels if isinstance(panel, kind))


# the session


def test_fifteen_steps_a_second_at_normal_speed() -> None:
    session = pong().session
    for _ in range(60):
        session.advance(1 / 60)
    assert session.score.steps == 15


def test_steps_and_frames_are_both_shown() -> None:
    view = pong(steps=40)
    assert view.session.score.frames == 160
    assert steps_text(view.session) == "step 40 · frame 160"
    assert steps_text(session_in()) == "step 0 of 1,000"


def test_lives_are_shown_where_the_game_has_them() -> None:
    session = session_of(BREAKOUT, EpsilonGreedy(np.zeros(4).tolist()))
    session.epsilon = 1.0
    assert (session.score.lives, pong(steps=1).session.score.lives) == (5, None)
    while session.score.lives == 5:
        session.step()
    assert session.score.lives == 4
    facts = ScorePanel()._facts(session)
    assert facts[0] == ("4 lives", "8 lives", Theme.text)


def test_an_agent_for_other_frames_is_rejected() -> None:
    class Picky(Known):
        def act(self, obs: Any, epsilon: float, rng: Any) -> Any:
            return super().act(obs.reshape(-1, 4, 84, 84), epsilon, rng)

    with pytest.raises(UserError, match=r"does not fit ALE/Pong-v5: 4x42x42 observations, 6 actions"):
        session_of(PONG, Picky(range(6)), frame_size=42)
    with pytest.raises(UserError, match="18 actions"):
        session_of(BOXING, Known(range(6)))


# the picture


@pytest.mark.parametrize(("size", "shown"), [(84, 84), (42, 84), (64, 92)])
def test_the_networks_frames_are_shown_unchanged(size: int, shown: int) -> None:
    view = pong(steps=30, frame_size=size)
    panel, area = place_of(view, SeenPanel)
    seen = picture(drawn(view))
    stack = view.session.stack()
    assert stack is not None
    places = panel.places(area, 4)
    assert places[0].x == area.x + 16
    assert places[-1].right <= area.right - 16  # the newest is on the right
    for frame, place in zip(stack, places, strict=True):
        left, top = round(place.x + (place.w - shown) / 2), round(place.y + (place.h - shown) / 2)
        found = seen[top : top + shown, left : left + shown]
        if shown % size == 0:
            grey = frame.repeat(shown // size, 0).repeat(shown // size, 1)
            assert np.array_equal(found, np.repeat(grey[..., None], 3, axis=2))
        else:
            assert abs(float(found.mean()) - float(frame.mean())) < 4.0  # smoothscale rounds down


def test_vector_observations_have_no_frames() -> None:
    view = view_of(session_in(policy=Known((0.0, 1.0, 2.0, 3.0))))
    assert SeenPanel().height(view) == 0
    assert not any(isinstance(panel, SeenPanel) for panel, _ in screen.layout(view).panels)


@pytest.mark.parametrize("env_id", [PONG, AIR_RAID])  # 210 and 250 lines
def test_the_screen_has_the_shape_of_a_television(env_id: str) -> None:
    session = session_of(env_id, NoQValues(range(6)))
    for _ in range(60):
        session.step()
    view = view_of(session, env_id)
    seen, game = picture(drawn(view)), session.picture()
    assert game is not None
    x, y, width, height = (round(value) for value in screen.layout(view).world)
    assert width / height == 4 / 3
    shown = seen[y : y + height, x : x + width]
    # the middle of every pixel has its own colour, at most tinted by its neighbours'
    lines = ((np.arange(len(game)) + 0.5) * height / len(game)).astype(int)
    each, rest = divmod(width, 160)
    assert rest == 0
    off = np.abs(shown[lines][:, each // 2 :: each].astype(int) - game)
    assert np.count_nonzero(off.max(-1) > 8) == 0


def test_pixels_are_sharp_and_of_one_size() -> None:
    board = np.indices((7, 4)).sum(0)[..., None].repeat(3, 2).astype(np.uint8) % 2 * 200
    whole = picture(enlarge(to_surface(board), (12, 21)))
    assert np.array_equal(whole, board.repeat(3, 0).repeat(3, 1))
    between = picture(enlarge(to_surface(board), (12, 17)))[:, 0, 0].astype(float)
    assert between.shape == (17,)
    runs = [np.abs(between - level).mean() for level in (0, 200)]
    assert abs(runs[0] - 100) < 20  # dark and light have equal shares, as on the board
    assert fit_whole((84, 84), (92, 92)) == (84, 84)
    assert fit_whole((84, 84), (147, 150)) == (147, 147)  # 84 would leave half of it empty
    assert fit_whole((84, 84), (46, 46)) == (46, 46)


def test_pictures_are_scaled_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from viewer.panels import seen, world

    made: list[tuple[int, int]] = []

    def counting(image: pygame.Surface, size: tuple[int, int]) -> pygame.Surface:
        made.append(size)
        return enlarge(image, size)

    monkeypatch.setattr(world, "enlarge", counting)
    monkeypatch.setattr(seen, "enlarge", counting)
    view = pong()
    first, again = drawn(view), drawn(view)
    assert sorted(made) == [(84, 84)] * 4 + [(800, 600)]
    assert pygame.image.tobytes(first, "RGB") == pygame.image.tobytes(again, "RGB")
    view.session.step()
    drawn(view)
    assert len(made) == 10


def test_the_panels_fit_with_six_and_with_eighteen_actions() -> None:
    for view in (pong(), view_of(session_of(BOXING, Known(range(18))), BOXING)):
        _, score = place_of(view, ScorePanel)
        assert score.h >= 130  # it keeps its curve
        panel, area = place_of(view, QBarsPanel)
        assert panel.row(view) > 16
        assert panel.row_area(area, view.session.num_actions - 1, view).right <= area.right


def test_the_protocol_is_shown() -> None:
    view = pong()
    plain = pygame.image.tobytes(drawn(view), "RGB")
    view.protocol = "machado2018"
    assert pygame.image.tobytes(drawn(view), "RGB") != plain


# a stalled game


def test_breakout_without_a_serve_is_stalled_after_ten_seconds_and_pong_is_not() -> None:
    session = session_of(BREAKOUT, Known((1.0, 0.0, 0.0, 0.0)), sticky=0.0)
    view = view_of(session, BREAKOUT)
    session.advance(9.9)
    assert not session.stalled
    session.advance(0.2)
    assert session.stalled
    hint = pygame.image.tobytes(drawn(view), "RGB")
    view.human_control.press("space")
    session.step()
    view.human_control.update(0.0)
    session.step()
    assert session.history[-1].by_human
    view.human_control.release("space")
    session.advance(2.0)
    assert not session.stalled  # the ball flies
    assert pygame.image.tobytes(drawn(view), "RGB") != hint
    assert not pong(steps=200).session.stalled
    session.restart()
    assert not session.stalled


@pytest.mark.parametrize(
    ("frames", "reward", "stalled"),
    [
        (1, 0.0, True),
        (MAX_STALLED_FRAMES, 0.0, True),
        (MAX_STALLED_FRAMES + 1, 0.0, False),
        (1, 1.0, False),
    ],
)
def test_what_counts_as_stalled(frames: int, reward: float, stalled: bool) -> None:
    detector = StallDetector(1 / 15)
    for step in range(200):
        detector.add(np.array([step % frames], np.float32), reward if step == 60 else 0.0)
        assert not (detector.stalled and step < 149)
    assert detector.stalled == stalled
    detector.clear()
    assert not detector.stalled


def test_the_hint_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_texts: list[str] = []
    monkeypatch.setattr(
        "viewer.drawing.canvas.Canvas.text", lambda self, x, y, text, *rest, **more: drawn_texts.append(text)
    )
    view = pong()
    canvas = Canvas(pygame.Surface((10, 10)), Fonts(), (10, 10))
    overlays.draw_hint(canvas, screen.layout(view).world, view)
    view.session.take_over()
    overlays.draw_hint(canvas, screen.layout(view).world, view)
    assert drawn_texts == [
        "Nothing has happened for 10 s: the agent seems to be stuck. Press space to fire, or restart with a larger"
        " --epsilon (now 0).",
        "Nothing has happened for 10 s; space fires.",
    ]


# the keys


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Iterator[Window]:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    opened = Window(pong(best=3, sticky=0.0))
    yield opened
    pygame.display.quit()


def test_arrows_and_space_take_over_and_space_does_not_pause(window: Window) -> None:
    session = window.view.session
    surface = pygame.display.get_surface()
    assert surface is not None
    width, height = screen.layout(window.view).size
    assert surface.get_width() / surface.get_height() == pytest.approx(width / height, rel=0.01)
    window.frame(0.07)
    assert session.action_names[session.history[-1].action] == "left"
    for code in (pygame.K_UP, pygame.K_SPACE):
        pygame.event.post(key(pygame.KEYDOWN, code))
    window.frame(0.07)
    assert (session.control, session.paused) == (HUMAN, False)
    assert session.action_names[session.history[-1].action] == "rightfire"
    pygame.event.post(key(pygame.KEYUP, pygame.K_UP))
    window.frame(0.07)
    assert session.action_names[session.history[-1].action] == "fire"
    pygame.event.post(key(pygame.KEYUP, pygame.K_SPACE))
    window.frame(0.07)
    assert session.action_names[session.history[-1].action] == "noop"
    pygame.event.post(key(pygame.KEYDOWN, pygame.K_RETURN))
    window.frame(0.0)
    assert session.control == AGENT
    pygame.event.post(key(pygame.KEYDOWN, pygame.K_p))
    window.frame(0.2)
    assert session.paused


def test_a_tap_between_two_steps_is_not_lost(window: Window) -> None:
    session = window.view.session
    window.frame(0.01)
    pygame.event.post(key(pygame.KEYDOWN, pygame.K_SPACE))
    window.frame(0.01)
    pygame.event.post(key(pygame.KEYUP, pygame.K_SPACE))
    window.frame(0.01)
    assert session.score.steps == 0
    window.frame(0.05)
    assert session.action_names[session.history[-1].action] == "fire"


def test_a_human_alone_has_noop_without_keys_from_the_first_step() -> None:
    session = session_of(BREAKOUT)
    view = view_of(session, BREAKOUT, locked=True)
    view.human_control.update(0.0)
    session.step()
    assert session.action_names[session.history[0].action] == "noop"
    rows = overlays.help_rows(view)
    assert ("space", "fire") in rows
    assert ("P", "pause, resume") in rows
    view.help = True
    drawn(view)


# films


def test_a_film_is_what_the_window_shows(tmp_path: Path) -> None:
    view = pong(best=2)
    assert record.record(view, tmp_path / "a.png", steps=30) == 1
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == screen.layout(view).size
        assert np.array_equal(np.asarray(image), picture(drawn(view)))


def test_gif_and_mp4_of_a_game(tmp_path: Path) -> None:
    view = pong(best=2)
    record.record(view, tmp_path / "a.gif", steps=12, size=SMALL)
    with Image.open(tmp_path / "a.gif") as film:
        frames = film.n_frames  # type: ignore[attr-defined]
        assert 13 <= frames <= 15  # 12 steps of 67 ms in frames of 60 ms
        film.seek(frames - 1)
        last = np.asarray(film.convert("RGB")).astype(int)
    assert np.abs(last - picture(drawn_at(view, SMALL))).mean() < 1.5
    pytest.importorskip("imageio_ffmpeg")
    view.session.total_steps = 0
    assert record.record(view, tmp_path / "a.mp4", steps=5, size=SMALL) in (10, 11)  # two frames a step
