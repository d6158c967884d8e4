"""What the papers and their authors' code have for each setting of an agent's Atari preset, beside what it is here.

``published.csv`` has a line a setting, in this project's units: agent steps, and updates for the target network's
period. A value may have a note in brackets. "?" marks a paper's value that was not checked against the paper, or one of
the code that was not found. Lines with an entry in ``ours`` are about what no setting decides. Whatever is not equal
needs a reason in ``deviation``. ``published_sources.csv`` says which code, at which commit.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from agents.registry import AGENTS
from common.files import ROOT
from common.settings import without_effect
from envs.protocols import atari
from learning.config import FamilyConfig, LearnerConfig
from learning.recipe import Recipe
from learning.replay import ReplayExperience
from learning.stream import Stream

ROWS, SOURCES = ROOT / "agents" / "published.csv", ROOT / "agents" / "published_sources.csv"
# They say where and how a run is computed, or belong to environments that are no Atari games.
NOT_PUBLISHED = {
    *("on_nan", "bf16", "compile", "schedule_timesteps", "eval_max_steps"),
    *(
        "action_mask",
        "canonical",
        "reward_scale",
        "mode",
        "difficulty",
        "env_kwargs",
        "picture_size",
        "picture_grayscale",
        "action_repeat",
    ),
}
EXPLORING = "epsilon_"  # what noise replaces


class Row(NamedTuple):
    """A setting of an agent, or what no setting decides."""

    agent: str
    setting: str
    paper: str
    """Empty: not stated, or not checked."""
    code: str
    """Empty: there is no code, or it does not say."""
    ours: str
    deviation: str
    """Why ours is another one; empty: it is not."""


class Source(NamedTuple):
    """Which code was read, and which preset follows it."""

    agent: str
    preset: str
    repository: str
    """Empty: the authors have published none."""
    commit: str
    files: str


def _lines(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from list(csv.reader(file))[1:]


@functools.cache
def sources() -> dict[str, Source]:
    """Return the source of each agent that has a preset as published."""
    return {line[0]: Source(*line) for line in _lines(SOURCES)}


def table(agent: str) -> list[Row]:
    """Return all lines of an agent, each with our value, in the order of the file."""
    values = settings(AGENTS[agent], sources()[agent].preset)
    found = [Row(*line) for line in _lines(ROWS) if line[0] == agent]
    return [row if row.ours else row._replace(ours=values.get(row.setting, "")) for row in found]


def settings(recipe: Recipe, preset: str) -> dict[str, str]:
    """Return the settings of a preset that have an effect on what is learnt, as texts."""
    config = recipe.config(**recipe.presets[preset].settings)
    out = NOT_PUBLISHED | without_effect(config)
    if config.optimizer != "rmsprop":
        out |= {"rmsprop_decay"}
    if recipe.experience is not ReplayExperience:  # it learns from the first step on
        out |= {"epsilon_waits"}
    if recipe.experience is Stream:  # its network and its optimiser are the method
        out |= {"head_hidden", "layer_norm", "dueling", "optimizer", "optimizer_epsilon", "max_grad_norm"}
    found = {field.name: getattr(config, field.name) for field in dataclasses.fields(config) if field.name not in out}
    if isinstance(config, FamilyConfig) and config.noisy and not config.noisy_epsilon:
        found = {name: value for name, value in found.items() if not name.startswith(EXPLORING)}
    return {name: shown(value) for name, value in {**found, "eval_epsilon": eval_epsilon(config)}.items()}


def eval_epsilon(config: LearnerConfig) -> float:
    """Return the share of random actions in evaluation."""
    return atari(config.protocol).eval_epsilon if config.eval_epsilon is None else config.eval_epsilon


def shown(value: Any) -> str:
    """Return a setting's value as the file has it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "-"
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def same(published: str, ours: str) -> bool:
    """Whether a published value, with its note or its question mark, is ours."""
    published = re.split(r" \(|\?", published)[0]
    try:
        return math.isclose(float(published), float(ours), rel_tol=1e-5)
    except ValueError:
        return published == ours


def problems(agent: str) -> list[str]:
    """Return what is wrong with an agent's table, a line each: what is missing, or differs and has no reason."""
    preset, rows = sources()[agent].preset, table(agent)
    listed, ours = [row.setting for row in rows], settings(AGENTS[agent], preset)
    found = [f"{agent}: {name} is listed twice" for name in {one for one in listed if listed.count(one) > 1}]
    found += [f"{agent}: {name} = {value} is not listed" for name, value in ours.items() if name not in listed]
    for row in rows:
        if not row.ours:
            found.append(f"{agent}: {row.setting} has no effect in preset {preset}")
            continue
        differs = [text for text in (row.paper, row.code) if text and not same(text, row.ours)]
        if differs and not row.deviation:
            found.append(
                f"{agent}: {row.setting} is {row.ours} here, published {' and '.join(differs)}; no reason given"
            )
        if row.deviation and not differs:
            found.append(f"{agent}: {row.setting} is {row.ours} as published; the reason is of nothing")
        if not row.paper and not row.code:
            found.append(f"{agent}: {row.setting} has no published value")
    return found
