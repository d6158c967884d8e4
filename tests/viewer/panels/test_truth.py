from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pygame
import pytest
from numpy.typing import NDArray

from learning.policy import Training
from tests.viewer.helpers import Q4, EpsilonGreedy, Known, NoQValues, color_at, session_in, view_of
from viewer.drawing.canvas import Area, Canvas, Fonts
from viewer.drawing.theme import Theme
from viewer.panels.plots import BAND
from viewer.panels.truth import TruthPanel, moment_text, samples_of, stretch_of, verdict
from viewer.playing.calibration import Calibration
from viewer.playing.session import Session
from viewer.view import View

AREA = Area(12, 12, 344, 176)
PANEL = TruthPanel()
ZONE = PANEL.zone(AREA)


class Trained(Known):
    """Has a discount."""

    def __init__(self, q: Sequence[float] = Q4, gamma: float = 0.9) -> None:
        super().__init__(q)
        self.training = Training(gamma=gamma)


class SometimesNan(Trained):
    """Expects NaN at every third observation."""

    def __init__(self) -> None:
        super().__init__()
        self._asked = 0

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64] | None:
        self._asked += 1
        return np.full((len(obs), 4), math.nan) if self._asked % 3 == 0 else super().q_values(obs)

    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        return np.ones(len(obs), np.int64)


def played(steps: int, policy: Known | None = None, **options: Any) -> Session:
    session = session_in(policy=policy or Trained(), **options)
    for _ in range(steps):
        session.step()
    return session


def drawn(view: View, area: Area = AREA, scale: float = 1.0) -> pygame.Surface:
    size = (area.right + 12, area.bottom + 12)
    surface = pygame.Surface((round(size[0] * scale), round(size[1] * scale)), depth=24)
    surface.fill(Theme.background)
    canvas = Canvas(surface, Fonts(), size)
    PANEL.draw(canvas, area, view)
    return surface


def columns(surface: pygame.Surface, color: tuple[int, int, int], top: float, bottom: float) -> list[int]:
    """Return the x of the columns that have a colour between two heights."""
    pixels = pygame.surfarray.array3d(surface)[:, round(top) : round(bottom)]
    return [int(x) for x in np.flatnonzero((pixels == color).all(-1).any(1))]


def rows(surface: pygame.Surface, color: tuple[int, int, int], zone: Area) -> list[int]:
    """Return the y of the pixels of a colour in a plot."""
    box = pygame.Rect(round(zone.x), round(zone.y), round(zone.w), round(zone.h))
    pixels = pygame.surfarray.array3d(surface.subsurface(box))
    return [int(y) + box.y for y in np.nonzero((pixels == color).all(-1))[1]]


# the moments in the plot


def test_the_newest_moments_are_shown_or_else_the_page_with_the_cursor() -> None:
    timeline = played(1000).timeline
    stretch = stretch_of(timeline, 150.0, 0.9)  # a hundred points; a return is known after 44 steps
    assert (stretch.first, stretch.stride, stretch.points) == (901, 1, 100)
    timeline.to(901)
    assert stretch_of(timeline, 150.0, 0.9) == stretch
    timeline.to(900)
    assert stretch_of(timeline, 150.0, 0.9).first == 801
    timeline.to(0)
    assert stretch_of(timeline, 150.0, 0.9).first == 0


def test_a_larger_gamma_has_a_longer_plot() -> None:
    timeline = played(1000).timeline
    stretch = stretch_of(timeline, 150.0, 0.99)  # known after 458 steps: 917 shown
    assert (stretch.stride, stretch.points) == (10, 100)
    assert all(number % 10 == 0 for number in stretch.kept(timeline))
    assert stretch.kept(timeline)[-1] == 1000
    assert 2900 <= stretch_of(timeline, 150.0, 1.0).span <= 3000
    assert stretch_of(timeline, 150.0, 0.0).stride == 1


@pytest.mark.parametrize("gamma", [0.9, 0.99])
def test_a_click_anywhere_leads_to_the_moment_drawn_there(gamma: float) -> None:
    view = view_of(played(1200, Trained(gamma=gamma)))
    view.session.paused = True
    stretch = stretch_of(view.session.timeline, ZONE.w, gamma)
    for x in np.linspace(ZONE.x, ZONE.right - 1, 20):
        view.session.timeline.to_live()
        assert PANEL.press(view, AREA, float(x), ZONE.y + 20) is not None
        timeline = view.session.timeline
        assert stretch_of(timeline, ZONE.w, gamma) == stretch  # the page stays
        assert stretch.x(ZONE, timeline.cursor) == pytest.approx(x, abs=ZONE.w / stretch.span)


# what is drawn


def test_the_line_is_at_the_expectation_and_the_dots_at_the_actual_return() -> None:
    session = played(300, Trained((0.0, 3.0, 0.0, 0.0)))
    truth = session.truth
    assert truth is not None
    stretch = stretch_of(session.timeline, ZONE.w, 0.9)
    samples = samples_of(session.timeline, truth, stretch)
    assert np.nanmax(np.abs(samples.expected - 3.0)) == 0.0
    known = ~np.isnan(samples.actual)
    pairs = [truth.pair(number) for number in np.asarray(samples.numbers)[known]]
    assert samples.actual[known].tolist() == [pair.realised for pair in pairs if pair is not None]
    assert set(np.asarray(samples.numbers)[~np.isnan(samples.so_far)]) == {pair.number for pair in truth.open()}

    surface = drawn(view_of(session))
    scale = samples.scale
    assert scale.low <= 0.0 < 3.0 <= scale.high
    y = ZONE.bottom - scale.place(3.0) * ZONE.h
    assert max(rows(surface, Theme.agent, ZONE)) - y < 4
    assert y - min(rows(surface, Theme.agent, ZONE)) < 3
    here = next(k for k in np.flatnonzero(known) if samples.numbers[k] % 2 == 0 and abs(samples.actual[k] - 3.0) > 0.3)
    x, y = stretch.x(ZONE, samples.numbers[here]), ZONE.bottom - scale.place(float(samples.actual[here])) * ZONE.h
    assert color_at(surface, x - 0.5, y - 0.5) == Theme.text


def test_returns_that_are_not_complete_are_pale() -> None:
    session = played(120, Trained(gamma=0.999))
    assert not rows(drawn(view_of(session)), Theme.text, ZONE)
    assert rows(drawn(view_of(session)), Theme.edge, ZONE)
    session.restart()
    assert rows(drawn(view_of(session)), Theme.text, ZONE)


def test_human_steps_have_an_orange_band() -> None:
    session = played(60)
    assert not columns(drawn(view_of(session)), Theme.human, ZONE.bottom, ZONE.bottom + BAND)
    session.take_over()
    for _ in range(40):
        session.step()
    session.hand_back()
    for _ in range(60):
        session.step()
    stretch = stretch_of(session.timeline, ZONE.w, 0.9)
    found = columns(drawn(view_of(session)), Theme.human, ZONE.bottom, ZONE.bottom + BAND)
    assert found[0] == pytest.approx(stretch.x(ZONE, 60), abs=1.1)
    assert found[-1] == pytest.approx(stretch.x(ZONE, 100), abs=2.1)
    assert len(found) == found[-1] - found[0] + 1


def test_the_line_breaks_where_an_episode_ends() -> None:
    session = played(80)
    session.restart()
    for _ in range(50):
        session.step()
    surface = drawn(view_of(session))
    stretch = stretch_of(session.timeline, ZONE.w, 0.9)
    border, end = stretch.x(ZONE, 81), stretch.x(ZONE, 80)
    high = round(ZONE.y + ZONE.h * 0.8)  # below line and dots
    assert Theme.edge in [color_at(surface, border + dx, high) for dx in (-1, 0, 1)]
    blue = columns(surface, Theme.agent, ZONE.y, ZONE.bottom)
    assert [(a, b) for a, b in pairwise(blue) if b - a > 1 and a < end < b] == [(181, 184)]


def test_the_cursor_is_a_dark_line_with_the_numbers_of_its_moment() -> None:
    session = played(200)
    view = view_of(session)
    live = drawn(view)
    session.paused = True
    session.timeline.to(150)
    past = drawn(view)
    x = stretch_of(session.timeline, ZONE.w, 0.9).x(ZONE, 150)
    assert color_at(past, x, ZONE.y - 3) == Theme.text
    assert color_at(live, x, ZONE.y - 3) == Theme.card
    truth = session.truth
    assert truth is not None
    pair = truth.pair(150)
    assert pair is not None
    assert moment_text(session.timeline[150], truth)[0].startswith("here: expected +2.00 · actual ")
    assert f"{abs(pair.realised):.2f}" in moment_text(session.timeline[150], truth)[0]
    assert "so far" in moment_text(session.timeline[199], truth)[0]
    assert moment_text(session.timeline[200], truth)[0] == "here: no action"


def test_what_is_not_measured_names_the_cause() -> None:
    session = played(5, EpsilonGreedy(Q4))
    session.change_policy(Trained())
    session.take_over()
    session.human_action = 2
    session.step()
    assert session.truth is not None
    assert moment_text(session.timeline[5], session.truth)[0] == "here: expected +1.00 · not measured: you acted"
    session.human_action = None
    session.step()
    assert moment_text(session.timeline[6], session.truth)[0] == "here: no expectation · not measured: you acted"


def test_the_verdict_in_words() -> None:
    assert verdict(Calibration(10, 0.3, 0.123, 0.0)) == "expects 0.12 too much"
    assert verdict(Calibration(10, 0.3, -0.567, 0.0)) == "expects 0.57 too little"
    assert verdict(Calibration(10, 0.3, 0.001, 0.0)) == "well calibrated"
    assert verdict(Calibration(0, math.nan, math.nan, math.nan)) == "nothing to compare yet"


# clicks


def test_a_drag_follows_the_mouse_and_pauses() -> None:
    view = view_of(played(500))
    stretch = stretch_of(view.session.timeline, ZONE.w, 0.9)
    drag = PANEL.press(view, AREA, ZONE.x + 100, ZONE.y + 10)
    assert drag is not None
    assert view.game.paused
    before = view.session.timeline.cursor
    assert before == stretch.number(ZONE, ZONE.x + 100)
    drag(ZONE.x + 40, ZONE.y + 500)
    assert view.session.timeline.cursor == stretch.number(ZONE, ZONE.x + 40) < before
    drag(ZONE.x - 60, ZONE.y)  # further back than the page goes
    assert view.session.timeline.cursor < stretch.first
    drag(ZONE.right + 99, ZONE.y)
    assert view.session.timeline.live


def test_clicks_beside_the_plot_do_nothing() -> None:
    view = view_of(played(50))
    assert PANEL.press(view, AREA, ZONE.x + 50, AREA.y + 20) is None
    assert not view.game.paused
    mute = view_of(played(50, NoQValues(Q4)))
    assert PANEL.press(mute, AREA, ZONE.x + 50, ZONE.y + 20) is None


# special cases


def test_without_a_meter_the_reason_is_shown() -> None:
    assert PANEL.why_not(view_of(session_in(policy=NoQValues(Q4)))) == "this player has no Q values: it expects nothing"
    assert "discount" in PANEL.why_not(view_of(session_in(policy=Known(Q4))))
    assert PANEL.why_not(view_of(session_in(policy=Trained()))) == ""
    surface = drawn(view_of(session_in(policy=Known(Q4))))
    assert columns(surface, Theme.soft, AREA.y + 38, AREA.y + 52)  # the line of text
    assert not columns(surface, Theme.track, ZONE.y, ZONE.bottom)  # and no axis


def test_there_is_no_panel_without_a_player_that_expects_something() -> None:
    assert PANEL.height(view_of(session_in())) == 0.0
    assert PANEL.height(view_of(session_in(policy=NoQValues(Q4)))) == 0.0
    assert PANEL.height(view_of(session_in(policy=Known(Q4)))) > 0


@pytest.mark.parametrize(
    "policy", [Trained(), SometimesNan(), Trained((math.nan,) * 3 + (1.0,)), Trained((math.inf, 0, 0, 0))]
)
@pytest.mark.parametrize("steps", [0, 1, 2, 30])
def test_it_draws_any_history(policy: Trained, steps: int) -> None:
    view = view_of(played(steps, policy))
    drawn(view)
    view.session.paused = True
    view.session.timeline.to(0)
    drawn(view)


def test_the_line_has_gaps_at_nan() -> None:
    session = played(90, SometimesNan())
    assert session.truth is not None
    samples = samples_of(session.timeline, session.truth, stretch_of(session.timeline, ZONE.w, 0.9))
    gaps = np.isnan(samples.expected[:-1])
    assert 10 < gaps.sum() < 80
    assert np.isfinite([samples.scale.low, samples.scale.high]).all()


@pytest.mark.parametrize("scale", [1.0, 1.25, 2.0])
@pytest.mark.parametrize("width", [300.0, 344.0, 700.0])
def test_nothing_is_drawn_outside_the_card(scale: float, width: float) -> None:
    session = played(400, Trained((0.0, 123456.0, 0.0, -99999.0)))
    view, area = view_of(session), Area(12, 12, width, 176)
    for cursor in (None, 200):
        if cursor is not None:
            session.paused = True
            session.timeline.to(cursor)
        surface = drawn(view, area, scale)
        edge = round(area.inset(5).x * scale)
        pixels = pygame.surfarray.array3d(surface)
        inner = pixels[round((area.x + 2) * scale) : edge, round(30 * scale) : round(160 * scale)]
        assert (inner == Theme.card).all()
        right = pixels[round(area.inset(5).right * scale) : round((area.right - 2) * scale)]
        assert (right[:, round(30 * scale) : round(160 * scale)] == Theme.card).all()


def test_it_is_redrawn_only_after_new_steps() -> None:
    view = view_of(played(100))
    drawn(view)
    cached = view._cache["truth"][1]
    drawn(view)
    assert view._cache["truth"][1] is cached
    for _ in range(10):
        view.session.step()
    drawn(view)
    assert view._cache["truth"][1] is not cached
