"""The parts of an agent's recipe, and the command lines that train it without each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from agents.family import IDEAS
from agents.registry import AGENTS, choose
from common.errors import UserError, unknown
from common.settings import check_given, validate
from experiments.plan import Entry, words
from learning.config import LearnerConfig

FULL = "full"


@dataclass(frozen=True)
class Variant:
    """One way to train the recipe: in full, or without a part."""

    name: str
    """"full", or "without PART"."""
    changes: tuple[str, ...]
    """The options that replace the part, as typed; empty for the full recipe."""
    entry: Entry
    """What is trained, with any seed."""


def parts(config: LearnerConfig) -> list[str]:
    """Return the settings of all ideas that are on and have an effect beside the other settings."""
    return [
        idea.setting
        for idea in IDEAS.values()
        if getattr(config, idea.setting, idea.off) != idea.off and _has_effect(config, idea.setting)
    ]


def selected_parts(agent: str, preset: str, config: LearnerConfig, env_id: str, names: str | None) -> list[str]:
    """Return the parts to leave out, one at a time.

    Args:
        agent: the name of the agent.
        preset: the preset that the settings come from.
        config: the resolved settings.
        env_id: the environment; an error lists the agents that have parts there.
        names: comma-separated names; None: all parts.

    Raises:
        UserError: the agent has no parts, or does not have one of the names.
    """
    available = parts(config)
    if not available:
        raise UserError(
            f"{agent} has no parts that can be left out (preset {preset}); agents that have some:"
            f" {', '.join(agents_with_parts(env_id))}"
        )
    if names is None:
        return available
    selected = [name.strip().replace("-", "_") for name in names.split(",") if name.strip()]
    if not selected:
        raise UserError(f"--parts '{names}': expected comma-separated names from {', '.join(available)}")
    for name in selected:
        if name in IDEAS and name not in available:
            raise UserError(
                f"--parts {name}: {agent} does not have it (preset {preset}); it has {', '.join(available)}"
            )
        if name not in IDEAS:
            raise unknown("part", name, available)
    return [name for name in available if name in selected]


def agents_with_parts(env_id: str) -> list[str]:
    """Return the agents that have a part to leave out, with the preset that is chosen on a CPU."""
    found = []
    for agent in AGENTS.values():
        _, preset = choose(agent.name, "auto", env_id, "cpu")
        if parts(agent.config(**agent.presets[preset].settings)):
            found.append(agent.name)
    return found


def variants(base: Entry, config: LearnerConfig, given: Iterable[str], left_out: Iterable[str]) -> list[Variant]:
    """Return the full recipe, then the recipe without each of its parts.

    Args:
        base: a run without the agent's own settings.
        config: the resolved settings.
        given: names of the agent's settings that were given on the command line.
        left_out: parts.

    Raises:
        UserError: the settings are incompatible without one of the parts.
    """
    names = list(given)
    found = [_variant(FULL, {}, base, {name: getattr(config, name) for name in names})]
    for part in left_out:
        without: dict[str, Any] = {part: IDEAS[part].off}
        reduced = replace(config, **without)
        validate(reduced)
        # options of the part are left out with it: train.py rejects options without effect
        kept = {name: getattr(config, name) for name in names if name != part and _has_effect(reduced, name)}
        found.append(_variant(f"without {part}", without, base, kept))
    return found


def _variant(name: str, changes: dict[str, Any], base: Entry, kept: dict[str, Any]) -> Variant:
    settings = {key: list(value) if isinstance(value, tuple) else value for key, value in (kept | changes).items()}
    return Variant(name, tuple(words(changes)), replace(base, label=name, settings=base.settings | settings))


def _has_effect(config: LearnerConfig, name: str) -> bool:
    """Return whether a setting has an effect beside the others."""
    try:
        check_given(config, [name])
    except UserError:
        return False
    return True
