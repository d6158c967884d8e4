"""Agents and training states on disk: safetensors and JSON, never pickle; versioned, checked when read."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from gymnasium import spaces
from safetensors import SafetensorError
from torch import Tensor

from common.errors import UserError
from common.files import read_json, write_bytes, write_json
from learning.learner import Learner
from learning.policy import NetworkPolicy, player
from learning.recipe import Recipe
from learning.runfolder import as_json

FORMAT = 1
RENAMED = {"adam_epsilon": "optimizer_epsilon"}  # settings of older agents and runs
MANIFEST, WEIGHTS = "manifest.json", "network.safetensors"


def save_agent(folder: Path, learner: Learner, env_id: str, space: spaces.Box, agent_steps: int) -> None:
    """Write all that playing needs: a manifest and the network's weights.

    The manifest comes last and holds the weights' checksum, so that the pair is never a mixture.
    """
    weights = learner.online.state_dict()
    data = safetensors.torch.save({name: value.cpu().contiguous() for name, value in weights.items()})
    manifest = {
        "format": FORMAT,
        "agent": learner.recipe.name,
        "env_id": env_id,
        "agent_steps": agent_steps,
        "observation": {"shape": list(space.shape), "dtype": str(space.dtype)},
        "num_actions": learner.num_actions,
        "config": as_json(learner.config),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    write_bytes(folder / WEIGHTS, data)
    write_json(folder / MANIFEST, manifest)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return an agent's manifest; `UserError` when it is missing, damaged or of an unknown format."""
    manifest = read_json(folder / MANIFEST)
    needed = ("format", "agent", "env_id", "observation", "num_actions", "config", "sha256")
    missing = [key for key in needed if key not in manifest] if isinstance(manifest, dict) else needed
    if missing:
        raise UserError(f"{folder / MANIFEST}: damaged, it lacks {', '.join(missing)}")
    if manifest["format"] != FORMAT:
        raise UserError(f"{folder / MANIFEST}: format {manifest['format']} is not known; this version reads {FORMAT}")
    return dict(manifest)


def load_agent(folder: Path, recipe: Recipe) -> NetworkPolicy:
    """Return the agent in ``folder`` as a player on the CPU.

    Raises:
        UserError: a file is missing, damaged, or does not fit its manifest; the file is named.
    """
    manifest = read_manifest(folder)
    config = config_from(recipe.config, manifest["config"], folder / MANIFEST)
    shape = tuple(manifest["observation"]["shape"])
    dtype = np.dtype(manifest["observation"]["dtype"])
    bound = 255 if dtype == np.uint8 else np.inf
    space = spaces.Box(-bound if dtype.kind == "f" else 0, bound, shape, dtype.type)
    network = recipe.network(space, manifest["num_actions"], config, torch.Generator())
    weights = _read_tensors(folder / WEIGHTS, manifest["sha256"])
    for name, wanted in network.state_dict().items():
        found = tuple(weights[name].shape) if name in weights else "missing"
        if found != tuple(wanted.shape):
            raise UserError(
                f"{folder}: {WEIGHTS} does not fit {MANIFEST}: {name} is {found}, not {tuple(wanted.shape)}"
            )
    network.load_state_dict(weights, strict=False)
    return player(recipe.name, config, manifest["env_id"], network, manifest["num_actions"])


def _read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise UserError(f"{path}: damaged or truncated, its checksum is not the manifest's")
        return safetensors.torch.load(data)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable ({error})") from None


def config_from(cls: type[Any], values: Mapping[str, Any], path: Path) -> Any:
    """Return a settings dataclass from JSON's types; an unknown field is a `UserError` that names the file."""
    values = {RENAMED.get(key, key): value for key, value in values.items()}
    known = {field.name for field in dataclasses.fields(cls)}
    if strangers := set(values) - known:
        raise UserError(f"{path}: settings that this version does not know: {', '.join(sorted(strangers))}")
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def save_learner(folder: Path, learner: Learner) -> None:
    """Write networks and optimiser: all of the learner that its config does not say."""
    tensors = {f"online.{name}": value for name, value in learner.online.state_dict().items()}
    if learner.target is not learner.online:
        tensors |= {f"target.{name}": value for name, value in learner.target.state_dict().items()}
    for index, values in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    tensors["generator.state"] = learner.generator.get_state()
    data = safetensors.torch.save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    write_bytes(folder / "learner.safetensors", data)


def load_learner(folder: Path, learner: Learner, updates: int) -> None:
    """Bring a fresh learner to the state that `save_learner` wrote."""
    path = folder / "learner.safetensors"
    try:
        tensors = safetensors.torch.load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: not readable ({error})") from None
    parts: dict[str, dict[str, Tensor]] = {"online": {}, "target": {}, "optimizer": {}, "generator": {}}
    for name, value in tensors.items():
        part, rest = name.split(".", 1)
        parts[part][rest] = value
    learner.online.load_state_dict(parts["online"])
    if learner.target is not learner.online:
        learner.target.load_state_dict(parts["target"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["optimizer"].items():
        index, key = name.split(".", 1)
        parameter = learner.parameters[int(index)]
        if value.shape == parameter.shape:  # in the parameter's own memory layout: fused kernels rely on it
            value = torch.empty_like(parameter, requires_grad=False).copy_(value)
        state.setdefault(int(index), {})[key] = value
    learner.optimizer.load_state_dict({**learner.optimizer.state_dict(), "state": state})
    learner.generator.set_state(parts["generator"]["state"])
    learner.updates = updates
