"""The registry of agents: one line each; command line, tests and README go through it."""

from __future__ import annotations

from agents import dqn
from common.errors import unknown
from learning.recipe import Recipe

AGENTS: dict[str, Recipe] = {recipe.name: recipe for recipe in (dqn.RECIPE,)}


def recipe(name: str) -> Recipe:
    """Return the recipe of that name; `UserError` with the nearest names when there is none."""
    if name not in AGENTS:
        raise unknown("agent", name, AGENTS)
    return AGENTS[name]
