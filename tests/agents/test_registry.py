"""The choice of agent and preset by environment and device."""

from __future__ import annotations

import pytest

import envs
from agents import AGENTS, choose
from agents.registry import VECTORS
from common.errors import UserError
from common.settings import validate

PONG, WATERWORLD = "ALE/Pong-v5", "tidepool/Waterworld-v1"


@pytest.mark.parametrize(
    ("agent", "preset", "env_id", "device", "expected"),
    [
        ("auto", "auto", WATERWORLD, "cpu", (VECTORS, "default")),
        ("auto", "auto", WATERWORLD, "cuda", (VECTORS, "default")),
        ("auto", "auto", "CartPole-v1", "cpu", (VECTORS, "control")),
        ("d3qn", "auto", PONG, "cuda", ("d3qn", "cpu")),
        ("auto", "long", WATERWORLD, "cpu", (VECTORS, "long")),
        ("rainbow", "auto", "CartPole-v1", "cpu", ("rainbow", "control")),
        ("auto", "auto", "Acrobot-v1", "cpu", (VECTORS, "general")),
        ("auto", "auto", "FrozenLake-v1", "cpu", (VECTORS, "tabular")),
        ("rainbow", "auto", "Blackjack-v1", "cpu", ("rainbow", "tabular")),
        ("pqn", "auto", "FrozenLake-v1", "cpu", ("pqn", "control")),
        ("rainbow", "auto", PONG, "cpu", ("rainbow", "cpu")),
        ("rainbow", "auto", PONG, "cuda", ("rainbow", "paper")),
        ("auto", "auto", PONG, "cpu", ("pqn", "cpu")),
        ("auto", "auto", PONG, "cuda", ("dqn", "modern")),
        ("auto", "nature", PONG, "cpu", ("dqn", "nature")),
        ("auto", "cpu", PONG, "cuda", ("dqn", "cpu")),
        ("auto", "paper", PONG, "cuda", ("pqn", "paper")),
        ("dqn", "auto", PONG, "cpu", ("dqn", "cpu")),
        ("pqn", "auto", PONG, "cuda", ("pqn", "paper")),
        ("pqn", "auto", WATERWORLD, "cpu", ("pqn", "default")),
    ],
)
def test_agent_and_preset_fit_environment_and_device(
    agent: str, preset: str, env_id: str, device: str, expected: tuple[str, str]
) -> None:
    recipe, name = choose(agent, preset, env_id, device)
    assert (recipe.name, name) == expected


def test_every_preset_of_every_agent_is_valid() -> None:
    for recipe in AGENTS.values():
        assert {preset.suits for preset in recipe.presets.values()} >= {"atari", "worlds", "control"}
        for preset in recipe.presets.values():
            config = recipe.config(**preset.settings)
            validate(config)
            # Stream-Q scales rewards instead
            assert config.clip_rewards == (preset.suits == "atari" and recipe.name != "stream_q")


def test_numbered_states_are_learnt_from_one_step_whatever_the_agent_has() -> None:
    for agent in ("dqn", "d3qn", "rainbow", "btr"):
        presets = AGENTS[agent].presets
        assert presets["tabular"].settings["n_step"] == 1
        assert presets["general"].settings["n_step"] == 3


def test_btrs_layers_on_other_vectors_come_before_the_fractions() -> None:
    for agent in ("btr", "btr_short"):  # one narrow layer before and one behind them never landed on LunarLander
        general = AGENTS[agent].presets["general"].settings
        assert (general["hidden"], general["head_hidden"]) == (AGENTS["dqn"].presets["general"].settings["hidden"], ())
        assert general["head"] == "implicit_quantile"


def test_what_is_tabular() -> None:
    for env_id, expected in (("FrozenLake-v1", True), ("Taxi-v4", True), ("Blackjack-v1", True), ("Acrobot-v1", False)):
        assert envs.is_tabular(env_id) == expected
    assert not envs.is_tabular(PONG)
    assert not envs.is_tabular(WATERWORLD)


@pytest.mark.parametrize(
    ("agent", "preset", "env_id", "message"),
    [
        (
            "auto",
            "nature",
            WATERWORLD,
            r"--preset nature is made for Atari's frames; for .*: default, long, best, control",
        ),
        ("dqn", "long", PONG, r"--preset long is made for vectors; for ALE/Pong-v5: nature, modern, cpu"),
        ("auto", "natur", PONG, r"unknown preset 'natur'; did you mean nature"),
        ("pqn", "nature", PONG, r"unknown preset 'nature'; "),
        ("dqnn", "auto", PONG, r"unknown agent 'dqnn'; did you mean dqn"),
    ],
)
def test_unsuitable_presets_are_rejected(agent: str, preset: str, env_id: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose(agent, preset, env_id, "cpu")
