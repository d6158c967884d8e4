"""The registry of agents: one line each; command line, tests and README go through it."""

from __future__ import annotations

import envs
from agents import dqn, pqn
from common.errors import UserError, unknown
from learning.recipe import Recipe

AGENTS: dict[str, Recipe] = {recipe.name: recipe for recipe in (dqn.RECIPE, pqn.RECIPE)}


def recipe(name: str) -> Recipe:
    """Return the recipe of that name; `UserError` with the nearest names when there is none."""
    if name not in AGENTS:
        raise unknown("agent", name, AGENTS)
    return AGENTS[name]


def choose(agent: str, preset: str, env_id: str, device: str) -> tuple[Recipe, str]:
    """Return the recipe and the name of the preset to use; "auto" chooses by environment and device.

    On Atari without a GPU that is PQN, the fastest to learn there; elsewhere DQN.

    Args:
        agent: a name, or "auto".
        preset: a name, or "auto".
        env_id: a resolved environment id.
        device: where will be learnt: "cpu", "cuda" or "mps".

    Raises:
        UserError: no such agent or preset, or a preset that is made for the other kind of observation.
    """
    frames = envs.is_atari(env_id)
    order = ("pqn", "dqn") if frames and device == "cpu" else ("dqn", "pqn")
    if agent == "auto":
        agent = next((name for name in order if preset in AGENTS[name].presets), order[0])
    chosen = recipe(agent)
    fitting = [name for name, one in chosen.presets.items() if one.frames == frames]
    if preset == "auto":
        preferred = ("cpu" if device == "cpu" else "modern") if frames else "default"
        return chosen, preferred if preferred in fitting else fitting[0]
    if preset not in chosen.presets:
        known = {name for one in AGENTS.values() for name in one.presets}
        raise unknown("preset", preset, chosen.presets if preset in known else known)
    if preset not in fitting:
        kind = "vectors" if frames else "Atari's frames"
        raise UserError(f"--preset {preset} is made for {kind}; for {env_id}: {', '.join(fitting)}")
    return chosen, preset
