from __future__ import annotations

import math

import numpy as np
import pygame
import pytest

from tests.viewer.helpers import CARTPOLE, Q4, Known, color_at, session_in, view_of
from viewer.drawing.canvas import MINUS, Area, Canvas, Fonts
from viewer.drawing.theme import Theme
from viewer.panels.plots import BAND, Scale, runs, signed, steps_between
from viewer.panels.rewards import (
    BAR,
    EARLY,
    Curve,
    RewardsPanel,
    curve_of,
    episodes_text,
    per_step,
)
from viewer.playing.timeline import Score, Timeline
from viewer.view import View

AREA = Area(12, 12, 344, 176)
PANEL = RewardsPanel()


def drawn(view: View, area: Area = AREA, scale: float = 1.0) -> pygame.Surface:
    size = (area.right + 12, area.bottom + 12)
    surface = pygame.Surface((round(size[0] * scale), round(size[1] * scale)), depth=24)
    surface.fill(Theme.background)
    PANEL.draw(Canvas(surface, Fonts(), size), area, view)
    return surface


def timeline_of(rewards: list[float], human: range = range(0), capacity: int = 5000) -> Timeline:
    timeline = Timeline(capacity)
    timeline.begin()
    for step, reward in enumerate(rewards):
        timeline.arrive(np.zeros(1), 0, step)
        timeline.act(0, reward, by_human=step in human)
    timeline.arrive(np.zeros(1), 0, len(rewards))
    return timeline


def view_with(rewards: list[float], human: range = range(0)) -> View:
    view = view_of(session_in(policy=Known(Q4)))
    view.session.timeline = timeline_of(rewards, human)
    return view


def columns(surface: pygame.Surface, color: tuple[int, int, int], zone: Area) -> list[int]:
    box = pygame.Rect(round(zone.x), round(zone.y), round(zone.w), round(zone.h))
    pixels = pygame.surfarray.array3d(surface.subsurface(box))
    return [int(x) + box.x for x in np.flatnonzero((pixels == color).all(-1).any(1))]


# the numbers


def test_the_mean_is_over_the_last_steps() -> None:
    rewards = [float(k % 7) for k in range(300)]
    mean, human = curve_of(timeline_of(rewards, range(250, 300)), smooth=120)
    assert len(mean) == len(human) == 300 - EARLY + 1
    assert mean[0] == pytest.approx(sum(rewards[:EARLY]) / EARLY)  # over all steps so far
    assert mean[-1] == pytest.approx(sum(rewards[-120:]) / 120)
    assert human.sum() == 50
    assert human[-50:].all()


def test_once_old_steps_are_dropped_it_starts_with_a_full_mean() -> None:
    rewards = [float(k) for k in range(400)]
    mean, _ = curve_of(timeline_of(rewards, capacity=301), smooth=200)
    assert len(mean) == 101
    assert mean[0] == pytest.approx(sum(rewards[100:300]) / 200)


def test_nan_and_infinity_count_as_no_reward() -> None:
    mean, _ = curve_of(timeline_of([math.nan] * 50 + [math.inf] * 50 + [1.0] * 100))
    assert mean[-1] == pytest.approx(0.5)


def test_too_few_steps_have_no_mean() -> None:
    assert len(curve_of(timeline_of([1.0] * (EARLY - 1))).mean) == 0
    drawn(view_with([1.0] * (EARLY - 1)))
    drawn(view_with([1.0] * EARLY))
    assert isinstance(curve_of(timeline_of([])), Curve)


# the picture


def test_the_curve_rises_with_the_mean_and_the_axis_has_zero() -> None:
    view = view_with([0.0] * 600 + [1.0] * 600)
    zone = PANEL.zone(AREA, view.session)
    surface = drawn(view)
    pixels = pygame.surfarray.array3d(surface)
    blue = (pixels == Theme.agent).all(-1)

    def height_at(share: float) -> float:
        """Return the value of the curve there, by the axis from 0 to 1."""
        x = round(zone.x + share * zone.w)
        return (zone.bottom - float(np.flatnonzero(blue[x]).mean())) / zone.h

    # from step 100 to 1200; the mean of 500 climbs from 0 at step 600 to 1 at step 1100
    assert height_at(0.2) == pytest.approx(0.0, abs=0.03)
    assert height_at((850 - 100) / 1100) == pytest.approx(0.5, abs=0.05)
    assert height_at(0.96) == pytest.approx(1.0, abs=0.03)


def test_human_steps_are_orange() -> None:
    view = view_with([1.0] * 1100, range(600, 850))
    zone = PANEL.zone(AREA, view.session)
    surface = drawn(view)
    curve = columns(surface, Theme.human, zone)
    band = columns(surface, Theme.human, Area(zone.x, zone.bottom, zone.w, BAND))
    for found in (curve, band):
        assert found[0] == pytest.approx(zone.x + 0.5 * zone.w, abs=2)  # step 600 of 100 to 1100
        assert found[-1] == pytest.approx(zone.x + 0.75 * zone.w, abs=2)
    blue = columns(surface, Theme.agent, zone)
    assert not set(range(curve[2], curve[-2])) & set(blue)


def test_an_episode_is_a_bar_as_high_as_its_return() -> None:
    view = view_with([0.0] * 200)
    view.session.results.extend(Score(k, k, value, 100) for k, value in enumerate((10.0, 5.0, 20.0)))
    strip = PANEL.strip(AREA)
    surface = drawn(view)
    tall = []
    for place in range(3):
        x = strip.x + place * BAR + 3
        tall.append(sum(color_at(surface, x, y) == Theme.agent for y in range(round(strip.y), round(strip.bottom))))
    assert tall == pytest.approx([strip.h / 2, strip.h / 4, strip.h], abs=1.1)
    assert color_at(surface, strip.x + 3 * BAR + 3, strip.bottom - 4) == Theme.card


def test_a_bar_is_orange_by_the_share_of_human_steps() -> None:
    view = view_with([0.0] * 200)
    view.session.results.append(Score(0, 0, 8.0, 100, human_steps=25))
    strip = PANEL.strip(AREA)
    surface = drawn(view)
    column = [color_at(surface, strip.x + 3, y) for y in range(round(strip.y), round(strip.bottom))]
    assert column.count(Theme.human) == pytest.approx(strip.h / 4, abs=1.1)
    assert column.count(Theme.agent) == pytest.approx(strip.h * 3 / 4, abs=1.1)


def test_negative_returns_are_below_the_zero_line() -> None:
    view = view_with([-1.0] * 200)
    view.session.results.extend([Score(0, 0, -21.0, 100), Score(1, 1, 21.0, 100)])
    strip = PANEL.strip(AREA)
    surface = drawn(view)
    middle = strip.y + strip.h / 2
    assert color_at(surface, strip.x + 3, middle + 8) == Theme.agent
    assert color_at(surface, strip.x + 3, middle - 8) == Theme.card
    assert color_at(surface, strip.x + BAR + 3, middle - 8) == Theme.agent


def test_many_episodes_fit() -> None:
    view = view_with([0.0] * 200)
    view.session.results.extend(Score(k, k, float(k % 5), 100) for k in range(1000))
    strip = PANEL.strip(AREA)
    found = columns(drawn(view), Theme.agent, strip)
    assert found[0] == pytest.approx(strip.x, abs=4)
    assert strip.right - 6 < found[-1] <= strip.right


def test_episodes_leave_less_room_for_the_curve() -> None:
    session = session_in(policy=Known(Q4))
    before = PANEL.zone(AREA, session)
    session.results.append(Score(0, 0, 1.0, 10))
    assert PANEL.zone(AREA, session).bottom < PANEL.strip(AREA).y - 10 < before.bottom


# the text


def test_numbers_as_text() -> None:
    assert per_step(0.02345) == "+0.023"
    assert per_step(-1.0) == f"{MINUS}1"
    assert per_step(0.0) == "0"
    assert episodes_text(1, -3.0) == f"return of one episode: {MINUS}3"
    assert episodes_text(1200, -3.25) == f"return of 1,200 episodes, mean {MINUS}3.2"
    assert [signed(value) for value in (1.234, -12.34, 123.4)] == ["+1.23", f"{MINUS}12.3", "+123"]


@pytest.mark.parametrize(
    ("low", "high", "parts", "expected"),
    [
        (0.0, 3.1, 4, (0.0, 4.0, 1.0)),
        (-0.1, 3.1, 4, (-1.0, 4.0, 1.0)),
        (0.0, 0.05, 2, (0.0, 0.05, 0.05)),  # 0.025 a step: the next round one is 0.05
        (-21.0, 21.0, 4, (-40.0, 40.0, 20.0)),
        (0.0, 0.0, 4, (0.0, 1.0, 0.5)),
    ],
)
def test_an_axis_has_round_ends(low: float, high: float, parts: int, expected: tuple[float, float, float]) -> None:
    scale = Scale.around(low, high, parts)
    assert scale.place(scale.high) == 1.0
    assert scale.ticks()[0] == scale.low
    assert scale.ticks()[-1] == pytest.approx(scale.high)
    assert tuple(scale) == pytest.approx(expected)


def test_ticks_have_the_digits_that_they_need() -> None:
    assert [Scale(0, 1, 0.5).label(value) for value in (0.0, 0.5, -1.0)] == ["0", "0.5", f"{MINUS}1.0"]
    assert Scale(0, 0.02, 0.01).label(0.02) == "0.02"
    assert Scale(0, 300, 100).label(300) == "300"
    assert Scale(0, 3e5, 5e4).label(1.5e5) == "150k"
    assert Scale(0, 3e-5, 1e-5).label(2e-5) == f"2e{MINUS}5"


def test_runs_of_marked_entries() -> None:
    assert runs(np.array([1, 1, 0, 1], bool)) == [(0, 2), (3, 4)]
    assert runs(np.zeros(3, bool)) == runs(np.zeros(0, bool)) == []


# how often


def test_it_is_drawn_a_few_times_a_second_and_in_a_pause_after_every_step() -> None:
    session = session_in(policy=Known(Q4))
    assert steps_between(session, 4.0) == 9  # of 33 a second
    session.speed = 50.0
    assert steps_between(session, 4.0) == 400
    session.speed = math.inf
    assert steps_between(session, 4.0) == 400
    session.speed = 1.0
    view = view_of(session)
    pictures = set()
    for _ in range(90):
        session.step()
        drawn(view)
        pictures.add(id(view._cache["rewards"]))
    assert len(pictures) <= 12
    session.paused = True
    drawn(view)
    cached = view._cache["rewards"][1]
    session.step()
    drawn(view)
    assert view._cache["rewards"][1] is not cached


def test_finished_episodes_are_drawn() -> None:
    session = session_in(CARTPOLE, Known((0.0, 1.0)))
    view = view_of(session, CARTPOLE)
    while len(session.results) < 15:
        session.step()
    drawn(view)
    assert columns(drawn(view), Theme.agent, PANEL.strip(AREA))


@pytest.mark.parametrize("scale", [1.0, 1.25, 2.0])
def test_nothing_is_drawn_outside_the_card(scale: float) -> None:
    view = view_with([123456.0] * 700 + [-99999.0] * 700, range(500, 900))
    view.session.results.extend(Score(k, k, -1234567.8, 100) for k in range(30))
    surface = drawn(view, AREA, scale)
    pixels = pygame.surfarray.array3d(surface)
    tall = slice(round(30 * scale), round(160 * scale))
    assert (pixels[round((AREA.x + 2) * scale) : round((AREA.x + 5) * scale), tall] == Theme.card).all()
    assert (pixels[round((AREA.right - 5) * scale) : round((AREA.right - 2) * scale), tall] == Theme.card).all()
