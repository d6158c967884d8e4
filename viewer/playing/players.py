"""Finds the agent, the environment and the rules that the command line names. No pygame here."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import envs
from common import hub
from common.errors import UserError, suggestion
from common.files import PRETRAINED, read_json
from scores.finding import NEWEST, by_age, find_all, newest

if TYPE_CHECKING:  # a human plays without torch
    from learning.policy import Policy

DEFAULT_AGENT = PRETRAINED / "waterworld"


@dataclass(frozen=True)
class Rules:
    """The environment and its evaluation protocol."""

    env_id: str
    protocol: str
    env_options: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Return the protocol where there is a choice of them."""
        return self.protocol if envs.is_atari(self.env_id) else ""


def rules_for(env_id: str, agent: Policy | None, env_kwargs: Sequence[str] = ()) -> Rules:
    """Return the rules under which the agent is evaluated, also for a human beside it; without an agent the default.

    An Atari agent keeps its protocol and its frame size in another game. ``env_kwargs`` are arguments of the
    environment that were typed, which win.
    """
    rules = _rules_for(env_id, agent)
    if not env_kwargs:
        return rules
    given = envs.arguments(env_id, env_kwargs)
    name = envs.protocol(env_id, rules.protocol, env_kwargs).name
    return Rules(env_id, name, {**rules.env_options, **given})


def _rules_for(env_id: str, agent: Policy | None) -> Rules:
    own = agent.env_id if agent is not None else None
    if own is not None and (own == env_id or (envs.is_atari(own) and envs.is_atari(env_id))):
        name = getattr(agent, "protocol", "default")
        return Rules(env_id, envs.protocol(env_id, name).name, getattr(agent, "env_options", {}))
    return Rules(env_id, envs.protocol(env_id).name, envs.options(env_id))


def find_agent(given: Path | None, runs_dir: Path) -> Path:
    """Return the folder or file of the agent given; if none is, that of the newest run, else the pretrained agent.

    "newest" is the newest run, and no other.

    Raises:
        UserError: there is none; the message names the nearest ones.
    """
    if given is not None and hub.is_on_hub(given):
        return hub.local(given)
    if given is not None:
        for path in (given, runs_dir / given, PRETRAINED / given):
            if os.path.exists(path):  # `Path.exists` raises where a folder may not be looked into
                return path
    if given is not None and given.name != NEWEST:
        known = [*_names(runs_dir), *_names(PRETRAINED)]
        hint = suggestion(given.name, known) if known else "train one: python train.py"
        raise UserError(f"{given}: no such run or agent; {hint}")
    if (run := newest(_with_agents(find_all([runs_dir])))) is not None:
        return run
    if given is None and (DEFAULT_AGENT / "agent").exists():
        return DEFAULT_AGENT
    raise UserError(f"no run in {runs_dir} has an agent yet; train one: python train.py")


def _with_agents(runs: Iterable[Path]) -> list[Path]:
    """Return those of some runs that have saved an agent."""
    return [run for run in runs if os.path.isfile(run / "agent" / "manifest.json")]


def _names(folder: Path) -> list[str]:
    """Return the runs, agents and agent files in a folder."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    return [path.name for path in entries if path.suffix == ".json" or os.path.exists(path / "config.json")]


def load(path: Path) -> Policy:
    """Return the policy in a run folder, an agent folder or a demo's file."""
    import torch

    from agents.loading import load_policy

    torch.set_num_threads(1)  # for one observation at a time more threads are slower
    return load_policy(path)


def named_env(given: str, runs_dir: Path) -> str | None:
    """Return the environment of this name, where a run could be named too; None if it is a run, or unknown.

    Raises:
        UserError: the name of an Atari game is misspelt, or no emulator is installed.
    """
    if (
        not given
        or hub.is_on_hub(given)
        or any(os.path.exists(place) for place in (Path(given), runs_dir / given, PRETRAINED / given))
    ):
        return None
    try:
        return envs.resolve_typed(given)
    except UserError:
        if envs.is_atari(given):
            raise
        return None  # `find_agent` reports that there is no such run


def trained_in(env_id: str, runs_dir: Path) -> Path | None:
    """Return the newest run in that environment with an agent, else a pretrained agent; None without any."""
    return next(iter(all_trained_in(env_id, runs_dir)), None)


def all_trained_in(env_id: str, runs_dir: Path) -> list[Path]:
    """Return the runs with agents for that environment, the newest first, then the pretrained ones, the best first."""
    shipped = sorted(find_all([PRETRAINED]), key=lambda run: (run == DEFAULT_AGENT, run.name), reverse=True)
    runs = _with_agents([*by_age(find_all([runs_dir])), *shipped])
    return [run for run in runs if _env_of(run) == env_id]


def _env_of(run_folder: Path) -> str:
    """Return the environment that an agent was trained in; empty if its manifest can't be read."""
    try:
        return str(read_json(run_folder / "agent" / "manifest.json")["env_id"])
    except (UserError, KeyError, TypeError):
        return ""
