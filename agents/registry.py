"""The registry of agents: one line each; command line, tests and README go through it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import envs
from common.errors import UserError, unknown
from learning.recipe import Recipe

NAMES = (
    "dqn",
    "double_dqn",
    "dueling_dqn",
    "d3qn",
    "prioritized_dqn",
    "noisy_dqn",
    "c51",
    "qr_dqn",
    "iqn",
    "munchausen_dqn",
    "m_iqn",
    "hl_gauss",
    "rainbow",
    "rainbow_iqn",
    "fast_rainbow",
    "btr",
    "btr_short",
    "pqn",
    "stream_q",
)

AGENTS: dict[str, Recipe] = {name: import_module(f"agents.{name}").RECIPE for name in NAMES}

KINDS = {
    "worlds": "vectors",
    "control": "vectors",
    "atari": "Atari's frames",
    "pictures": "pictures that are not Atari's",
}
VECTORS = "d3qn"  # learns Waterworld-v1 best of all within minutes


def recipe(name: str) -> Recipe:
    """Return the recipe of that name; `UserError` with the nearest names when there is none."""
    if name not in AGENTS:
        raise unknown("agent", name, AGENTS)
    return AGENTS[name]


def choose(agent: str, preset: str, env_id: str, device: str, env_kwargs: Sequence[str] = ()) -> tuple[Recipe, str]:
    """Return the recipe and the name of the preset to use; "auto" chooses by environment and device.

    On Atari without a GPU that is PQN, the fastest to learn there; with one, DQN; for vectors, D3QN.

    Args:
        agent: a name, or "auto".
        preset: a name, or "auto".
        env_id: a resolved environment id.
        device: where will be learnt: "cpu", "cuda" or "mps".
        env_kwargs: KEY=VALUE, arguments of the environment.

    Raises:
        UserError: no such agent or preset, or a preset that is made for the other kind of observation.
    """
    frames, worlds = envs.is_atari(env_id) and not envs.is_ram(env_id), envs.is_world(env_id)
    first = "pqn" if frames and device == "cpu" else "dqn" if frames else VECTORS
    if agent == "auto":
        agent = next((name for name in (first, "dqn", "pqn", *AGENTS) if preset in AGENTS[name].presets), first)
    chosen = recipe(agent)
    pictures = envs.gives_pictures(env_id, tuple(env_kwargs))
    suited = ("atari",) if frames else ("pictures",) if pictures else ("worlds", "control")
    fitting = [name for name, one in chosen.presets.items() if one.suits in suited]
    if preset == "auto":
        if not fitting:
            raise UserError(f"{chosen.name} has no preset for {env_id}, which gives pictures; try --agent {VECTORS}")
        preferred = ("cpu" if device == "cpu" else "modern") if frames else "default" if worlds else "general"
        if env_id.startswith("CartPole"):
            preferred = "control"  # which was measured there
        elif env_id.startswith("CarRacing"):
            preferred = "racing"  # likewise
        elif preferred == "general" and not pictures and envs.is_tabular(env_id, tuple(env_kwargs)):
            preferred = "tabular"
        return chosen, next((name for name in (preferred, "control") if name in fitting), fitting[0])
    if preset not in chosen.presets:
        known = {name for one in AGENTS.values() for name in one.presets}
        raise unknown("preset", preset, chosen.presets if preset in known else known)
    if preset not in fitting:
        kind = KINDS[chosen.presets[preset].suits]
        raise UserError(f"--preset {preset} is made for {kind}; for {env_id}: {', '.join(fitting)}")
    return chosen, preset
