"""Agents and training states on disk: safetensors and JSON, never pickle; versioned, checked when read."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import safetensors.torch
import torch
from gymnasium import spaces
from safetensors import SafetensorError
from torch import Tensor, nn

from common.checked import AtMost, Name, Unfit
from common.errors import UserError
from common.files import write_bytes
from common.reading import HEADER_BYTES, checked, read_file, read_json, tensors
from common.settings import Between, validate
from common.text import shown
from envs import MaskedBox, with_mirrors
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

Anything = TypeVar("Anything")


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
        beside.unlink(missing_ok=True)
        with beside.open("xb") as file:
            file.write(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@dataclass(frozen=True)
class Observation:
    """What an agent's manifest says of one observation."""

    shape: Annotated[tuple[Annotated[int, Between(1, 2**23)], ...], AtMost(4)]
    dtype: Literal["float32", "uint8"]
    allowed_actions: Annotated[int, Between(0, 100_000)] = 0

    def check(self, num_actions: int) -> None:
        """Raise `Unfit` for an observation that is larger than any, or whose masks are not the actions'."""
        most = MOST_PIXELS if self.dtype == "uint8" and len(self.shape) == 3 else MOST_NUMBERS
        if not self.shape or math.prod(self.shape) > most:
            raise Unfit(f"its observation has shape {self.shape}; at most {most:,} numbers are read")
        masks = self.allowed_actions
        if masks and (masks != num_actions or len(self.shape) != 1 or self.shape[0] <= masks):
            raise Unfit(f"its observation of shape {self.shape} has {masks} masks for {num_actions} actions")


MOST_PIXELS, MOST_NUMBERS = 2**23, 2**20  # of an observation: 10 frames of 512 x 512 in colour; vectors


@dataclass(frozen=True)
class Manifest:
    """An agent's ``manifest.json``: the types and ranges of what is read there."""

    format: int
    agent: Name
    env_id: Name
    observation: Observation
    num_actions: Annotated[int, Between(1, 100_000)]
    config: Annotated[dict[str, Any], AtMost(1_000)]
    sha256: Annotated[str, AtMost(64)]
    agent_steps: Annotated[int, Between(0, 10**15)] = 0


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return an agent's manifest; `UserError` when it is missing, damaged or of an unknown format."""
    path = folder / MANIFEST
    manifest = read_json(path)
    needed = ("format", "agent", "env_id", "observation", "num_actions", "config", "sha256")
    missing = [key for key in needed if key not in manifest] if isinstance(manifest, dict) else needed
    if missing:
        raise UserError(f"{path}: damaged, it lacks {', '.join(missing)}")
    if manifest["format"] != FORMAT:
        raise UserError(f"{path}: format {shown(str(manifest['format']), 40)} is unknown; this version reads {FORMAT}")
    found: Manifest = checked(path, manifest, Manifest)
    try:
        found.observation.check(found.num_actions)
    except Unfit as error:
        raise UserError(f"{path}: damaged, {error}") from None
    return {"agent_steps": 0, **manifest}


def load_agent(folder: Path, recipe: Recipe) -> NetworkPolicy:
    """Return the agent in ``folder`` as a player on the CPU.

    Raises:
        UserError: a file is missing, damaged, or does not fit its manifest; the file is named.
    """
    manifest = read_manifest(folder)
    config = config_from(recipe.config, manifest["config"], folder / MANIFEST)
    space, num_actions = space_of(manifest), manifest["num_actions"]
    # nothing is allocated for weights that are not in the file
    check_shapes(folder, WEIGHTS, MANIFEST, shapes(recipe, space, num_actions, config))
    network = recipe.network(space, num_actions, config, torch.Generator())
    network.load_state_dict(read_weights(folder, manifest, network), strict=False)
    return player(recipe.name, config, manifest["env_id"], network, num_actions)


def space_of(manifest: Mapping[str, Any]) -> spaces.Box:
    """Return the space of the observations that a manifest describes; their bounds are not in it."""
    seen = manifest["observation"]
    masks = seen.get("allowed_actions", 0)
    shape = (seen["shape"][0] - masks,) if masks else tuple(seen["shape"])
    dtype = np.dtype(seen["dtype"])
    low, high = (0, 255) if dtype == np.uint8 else (-np.inf, np.inf)
    # arrays, of which `Box` makes no float64
    space = spaces.Box(np.full(shape, low, dtype), np.full(shape, high, dtype), dtype=dtype.type)
    return MaskedBox(space, masks) if masks else with_mirrors(manifest["env_id"], space)


def shapes(recipe: Recipe, space: spaces.Box, num_actions: int, config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network's weights and buffers by their names, without making any of them."""
    generator = torch.Generator()
    with torch.device("meta"):
        network = recipe.network(space, num_actions, config, generator)
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def check_shapes(folder: Path, file: str, by: str, wanted: Mapping[str, tuple[int, ...]], prefix: str = "") -> None:
    """Raise `UserError` unless a file of weights has those shapes and little else; only its header is read.

    Args:
        folder: of the file.
        file: its name.
        by: the name of the file that decides which shapes are wanted.
        wanted: by name.
        prefix: of those names in the file.
    """
    held = tensors(folder / file)
    of_network = {name.removeprefix(prefix): one for name, one in held.items() if name.startswith(prefix)}
    found = _renamed(of_network, wanted)
    for name, shape in wanted.items():
        there = found[name].shape if name in found else "missing"
        if there != shape:
            raise UserError(f"{folder}: {file} does not fit {by}: {name} is {there}, not {shape}")
    beside = sum(one.bytes for name, one in found.items() if name not in wanted)
    if not prefix and beside > MOST_BESIDE:
        raise UserError(f"{folder}: {file} does not fit {by}: {beside:,} bytes of it are no part of the network")


MOST_BESIDE = 2**20  # bytes of a file of weights that a network has no use for


def read_weights(folder: Path, manifest: Mapping[str, Any], network: nn.Module) -> dict[str, Tensor]:
    """Return the weights that belong to a manifest, checked against it and against the network they are for.

    Raises:
        UserError: they are missing, damaged, another manifest's, or of other shapes; the file is named.
    """
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    check_shapes(folder, WEIGHTS, MANIFEST, wanted)
    weights = _renamed(_read_tensors(folder / WEIGHTS, manifest["sha256"]), wanted)
    for name, value in weights.items():
        if name not in wanted or tuple(value.shape) != wanted[name]:  # the file has changed since its header was read
            raise UserError(f"{folder}: {WEIGHTS} does not fit {MANIFEST}")
        if not value.isfinite().all():
            what = "NaN" if value.isnan().any() else "infinity"
            raise UserError(f"{folder / WEIGHTS}: {what} in {name}, so it can't play")
    return weights


def _renamed(weights: Mapping[str, Anything], known: Collection[str]) -> dict[str, Anything]:
    """Return weights by the names that a network has for them, also those of an older version's file."""

    def name_now(name: str) -> str:
        for old, new in RENAMED_WEIGHTS.items():
            if name.startswith(old) and name not in known:
                return new + name.removeprefix(old)
        return name

    return {name_now(name): value for name, value in weights.items()}


def _read_tensors(path: Path, sha256: str) -> dict[str, Tensor]:
    data = read_file(path, sum(one.bytes for one in tensors(path).values()) + 2 * HEADER_BYTES)
    try:
        if hashlib.sha256(data).hexdigest() != sha256:
            raise UserError(f"{path}: damaged or truncated, its checksum is not the manifest's")
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise UserError(f"{path}: not readable ({error})") from None


def config_from(cls: type[Any], values: Mapping[str, Any], path: Path) -> Any:
    """Return a settings dataclass from JSON's types.

    Raises:
        UserError: an unknown setting, or a value that the command line would not take either; the file is named.
    """
    values = {
        RENAMED.get(key, key): RENAMED_VALUES.get(value, value) if isinstance(value, str) else value
        for key, value in values.items()
    }
    values.setdefault("action_mask", "off")  # older ones knew no masks
    if values.get("head") == "histogram":
        values.setdefault("bin_range", "centres")  # nor another place for them
    known = {field.name for field in dataclasses.fields(cls)}
    if strangers := set(values) - known:
        raise UserError(f"{path}: settings unknown to this version: {', '.join(sorted(strangers))}")
    config = checked(path, values, cls)
    try:
        validate(config)
    except UserError as error:
        raise UserError(f"{path}: damaged, {error}") from None
    return config


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
        loaded = safetensors.torch.load(saved.read(LEARNER))
    except SafetensorError as error:
        raise UserError(f"{saved.folder / LEARNER}: not readable ({error})") from None
    parts: dict[str, dict[str, Tensor]] = {"online": {}, "target": {}, "optimizer": {}, "generator": {}}
    for name, value in loaded.items():
        part, rest = name.split(".", 1)
        parts[part][rest] = value
    learner.online.load_state_dict(_renamed(parts["online"], learner.online.state_dict()))
    if learner.target is not learner.online:
        learner.target.load_state_dict(_renamed(parts["target"], learner.target.state_dict()))
    state: dict[int, dict[str, Tensor]] = {}
    whole = sum(parameter.numel() for parameter in learner.parameters)
    for name, value in parts["optimizer"].items():
        index, key = name.split(".", 1)
        parameter = learner.parameters[int(index)]
        if value.shape == parameter.shape:  # in the parameter's own memory layout: fused kernels rely on it
            value = torch.empty_like(parameter, requires_grad=False).copy_(value)
        elif value.numel() not in (1, whole):  # a stream's traces are of all parameters at once
            raise ValueError(f"{LEARNER}: {name} has shape {tuple(value.shape)}, not {tuple(parameter.shape)}")
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
    found = saved.json(COUNTERS, MOST_COUNTERS)
    if isinstance(found, dict):
        found = {RENAMED_COUNTERS.get(key, key): value for key, value in found.items()}
    checked(saved.folder / COUNTERS, found, Counters)
    try:
        yield found
    except (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        raise UserError(f"{saved.folder}: damaged, {NO_FIT} ({_reason(error)})") from None
    except RuntimeError as error:  # torch's
        raise UserError(f"{saved.folder}: damaged, {NO_FIT} ({_reason(error)})") from None


NO_FIT = "it does not fit the run's config.json"
MOST_COUNTERS = 2**30  # bytes; the running episodes' actions may be many


@dataclass(frozen=True)
class Counters:
    """What a state has of a trainer; its parts are checked by those who read them."""

    agent_steps: Annotated[int, Between(0, 10**11)]
    updates: Annotated[int, Between(0, 10**13)]
    wall_s: Annotated[float, Between(0, 1e10)]
    recent: Annotated[tuple[tuple[float, int], ...], AtMost(10_000)]
    episodes: Annotated[dict[str, Any], AtMost(20)]
    generators: Annotated[dict[str, Any], AtMost(20)]
    requests: Annotated[dict[str, Any], AtMost(20)] | None = None
    evaluation_due: bool = False
    experience: bool = True
    logs: Annotated[dict[str, Annotated[int, Between(0, 2**60)]], AtMost(10_000)] | None = None


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
