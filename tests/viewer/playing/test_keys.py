from __future__ import annotations

import pytest

from viewer.playing.keys import ARROWS, FIRE_KEY, Joystick, RuleKeys, keys_for, parts, short, words

ALL = (
    "noop",
    "fire",
    "up",
    "right",
    "left",
    "down",
    "upright",
    "upleft",
    "downright",
    "downleft",
    "upfire",
    "rightfire",
    "leftfire",
    "downfire",
    "uprightfire",
    "upleftfire",
    "downrightfire",
    "downleftfire",
)
PONG = ("noop", "fire", "right", "left", "rightfire", "leftfire")
BREAKOUT = ("noop", "fire", "right", "left")
QBERT = ("noop", "fire", "up", "right", "left", "down")
ATLANTIS = ("noop", "fire", "rightfire", "leftfire")
TUTANKHAM = ("noop", "up", "right", "left", "down", "upfire", "rightfire", "leftfire")
KUNG_FU = ("noop", "up", "right", "left", "down", "downright", "downleft", "rightfire", "leftfire")
KEYSTONE = (*ALL[:10], "upfire", "rightfire", "leftfire", "downfire")
FREEWAY = ("noop", "up", "down")
CHECKERS = ("fire", "upright", "upleft", "downright", "downleft")


@pytest.mark.parametrize(
    ("names", "held", "name"),
    [
        (ALL, "", "noop"),
        (ALL, "space", "fire"),
        (ALL, "up", "up"),
        (ALL, "up right", "upright"),
        (ALL, "right up", "upright"),
        (ALL, "left down space", "downleftfire"),
        (ALL, "space up right", "uprightfire"),
        (ALL, "left right", "right"),  # the stick can't be at both sides: the later one
        (ALL, "down left up", "upleft"),
        (PONG, "up", "right"),  # in Pong right moves the paddle up
        (PONG, "down space", "leftfire"),
        (PONG, "up right", "right"),
        (PONG, "up down", "left"),
        (BREAKOUT, "right space", "fire"),  # no rightfire: the later key
        (BREAKOUT, "space right", "right"),
        (QBERT, "up right", "right"),
        (QBERT, "right up", "up"),
        (ATLANTIS, "left", "leftfire"),  # the direction exists with the button only
        (ATLANTIS, "space", "fire"),
        (TUTANKHAM, "space", "noop"),
        (TUTANKHAM, "down space", "down"),
        (TUTANKHAM, "left space", "leftfire"),
        (KUNG_FU, "right space down", "downright"),  # of two halves of equal size that with the later key
        (KUNG_FU, "down space right", "rightfire"),
        (KEYSTONE, "up right space", "rightfire"),
        (FREEWAY, "left", "noop"),
        (FREEWAY, "up left", "up"),
        (FREEWAY, "space", "noop"),
        (CHECKERS, "up left", "upleft"),
        (CHECKERS, "", None),
    ],
)
def test_the_joystick_plays_the_nearest_action(names: tuple[str, ...], held: str, name: str | None) -> None:
    action = keys_for(names).action(held.split())
    assert (None if action is None else names[action]) == name


def test_every_action_has_keys_that_play_it() -> None:
    for names in (ALL, PONG, BREAKOUT, QBERT, ATLANTIS, TUTANKHAM, KUNG_FU, KEYSTONE, FREEWAY, CHECKERS):
        keys = keys_for(names)
        for action, name in enumerate(names):
            wanted = [FIRE_KEY if part == "fire" else part for part in sorted(parts(name))]
            assert keys.action(wanted) == action, (names, name)
            assert set(wanted) <= keys.known
            assert (action in keys.labels) == bool(wanted)


def test_keys_without_an_action_in_a_game_are_not_known() -> None:
    assert keys_for(FREEWAY).known == {"up", "down"}  # space still pauses there
    assert keys_for(PONG).known == {*ARROWS, "space"}
    assert keys_for(FREEWAY).summary == "arrows"


def test_only_joysticks_are_recognised_as_one() -> None:
    others = [["left", "right", "up", "down"], ["0", "1"], ["straight", "bear left", "bear right"], ["turn left"]]
    assert all(isinstance(keys_for(names), RuleKeys) for names in others)
    assert all(isinstance(keys_for(names), Joystick) for names in (ALL, FREEWAY, CHECKERS))
    with pytest.raises(ValueError, match="'leftup' is not a joystick action"):
        parts("leftup")


@pytest.mark.parametrize(
    ("name", "in_words", "in_short"),
    [
        ("noop", "noop", "noop"),
        ("fire", "fire", "fire"),
        ("upright", "up right", "↗"),
        ("downleftfire", "down left fire", "↙ fire"),
        ("left", "left", "←"),
        ("turn left", "turn left", "turn left"),
        ("3", "3", "3"),
    ],
)
def test_readable_action_names(name: str, in_words: str, in_short: str) -> None:
    assert (words(name), short(name)) == (in_words, in_short)


def test_the_help_names_stick_button_and_both() -> None:
    assert keys_for(ALL).rows(ALL) == [
        ("← → ↑ ↓", "the joystick"),
        ("space", "fire"),
        ("together", "diagonals, fire while moving"),
    ]
    assert keys_for(PONG).rows(PONG)[:2] == [
        ("← →", "the joystick"),
        ("↑ ↓", "right, left (in Pong: up, down)"),
    ]
    assert keys_for(FREEWAY).rows(FREEWAY) == [("↑ ↓", "the joystick")]
    assert keys_for(TUTANKHAM).rows(TUTANKHAM)[1] == ("space", "fire, with a direction")
