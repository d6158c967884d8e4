"""What a recipe is made of, and how it is trained without each of its parts: the plan of an ablation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agents.catalogue import words
from agents.family import IDEAS
from agents.registry import AGENTS, choose
from common.errors import UserError, unknown
from common.settings import check_given, option_name, validate
from learning.config import LearnerConfig

FULL = "full"


@dataclass(frozen=True)
class Variant:
    """One way to train the recipe: whole, or without a part."""

    name: str
    """"full", or "without PART"."""
    changes: tuple[str, ...]
    """What it is trained with in place of the part, as typed; nothing for the whole recipe."""
    words: tuple[str, ...]
    """The whole command line of `train.py`, but for seed and runs folder."""

    @property
    def folder(self) -> str:
        """The name of the folder of its runs."""
        return self.name.replace(" ", "_")


def parts(config: LearnerConfig) -> list[str]:
    """Return the settings of all ideas that are on, and that mean something beside the other settings."""
    return [
        idea.setting
        for idea in IDEAS.values()
        if getattr(config, idea.setting, idea.off) != idea.off and _matters(config, idea.setting)
    ]


def chosen_parts(agent: str, preset: str, config: LearnerConfig, env_id: str, wanted: str | None) -> list[str]:
    """Return the parts to leave out, one at a time.

    Args:
        agent: whose settings these are.
        preset: the preset that they come from.
        config: the resolved settings.
        env_id: where will be trained: what other agents have there is named in an error.
        wanted: names with commas between them; None: all.

    Raises:
        UserError: the agent has no parts, or not the part that is wanted.
    """
    there = parts(config)
    if not there:
        raise UserError(
            f"{agent} has no parts that could be left out (preset {preset}); agents that have some:"
            f" {', '.join(with_parts(env_id))}"
        )
    if wanted is None:
        return there
    names = [name.strip().replace("-", "_") for name in wanted.split(",") if name.strip()]
    if not names:
        raise UserError(f"--parts '{wanted}': names are needed, with commas between them: {', '.join(there)}")
    for name in names:
        if name in IDEAS and name not in there:
            raise UserError(f"--parts {name}: {agent} does not have it (preset {preset}); it has {', '.join(there)}")
        if name not in IDEAS:
            raise unknown("part", name, there)
    return [name for name in there if name in names]


def with_parts(env_id: str) -> list[str]:
    """Return the agents that have a part to leave out, with the preset that they would get on a CPU."""
    found = []
    for agent in AGENTS.values():
        _, preset = choose(agent.name, "auto", env_id, "cpu")
        if parts(agent.config(**agent.presets[preset].settings)):
            found.append(agent.name)
    return found


def variants(
    base: Sequence[str], config: LearnerConfig, given: Iterable[str], left_out: Iterable[str]
) -> list[Variant]:
    """Return the whole recipe, then the recipe without each of its parts.

    Args:
        base: the command line of `train.py`, but for the agent's own settings.
        config: the resolved settings.
        given: names of the agent's settings that were given on the command line.
        left_out: parts.

    Raises:
        UserError: what is left makes no sense without one of the parts.
    """
    names = list(given)
    whole = typed({name: getattr(config, name) for name in names})
    found = [Variant(FULL, (), (*base, *whole))]
    for part in left_out:
        without: dict[str, Any] = {part: IDEAS[part].off}
        lacking = replace(config, **without)
        validate(lacking)
        # what belongs to the part goes with it: train.py refuses options that mean nothing
        kept = {name: getattr(config, name) for name in names if name != part and _matters(lacking, name)}
        changes = typed(without)
        found.append(Variant(f"without {part}", tuple(changes), (*base, *typed(kept), *changes)))
    return found


def typed(settings: Mapping[str, Any]) -> list[str]:
    """Return settings as the words of a command line: ``["--n-step", "3", "--no-double"]``."""
    line: list[str] = []
    for name, value in settings.items():
        if isinstance(value, tuple):
            line += [option_name(name), *map(str, value)]
        else:
            line += words({name: value})[0].split(" ", 1)
    return line


def _matters(config: LearnerConfig, name: str) -> bool:
    """Return whether a setting means something beside the others."""
    try:
        check_given(config, [name])
    except UserError:
        return False
    return True
