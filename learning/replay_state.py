"""How a replay is saved and comes back: what a state holds of it, and what no state of ours can hold.

Observations are most of it, and they never change: a state shares the pieces that those before have written, see
`learning.states`. All else is written anew each time.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.errors import UserError
from common.files import map_array
from common.reading import checked
from common.settings import Between
from learning.states import PIECE_BYTES, Saved, Saving, States
from learning.sum_tree import SumTree
from learning.transfer import LatePriorities, Result

# files of a state: the replay, priorities that are still to be set, counters; and where format 1 had observations
REPLAY, LATE, COUNTERS = "replay.safetensors", "late.safetensors", "experience.json"
OBSERVATIONS = "observations.npy"


@dataclasses.dataclass(frozen=True)
class Counters:
    """What ``experience.json`` holds."""

    steps: Annotated[int, Between(0, 10**11)]
    updates_due: Annotated[float, Between(0, 10**9)]
    starts: Annotated[int, Between(0, 10**12)]


class Rings(Protocol):
    """What is saved of a `learning.replay.Replay`: N rings of so many slots; record k of ring i lies in base[i] + k."""

    num_envs: int
    slots: int
    filled: int
    """Slots in use in the longest ring."""
    base: NDArray[np.int64]
    cursor: NDArray[np.int64]
    """(N,) slot of each environment's present observation."""
    opened: NDArray[np.int64]
    """(N,) records that each ring has ever got."""
    obs: Tensor
    action: NDArray[np.int64]
    reward: NDArray[np.float32]
    discount: NDArray[np.float32]
    acted: NDArray[np.bool_]
    sum_tree: SumTree | None


def save(replay: Rings, late: LatePriorities | None, counters: Counters, into: Saving) -> None:
    """Add a replay, priorities that are still to be set, and counters to a state."""
    into.add_arrays(REPLAY, arrays(replay))
    into.add_records(replay.opened, replay.slots, record_bytes(replay), partial(take, replay))
    if late is not None:
        into.add_arrays(LATE, {**late._asdict(), "priority": late.priority.numpy()})
    into.add_json(COUNTERS, dataclasses.asdict(counters))


def write_ahead(replay: Rings, states: States) -> None:
    """Write what has come since the last state, where it is much, so that the next one need not."""
    states.write_records(replay.opened, replay.slots, record_bytes(replay), partial(take, replay), least=PIECE_BYTES)


def load(replay: Rings, saved: Saved, states: States | None = None) -> LatePriorities | None:
    """Restore a replay, and return the priorities that are still to be set.

    The next states of ``states`` write only what is new.
    """
    restore(replay, saved.arrays(REPLAY))
    if OBSERVATIONS in saved:
        load_observations(saved.folder / OBSERVATIONS, replay)
    saved.records(partial(put, replay), replay.num_envs, replay.slots, tuple(replay.obs.shape[1:]))
    if states is not None:
        states.go_on_from(saved, replay.opened)
    if LATE not in saved:
        return None
    late, records = saved.arrays(LATE), len(replay.acted)
    index = late["index"]
    if index.dtype != np.int64 or not ((index >= 0) & (index < records)).all():
        raise ValueError(f"{LATE} names records beyond the {records:,} there are")
    if late["priority"].shape != index.shape or late["cursor"].shape != replay.cursor.shape:
        raise ValueError(f"{LATE} is another replay's")
    return LatePriorities(index, Result(torch.from_numpy(late["priority"].copy())), late["cursor"])


def load_counters(saved: Saved, starts: int, most_due: float) -> Counters:
    """Return a state's counters, of which old ones lack ``starts``; more than ``most_due`` updates can't be due."""
    path, counters = saved.folder / COUNTERS, saved.json(COUNTERS)
    if isinstance(counters, dict):  # older states have other names for them
        counters = {{"lived": "steps", "owed": "updates_due"}.get(key, key): one for key, one in counters.items()}
        counters = {"starts": starts, **counters}
    found: Counters = checked(path, counters, Counters)
    if found.updates_due > most_due:
        raise UserError(f"{path}: damaged, {found.updates_due:,g} updates are due, more than a step brings")
    return found


# ------------------------------------------------------------------ the replay, all but the observations


def arrays(replay: Rings) -> dict[str, NDArray[Any]]:
    """Return all that `restore` needs beside the observations, without the slots never used."""
    used: Any = slice(None)
    if replay.filled < replay.slots:
        used = (replay.base[:, None] + np.arange(replay.filled)).ravel()
    kept = {name: getattr(replay, name)[used] for name in ("action", "reward", "discount", "acted")}
    if replay.sum_tree is not None:
        powers = replay.sum_tree.powers[: len(replay.acted)]
        kept |= {"power": powers[used], "largest_power": np.array([replay.sum_tree.largest])}
    return {**kept, "cursor": replay.cursor.copy(), "opened": replay.opened.copy()}


def restore(replay: Rings, state: Mapping[str, NDArray[Any]]) -> None:
    """Restore all but the observations; the replay must have the same capacity and environments."""
    replay.filled = len(state["acted"]) // replay.num_envs
    used = (replay.base[:, None] + np.arange(replay.filled)).ravel()
    for name in ("action", "reward", "discount", "acted"):
        getattr(replay, name)[used] = state[name]
    replay.cursor[:] = state["cursor"]
    # the oldest states lack it: as if the rings had just come round
    replay.opened[:] = state.get("opened", replay.cursor + 1 + replay.slots * (replay.filled == replay.slots))
    if replay.sum_tree is not None:
        powers = np.zeros(len(replay.acted))
        powers[used] = state["power"]
        replay.sum_tree.load(powers, float(state["largest_power"][0]))
    check(replay)


def check(replay: Rings) -> None:
    """Raise `ValueError` for records that no run can have written: compiled loops don't look where they read."""
    fits = {
        "cursor": (replay.cursor >= -1) & (replay.cursor < replay.slots),
        "action": replay.action >= 0,
        "reward": np.isfinite(replay.reward),
        "discount": (replay.discount >= 0) & (replay.discount <= 1),
    }
    if replay.sum_tree is not None:
        fits["power"] = np.isfinite(replay.sum_tree.powers) & (replay.sum_tree.powers >= 0)
        fits["largest_power"] = np.array([math.isfinite(replay.sum_tree.largest) and replay.sum_tree.largest >= 0])
    for name, fit in fits.items():
        if not fit.all():
            raise ValueError(f"its replay's {name} is impossible in {np.count_nonzero(~fit):,} records")
    if not 0 <= replay.filled <= replay.slots:
        raise ValueError(f"its replay has {replay.filled:,} records an environment, not at most {replay.slots:,}")


# ------------------------------------------------------------------ observations


def record_bytes(replay: Rings) -> int:
    """Return the bytes of what is kept of an observation."""
    return replay.obs[0].numel() * replay.obs.element_size()


def take(replay: Rings, first: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[Any]:
    """Return the observations of records ``first`` to ``end`` (N,), the end excluded, ring by ring."""
    index = torch.from_numpy(places(replay, first, end))
    taken: NDArray[Any] = replay.obs.index_select(0, index.to(replay.obs.device)).cpu().numpy()
    return taken


def put(replay: Rings, first: NDArray[np.int64], end: NDArray[np.int64], records: NDArray[Any]) -> None:
    """Take back what `take` returned; of those that were written over since, nothing."""
    kept = np.maximum(first, np.maximum(replay.opened - replay.slots, 0))
    if (kept > first).any():
        chosen = [np.arange(begin, stop) >= least for begin, stop, least in zip(first, end, kept, strict=True)]
        records = records[np.concatenate(chosen)]
    where, obs = places(replay, np.minimum(kept, end), end), replay.obs
    if obs.device.type == "cpu":
        obs.numpy()[where] = records
    else:
        obs.index_copy_(0, torch.from_numpy(where).to(obs.device), torch.from_numpy(records).to(obs))


def places(replay: Rings, first: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the records with these numbers lie, ring by ring."""
    rings = zip(replay.base, first, end, strict=True)
    return np.concatenate([base + np.arange(begin, stop) % replay.slots for base, begin, stop in rings])


def held(replay: Rings) -> Tensor:
    """Return the observations (or newest frames) in use, (N, filled, ...), without copying."""
    rings = replay.obs[: replay.num_envs * replay.slots].view(replay.num_envs, replay.slots, *replay.obs.shape[1:])
    return rings[:, : replay.filled]


def load_observations(path: Path, replay: Rings) -> None:
    """Fill a replay with the observations of a state of format 1, which lie ring by ring."""
    found, wanted = map_array(path), held(replay)
    if found.shape != tuple(wanted.shape) or found.dtype.itemsize != wanted.element_size():
        raise UserError(f"{path}: damaged, its observations have shape {found.shape}, not {tuple(wanted.shape)}")
    for mine, theirs in zip(wanted, found, strict=True):
        mine.copy_(torch.from_numpy(np.array(theirs)))  # ring by ring: the file may be as large as memory
