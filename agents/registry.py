"""The registry of agents: one line each; command line, tests and README go through it."""

from __future__ import annotations

import envs
from agents import dqn
from common.errors import UserError, unknown
from learning.recipe import Recipe

AGENTS: dict[str, Recipe] = {recipe.name: recipe for recipe in (dqn.RECIPE,)}


def recipe(name: str) -> Recipe:
    """Return the recipe of that name; `UserError` with the nearest names when there is none."""
    if name not in AGENTS:
        raise unknown("agent", name, AGENTS)
    return AGENTS[name]


def preset_for(agent: Recipe, preset: str, env_id: str, device: str) -> str:
    """Return the name of the preset to use; "auto" chooses by the kind of observation and the device.

    Args:
        agent: the recipe whose presets these are.
        preset: a name, or "auto".
        env_id: a resolved environment id.
        device: where will be learnt: "cpu", "cuda" or "mps".

    Raises:
        UserError: no such preset, or one that is made for the other kind of observation.
    """
    frames = envs.is_atari(env_id)
    fitting = [name for name, one in agent.presets.items() if one.frames == frames]
    if preset == "auto":
        return ("cpu" if device == "cpu" else "modern") if frames else "default"
    if preset not in agent.presets:
        raise unknown("preset", preset, agent.presets)
    if preset not in fitting:
        kind = "vectors" if frames else "Atari's frames"
        raise UserError(f"--preset {preset} is made for {kind}; for {env_id}: {', '.join(fitting)}")
    return preset
