"""What can be trained: agents, switches, presets and environments, for `train.py --list` and docs/generate.py."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

import envs
from agents.family import IDEAS
from agents.registry import AGENTS
from common.settings import option_name
from envs.atari import games
from envs.factory import EPISODE_STEPS
from learning.recipe import Recipe

HEAD_PAPERS = {
    "expected": "Mnih et al. 2015, doi:10.1038/nature14236",
    "categorical": "Bellemare et al. 2017, arXiv:1707.06887",
    "quantile": "Dabney et al. 2017, arXiv:1710.10044",
    "implicit_quantile": "Dabney et al. 2018, arXiv:1806.06923",
    "histogram": "Farebrother et al. 2024, arXiv:2403.03950",
}
ENCODER_PAPERS = {
    "mlp": "vectors",
    "nature": "Mnih et al. 2015, doi:10.1038/nature14236",
    "mnih2013": "Mnih et al. 2013, arXiv:1312.5602",
    "small": "this project: for 42 x 42 frames on a CPU",
    "impala": "Espeholt et al. 2018, arXiv:1802.01561",
}


def words(settings: dict[str, Any]) -> list[str]:
    """Return settings as options of the command line: ``--double``, ``--n-step 3``."""
    return [
        option_name(name if value is not False else f"no_{name}") + ("" if isinstance(value, bool) else f" {value}")
        for name, value in settings.items()
    ]


def file_of(recipe: Recipe) -> str:
    """Return the agent's file, relative to the project's root."""
    return f"agents/{recipe.name}.py"


def table(title: str, *columns: str) -> Table:
    """Return an empty table whose cells break long words instead of cutting them off."""
    empty = Table(title=title, title_justify="left")
    for column in columns:
        empty.add_column(column, overflow="fold")
    return empty


def print_catalogue(console: Console) -> None:
    """Print all agents, switches, presets and environments."""
    agents = table("agents: --agent NAME", "agent", "paper", "switches", "presets")
    for recipe in AGENTS.values():
        agents.add_row(
            recipe.name, recipe.paper, " ".join(words(dict(recipe.switches))) or "-", " ".join(recipe.presets)
        )
    switches = table("switches of DQN's family", "switch", "without it", "paper")
    for idea in IDEAS.values():
        without = words({idea.setting: idea.off})[0]
        switches.add_row(option_name(idea.setting), without, idea.paper)
    for name, papers in (("head", HEAD_PAPERS), ("encoder", ENCODER_PAPERS)):
        for choice, paper in papers.items():
            switches.add_row(f"{option_name(name)} {choice}", "", paper)
    presets = table("presets: --preset NAME", "preset", "for", "agents")
    found: dict[tuple[str, str], list[str]] = {}
    for recipe in AGENTS.values():
        for name, preset in recipe.presets.items():
            found.setdefault((name, preset.about), []).append(recipe.name)
    for (name, about), owners in sorted(found.items(), key=lambda item: item[0][0]):
        others = [agent for agent in AGENTS if agent not in owners]
        shortest = f"all but {', '.join(others)}" if len(owners) > len(others) else ", ".join(owners)
        presets.add_row(name, about, shortest)
    for one in (agents, switches, presets):
        console.print(one)
    worlds = ", ".join(envs.resolve(world) for world in EPISODE_STEPS)
    console.print(f"environments: {worlds}", highlight=False)
    console.print(f"  {len(games())} Atari games, ALE/Pong-v5 and others: " + ", ".join(games()), highlight=False)
    console.print("  any other Gymnasium id with discrete actions, such as CartPole-v1", highlight=False)
