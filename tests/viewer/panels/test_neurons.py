"""What neurons respond to: searches through known histories, and their pictures."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pygame
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

from learning.insight import DenseNetwork, NetworkReader, Neuron
from tests.learning.test_insight import FRAMES, policy_of
from tests.viewer.helpers import CARTPOLE, Q4, RLDEMO, Known, NoQValues, color_at, session_in, view_of
from tests.viewer.panels.test_senses import (
    Thinking,
    count,
    dense,
    drawn_texts,
    fitting,
    painted,
    stays_inside,
    thinking,
)
from viewer.drawing.canvas import Area
from viewer.drawing.theme import Theme
from viewer.inspecting import neuron_search
from viewer.inspecting.inspector import Inspector
from viewer.inspecting.neuron_search import (
    ENOUGH,
    NEW_MOMENTS,
    REFRESH,
    SECONDS,
    SHOWN,
    Found,
    Searches,
    searches_of,
    strongest,
)
from viewer.inspecting.neurons import APART
from viewer.panels import View
from viewer.panels.neurons import TILE_GAP, NeuronsPanel
from viewer.panels.pieces import cell
from viewer.playing import players
from viewer.playing.session import Session

__all__ = ["drawn_texts"]
PANEL = NeuronsPanel()
OWN_SPEED = 150  # Waterworld's input of the own speed to the right


class Clock:
    """Stands still unless it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow(NetworkReader):
    """Takes ``seconds`` for every question about a neuron."""

    def __init__(self, policy: Thinking, clock: Clock, seconds: float) -> None:
        super().__init__(DenseNetwork(policy.layers))
        self.clock, self.seconds, self.calls = clock, seconds, 0

    def excitation(self, obs: NDArray[Any], neuron: Neuron) -> NDArray[np.float64]:
        self.clock.now += self.seconds
        self.calls += 1
        return super().excitation(obs, neuron)

    def excitation_gradient(self, obs: NDArray[Any], neuron: Neuron) -> tuple[float, NDArray[np.float64]]:
        self.clock.now += self.seconds
        self.calls += 1
        return super().excitation_gradient(obs, neuron)


class Readable(Thinking):
    """Has a reader that can be replaced."""

    own_reader: Any = None

    def reader(self) -> Any:
        return self.own_reader or NetworkReader(DenseNetwork(self.layers))


def swimmer(sign: float = 1.0) -> Thinking:
    """Return a player whose first unit responds to its own speed to the right, the second to that to the left."""
    weight = np.zeros((2, 152))
    weight[0, OWN_SPEED], weight[1, OWN_SPEED] = sign, -sign
    return Readable(Q4, dense(weight, "relu"), dense(np.ones((4, 2))))


def swum(policy: Known | None = None, steps: int = 200) -> View:
    """Return a view of a player that swims to the right, left and so on."""
    view = view_of(session_in(policy=policy or swimmer()))
    wander(view, steps)
    return view


def wander(view: View, steps: int) -> None:
    session = view.session
    for _ in range(steps):
        session.take_over()
        session.human_action = (session.total_steps // 17) % 4
        session.step()
    session.hand_back()


def speeds(view: View) -> dict[int, float]:
    return {moment.number: float(moment.obs[OWN_SPEED]) for moment in view.session.timeline}


def searched(view: View, clock: Clock | None = None) -> Searches:
    """Return completed searches: the clock stands still."""
    searches = Searches(clock or Clock())
    assert searches.follow(view.inspector)
    searches.advance(view.session.timeline)
    return searches


# the searches


def test_the_most_exciting_moments_are_found() -> None:
    view = swum()
    searches = searched(view)
    known = speeds(view)
    best = max(known, key=lambda number: known[number])
    assert searches.best[0].number == best
    assert [one.excitation for one in searches.best] == sorted((one.excitation for one in searches.best), reverse=True)
    assert all(one.excitation == pytest.approx(known[one.number]) for one in searches.best)
    assert len(searches.best) == SHOWN
    assert all(abs(a.number - b.number) > APART for a, b in itertools.combinations(searches.best, 2))
    assert searches.share == 1.0


def test_the_optimised_input_goes_to_the_bound() -> None:
    searches = searched(swum())
    assert searches.ascent is not None
    assert searches.ascent.best[OWN_SPEED] == pytest.approx(1.0)
    assert searches.ascent.best_excitation == pytest.approx(1.0)
    assert (searches.low[OWN_SPEED], searches.high[OWN_SPEED]) == (-1.0, 1.0)


def test_another_neuron_restarts_the_searches() -> None:
    view = swum()
    searches = searched(view)
    before = searches.version
    view.inspector.neuron = Neuron("hidden 1", 1)
    assert searches.follow(view.inspector)
    assert (searches.best, searches.version > before) == ([], True)
    searches.advance(view.session.timeline)
    known = speeds(view)
    assert searches.best[0].number == min(known, key=lambda number: known[number])
    assert searches.ascent is not None
    assert searches.ascent.best[OWN_SPEED] == pytest.approx(-1.0)


def test_an_unknown_neuron_becomes_the_first_one() -> None:
    view = swum()
    for picked in (Neuron("hidden 9", 0), Neuron("hidden 1", 2)):
        view.inspector.neuron = picked
        assert searched(view).neuron == ("hidden 1", 0)


def test_new_moments_are_searched_as_they_come() -> None:
    view = swum()
    searches = searched(view)
    wander(view, NEW_MOMENTS + 8)
    star = view.session.timeline.last - 20
    obs = np.array(view.session.timeline[star].obs)
    obs[OWN_SPEED] = 5.0
    view.session.timeline[star].stored_obs = obs
    before = searches.best
    assert searches.follow(view.inspector)
    searches.advance(view.session.timeline)
    assert searches.best[0].number == star
    assert searches.best[0].excitation == pytest.approx(5.0)
    assert before[0] in searches.best
    assert searches.share == 1.0  # nothing was restarted


def test_dropped_moments_are_not_shown() -> None:
    view = swum()
    clock = Clock()
    searches = searched(view, clock)
    timeline = view.session.timeline
    timeline.capacity = 60
    clock.now += REFRESH
    wander(view, NEW_MOMENTS)
    for _ in range(3):
        searches.follow(view.inspector)
        searches.advance(timeline)
        clock.now += REFRESH
    assert searches.best
    assert all(one.number >= timeline.first for one in searches.best)
    known = speeds(view)
    assert searches.best[0].number == max(known, key=lambda number: known[number])


def test_a_network_that_learns_is_searched_again_but_not_all_the_time() -> None:
    policy = swimmer()
    view, clock = swum(policy), Clock()
    searches = searched(view, clock)
    found, layer = searches.best, searches.layer
    policy.layers, policy.weights_version = swimmer(-1.0).layers, 1  # type: ignore[attr-defined]
    searches.follow(view.inspector)
    searches.advance(view.session.timeline)
    assert searches.best == found
    assert searches.layer is layer
    clock.now += REFRESH
    searches.follow(view.inspector)
    assert searches.best == found  # until the new search is complete
    assert searches.layer is not layer
    assert searches.share < 1
    searches.advance(view.session.timeline)
    known = speeds(view)
    assert searches.best[0].number == min(known, key=lambda number: known[number])


def test_an_incomplete_search_does_not_replace_a_complete_one() -> None:
    policy, clock = swimmer(), Clock()
    assert isinstance(policy, Readable)
    view = swum(policy)
    policy.own_reader = Slow(policy, clock, 0.0)
    searches = searched(view, clock)
    found, ascent = searches.best, searches.ascent
    searches.restart()
    policy.own_reader.seconds = 0.01
    shares = []
    for _ in range(2000):
        searches.follow(view.inspector)
        searches.advance(view.session.timeline)
        clock.now += 1 / 60
        shares.append(searches.share)
        if searches.share < 1:
            assert searches.best == found
            assert searches.ascent is ascent
    assert shares[0] < 0.1
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert searches.best == found
    assert searches.ascent is not ascent


@pytest.mark.parametrize("cost", [0.0003, 0.005])
def test_a_frame_is_not_delayed_for_long(cost: float) -> None:
    """On average it takes its share; a longer question is followed by frames without any."""
    policy, clock = swimmer(), Clock()
    assert isinstance(policy, Readable)
    policy.own_reader = reader = Slow(policy, clock, cost)
    view = swum(policy, 400)
    searches = Searches(clock)
    searches.follow(view.inspector)
    spent = []
    while searches.share < 1:
        before = clock.now
        searches.advance(view.session.timeline)
        spent.append(clock.now - before)
        clock.now += 1 / 60
    assert max(spent) <= max(cost, SECONDS + cost) + 1e-9
    assert sum(spent) <= len(spent) * SECONDS + cost + 1e-9
    assert sum(spent) == pytest.approx(reader.calls * cost)
    assert len(spent) > 5


def test_few_observations_at_a_time_for_a_slow_network() -> None:
    clock = Clock()
    policy = swimmer()
    reader = Slow(policy, clock, 0.0)
    sizes: list[int] = []

    def excitation(obs: NDArray[Any], neuron: Neuron) -> NDArray[np.float64]:
        sizes.append(len(obs))
        clock.now += 0.001 * len(obs)
        return np.zeros(len(obs))

    reader.excitation = excitation  # type: ignore[method-assign]
    search = neuron_search.TimedSearch(reader, Neuron("hidden 1", 0), 200, lambda index: np.zeros(152))
    while not search.advance(0.002, clock):
        pass
    assert max(sizes) <= 2
    assert sum(sizes) == 200


def test_it_waits_for_enough_moments() -> None:
    view = swum(steps=ENOUGH - 2)
    searches = searched(view)
    assert (searches.best, searches.ascent, searches.share) == ([], None, 0.0)
    wander(view, 1)
    searches.follow(view.inspector)
    searches.advance(view.session.timeline)
    assert searches.best
    assert searches.ascent is not None


def test_nan_and_infinity_are_not_found() -> None:
    assert strongest([Found(100, np.nan), Found(5, 1.0), Found(200, np.inf), Found(10, 2.0)], 0, 4) == [Found(10, 2.0)]
    assert strongest([Found(100, 3.0), Found(5, 9.0)], 50, 4) == [Found(100, 3.0)]


def test_each_window_has_its_own_searches() -> None:
    one, other = swum(steps=2), swum(steps=2)
    assert searches_of(one.inspector) is searches_of(one.inspector)
    assert searches_of(one.inspector) is not searches_of(other.inspector)


# the pictures


def finished(view: View, width: float = 340.0) -> Area:
    """Draw the panel until its searches are done, and return its place."""
    area = fitting(PANEL, view, width)
    for _ in range(3000):
        painted(PANEL, view, area)
        if searches_of(view.inspector).share == 1.0:
            break
    return area


def weights(units: int = 3) -> Thinking:
    weight = np.zeros((units, 152))
    weight[:, 0] = 0.5  # eye 1, wall
    weight[:, 29 * 5 + 2] = -1.0  # eye 30, poison
    return Thinking(Q4, dense(weight, "relu"), dense(np.ones((4, units))))


def tile(view: View, area: Area, unit: int) -> Area:
    layer = searches_of(view.inspector).layer
    assert layer is not None
    place, grid = PANEL.tiles(area, layer, view)
    slot = cell(place, grid, unit)
    return Area(slot.x, slot.y, slot.w - TILE_GAP, slot.h - TILE_GAP)


def test_tiles_have_a_column_per_eye_and_a_row_per_kind() -> None:
    view = swum(weights(), 2)
    area = fitting(PANEL, view)
    surface = painted(PANEL, view, area)
    place = tile(view, area, 2)
    assert color_at(surface, place.x + 0.5, place.y + 1) == tuple(
        (np.array(Theme.zero) + (np.array(Theme.agent) - Theme.zero) / 2).round()
    )
    assert color_at(surface, place.right - 1, place.y + place.h * 2.5 / 5) == Theme.human
    assert color_at(surface, place.x + place.w / 2, place.y + place.h / 2) == Theme.zero


@pytest.mark.parametrize(("units", "text"), [(3, "all 3"), (100, "18 of 100")])
def test_the_number_of_tiles_is_written(drawn_texts: list[str], units: int, text: str) -> None:
    view = swum(weights(units), 2)
    painted(PANEL, view, fitting(PANEL, view))
    assert text in drawn_texts


def test_a_click_on_a_tile_picks_its_neuron(drawn_texts: list[str]) -> None:
    view = swum(weights(100), 2)
    area = fitting(PANEL, view)
    painted(PANEL, view, area)
    assert "hidden 1, neuron 1" in drawn_texts
    for unit in (0, 7, 17):
        place = tile(view, area, unit)
        PANEL.press(view, area, place.x + place.w / 2, place.y + place.h / 2)
        assert view.inspector.neuron == Neuron("hidden 1", unit)
    before = drawn_texts.count("hidden 1, neuron 18")
    surface = painted(PANEL, view, area)
    assert drawn_texts.count("hidden 1, neuron 18") > before
    place = tile(view, area, 17)
    assert color_at(surface, place.x + place.w / 2, place.y - 1) == Theme.text


def test_a_click_on_a_state_goes_back_to_it_and_pauses() -> None:
    view = swum()
    area = finished(view)
    found = searches_of(view.inspector).best
    for place, thumb in enumerate(PANEL.thumbs(area, view)):
        view.session.paused = False
        PANEL.press(view, area, thumb.x + 10, thumb.y + 10)
        assert view.session.paused
        assert view.session.timeline.cursor == found[place].number
        surface = painted(PANEL, view, area)
        frames = [color_at(surface, other.x + 30, other.y - 1) for other in PANEL.thumbs(area, view)]
        assert [color == Theme.text for color in frames] == [other == place for other in range(SHOWN)]


def test_states_show_the_agent_in_the_middle(drawn_texts: list[str]) -> None:
    view = swum()
    area = finished(view)
    surface = painted(PANEL, view, area)
    best = searches_of(view.inspector).best
    for thumb, found in zip(PANEL.thumbs(area, view), best, strict=True):
        assert color_at(surface, thumb.x + thumb.w / 2, thumb.y + thumb.h / 2) == (0, 150, 150)
        assert f"{found.excitation:+.2f}" in drawn_texts


def test_states_of_other_inputs_are_bars() -> None:
    weight = np.zeros((1, 4))
    weight[0, 0] = 1.0
    view = view_of(session_in(CARTPOLE, Thinking((0.0, 1.0), dense(weight, "relu"), dense(np.ones((2, 1))))), CARTPOLE)
    for _ in range(60):
        view.session.step()
    star = view.session.timeline[20]
    star.stored_obs = np.array([2.4, 0.0, -0.418, 0.0], np.float32)  # half of the bound, and nearly all of it
    area = finished(view)
    surface = painted(PANEL, view, area)
    assert searches_of(view.inspector).best[0].number == 20
    thumb = PANEL.thumbs(area, view)[0]
    heights = [
        count(surface, Area(thumb.x + (place + 0.5) * thumb.w / 4, thumb.y, 1, thumb.h), Theme.agent)
        for place in range(4)
    ]
    assert heights == [pytest.approx(thumb.h / 4, abs=2), 0, pytest.approx(thumb.h / 2, abs=2), 0]


def test_the_optimised_input_is_drawn_as_bars(drawn_texts: list[str]) -> None:
    view = swum()
    area = finished(view)
    drawn_texts.clear()
    searches_of(view.inspector).version += 1  # all texts once more
    surface = painted(PANEL, view, area)
    assert "+1.00" in drawn_texts
    optimised = PANEL.optimised_area(area, view)
    own = Area(optimised.right - 24, optimised.y, 24, optimised.h)
    assert count(surface, own, Theme.agent) > 20  # its own speed, at the bound


def test_again_restarts_the_searches() -> None:
    view = swum()
    area = finished(view)
    again = PANEL.again_area(area, view)
    wander(view, 10)
    PANEL.press(view, area, again.x + 5, again.y + 5)
    searches = searches_of(view.inspector)
    assert searches.share == 0.0
    assert searches.follow(view.inspector)
    assert searches.share < 1
    finished(view)
    assert searches.share == 1.0


def test_without_a_history_there_is_a_message(drawn_texts: list[str]) -> None:
    view = swum(steps=3)
    painted(PANEL, view, fitting(PANEL, view))
    assert f"the searches start after {ENOUGH} steps" in drawn_texts


class Flicker(gymnasium.Env[Any, Any]):
    """Frames of noise."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}  # type: ignore[misc]
    observation_space = FRAMES
    action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self._look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._look(), 0.0, False, False, {}

    def _look(self) -> NDArray[np.uint8]:
        return self.np_random.integers(0, 256, FRAMES.shape, dtype=np.uint8)


def test_frames_have_filters_states_and_an_optimised_picture(drawn_texts: list[str]) -> None:
    policy = policy_of("dqn", FRAMES)
    view = view_of(Session(Flicker(), policy), "Flicker")
    for _ in range(70):
        view.session.step()
    view.inspector.neuron = Neuron("convolution 1", 0)
    area = finished(view, 428.0)
    assert "14 of 16" in drawn_texts
    assert "convolution 1, neuron 1" in drawn_texts
    surface = painted(PANEL, view, area)
    searches = searches_of(view.inspector)
    reader = policy.reader()
    every = [
        float(reader.excitation(moment.obs[None], Neuron("convolution 1", 0))[0])
        for moment in itertools.islice(view.session.timeline, 0, None, neuron_search.FRAMES_STRIDE)
    ]
    assert searches.best[0].number == int(np.argmax(every)) * neuron_search.FRAMES_STRIDE
    assert searches.best[0].excitation == pytest.approx(max(every), rel=1e-4)
    thumb = PANEL.thumbs(area, view)[0]
    shades = pygame.surfarray.array3d(surface)[round(thumb.x) + 20 : round(thumb.right) - 20, round(thumb.y) + 20]
    assert len(np.unique(shades)) > 10
    assert (shades[:, 0] == shades[:, 1]).all()  # grey
    place = PANEL.optimised_area(area, view)
    row = pygame.surfarray.array3d(surface)[round(place.x) : round(place.x) + 60, round(place.y) + 20]
    assert len(np.unique(row)) > 3


def test_without_hidden_neurons_there_is_no_panel() -> None:
    for policy in (None, Known(Q4), NoQValues(Q4), Thinking(Q4, dense(np.ones((4, 152))))):
        view = view_of(session_in(policy=policy))
        assert PANEL.height(view) == 0
        area = Area(12, 12, 340, 300)
        assert stays_inside(PANEL, view, area, 1.0)
        assert PANEL.press(view, area, 100, 100) is None
        assert view.inspector.neuron is None


def test_weights_of_nan_are_pale() -> None:
    broken = np.full((3, 152), np.nan)
    view = swum(Thinking((0.0, 1.0, np.nan, 0.0), dense(broken, "relu"), dense(np.ones((4, 3)))), 60)
    area = fitting(PANEL, view)
    for _ in range(300):
        surface = painted(PANEL, view, area)
    place = tile(view, area, 1)
    assert color_at(surface, place.x + 5, place.y + 5) == Theme.zero
    assert searches_of(view.inspector).best == []


@pytest.mark.parametrize("scale", [1.0, 1.25, 1.5, 2.0])
def test_nothing_is_drawn_outside_the_card(scale: float) -> None:
    cart = Thinking((0.0, 1.0), dense(np.ones((5, 4)), "relu"), dense(np.ones((2, 5))))
    for view in (
        swum(weights(100), 60),
        swum(steps=2),
        view_of(session_in(RLDEMO, thinking(70, 27, 5)), RLDEMO),
        view_of(session_in(CARTPOLE, cart), CARTPOLE),
    ):
        for _ in range(40):
            view.session.step()
        area = fitting(PANEL, view)
        for _ in range(30):
            painted(PANEL, view, area, scale)
        assert stays_inside(PANEL, view, area, scale)
        assert stays_inside(PANEL, view, Area(12, 12, 340, 150), scale)


def test_before_one_is_picked_the_most_active_neuron_is_shown() -> None:
    policy: Any = players.load(players.DEFAULT_AGENT)
    session = session_in(policy=policy)
    for _ in range(40):
        session.step()
    inspector = Inspector(session)
    searches = searches_of(inspector)
    insight = inspector.insight()
    assert insight is not None
    assert searches.follow(inspector)
    assert searches.neuron == Neuron("hidden 1", int(insight.activations[0][1].argmax()))
    first = searches.neuron
    for _ in range(30):
        session.step()
    searches.follow(inspector)
    assert searches.neuron == first  # it stays
