"""Inputs as bars and activations as cells, for known observations and layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pygame
import pytest
from numpy.typing import NDArray

import envs
from agents.karpathy import Dense
from learning.insight import Insight, Neuron
from learning.policy import Training
from tests.viewer.helpers import CARTPOLE, Q4, RLDEMO, Known, NoQValues, color_at, session_in, view_of
from viewer.drawing import water
from viewer.drawing.canvas import Area, Canvas, Fonts
from viewer.drawing.theme import Color, Theme
from viewer.panels import View
from viewer.panels.base import Panel
from viewer.panels.inputs import LABEL, inputs_height, lanes_in, names_width, row_zone, sizes_of
from viewer.panels.pieces import Identity, cell, cell_at, grid_for, scaled, signed, tint, wrapped
from viewer.panels.senses import SensesPanel, active_text
from viewer.playing.session import Session

APPLE, POISON, GREY = (255, 150, 150), (150, 255, 150), (200, 200, 200)
UNUSED_COLOR = (255, 0, 255)  # no panel draws it
PLACE = Area(12, 12, 340, 500)


class Thinking(Known):
    """Has given Q values and layers that can be inspected."""

    name = "thinking"

    def __init__(self, q: Sequence[float], *layers: Dense, training: Training | None = None) -> None:
        super().__init__(q)
        self.layers, self.training = list(layers), training


def dense(weight: Any, activation: str | None = None, bias: Any = None) -> Dense:
    weight = np.array(weight, np.float64)
    return Dense(weight, np.zeros(len(weight)) if bias is None else np.array(bias, np.float64), activation)


def thinking(units: int = 3, inputs: int = 152, actions: int = 4, **options: Any) -> Thinking:
    """Return a player whose unit k has the activation k: 0, 1, 2, ..."""
    first = dense(np.zeros((units, inputs)), "relu", np.arange(units))
    return Thinking((*Q4, 0.0)[:actions], first, dense(np.ones((actions, units))), **options)


def see(view: View, obs: Any) -> None:
    """Set the observation of the present moment."""
    view.session.timeline.current.stored_obs = np.array(obs, np.float32)


def painted(panel: Panel, view: View, area: Area = PLACE, scale: float = 1.0) -> pygame.Surface:
    """Return the panel drawn on a surface of its own."""
    size = (area.right + 12, area.bottom + 12)
    surface = pygame.Surface((round(size[0] * scale), round(size[1] * scale)), depth=24)
    surface.fill(UNUSED_COLOR)
    panel.draw(Canvas(surface, Fonts(), size), area, view)
    return surface


def fitting(panel: Panel, view: View, width: float = 340.0) -> Area:
    return Area(12, 12, width, panel.height(view))


def stays_inside(panel: Panel, view: View, area: Area, scale: float) -> bool:
    """Return whether no pixel outside the area was drawn."""
    surface = painted(panel, view, area, scale)
    surface.fill(UNUSED_COLOR, Canvas(surface, Fonts(), (area.right + 12, area.bottom + 12)).pixels(area))
    return bool((pygame.surfarray.array3d(surface) == UNUSED_COLOR).all())


@pytest.fixture
def drawn_texts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which every drawn line of text is added, as cut off as it was drawn."""
    found: list[str] = []
    draw = Canvas.text

    def record(self: Canvas, x: float, y: float, text: str, size: float = 13, *args: Any, **options: Any) -> float:
        width = options.get("width")
        pixels = max(6, round(size * self.scale))
        shown = text if width is None else self._fit(text, pixels, options.get("bold", False), width * self.scale)
        found.append(shown)
        return draw(self, x, y, text, size, *args, **options)

    monkeypatch.setattr(Canvas, "text", record)
    return found


def count(surface: pygame.Surface, area: Area, color: Color) -> int:
    """Return how many pixels of an area (at scale 1) have a colour."""
    pixels = pygame.surfarray.array3d(surface)
    part = pixels[round(area.x) : round(area.right), round(area.y) : round(area.bottom)]
    return int((part == color).all(-1).sum())


def far(eyes: int = 30, speeds: bool = True) -> NDArray[np.float64]:
    """Return the inputs of eyes that see nothing: (eyes, 5 or 3)."""
    return np.tile([1.0, 1.0, 1.0, 0.0, 0.0] if speeds else [1.0, 1.0, 1.0], (eyes, 1))


# the inputs


def lanes(panel: SensesPanel, view: View, area: Area = PLACE) -> tuple[Area, float, float]:
    """Return the lane of distances, and the middles of the two lanes of speeds."""
    place = panel.inputs_area(area, view)
    inputs = view.inspector.inputs()
    assert inputs is not None
    near, *speeds = (lane.area for lane in lanes_in(place, inputs, True))
    return near, speeds[0].y + speeds[0].h / 2, speeds[1].y + speeds[1].h / 2


def column_of(surface: pygame.Surface, near: Area, eye: int) -> list[Color]:
    """Return the colours from the top, along the left edge of an eye's bar, where no mark is."""
    x = round(near.x) + eye * round(near.w) // 30
    return [color_at(surface, x, y) for y in range(round(near.y), round(near.bottom))]


@pytest.mark.parametrize(
    ("kind", "color"), [(0, GREY), (1, water.RED), (2, water.GREEN)], ids=["wall", "apple", "poison"]
)
def test_the_nearer_the_higher_in_the_colour_of_the_thing(kind: int, color: Color) -> None:
    panel, view = SensesPanel(), view_of(session_in(policy=thinking()))
    eyes = far()
    eyes[7, kind] = 0.25
    see(view, [*eyes.ravel(), 0.0, 0.0])
    surface = painted(panel, view)
    near, _, _ = lanes(panel, view)
    seen = column_of(surface, near, 7)
    assert seen.count(color) == pytest.approx(0.75 * near.h, abs=1.5)
    assert seen[-1] == color  # the bar starts at the bottom
    for other in (6, 8):
        assert set(column_of(surface, near, other)) == {Theme.track}


def test_of_several_things_every_tip_is_visible() -> None:
    """As in optimised inputs: apple at a quarter, poison at half of the range."""
    panel, view = SensesPanel(), view_of(session_in(policy=thinking()))
    eyes = far()
    eyes[3, 1], eyes[3, 2] = 0.25, 0.5
    see(view, [*eyes.ravel(), 0.0, 0.0])
    near, _, _ = lanes(panel, view)
    seen = column_of(painted(panel, view), near, 3)
    assert seen.count(water.GREEN) == pytest.approx(0.5 * near.h, abs=1.5)
    assert seen.count(water.RED) == pytest.approx(0.25 * near.h, abs=1.5)


def test_speeds_are_bars_up_and_down() -> None:
    panel, view = SensesPanel(), view_of(session_in(policy=thinking()))
    eyes = far()
    eyes[10, 3], eyes[10, 4] = 1.0, -1.0
    see(view, [*eyes.ravel(), -1.0, 1.0])
    surface = painted(panel, view)
    near, first, second = lanes(panel, view)
    x, own = near.x + 10.5 * near.w / 30, near.right + 10 + 12
    found = [
        [color_at(surface, at, y + by) == Theme.agent for by in (-4, 4)]
        for at, y in ((x, first), (x, second), (own, first), (own, second))
    ]
    assert found == [[True, False], [False, True], [False, True], [True, False]]


def test_the_original_game_has_its_own_bounds_of_speed() -> None:
    view = view_of(session_in("tidepool/Waterworld-v0", thinking()))
    sizes = sizes_of(view, view.inspector.moment.obs)
    assert (sizes[3], sizes[4], sizes[150]) == (2.5, 2.5, 19.0)


def test_rldemo_has_the_colours_the_other_way_round() -> None:
    panel, view = SensesPanel(), view_of(session_in(RLDEMO, thinking(3, 27, 5)), RLDEMO)
    eyes = far(9, speeds=False)
    eyes[0, 1], eyes[1, 2] = 0.0, 0.0
    see(view, eyes.ravel())
    surface = painted(panel, view)
    place = panel.inputs_area(PLACE, view)
    wide = (place.w - LABEL) / 9
    assert color_at(surface, place.x + LABEL + 2, place.y + 20) == POISON  # green, as its apples are
    assert color_at(surface, place.x + LABEL + wide + 2, place.y + 20) == APPLE


def test_the_last_action_is_named(drawn_texts: list[str]) -> None:
    env = envs.make(RLDEMO, temporal_window=1)
    view = view_of(Session(env, thinking(3, 59, 5), action_names=envs.action_names(env)), RLDEMO)
    obs = np.ones(59)
    obs[54:] = 0.0
    obs[56] = 27.0
    see(view, obs)
    painted(SensesPanel(), view)
    assert "bear right" in drawn_texts
    assert {"straight", "bear left", "turn left"}.isdisjoint(drawn_texts)


def test_other_inputs_are_scaled_by_the_largest_so_far() -> None:
    panel, view = SensesPanel(), view_of(session_in(CARTPOLE, thinking(3, 4, 2)), CARTPOLE)
    see(view, [2.0, -4.0, 0.0, 1.0])
    painted(panel, view)
    view.session.step()
    see(view, [1.0, -4.0, 0.0, -0.5])
    surface = painted(panel, view)
    place = panel.inputs_area(PLACE, view)
    for number, (share, side) in enumerate([(0.5, 1), (1.0, -1), (0.0, 1), (0.5, -1)]):
        zone = row_zone(place, number, 4, names_width(view.inspector.inputs(), place))  # type: ignore[arg-type]
        middle = zone.x + zone.w / 2
        row = Area(place.x, round(zone.y + zone.h / 2), place.w, 1)
        lengths = [
            count(surface, row._replace(w=round(middle) - row.x), Theme.agent),
            count(surface, row._replace(x=round(middle), w=row.right - round(middle)), Theme.agent),
        ]
        ends = middle, middle + side * share * zone.w / 2
        full = round(max(ends)) - round(min(ends))
        # the line at zero covers the first pixel on its right
        assert lengths == ([full, 0] if side < 0 else [0, max(full - 1, 0)])
    assert inputs_height(view.inspector.inputs()) == 4 * 19  # type: ignore[arg-type]


# the activations


def strip_of(panel: SensesPanel, view: View, number: int = 0) -> Any:
    return panel.strips(PLACE, view)[number]


def middle(area: Area) -> tuple[float, float]:
    return area.x + area.w / 2 - 0.5, area.y + area.h / 2 - 0.5


def test_cells_are_blue_above_zero_and_orange_below() -> None:
    first = dense(np.zeros((3, 152)), "tanh", [-50.0, 0.0, 50.0])
    panel, view = SensesPanel(), view_of(session_in(policy=Thinking(Q4, first, dense(np.ones((4, 3))))))
    surface, strip = painted(panel, view), strip_of(panel, view)
    cells = [color_at(surface, *middle(cell(strip.area, strip.grid, unit))) for unit in range(3)]
    assert cells == [Theme.human, Theme.zero, Theme.agent]


def test_active_units_are_counted(drawn_texts: list[str]) -> None:
    view = view_of(session_in(policy=thinking(5)))
    painted(SensesPanel(), view)
    assert "hidden 1" in drawn_texts
    assert "4 of 5 units active" in drawn_texts
    assert active_text(np.array([-1.0, 2.0, 0.0])) == "1 of 3 units above zero"
    maps = np.zeros((3, 2, 2))
    maps[1, 0, 1] = 0.5
    assert active_text(maps) == "1 of 3 maps active"


@pytest.mark.parametrize("units", [3, 100, 256, 300])
def test_a_click_picks_the_neuron_below_it(units: int) -> None:
    panel, view = SensesPanel(), view_of(session_in(policy=thinking(units)))
    strip = strip_of(panel, view)
    for unit in (0, units // 3, units - 1):
        panel.press(view, PLACE, *middle(cell(strip.area, strip.grid, unit)))
        assert view.inspector.neuron == Neuron("hidden 1", unit)
    panel.press(view, PLACE, strip.area.x + 5, strip.area.y - 4)  # beside it
    assert view.inspector.neuron == Neuron("hidden 1", units - 1)


def test_an_empty_cell_of_the_last_row_picks_nothing() -> None:
    panel, view = SensesPanel(), view_of(session_in(policy=thinking(101)))
    strip = strip_of(panel, view)
    assert strip.grid[0] * strip.grid[1] == 102
    panel.press(view, PLACE, *middle(cell(strip.area, strip.grid, 101)))
    assert view.inspector.neuron is None


def test_the_picked_one_is_outlined() -> None:
    panel, view = SensesPanel(), view_of(session_in(policy=thinking(20)))
    strip = strip_of(panel, view)
    place = cell(strip.area, strip.grid, 4)
    spot = (place.x + place.w / 2, place.y - 1)
    assert color_at(painted(panel, view), *spot) != Theme.text
    panel.press(view, PLACE, *middle(place))
    assert color_at(painted(panel, view), *spot) == Theme.text


def test_maps_are_small_pictures_on_one_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = np.zeros((6, 20, 20))
    maps[2, :, 10:] = 4.0  # the right half
    maps[3] = 1.0
    view = view_of(session_in(policy=thinking()))
    insight = Insight(np.zeros(4), None, [("convolution 1", maps), ("hidden 1", np.ones(8))])
    monkeypatch.setattr(view.inspector, "insight", lambda: insight)
    panel = SensesPanel()
    surface, strip = painted(panel, view), strip_of(panel, view)
    place = cell(strip.area, strip.grid, 2)
    y = place.y + place.h / 2
    assert color_at(surface, place.x + 0.2 * place.w, y) == Theme.zero
    assert color_at(surface, place.x + 0.8 * place.w, y) == Theme.agent
    half = tuple(tint(np.array([0.5]))[0])  # the root of a quarter
    assert color_at(surface, *middle(cell(strip.area, strip.grid, 3))) == half
    panel.press(view, PLACE, *middle(cell(strip.area, strip.grid, 5)))
    assert view.inspector.neuron == Neuron("convolution 1", 5)
    assert panel.strips(PLACE, view)[1].area.y > strip.area.bottom


# special cases


def test_without_a_network_only_eyes_are_shown(drawn_texts: list[str]) -> None:
    panel = SensesPanel()
    assert panel.height(view_of(session_in(CARTPOLE), CARTPOLE)) == 0
    assert panel.height(view_of(session_in(CARTPOLE, Known((0.0, 1.0))), CARTPOLE)) == 0
    alone, mute = view_of(session_in()), view_of(session_in(policy=NoQValues(Q4)))
    full = panel.height(view_of(session_in(policy=thinking())))
    assert 0 < panel.height(alone) == panel.height(mute) < full
    painted(panel, alone)
    assert "What the eyes see" in drawn_texts
    panel.press(alone, PLACE, 200.0, 200.0)
    assert alone.inspector.neuron is None


def test_nan_and_infinity_are_drawn_as_nothing() -> None:
    first = dense(np.zeros((3, 152)), "relu", [np.nan, 1.0, 0.0])
    view = view_of(session_in(policy=Thinking((np.nan, 1.0, np.inf, 0.0), first, dense(np.ones((4, 3))))))
    see(view, [np.nan] * 150 + [np.inf, -np.inf])
    painted(SensesPanel(), view)


@pytest.mark.parametrize("scale", [1.0, 1.25, 1.5, 2.0])
def test_nothing_is_drawn_outside_the_card(scale: float) -> None:
    panel = SensesPanel()
    for view in (
        view_of(session_in(policy=thinking(300))),
        view_of(session_in(RLDEMO, thinking(70, 27, 5)), RLDEMO),
        view_of(session_in(CARTPOLE, thinking(3, 4, 2)), CARTPOLE),
        view_of(session_in()),
    ):
        assert stays_inside(panel, view, fitting(panel, view), scale)
        assert stays_inside(panel, view, Area(12, 12, 340, 120), scale)


def test_it_is_redrawn_only_when_something_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    panel, view = SensesPanel(), view_of(session_in(policy=thinking()))
    surface = painted(panel, view)
    view.session.step()
    view.session.paused = True
    after = painted(panel, view)
    assert pygame.image.tobytes(surface, "RGB") != pygame.image.tobytes(after, "RGB")

    def forbidden(*given: Any) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(SensesPanel, "_draw_inputs", forbidden)
    monkeypatch.setattr(SensesPanel, "_draw_layers", forbidden)
    assert pygame.image.tobytes(painted(panel, view), "RGB") == pygame.image.tobytes(after, "RGB")


# the pieces


@pytest.mark.parametrize("grid_of", [(1, 100.0, 10.0), (7, 100.0, 30.0), (256, 304.0, 24.0), (512, 392.0, 24.0)])
def test_grids_hold_all_cells_and_a_point_finds_its_cell(grid_of: tuple[int, float, float]) -> None:
    number, width, height = grid_of
    rows, columns = grid_for(number, width, height)
    assert (rows - 1) * columns < number <= rows * columns
    room = Area(3.0, 5.0, width, height)
    for index in (0, number // 2, number - 1):
        place = cell(room, (rows, columns), index)
        assert cell_at(room, (rows, columns), place.x + place.w / 2, place.y + place.h / 2) == index
    assert cell_at(room, (rows, columns), 2.0, 6.0) is None


def test_squares_are_as_large_as_possible() -> None:
    assert grid_for(16, 392.0, 30.0) == (1, 16)  # 24.5 each; two rows would have 15
    assert grid_for(32, 392.0, 36.0) == (2, 16)  # 18 each; one row would have 12
    assert grid_for(1, 10.0, 10.0) == (1, 1)


def test_tints_and_scales() -> None:
    assert tint(np.array([0.0, 1.0, -1.0, 7.0, np.nan])).tolist() == [
        list(Theme.zero),
        list(Theme.agent),
        list(Theme.human),
        list(Theme.agent),
        list(Theme.zero),
    ]
    np.testing.assert_array_equal(scaled(np.array([1.0, -4.0, np.nan])), [0.25, -1.0, 0.0])
    np.testing.assert_array_equal(scaled(np.zeros(2)), [0.0, 0.0])


def test_numbers_are_typeset() -> None:
    assert [signed(x) for x in (1.0, -0.5, -0.001, np.nan, np.inf, -np.inf)] == [
        "+1.00",
        "\N{MINUS SIGN}0.50",
        "+0.00",
        "NaN",
        "+\N{INFINITY}",
        "\N{MINUS SIGN}\N{INFINITY}",
    ]


def test_lines_are_broken_where_necessary(font: Callable[[], pygame.font.Font]) -> None:
    text = "one network chose the action and another one evaluated what it is worth"
    lines = wrapped(font(), text, 120)
    assert " ".join(lines) == text
    assert len(lines) > 2
    assert all(font().size(line)[0] <= 120 for line in lines)
    # no line has room for the next one's first word
    assert all(font().size(f"{line} {after.split()[0]}")[0] > 120 for line, after in pairwise(lines))
    assert wrapped(font(), "unbreakable", 10) == ("unbreakable",)
    assert wrapped(font(), "", 10) == ()


@pytest.fixture
def font() -> Callable[[], pygame.font.Font]:
    fonts = Fonts()
    return lambda: fonts.font(12, False)


def test_identity_compares_objects_not_values() -> None:
    one, other = np.zeros(2), np.zeros(2)
    assert Identity(one) == Identity(one)
    assert Identity(one) != Identity(other)
    assert Identity(one) != Identity(one, one)
    assert Identity(None) == Identity(None)
    assert Identity(one) != one
