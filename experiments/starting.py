"""The network that a run starts from, where that is another run's or agent's: found, checked, described."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

import envs
from agents import recipe
from common import hub
from common.errors import UserError
from common.files import PRETRAINED
from common.reading import check_inside
from common.text import number_of
from experiments.plan import words
from experiments.run_status import find_one
from learning.checkpoint import MANIFEST, config_from, read_manifest, read_weights
from learning.config import FamilyConfig, LearnerConfig
from learning.plan import Plan
from scores.finding import find_all

# settings that decide a network's layers
LAYERS = ("encoder", "hidden", "head_hidden", "dueling", "layer_norm", "spectral_norm", "impala_width", "impala_pool")
FAMILY = ("noisy", "head", "canonical")


@dataclass(frozen=True)
class Source:
    """Where a run starts from."""

    folder: Path
    manifest: Mapping[str, Any]
    config: LearnerConfig

    def described(self) -> dict[str, Any]:
        """Return what ``config.json`` has of it, so that the run's scores say it."""
        names = ("agent", "env_id", "agent_steps", "sha256")
        return {"path": str(self.folder), **{name: self.manifest[name] for name in names}}

    def __str__(self) -> str:
        steps = number_of(self.manifest["agent_steps"], "agent step")
        return f"{self.manifest['agent']}, {steps} of {self.manifest['env_id']}"

    def with_range(self, config: LearnerConfig) -> LearnerConfig:
        """Return the settings with the range of returns that its network has, unless one was given."""
        if not (isinstance(config, FamilyConfig) and isinstance(self.config, FamilyConfig)):
            return config
        return config.with_range(self.config.support) if _has_range(self.config) else config


def find(path: Path, runs_dir: Path) -> Source:
    """Return the agent in a run folder or an agent folder, by path, or by name among the runs or pretrained agents.

    "newest" is the newest run that has an agent.

    Raises:
        UserError: there is none, or its manifest is damaged.
    """
    if hub.is_on_hub(path):
        path = hub.local(path)
    elif not any(os.path.exists(place) for place in (path, runs_dir / path, PRETRAINED / path)):
        known = [run for run in find_all([runs_dir]) if os.path.isfile(run / "agent" / MANIFEST)]
        path = find_one(str(path), "--from", known, [one.name for one in PRETRAINED.iterdir() if one.is_dir()])
    for place in (path, runs_dir / path, PRETRAINED / path):
        for folder in (place, place / "agent"):
            if os.path.isfile(folder / MANIFEST):
                if folder.name == "agent":
                    check_inside(folder, folder.parent)
                manifest = read_manifest(folder)
                config = config_from(recipe(manifest["agent"]).config, manifest["config"], folder / MANIFEST)
                return Source(folder, manifest, config)
    raise UserError(f"--from {path}: no agent here; name a run folder, or an agent folder with {MANIFEST}")


def weights_for(source: Source, plan: Plan) -> dict[str, Tensor]:
    """Return the weights of a source for the network of a plan.

    Raises:
        UserError: observations, actions or layers differ; the message says which, and the options that would fit.
    """
    vec = envs.make_vec(plan.env_id, 1, **plan.env_options())
    space, actions = vec.single_observation_space, vec.single_action_space
    vec.close()
    assert isinstance(space, spaces.Box)
    assert isinstance(actions, spaces.Discrete)
    seen = source.manifest["observation"]
    there = _observation(seen["shape"], np.dtype(seen["dtype"]))
    here = _observation(space.shape, np.dtype(space.dtype))
    if there != here:
        raise UserError(f"--from {source.folder}: it sees {there}, and {plan.env_id} gives {here}")
    if source.manifest["num_actions"] != int(actions.n):
        known = source.manifest["num_actions"]
        raise UserError(
            f"--from {source.folder}: it has {number_of(known, 'action')}, and {plan.env_id} has {int(actions.n)}"
        )
    network = plan.recipe.network(space, int(actions.n), plan.config, torch.Generator())
    if differing := _differing(source, plan):
        more = " ".join(words(differing))
        raise UserError(f"--from {source.folder}: its network differs from this run's; add {more}")
    return read_weights(source.folder, source.manifest, network)


def _observation(shape: Any, dtype: np.dtype[Any]) -> str:
    return f"observations of {' x '.join(map(str, shape))} {dtype} numbers"


def _has_range(config: LearnerConfig) -> bool:
    return isinstance(config, FamilyConfig) and config.head in ("categorical", "histogram")


def _differing(source: Source, plan: Plan) -> dict[str, Any]:
    """Return the settings of a source's network that a plan's has otherwise; the agent, where that decides it."""
    theirs, ours = source.config, plan.config
    agent, same_kind = source.manifest["agent"], isinstance(theirs, FamilyConfig) == isinstance(ours, FamilyConfig)
    if not same_kind and agent != plan.recipe.name:
        return {"agent": agent}
    names = list(LAYERS)
    if isinstance(theirs, FamilyConfig):
        names += FAMILY
        if theirs.head in ("categorical", "histogram"):
            names.append("num_atoms")
        if theirs.head == "histogram":
            names.append("bin_range")
        if theirs.head == "quantile":
            names.append("num_quantiles")
    found = {name: getattr(theirs, name) for name in names if getattr(theirs, name) != getattr(ours, name, None)}
    if _has_range(theirs) and _has_range(ours) and theirs.support != ours.support:  # type: ignore[attr-defined]
        found |= dict(zip(("v_min", "v_max"), theirs.support, strict=True))  # type: ignore[attr-defined]
    return found


def planned_from(source: Source | None, plan: Plan) -> Plan:
    """Return the plan, its settings with what the source's network decides and nobody gave."""
    return plan if source is None else replace(plan, config=source.with_range(plan.config))
