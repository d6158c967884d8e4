"""A step explained, for known expectations and weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pygame
import pytest
from numpy.typing import NDArray

from envs.drawing import BLUE, picture
from learning.policy import Munchausen, Training
from tests.viewer.helpers import CARTPOLE, Q4, V1, Known, NoQValues, color_at, session_in, view_of
from tests.viewer.panels.test_senses import Thinking, count, dense, drawn_texts, fitting, painted, stays_inside
from viewer.drawing import water
from viewer.drawing.canvas import MINUS, Area, Canvas, Fonts, text_width
from viewer.drawing.theme import Theme
from viewer.panels import View
from viewer.panels.explained import (
    INPUTS_HEAD,
    ExplainedPanel,
    eye_saliency,
    heated,
    pill_color,
    share_zone,
    typeset,
    verdict,
    why_not,
)
from viewer.panels.world import draw_session

__all__ = ["drawn_texts"]
PLACE = Area(12, 12, 340, 360)
PANEL = ExplainedPanel()
NAMES = text_width("eye 10 poison", 12) + 10  # width of the longest name of the three that mattered


class Trained(Known):
    """Expects the same everywhere, and has training settings."""

    def __init__(self, q: Any, training: Training | None) -> None:
        super().__init__(q)
        self.training = training


def cartpole(training: Training, q: tuple[float, float] = (0.5, 2.0), steps: int = 1) -> View:
    """Return a view after some steps of reward 1 each."""
    session = session_in(CARTPOLE, Trained(q, training))
    for _ in range(steps):
        session.step()
    return view_of(session, CARTPOLE)


def texts(view: View, drawn_texts: list[str], area: Area = PLACE) -> list[str]:
    painted(PANEL, view, area)
    return list(drawn_texts)


# the sum


def test_the_sum_has_every_term(drawn_texts: list[str]) -> None:
    """Reward 1 and 0.9 x 2 are 2.8; 2 were expected."""
    found = texts(cartpole(Training(0.9)), drawn_texts)
    title, *rows = found
    assert title == "Step 0: push right (the agent)"
    assert {"reward", "+1.00"} <= set(rows)
    assert any("0.9 \N{MULTIPLICATION SIGN} +2.00" in row for row in rows)
    for number in ("+1.80", "+2.80", "+2.00", "+0.80"):
        assert number in rows
    # from the top: terms, target, expectation, error
    order = [rows.index(number) for number in ("+1.00", "+1.80", "+2.80", "+2.00", "+0.80")]
    assert order == sorted(order)
    assert "▲ better than expected" in rows
    assert "best action there: \N{LEFT SINGLE QUOTATION MARK}push right" in " ".join(rows)
    assert any("target network" in row for row in rows)
    assert any("actual return so far: +1.00" in row for row in rows)


@pytest.mark.parametrize(
    ("gamma", "error", "meaning", "color"),
    [
        (0.9, "+0.80", "▲ better than expected", Theme.better),
        (0.5, "+0.00", "as expected", Theme.track),
        (0.25, f"{MINUS}0.50", "▼ worse than expected", Theme.worse),
    ],
)
def test_the_error_is_coloured_by_its_sign(
    drawn_texts: list[str], gamma: float, error: str, meaning: str, color: tuple[int, int, int]
) -> None:
    view = cartpole(Training(gamma))
    surface = painted(PANEL, view)
    assert error in drawn_texts
    assert meaning in drawn_texts
    pills = {Theme.better, Theme.worse, Theme.track}
    row = [color_at(surface, PLACE.x + 18 + 4, y) for y in range(60, 300)]
    assert {found for found in row if found in pills and row.count(found) > 12} == {color}


def test_at_the_end_of_the_episode_there_is_no_next_value(drawn_texts: list[str]) -> None:
    view = cartpole(Training(0.9), steps=0)
    while not view.session.finished:
        view.session.step()
    rows = texts(view, drawn_texts)
    assert "+ no next value" in rows
    assert "the episode ended here" in rows
    assert rows[rows.index("= target") - 1] == "+1.00"  # the number is written before its label


def test_munchausens_bonus_and_more_steps(drawn_texts: list[str]) -> None:
    """Log-probability of the better of 0.5 and 2 at temperature 1: -log(1 + exp(-1.5)) = -0.2014; half: -0.10."""
    training = Training(0.9, munchausen=Munchausen(0.5, 1.0, -1.0), n_step=3)
    rows = texts(cartpole(training), drawn_texts)
    assert f"{MINUS}0.10" in rows
    assert "likeliest action" in " ".join(rows)
    assert "training sums 3 rewards; the next ones are not known yet" in " ".join(rows)
    drawn_texts.clear()
    rows = texts(cartpole(dataclasses.replace(training, munchausen=None), steps=6), drawn_texts)
    view = cartpole(dataclasses.replace(training, munchausen=None), steps=6)
    view.session.timeline.back(4)
    drawn_texts.clear()
    rows = texts(view, drawn_texts)
    # 1 + 0.9 + 0.81 + 0.729 x 2 = 4.168
    assert "sums 3 rewards: target +4.17, TD error +2.17" in " ".join(rows)


def test_a_clipped_reward_is_explained(drawn_texts: list[str]) -> None:
    view = cartpole(Training(0.5, clip_rewards=True))
    view.session.timeline[0].reward = 4.0
    rows = texts(view, drawn_texts)
    assert " ".join(rows).count(f"the game gave +4; the agent learns from rewards clipped to [{MINUS}1, 1]") == 1
    assert "+1.00" in rows


def test_small_numbers_have_the_digits_that_a_sum_needs(drawn_texts: list[str]) -> None:
    """A reward of 0.003 and 0.5 x -0.03 are -0.012; -0.03 were expected."""
    view = cartpole(Training(0.5, reward_scale=0.003), (-0.04, -0.03))
    rows = texts(view, drawn_texts)
    for number in ("+0.0030", f"{MINUS}0.0150", f"{MINUS}0.0120", f"{MINUS}0.0300", "+0.0180"):
        assert number in rows
    assert "▲ better than expected" in rows
    assert "actual return so far: +0.0030; 50 % of the discounted future is still ahead" in " ".join(rows)


def test_no_key_has_no_expectation(drawn_texts: list[str]) -> None:
    session = session_in(policy=Trained(Q4, Training(0.5)))
    session.take_over()
    session.step()
    rows = texts(view_of(session), drawn_texts)
    assert rows[0] == "Step 0: no key (you)"
    assert "the network expects nothing of 'no key'" in rows
    assert not any("TD error" in row for row in rows)
    assert any("actual return so far" in row for row in rows)


def test_looking_back_explains_that_step(drawn_texts: list[str]) -> None:
    view = cartpole(Training(0.9), steps=5)
    view.session.timeline.to(2)
    assert texts(view, drawn_texts)[0] == "Step 2: push right (the agent)"


# why there is no explanation


@pytest.mark.parametrize(
    ("policy", "steps", "reason"),
    [
        (Trained(Q4, Training(0.9)), 0, "No step has been made yet."),
        (NoQValues(Q4), 1, "This player expects nothing."),
        (Known(Q4), 1, "It is not known how this network was trained, so there is no target to compare with."),
    ],
    ids=["no step", "no expectations", "no training"],
)
def test_the_reason_is_shown_where_there_is_no_explanation(
    drawn_texts: list[str], policy: Known, steps: int, reason: str
) -> None:
    session = session_in(policy=policy)
    for _ in range(steps):
        session.step()
    view = view_of(session)
    assert why_not(view) == reason
    title, *rows = texts(view, drawn_texts)
    assert title == "This step explained"
    assert " ".join(rows) == reason


def test_without_an_agent_there_is_no_panel() -> None:
    assert PANEL.height(view_of(session_in(CARTPOLE), CARTPOLE)) == 0
    mute, trained = (
        PANEL.height(view_of(session_in(policy=policy))) for policy in (NoQValues(Q4), Trained(Q4, Training(0.9)))
    )
    assert mute == 0 < trained


def test_the_height_stays_from_step_to_step() -> None:
    view = cartpole(Training(0.9, n_step=3, munchausen=Munchausen(0.5, 1.0, -1.0)), steps=0)
    heights = set()
    while not view.session.finished:
        heights.add(PANEL.height(view))
        view.session.step()
    assert len(heights | {PANEL.height(view)}) == 1


# what mattered


def view_of_weights(weights: dict[int, float]) -> View:
    """Return a view of a Waterworld player whose best action depends on these inputs only, with these weights."""
    row = np.zeros((1, 152))
    for place, weight in weights.items():
        row[0, place] = weight
    policy = Thinking(Q4, dense(row), dense([[0.0], [1.0], [0.0], [0.0]], bias=[0.0, 500.0, 0.0, 0.0]))
    return view_of(session_in(policy=policy))


def test_the_strongest_inputs_have_bars(drawn_texts: list[str]) -> None:
    """Weights 6, 3 and -1 are 60, 30 and 10 % of all."""
    view = view_of_weights({4 * 5 + 1: 6.0, 150: 3.0, 9 * 5 + 2: -1.0})
    surface = painted(PANEL, view)
    named = [text for text in drawn_texts if text in {"eye 5 apple", "own speed x", "eye 10 poison"}]
    assert named == ["eye 5 apple", "own speed x", "eye 10 poison"]
    assert [text for text in drawn_texts if text.endswith("%")][:3] == ["60%", "30%", "10%"]
    area = PANEL.inputs_area(PLACE, view)
    room = Area(area.x + 10, area.y + INPUTS_HEAD, area.w - 20, area.h - INPUTS_HEAD)
    zones = [share_zone(room, place, NAMES) for place in range(3)]
    lengths = [count(surface, zone, Theme.agent) / round(zone.h) for zone in zones]
    assert lengths[0] == pytest.approx(zones[0].w, abs=2)
    assert [length / lengths[0] for length in lengths] == pytest.approx([1.0, 0.5, 1 / 6], abs=0.03)


def test_no_input_that_matters_has_a_message(drawn_texts: list[str]) -> None:
    assert "none, here" in texts(view_of_weights({}), drawn_texts)


def test_in_a_pause_the_rays_show_which_eyes_mattered(drawn_texts: list[str]) -> None:
    """Eye 5 by 6 + 2, eye 10 by 4, the own speed is no eye; while time runs the world stays plain."""
    view = view_of_weights({4 * 5 + 1: 6.0, 4 * 5 + 2: 2.0, 9 * 5 + 2: -4.0, 150: 3.0})
    session = view.session
    assert eye_saliency(view) is None
    assert "for the best action" in texts(view, drawn_texts)
    session.paused = True
    found = eye_saliency(view)
    assert found is not None
    assert {eye: share for eye, share in enumerate(found, 1) if share} == pytest.approx({5: 1.0, 10: 0.5})
    drawn_texts.clear()
    assert "width of the rays" in texts(view, drawn_texts)
    view.hidden.add(PANEL.name)
    assert eye_saliency(view) is None


def test_looking_back_shows_what_mattered_then() -> None:
    view = view_of_weights({4 * 5 + 1: 6.0})
    for _ in range(3):
        view.session.step()
    band = water.BAND[False]
    assert not (picture_of(view) == band).all(-1).any()
    view.session.timeline.back(1)
    assert (picture_of(view) == band).all(-1).any()


def test_where_no_eye_mattered_no_ray_is_wide() -> None:
    for view in (view_of_weights({150: 1.0}), cartpole(Training(0.9)), view_of(session_in(policy=NoQValues(Q4)))):
        view.session.paused = True
        assert eye_saliency(view) is None


@pytest.mark.parametrize("size", [np.nan, np.inf])
def test_a_saliency_that_is_not_finite_widens_no_ray(monkeypatch: pytest.MonkeyPatch, size: float) -> None:
    view = view_of_weights({4 * 5 + 1: 6.0})
    view.session.paused = True
    monkeypatch.setattr(view.inspector, "saliency", lambda: np.full(152, size))
    assert eye_saliency(view) is None
    assert not (picture_of(view) == BLUE).all(-1).any()


def picture_of(view: View) -> NDArray[np.uint8]:
    """Return the world's picture as the window shows it, (H, W, 3)."""
    surface = pygame.Surface((700, 500), depth=24)
    draw_session(Canvas(surface, Fonts(), (700, 500)), Area(0, 0, 700, 500), view, view.session)
    return picture(surface)


def heat(saliency: NDArray[np.float64], grey: int = 60) -> NDArray[np.int64]:
    return heated(np.full(saliency.shape, grey, np.uint8), saliency).astype(int)


def test_heat_is_orange_where_it_is_most_and_blue_where_it_is_some() -> None:
    saliency = np.zeros((24, 24))
    saliency[2:7, 2:7] = 1.0
    saliency[12:17, 12:17] = 0.4
    red, _, blue = np.moveaxis(heat(saliency), -1, 0)
    assert red[4, 4] > blue[4, 4] + 80
    assert blue[14, 14] > red[14, 14] + 20
    np.testing.assert_array_equal(heat(saliency)[20, 3], [60, 60, 60])
    np.testing.assert_array_equal(heat(np.zeros((5, 5))), np.full((5, 5, 3), 60))


def test_frames_have_a_picture(monkeypatch: pytest.MonkeyPatch, drawn_texts: list[str]) -> None:
    view = cartpole(Training(0.9))
    moment = view.session.timeline.current
    moment.stored_obs = np.full((4, 84, 84), 60, np.uint8)
    saliency = np.zeros((84, 84))
    saliency[60:80, 4:24] = 1.0
    monkeypatch.setattr(view.inspector, "saliency", lambda: saliency)
    monkeypatch.setattr(view.inspector, "inputs", lambda: None)
    area = fitting(PANEL, view)
    surface = painted(PANEL, view, area)
    assert any(text.startswith("What is expected") for text in drawn_texts)
    place = PANEL.inputs_area(area, view)
    side = place.h - INPUTS_HEAD
    left, top = place.x + 10, place.y + INPUTS_HEAD
    red, _, blue = color_at(surface, left + side * 14 / 84, top + side * 70 / 84)
    assert red > blue + 60
    assert color_at(surface, left + side * 0.8, top + side * 0.2) == (60, 60, 60)


# in every state


def test_numbers_that_are_not_finite_are_named(drawn_texts: list[str]) -> None:
    view = view_of(session_in(policy=Trained((np.nan, 1.0, np.inf, 0.0), Training(0.9))))
    for _ in range(2):
        view.session.step()
    rows = texts(view, drawn_texts)
    assert "NaN" in rows
    assert (verdict(float("nan")), verdict(float("inf"))) == ("NaN", "infinite")
    assert pill_color(float("nan")) == pill_color(float("inf")) == Theme.track


@pytest.mark.parametrize("scale", [1.0, 1.25, 1.5, 2.0])
@pytest.mark.parametrize(
    "training",
    [
        Training(0.9, double=True, n_step=3, clip_rewards=True),
        Training(0.99, munchausen=Munchausen(0.9, 0.03, -1.0)),
        Training(0.99, target_network=False, trace_decay=0.8),
        Training(0.99, target_network=False, q_lambda=0.65),
        None,
    ],
)
def test_all_is_written_and_nothing_is_drawn_outside_the_card(
    drawn_texts: list[str], scale: float, training: Training | None
) -> None:
    view = view_of_weights({21: 6.0, 150: 3.0})
    view.session.training = training
    for _ in range(4):
        view.session.step()
    area = fitting(PANEL, view)
    assert stays_inside(PANEL, view, area, scale)
    if training is not None:
        assert " ".join(drawn_texts).count("still ahead") == 1  # the sum's last line
    assert "eye 5 apple" in drawn_texts
    for height in (40.0, 150.0, 600.0):
        assert stays_inside(PANEL, view, Area(12, 12, 340, height), scale)


def test_the_last_line_has_room_below_scaled_rewards(drawn_texts: list[str]) -> None:
    view = view_of_weights({21: 6.0, 150: 3.0})
    view.session.training = Training(0.99, double=True, n_step=3, reward_scale=0.00286)
    view.session.step()
    view.session.timeline[0].reward = -100.0
    words = " ".join(texts(view, drawn_texts, fitting(PANEL, view)))
    assert f"the game gave {MINUS}100; the agent learns from rewards times 0.00286" in words
    assert f"actual return so far: {MINUS}0.29; 99 % of the discounted future is still ahead" in words


def test_without_room_the_rest_of_the_sum_is_left_out(drawn_texts: list[str]) -> None:
    view = view_of_weights({21: 6.0})
    view.session.training = Training(0.9)
    view.session.step()
    rows = texts(view, drawn_texts, Area(12, 12, 340, 200))
    assert "reward" in rows
    assert "= target" not in rows
    assert "= TD error" not in rows
    assert "eye 5 apple" in rows


def test_a_higher_card_has_more_inputs(drawn_texts: list[str]) -> None:
    view = view_of_weights({place * 5: 1.0 + place for place in range(12)})
    low = [text for text in texts(view, drawn_texts, fitting(PANEL, view)) if text.endswith("%")]
    drawn_texts.clear()
    high = [text for text in texts(view, drawn_texts, Area(12, 12, 340, 600)) if text.endswith("%")]
    assert (len(low), len(high)) == (3, 8)


def test_it_is_redrawn_only_when_something_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    view = cartpole(Training(0.9), steps=3)
    view.session.paused = True
    before = painted(PANEL, view)
    monkeypatch.setattr(ExplainedPanel, "_draw", None)
    assert pygame.image.tobytes(painted(PANEL, view), "RGB") == pygame.image.tobytes(before, "RGB")
    view.session.timeline.back()
    with pytest.raises(TypeError):
        painted(PANEL, view)


def test_signs_are_typeset() -> None:
    assert typeset("error -0.50; log-probability, 0.9 x -1, [-1, 1]") == (
        f"error {MINUS}0.50; log-probability, 0.9 \N{MULTIPLICATION SIGN} {MINUS}1, [{MINUS}1, 1]"
    )


def test_long_action_names_fit() -> None:
    view = view_of(session_in(V1, Trained(Q4, Training(0.9))))
    view.session.action_names = tuple(f"a very long name of an action, the number {n}" for n in range(4))
    view.session.step()
    assert stays_inside(PANEL, view, fitting(PANEL, view), 1.0)
