"""The parts of every recipe, listed by hand, and the command lines without them."""

from __future__ import annotations

from typing import Any

import pytest

from agents import AGENTS
from agents.family import IDEAS
from common.errors import UserError
from experiments.plan import Entry, words
from experiments.variants import agents_with_parts, parts, selected_parts, variants

RAINBOW = ["double", "dueling", "prioritized", "n_step", "noisy", "head"]
WATERWORLD = "tidepool/Waterworld-v1"
BASE = ["CartPole-v1", "--agent", "rainbow", "--preset", "control"]
ENTRY = Entry("CartPole-v1", "rainbow", "control")


def settings(agent: str, preset: str, **changes: Any) -> Any:
    recipe = AGENTS[agent]
    return recipe.config(**{**recipe.presets[preset].settings, **changes})


@pytest.mark.parametrize(
    ("agent", "preset", "expected"),
    [
        ("dqn", "default", []),
        ("dqn", "control", ["n_step"]),
        ("dqn", "modern", ["double"]),  # with Adam, squared errors and double Q-learning
        ("double_dqn", "default", ["double"]),
        ("iqn", "default", ["head"]),
        ("rainbow", "control", RAINBOW),
        ("rainbow", "paper", RAINBOW),
        ("btr", "control", ["dueling", "prioritized", "n_step", "noisy", "munchausen", "head"]),
        ("btr", "paper", ["dueling", "prioritized", "n_step", "noisy", "munchausen", "head", "spectral_norm"]),
        ("pqn", "control", ["layer_norm"]),  # its config has only some of the ideas
    ],
)
def test_parts(agent: str, preset: str, expected: list[str]) -> None:
    assert parts(settings(agent, preset)) == expected


def test_a_setting_without_effect_is_no_part() -> None:
    assert "spectral_norm" not in parts(settings("btr", "paper", encoder="nature"))


def test_every_switch_of_every_agent_that_is_an_idea_is_a_part() -> None:
    for name, recipe in AGENTS.items():
        expected = set(recipe.switches) & set(IDEAS)
        for preset in recipe.presets:
            off = {"n_step"} if preset == "tabular" else set()  # its returns look one step ahead, whatever the agent's
            assert expected - off <= set(parts(settings(name, preset))), (name, preset)


def test_variants_of_rainbow() -> None:
    config = settings("rainbow", "control")
    found = variants(ENTRY, config, [], parts(config))
    assert [(one.name, one.changes) for one in found] == [
        ("full", ()),
        ("without double", ("--no-double",)),
        ("without dueling", ("--no-dueling",)),
        ("without prioritized", ("--no-prioritized",)),
        ("without n_step", ("--n-step", "1")),
        ("without noisy", ("--no-noisy",)),
        ("without head", ("--head", "expected")),
    ]
    assert all(one.entry.words == [*BASE, *one.changes] for one in found)
    assert found[4].entry.folder == "without_n_step"


def test_options_go_to_every_variant_in_which_they_have_an_effect() -> None:
    """5-step returns, 101 atoms, noise and priorities: each option is left out with the part that it belongs to."""
    given = {
        "hidden": (32, 64),
        "n_step": 5,
        "num_atoms": 101,
        "noisy_epsilon": True,
        "priority_exponent": 0.3,
        "v_max": None,
        "prioritized": True,
    }
    config = settings("rainbow", "control", **given)
    full, *others = variants(ENTRY, config, given, ["prioritized", "n_step", "noisy", "head"])
    hidden, n_step, atoms = ["--hidden", "32", "64"], ["--n-step", "5"], ["--num-atoms", "101"]
    noise, exponent, v_max = ["--noisy-epsilon"], ["--priority-exponent", "0.3"], ["--v-max", "None"]
    on = "--prioritized"
    assert full.entry.words == [*BASE, *hidden, *n_step, *atoms, *noise, *exponent, *v_max, on]
    assert [one.entry.words for one in others] == [
        [*BASE, *hidden, *n_step, *atoms, *noise, *v_max, "--no-prioritized"],
        [*BASE, *hidden, *atoms, *noise, *exponent, *v_max, on, "--n-step", "1"],
        [*BASE, *hidden, *n_step, *atoms, *exponent, *v_max, on, "--no-noisy"],
        [*BASE, *hidden, *n_step, *noise, *exponent, on, "--head", "expected"],
    ]


def test_settings_as_arguments() -> None:
    assert words({"double": False, "noisy": True, "hidden": (), "gamma": 1e-05}) == [
        "--no-double",
        "--noisy",
        "--hidden",
        "--gamma",
        "1e-05",
    ]


def test_some_parts_only() -> None:
    config = settings("rainbow", "control")
    assert selected_parts("rainbow", "control", config, "CartPole-v1", None) == RAINBOW
    assert selected_parts("rainbow", "control", config, "CartPole-v1", "noisy, n-step") == ["n_step", "noisy"]


@pytest.mark.parametrize(
    ("agent", "names", "fault"),
    [
        ("dqn", None, "dqn has no parts that can be left out (preset default); agents that have some: double_dqn, "),
        ("dqn", "double", "dqn has no parts"),
        ("rainbow", "dubble", "unknown part 'dubble'; did you mean double?"),
        ("iqn", "double", "--parts double: iqn does not have it (preset default); it has head"),
        ("rainbow", " ,", "expected comma-separated names from double, dueling"),
    ],
)
def test_unknown_parts_are_rejected(agent: str, names: str | None, fault: str) -> None:
    with pytest.raises(UserError) as error:
        selected_parts(agent, "default", settings(agent, "default"), WATERWORLD, names)
    assert fault in str(error.value)
    assert "\n" not in str(error.value)


def test_agents_with_parts() -> None:
    found = agents_with_parts(WATERWORLD)
    assert "dqn" not in found
    assert {"rainbow", "pqn", "c51"} <= set(found)
