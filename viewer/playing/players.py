"""Who plays where, and under which rules: from what a person names to a player and its environment. No pygame here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import envs
from common.errors import UserError, nearest
from common.files import PRETRAINED, read_json

if TYPE_CHECKING:  # a person plays without torch
    from learning.policy import Policy

SHIPPED = PRETRAINED / "waterworld"  # the agent that ships


@dataclass(frozen=True)
class Rules:
    """Where is played, and how."""

    env_id: str
    protocol: str
    env_options: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Return the protocol where there is a choice of them."""
        return self.protocol if envs.is_atari(self.env_id) else ""


def rules_for(env_id: str, agent: Policy | None) -> Rules:
    """Return the rules: those under which the agent is judged, also for a person beside it; else the default.

    An Atari agent keeps its rules, and the size of its frames, in another game.
    """
    own = agent.env_id if agent is not None else None
    if own is not None and (own == env_id or (envs.is_atari(own) and envs.is_atari(env_id))):
        name = getattr(agent, "protocol", "default")
        return Rules(env_id, envs.protocol(env_id, name).name, getattr(agent, "env_options", {}))
    return Rules(env_id, envs.protocol(env_id).name, envs.options(env_id))


def find_agent(given: Path | None, runs_dir: Path) -> Path:
    """Return where the agent is that a person means: the newest run's, else the one that ships, if none is given.

    Raises:
        UserError: it is not there; the nearest ones that are there are named.
    """
    if given is not None:
        for path in (given, runs_dir / given, PRETRAINED / given):
            if path.exists():
                return path
        known = [*_names(runs_dir), *_names(PRETRAINED)]
        hint = f"did you mean {nearest(given.name, known)}?" if known else "train one: python train.py"
        raise UserError(f"{given}: no such run or agent; {hint}")
    runs = _with_agents(runs_dir)
    if runs:
        return max(runs, key=_started)
    if (SHIPPED / "agent").exists():
        return SHIPPED
    raise UserError(f"no run in {runs_dir} has an agent yet; train one: python train.py")


def _with_agents(folder: Path) -> list[Path]:
    """Return the runs in a folder that have an agent already."""
    return [path.parent.parent for path in folder.glob("*/agent/manifest.json")]


def _names(folder: Path) -> list[str]:
    """Return the runs, agents and agent files in a folder."""
    if not folder.is_dir():
        return []
    return [path.name for path in folder.iterdir() if path.suffix == ".json" or (path / "config.json").exists()]


def _started(run_folder: Path) -> tuple[str, float]:
    """Return what orders runs by their start: the time in the name, then the folder's own."""
    return run_folder.name.rpartition("__")[2], run_folder.stat().st_mtime


def load(path: Path) -> Policy:
    """Return the player in a run folder, an agent folder or a demo's file."""
    import torch

    from agents.loading import load_policy

    torch.set_num_threads(1)  # one observation at a time: more threads only cost
    return load_policy(path)


def named_env(given: str, runs_dir: Path) -> str | None:
    """Return the environment that stands where a run could; None if it is a run, or nothing that is known.

    Raises:
        UserError: an Atari game, but misspelt, or no emulator is installed.
    """
    if not given or any(place.exists() for place in (Path(given), runs_dir / given, PRETRAINED / given)):
        return None
    try:
        return envs.resolve(given)
    except UserError:
        if envs.is_atari(given):
            raise
        return None  # `find_agent` says that there is no such run


def trained_in(env_id: str, runs_dir: Path) -> Path | None:
    """Return the newest run in that environment that has an agent, else one that ships; None without any."""
    return next(iter(all_trained_in(env_id, runs_dir)), None)


def all_trained_in(env_id: str, runs_dir: Path) -> list[Path]:
    """Return the runs in that environment that have agents, the newest first; last those that ship, the best first."""
    return [
        run
        for folder in (runs_dir, PRETRAINED)
        for run in sorted(_with_agents(folder), key=lambda run: (run == SHIPPED, _started(run)), reverse=True)
        if _env_of(run) == env_id
    ]


def _env_of(run_folder: Path) -> str:
    """Return where an agent was trained; empty if its manifest can't be read."""
    try:
        return str(read_json(run_folder / "agent" / "manifest.json")["env_id"])
    except (UserError, KeyError, TypeError):
        return ""
