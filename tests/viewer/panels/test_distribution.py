from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pygame
import pytest
from numpy.typing import NDArray

from learning.insight import Distribution, Insight
from learning.policy import Training
from tests.viewer.helpers import Q4, Known, NoQValues, color_at, session_in, view_of
from viewer.drawing.canvas import Area, Canvas, Fonts
from viewer.drawing.theme import Theme
from viewer.inspecting.explain import distribution_line
from viewer.panels.distribution import (
    AXIS,
    FOOT,
    HEAD,
    ROWS,
    DistributionPanel,
    density_of,
    ends_of,
    row_height,
    shown_actions,
)
from viewer.panels.pieces import LEADING, paragraph_height, wrapped
from viewer.panels.plots import Scale
from viewer.view import View

PANEL = DistributionPanel()
TEXT = paragraph_height(max(map(distribution_line, ("histogram", "quantile")), key=len), 308.0)
ATOMS = np.linspace(-4.0, 8.0, 25)  # half a unit apart


class Distributional(Known):
    """Has a distribution of returns for each action, the same everywhere."""

    def __init__(self, returns: NDArray[Any], probabilities: NDArray[Any], head: str = "categorical") -> None:
        super().__init__(((returns * probabilities).sum(1)).tolist())
        self.distribution: Distribution | None = Distribution(
            np.asarray(returns, float), np.asarray(probabilities, float)
        )
        self.training = Training(gamma=0.9, head=head)

    def reader(self) -> Any:
        return self

    def insight(self, obs: NDArray[Any]) -> Insight:
        return Insight(self.q, self.distribution, [])


def atoms(*weights: dict[float, float], head: str = "categorical") -> Distributional:
    """Return a policy with these probabilities of returns, on atoms."""
    probabilities = np.array([[weight.get(float(atom), 0.0) for atom in ATOMS] for weight in weights])
    return Distributional(np.tile(ATOMS, (len(weights), 1)), probabilities, head)


def quantiles(*returns: Sequence[float] | NDArray[Any]) -> Distributional:
    each = np.array(returns, float)
    return Distributional(each, np.full(each.shape, 1 / each.shape[1]), "quantile")


def view_with(policy: Known, actions: int = 4) -> View:
    session = session_in(policy=Known(Q4))
    session.num_actions = actions
    if actions != 4:
        session.action_names = tuple(f"action {number}" for number in range(actions))
    session.policy, session.training = policy, getattr(policy, "training", None)
    return view_of(session)


def area_of(view: View) -> Area:
    return Area(12, 12, 340, PANEL.height(view))


def drawn(view: View, scale: float = 1.0) -> pygame.Surface:
    area = area_of(view)
    size = (area.right + 12, max(area.bottom, 50) + 12)
    surface = pygame.Surface((round(size[0] * scale), round(size[1] * scale)), depth=24)
    surface.fill(Theme.background)
    PANEL.draw(Canvas(surface, Fonts(), size), area, view)
    return surface


def heights(view: View, surface: pygame.Surface, place: int, rows: int, color: tuple[int, int, int]) -> list[int]:
    """Return the height of a row's density at each pixel of its axis."""
    zone = PANEL.zone(PANEL.row_area(area_of(view), place, rows))
    box = pygame.Rect(round(zone.x), round(zone.y), round(zone.w), round(zone.h))
    pixels = pygame.surfarray.array3d(surface.subsurface(box))
    return [int(n) for n in (pixels == color).all(-1).sum(1)]


THREE = ({0.0: 0.25, 2.0: 0.75}, {4.0: 1.0}, {1.0: 0.5, 1.5: 0.5}, {-2.0: 1.0})  # means 1.5, 4, 1.25, -2


# atoms


def test_bars_stand_at_the_atoms_as_high_as_their_probabilities() -> None:
    view = view_with(atoms(*THREE))
    surface = drawn(view)
    zone = PANEL.zone(PANEL.row_area(area_of(view), 0, 4))
    scale = Scale(-4.0, 6.0, 2.0)

    def at(place: int, value: float, color: tuple[int, int, int]) -> int:
        return heights(view, surface, place, 4, color)[round(scale.place(value) * zone.w) + 3]

    full = at(2, 1.0, Theme.agent_pale) * 2  # its atoms have half each
    assert full == pytest.approx(zone.h, abs=3)
    assert at(0, 0.0, Theme.agent_pale) == pytest.approx(full / 4, abs=2)
    assert at(0, 2.0, Theme.agent_pale) == pytest.approx(full * 3 / 4, abs=2)
    assert at(0, 1.0, Theme.agent_pale) == 0
    assert at(3, -2.0, Theme.agent_pale) == pytest.approx(full, abs=2)


def test_the_best_action_is_dark_and_the_others_pale() -> None:
    view = view_with(atoms(*THREE))
    surface = drawn(view)
    strong = [sum(heights(view, surface, place, 4, Theme.agent)) for place in range(4)]
    pale = [sum(heights(view, surface, place, 4, Theme.agent_pale)) for place in range(4)]
    assert [amount > 0 for amount in strong] == [False, True, False, False]
    assert [amount > 0 for amount in pale] == [True, False, True, True]


def test_the_tick_stands_at_the_expectation() -> None:
    view = view_with(atoms(*THREE))
    surface = drawn(view)
    scale = Scale(-4.0, 6.0, 2.0)
    for place, mean in enumerate((1.5, 4.0, 1.25, -2.0)):
        zone = PANEL.zone(PANEL.row_area(area_of(view), place, 4))
        x = zone.x + scale.place(mean) * zone.w
        y = zone.bottom - 3
        dark = [dx for dx in range(-6, 7) if color_at(surface, x + dx, y) == Theme.text]
        assert dark
        assert max(map(abs, dark)) <= 1


# equally likely returns


def test_quantiles_become_a_smooth_density_of_integral_one() -> None:
    rng = np.random.default_rng(0)
    scale = Scale(-4.0, 8.0, 2.0)
    density = density_of(np.sort(rng.normal(2.0, 1.0, 200)), np.full(200, 1 / 200), scale)
    assert density.smooth
    assert density.heights.sum() * (density.places[1] - density.places[0]) == pytest.approx(1.0, abs=1e-6)
    assert -4 + 12 * density.places[density.heights.argmax()] == pytest.approx(2.0, abs=0.6)
    mean = (density.places * density.heights).sum() / density.heights.sum()
    assert -4 + 12 * mean == pytest.approx(2.0, abs=0.2)


def test_two_clusters_of_quantiles_are_two_modes() -> None:
    view = view_with(quantiles(*([[0.0] * 16 + [3.0] * 16] * 4)))
    found = np.array(heights(view, drawn(view), 0, 4, Theme.agent))
    scale_high = 4.0  # in steps of one
    zero, middle, three = (found[round(value / scale_high * (len(found) - 1))] for value in (0.05, 1.5, 3.0))
    assert middle <= 1 < 8 < min(zero, three)


def test_returns_beyond_the_axis_are_left_out() -> None:
    density = density_of(np.array([-1e9, 1.0, 1.0, 1e9]), np.full(4, 0.25), Scale(0.0, 2.0, 1.0))
    assert density.heights.sum() / len(density.heights) == pytest.approx(0.5)


# the axis


def test_the_axis_leaves_out_the_rarest_returns() -> None:
    probabilities = np.full((1, 1001), 0.0)
    probabilities[0, 500], probabilities[0, 0], probabilities[0, 1000] = 0.994, 0.003, 0.003
    returns = np.linspace(-5.0, 5.0, 1001)[None]
    assert ends_of(returns, probabilities).tolist() == [0.0, 0.0]
    probabilities[0, 500], probabilities[0, 0], probabilities[0, 1000] = 0.98, 0.01, 0.01
    assert ends_of(returns, probabilities).tolist() == [-5.0, 5.0]


def test_the_axis_widens_at_once_and_narrows_slowly() -> None:
    policy = quantiles(*([[0.1, 0.9]] * 4))
    view = view_with(policy)

    def axis() -> float:
        found = view.inspector.insight()
        assert found is not None
        assert found.distribution is not None
        return PANEL._scale(view, found.distribution, [0, 1, 2, 3]).high

    assert axis() == 1.0
    before = policy.distribution
    policy.distribution = Distribution(np.array([[0.1, 90.0]] * 4), np.full((4, 2), 0.5))
    view.inspector._cache.clear()
    assert axis() == 100.0
    policy.distribution = before
    view.inspector._cache.clear()
    after = [axis() for _ in range(300)]
    assert after[0] == 100.0
    assert after == sorted(after, reverse=True)
    assert after[-1] == 1.0


# which rows


def test_of_many_actions_only_the_best_are_shown() -> None:
    q = np.array([0.0, 5.0, 1.0, 4.0, 9.0, 2.0, 3.0, 8.0, 7.0, 6.0, -1.0])
    assert shown_actions(q) == [1, 3, 4, 7, 8, 9]  # in their order
    assert shown_actions(q[:9]) == list(range(9))
    q[4] = np.nan
    assert shown_actions(q) == [1, 3, 6, 7, 8, 9]


@pytest.mark.parametrize("actions", [2, 4, 9, 18])
def test_every_row_fits(actions: int) -> None:
    policy = atoms(*({0.0: 0.5, float(k) / 2: 0.5} for k in range(actions)))
    view = view_with(policy, actions)
    rows = 6 if actions == 18 else actions
    assert PANEL.height(view) == HEAD + rows * row_height(rows) + AXIS + TEXT + FOOT
    assert PANEL.height(view) < HEAD + ROWS + AXIS + TEXT + FOOT + 15
    surface = drawn(view)
    best = [sum(heights(view, surface, place, rows, Theme.agent)) > 0 for place in range(rows)]
    assert best == [False] * (rows - 1) + [True]
    last = PANEL.row_area(area_of(view), rows - 1, rows)
    assert last.bottom + AXIS + TEXT + FOOT <= area_of(view).bottom + 0.01


# the text


def test_the_text_has_room_and_nothing_is_cut_off() -> None:
    for scale in (1.0, 1.25, 1.5, 2.0):
        canvas = Canvas(pygame.Surface((round(364 * scale), round(300 * scale))), Fonts(), (364, 300))
        for head in ("categorical", "histogram", "quantile", "implicit_quantile"):
            text = distribution_line(head)
            font = canvas.fonts.font(round(12 * scale), False)
            lines = wrapped(font, text, 308.0 * canvas.scale)
            assert len(lines) * (12 + LEADING) <= TEXT
            assert " ".join(lines) == text
            assert max(font.size(line)[0] for line in lines) <= 308.0 * canvas.scale


def test_a_histogram_is_not_called_returns() -> None:
    texts = []
    for head in ("histogram", "categorical"):
        view = view_with(atoms(*THREE, head=head))
        texts.append(pygame.image.tobytes(drawn(view).subsurface(pygame.Rect(12, 12, 340, 50)), "RGB"))
    assert texts[0] != texts[1]


# without distributions


def test_plain_networks_scripts_and_humans_have_no_panel() -> None:
    assert PANEL.height(view_of(session_in())) == 0.0
    assert PANEL.height(view_of(session_in(policy=NoQValues(Q4)))) == 0.0
    assert PANEL.height(view_of(session_in(policy=Known(Q4)))) == 0.0
    assert PANEL.height(view_with(atoms(*THREE, head="expected"))) == 0.0
    view = view_with(atoms(*THREE, head="expected"))
    PANEL.draw(Canvas(pygame.Surface((400, 300)), Fonts(), (400, 300)), Area(12, 12, 340, 200), view)  # nothing


def test_a_network_that_cannot_be_read_has_a_message() -> None:
    policy = atoms(*THREE)
    policy.distribution = None
    view = view_with(policy)
    surface = drawn(view)
    assert not sum(heights(view, surface, 1, 4, Theme.agent))
    box = pygame.Rect(30, 12 + round(HEAD) + 4, 300, 16)
    pixels = pygame.surfarray.array3d(surface.subsurface(box))
    assert (pixels == Theme.soft).all(-1).any()


def test_nan_is_left_out() -> None:
    policy = atoms(*THREE)
    assert policy.distribution is not None
    policy.distribution.probabilities[0] = np.nan
    policy.q[0] = np.nan
    view = view_with(policy)
    surface = drawn(view)
    assert not sum(heights(view, surface, 0, 4, Theme.agent_pale))
    assert sum(heights(view, surface, 1, 4, Theme.agent))
    policy.distribution.probabilities[:] = np.nan
    policy.q[:] = np.nan
    drawn(view_with(policy))


def test_a_single_atom_and_equal_returns_are_drawn() -> None:
    drawn(view_with(quantiles(*([[2.0]] * 4))))
    drawn(view_with(Distributional(np.full((4, 1), 3.0), np.ones((4, 1)))))
    drawn(view_with(quantiles(*([[0.0] * 8] * 4))))


def test_the_same_output_of_the_network_is_not_drawn_twice() -> None:
    policy = atoms(*THREE)
    view = view_with(policy)
    drawn(view)
    cached = view._cache["returns"][1]
    view.session.step()
    drawn(view)
    assert view._cache["returns"][1] is cached
    policy.distribution = atoms(*THREE[::-1]).distribution
    view.inspector._cache.clear()
    drawn(view)
    assert view._cache["returns"][1] is not cached


@pytest.mark.parametrize("scale", [1.0, 1.25, 2.0])
def test_nothing_is_drawn_outside_the_card(scale: float) -> None:
    policy = quantiles(*([[-99999.0, 0.0, 123456.0]] * 4))
    view = view_with(policy)
    view.session.action_names = ("a very long name of an action", "right", "up", "down")
    area = area_of(view)
    pixels = pygame.surfarray.array3d(drawn(view, scale))
    tall = slice(round((area.y + 12) * scale), round((area.bottom - 12) * scale))
    assert (pixels[round((area.x + 2) * scale) : round((area.x + 9) * scale), tall] == Theme.card).all()
    assert (pixels[round((area.right - 9) * scale) : round((area.right - 2) * scale), tall] == Theme.card).all()
    assert (pixels[round((area.right + 1) * scale) : round((area.right + 9) * scale)] == Theme.background).all()
