"""Between host and device without waiting: copies through page-locked memory, inputs at fixed addresses, late results.

On the CPU all of it works too, at once and by copying: so tests run there what a GPU runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ALIGNED = 16  # bytes: any type may begin there


class Event(Protocol):
    """A point in the device's work."""

    def record(self) -> None:
        """Mark the work queued so far."""

    def synchronize(self) -> None:
        """Wait until that is done."""


class NoEvent:
    """The CPU's: what it is asked for is done at once."""

    def record(self) -> None:
        """Do nothing."""

    def synchronize(self) -> None:
        """Do nothing."""


def event(device: torch.device) -> Event:
    """Return an event of a device."""
    return torch.cuda.Event() if device.type == "cuda" else NoEvent()  # type: ignore[no-untyped-call]


def torch_type(array: NDArray[Any]) -> torch.dtype:
    """Return what torch calls an array's type."""
    return torch.from_numpy(np.empty(0, array.dtype)).dtype


def staged(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return a copy of an array in memory that the device can read by itself; torch keeps it until it has been read."""
    copy = torch.empty(array.shape, dtype=torch_type(array), pin_memory=device.type == "cuda")
    copy.numpy()[...] = array
    return copy


def send(array: NDArray[Any], device: torch.device) -> Tensor:
    """Return a copy of an array on a device; the caller may change the array at once."""
    return staged(array, device).to(device, non_blocking=True)


class Inputs:
    """Arrays of fixed shapes on the device, at fixed addresses; one copy brings new values of all of them.

    Args:
        arrays: the first values.
        device: where they go.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], device: torch.device) -> None:
        self.device = device
        self._places: dict[str, slice] = {}
        size = 0
        for name, array in arrays.items():
            self._places[name] = slice(size, size + array.nbytes)
            size += -(-array.nbytes // ALIGNED) * ALIGNED
        self._bytes = torch.zeros(size, dtype=torch.uint8, device=device)
        self.tensors = {
            name: self._bytes[self._places[name]].view(torch_type(array)).view(array.shape)
            for name, array in arrays.items()
        }
        self.load(arrays)

    def load(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take new values; what the device was told to do before still reads the old ones."""
        host = torch.empty(len(self._bytes), dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        whole = host.numpy()
        for name, place in self._places.items():
            array = arrays[name]
            whole[place].view(array.dtype).reshape(array.shape)[...] = array
        self._bytes.copy_(host, non_blocking=True)


class Result:
    """A tensor on its way to the host."""

    def __init__(self, tensor: Tensor) -> None:
        on_device = tensor.device.type == "cuda"
        self._copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=on_device)
        self._copy.copy_(tensor, non_blocking=True)
        self._arrived = event(tensor.device)
        self._arrived.record()

    def numpy(self) -> NDArray[Any]:
        """Wait for it, and return it."""
        self._arrived.synchronize()
        array: NDArray[Any] = self._copy.numpy()
        return array


class LatePriorities(NamedTuple):
    """Priorities of an update, on their way from the device."""

    index: NDArray[np.int64]  # type: ignore[assignment]  # (B,) records
    priority: Result  # (B,)
    cursor: NDArray[np.int64]  # (N,) slot of each present observation when the batch was drawn


class Present:
    """The observations to act on, (N, ...), on the device, at one address; each is sent there once.

    Attributes:
        tensor: (N, ...); None before the first observations.
        stack: frames of an observation, along its first axis. With more than one, it is the one before, moved by a
            frame, so that only the newest frame is sent; 1: whole observations are.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.stack = device, 1
        self.tensor: Tensor | None = None
        self._source: NDArray[Any] | None = None  # the array that the tensor holds

    def of(self, obs: NDArray[Any]) -> Tensor:
        """Return the tensor with these present observations, (N, ...); they are sent unless they are there."""
        if self._source is not obs:
            self._send(obs)
        assert self.tensor is not None
        return self.tensor

    def _send(self, obs: NDArray[Any]) -> None:
        if self.tensor is None or self.tensor.shape != obs.shape:
            with torch.inference_mode(False):  # who acts first may not change it later otherwise
                self.tensor = torch.empty(obs.shape, dtype=torch_type(obs), device=self.device)
        self.tensor.copy_(staged(obs, self.device), non_blocking=True)
        self._source = obs

    @property
    def newest(self) -> Tensor:
        """What a replay keeps of each observation: its newest frame, or all of it."""
        assert self.tensor is not None
        if self.stack == 1:
            return self.tensor
        return self.tensor[:, -1] if self.planes == 1 else self.tensor[:, -self.planes :]

    @property
    def planes(self) -> int:
        """How many of the first axis a frame has: 1, or its colours."""
        assert self.tensor is not None
        return self.tensor.shape[1] // self.stack

    def step(self, obs: NDArray[Any]) -> None:
        """Take what a step brought, (N, ...); the true next observations, also where an episode ended."""
        if self._source is None or self.tensor is None or self.stack == 1:
            self._send(obs)  # also where it is the array of before: environments may write into the same one
            return
        planes = self.planes
        self.tensor[:, :-planes] = self.tensor[:, planes:].clone()
        self.tensor[:, -planes:] = send(obs[:, -planes:], self.device)
        self._source = obs

    def reset(self, obs: NDArray[Any], mask: NDArray[np.bool_] | None = None) -> None:
        """Take the first observations of new episodes, ``obs`` (N, ...), where ``mask`` (N,) holds."""
        if mask is None or self._source is None or self.tensor is None:
            self._send(obs)
            return
        self.tensor[send(np.flatnonzero(mask), self.device)] = send(obs[mask], self.device)
        self._source = obs
