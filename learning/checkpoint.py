"""Agents and training states on disk: safetensors and JSON, never pickle; versioned, checked when read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from gymnasium import spaces
from safetensors import SafetensorError
from torch import Tensor, nn

from common.errors import UserError
from common.files import read_json, write_bytes
from envs import MaskedBox
from learning.learner import Learner
from learning.policy import NetworkPolicy, player
from learning.recipe import Recipe
from learning.runfolder import as_json
from learning.states import COUNTERS, Saved, Saving

FORMAT = 1
# What older agents and runs call otherwise: settings, their values, counters, and the start of weights' names.
RENAMED = {"adam_epsilon": "optimizer_epsilon"}
RENAMED_VALUES = {"workshop": "mnih2013"}
RENAMED_COUNTERS = {"wishes": "requests"}
RENAMED_WEIGHTS = {"head.": "output."}
MANIFEST, WEIGHTS, LEARNER = "manifest.json", "network.safetensors", "learner.safetensors"


def save_agent(
    folder: Path, learner: Learner, env_id: str, space: spaces.Box, agent_steps: int, durable: bool = True
) -> None:
    """Write all that playing needs: a manifest and the network's weights.

    The manifest comes last and holds the weights' checksum, so that the pair is never a mixture. ``durable`` False
    does not wait for the disc: a crash of the machine may lose the files, but a reader never sees part of one.
    """
    weights = learner.online.state_dict()
    data = safetensors.torch.save({name: value.cpu().contiguous() for name, value in weights.items()})
    manifest = {
        "format": FORMAT,
        "agent": learner.recipe.name,
        "env_id": env_id,
        "agent_steps": agent_steps,
        "observation": {"shape": list(space.shape), "dtype": str(space.dtype), **_masks(space)},
        "num_actions": learner.num_actions,
        "config": as_json(learner.config),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    write = write_bytes if durable else _swap_bytes
    write(folder / WEIGHTS, data)
    write(folder / MANIFEST, (json.dumps(manifest, indent=2, allow_nan=False) + "\n").encode())


def _masks(space: spaces.Box) -> dict[str, int]:
    """Return how many numbers of an observation say which actions are allowed, if any do."""
    return {"allowed_actions": space.num_actions} if isinstance(space, MaskedBox) else {}


def _swap_bytes(path: Path, data: bytes) -> None:
    """Replace ``path`` in one step, as `write_bytes` does, without waiting for the disc."""
    path.parent.mkdir(exist_ok=True)  # and not its parents: a run that was deleted stays so
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return an agent's manifest; `UserError` when it is missing, damaged or of an unknown format."""
    manifest = read_json(folder / MANIFEST)
    needed = ("format", "agent", "env_id", "observation", "num_actions", "config", "sha256")
    missing = [key for key in needed if key not in manifest] if isinstance(manifest, dict) else needed
    if missing:
        raise UserError(f"{folder / MANIFEST}: damaged, it lacks {', '.join(missing)}")
    if manifest["format"] != FORMAT:
        raise UserError(f"{folder / MANIFEST}: format {manifest['format']} is unknown; this version reads {FORMAT}")
    for key, kind in (("config", dict), ("agent_steps", int)):
        if not isinstance(manifest.setdefault(key, 0), kind):
            raise UserError(f"{folder / MANIFEST}: damaged, its {key} is {manifest[key]!r}")
    return dict(manifest)


def load_agent(folder: Path, recipe: Recipe) -> NetworkPolicy:
    """Return the agent in ``folder`` as a player on the CPU.

    Raises:
        UserError: a file is missing, damaged, or does not fit its manifest; the file is named.
    """
    manifest = read_manifest(folder)
    config = config_from(recipe.config, manifest["config"], folder / MANIFEST)
    shape = tuple(manifest["observation"]["shape"])
    if masks := int(manifest["observation"].get("allowed_actions", 0)):
        shape = (shape[0] - masks,)
    dtype = np.dtype(manifest["observation"]["dtype"])
    bound = 255 if dtype == np.uint8 else np.inf
    space = spaces.Box(-bound if dtype.kind == "f" else 0, bound, shape, dtype.type)
    space = MaskedBox(space, masks) if masks else space
    network = recipe.network(space, manifest["num_actions"], config, torch.Generator())
    network.load_state_dict(read_weights(folder, manifest, network), strict=False)
    return player(recipe.name, config, manifest["env_id"], network, manifest["num_actions"])


def read_weights(folder: Path, manifest: Mapping[str, Any], network: nn.Module) -> dict[str, Tensor]:
    """Return the weights that belong to a manifest, checked against it and against the network they are for.

    Raises:
        UserError: they are missing, damaged, another manifest's, or of other shapes; the file is named.
    """
    weights = _renamed(_read_tensors(folder / WEIGHTS, manifest["sha256"]), network)
    for name, wanted in network.state_dict().items():
        found = tuple(weights[name].shape) if name in weights else "missing"
        if found != tuple(wanted.shape):
            raise UserError(
                f"{folder}: {WEIGHTS} does not fit {MANIFEST}: {name} is {found}, not {tuple(wanted.shape)}"
            )
    return weights


def _renamed(weights: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
    """Return weights by the names that the network has for them, also those of an older version's file."""
    known = network.state_dict()

    def name_now(name: str) -> str:
        for old, new in RENAMED_WEIGHTS.items():
            if name.startswith(old) and name not in known:
                return new + name.removeprefix(old)
        return name

    return {name_now(name): value for name, value in weights.items()}


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
    values = {RENAMED.get(key, key): RENAMED_VALUES.get(str(value), value) for key, value in values.items()}
    values.setdefault("action_mask", "off")  # older ones knew no masks
    known = {field.name for field in dataclasses.fields(cls)}
    if strangers := set(values) - known:
        raise UserError(f"{path}: settings unknown to this version: {', '.join(sorted(strangers))}")
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})


def save_learner(into: Saving, learner: Learner) -> None:
    """Add networks and optimiser to a state: all of the learner that its config does not determine."""
    tensors = {f"online.{name}": value for name, value in learner.online.state_dict().items()}
    if learner.target is not learner.online:
        tensors |= {f"target.{name}": value for name, value in learner.target.state_dict().items()}
    for index, values in learner.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in values.items()}
    tensors["generator.state"] = learner.generator.get_state()
    data = safetensors.torch.save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    into.add(LEARNER, data)


def load_learner(saved: Saved, learner: Learner, updates: int) -> None:
    """Bring a fresh learner to the state that `save_learner` added."""
    try:
        tensors = safetensors.torch.load(saved.read(LEARNER))
    except SafetensorError as error:
        raise UserError(f"{saved.folder / LEARNER}: not readable ({error})") from None
    parts: dict[str, dict[str, Tensor]] = {"online": {}, "target": {}, "optimizer": {}, "generator": {}}
    for name, value in tensors.items():
        part, rest = name.split(".", 1)
        parts[part][rest] = value
    learner.online.load_state_dict(_renamed(parts["online"], learner.online))
    if learner.target is not learner.online:
        learner.target.load_state_dict(_renamed(parts["target"], learner.target))
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in parts["optimizer"].items():
        index, key = name.split(".", 1)
        parameter = learner.parameters[int(index)]
        if value.shape == parameter.shape:  # in the parameter's own memory layout: fused kernels rely on it
            value = torch.empty_like(parameter, requires_grad=False).copy_(value)
        state.setdefault(int(index), {})[key] = value
    learner.load_optimizer(state)
    learner.generator.set_state(parts["generator"]["state"])
    learner.updates = updates


def holds_experience(counters: Mapping[str, Any]) -> bool:
    """Whether the experience was saved with these counters; else it is to be refilled."""
    return bool(counters.get("experience", True))


@contextmanager
def saved_counters(saved: Saved) -> Iterator[dict[str, Any]]:
    """Yield a state's counters; an error in their use becomes a `UserError`."""
    try:
        read = saved.json(COUNTERS)
        yield {RENAMED_COUNTERS.get(key, key): value for key, value in read.items()}
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        detail = " ".join(str(error).split())
        raise UserError(f"{saved.folder}: damaged, it does not fit the run's config.json ({detail})") from None
