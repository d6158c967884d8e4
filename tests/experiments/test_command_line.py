"""The options of train.py: every setting is in one group of the help, with its text; nothing is cut off."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys

import pytest

from agents import AGENTS
from common.errors import UserError
from common.files import ROOT
from common.settings import option_name
from experiments.command_line import GROUPS, TITLES, RunOptions, any_settings, field_docs, read_command_line
from learning.config import FamilyConfig


def options() -> set[str]:
    """Return the names of all options of all agents."""
    return {field.name for cls in (RunOptions, any_settings()) for field in dataclasses.fields(cls)}


def test_every_name_in_the_groups_is_an_option_and_in_one_group_only() -> None:
    names = [name for group in GROUPS.values() for name in group]
    assert len(names) == len(set(names))
    assert set(names) <= options()
    assert set(TITLES) == set(GROUPS)


@pytest.mark.parametrize("agent", AGENTS)
def test_every_setting_has_a_help_text(agent: str) -> None:
    config = AGENTS[agent].config
    texts = field_docs(config)
    for field in dataclasses.fields(config):
        assert len(texts[field.name]) > 8, field.name


def test_the_nearest_class_gives_the_text() -> None:
    assert field_docs(FamilyConfig)["n_step"] == "Rewards summed before bootstrapping, agent steps."
    assert field_docs(AGENTS["stream_q"].config)["num_envs"] == "A stream has one environment."


def helped(width: int, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words, "--help"],
        env={**os.environ, "COLUMNS": str(width), "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_help_has_a_group_for_each_kind_of_option_and_cuts_nothing_off() -> None:
    text = helped(119, "--agent", "rainbow")
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 119
    sections = dict(re.findall(r"╭─ (\w+) options ─+╮\n(.*?)╰─", text, flags=re.DOTALL))
    assert list(sections) == list(TITLES)
    for group, name in (
        ("run", "budget"),
        ("agent", "n_step"),
        ("replay", "prioritized"),
        ("network", "encoder"),
        ("schedule", "epsilon_final"),
        ("evaluation", "eval_epsilon"),
        ("atari", "protocol"),
    ):
        assert option_name(name) in sections[group]
        assert sum(re.search(rf"{option_name(name)}[ ,]", section) is not None for section in sections.values()) == 1
    words = " ".join(text.replace("│", " ").split())
    for field in dataclasses.fields(AGENTS["rainbow"].config):
        assert f"{option_name(field.name)} " in words or f"{option_name(field.name)}," in words
        assert field_docs(AGENTS["rainbow"].config)[field.name] in words
    assert "--num-atoms INT Returns between v_min and v_max that get a probability. (default: 51)" in words


def test_values_reach_options_and_settings_from_every_group() -> None:
    words = ["CartPole-v1", "--agent", "c51", "--seed", "3", "--num-atoms", "11", "--hidden", "8", "9", "--double"]
    run, config = read_command_line([*words, "--eval-episodes", "7", "--epsilon-steps", "50"])
    assert (run.env_id, run.agent, run.preset, run.seed, run.eval_episodes) == ("CartPole-v1", "c51", "control", 3, 7)
    assert isinstance(config, FamilyConfig)
    assert (config.num_atoms, config.hidden, config.double, config.epsilon_steps) == (11, (8, 9), True, 50)
    assert config.gamma == AGENTS["c51"].presets["control"].settings["gamma"]


@pytest.mark.parametrize(
    "words",
    [
        ["CartPole-v1", "--hidden", "8,9"],
        ["--env-id", "CartPole-v1", "--hidden=8,9"],
        ["--hidden", "8", "9", "--env-id=CartPole-v1"],
        ["--hidden", "8,", "9", "--env-id", "CartPole-v1"],
    ],
)
def test_the_environment_may_be_an_option_and_lists_may_have_commas(words: list[str]) -> None:
    run, config = read_command_line([*words, "--total-timesteps", "1e5", "--num-envs", "4"])
    assert (run.env_id, config.hidden, config.total_timesteps) == ("CartPole-v1", (8, 9), 100_000)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--learning-rat", "1"], "unknown option '--learning-rat'; did you mean --learning-rate"),
        (["--gamma", "2"], "--gamma 2.0 is out of range; allowed: 0 to 1"),
        (["--agent", "c51", "--v-min", "3", "--v-max", "1"], "--v-min 3 is not below --v-max 1"),
        (["--list", "--seed", "-1"], "--seed -1 is out of range; allowed: 0 to 4,294,967,295"),
        (["--total-timesteps", "1.5"], "Error parsing --total-timesteps: 1.5 is not a whole number"),
        (["--hidden", "64,a"], "--hidden"),
        (["--env-id"], "--env-id needs an environment, such as CartPole-v1"),
        (["--env-id", "--seed", "3"], "--env-id needs an environment, such as CartPole-v1"),
        (["CartPole-v1", "--env-id", "Acrobot-v1"], "unexpected argument 'CartPole-v1'"),
        (["--env-id", "CartPol-v1"], "unknown environment 'CartPol-v1'; did you mean CartPole-v1"),
        (["--lr", "3"], "unknown option '--lr'; did you mean --learning-rate?"),
        (["--buffer_size=3"], "unknown option '--buffer_size'; did you mean --capacity?"),
        (["--agent", "pqn", "--num-steps", "3"], "unknown option '--num-steps'; did you mean --rollout-steps?"),
    ],
)
def test_mistakes_are_one_line(words: list[str], text: str) -> None:
    with pytest.raises(UserError) as caught:
        read_command_line(words)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
