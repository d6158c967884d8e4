"""How an observation of any Gymnasium space becomes a vector of numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.pictures import WIDEST, Unfit, is_image, shown

MOST_VALUES = 1_000_000  # one-hot


class Part(NamedTuple):
    """How one space's value becomes D numbers."""

    write: Callable[[Any, NDArray[np.float32]], None]
    """Write a value's numbers into an array (D,), or raise `Unfit`."""
    low: NDArray[np.float32]
    """(D,) the numbers' bounds."""
    high: NDArray[np.float32]

    @property
    def size(self) -> int:
        """D."""
        return len(self.low)


def flattened(space: spaces.Space[Any], path: str, left_out: list[str], seen: Any = None) -> Part | None:
    """Return how a space's values become numbers; None where they can't, and ``left_out`` says which and why.

    Numbers stay as they are, with their bounds, by which the network scales them. Small grids of bytes have none: they
    hold codes, such as MiniGrid's 0 to 10, for which 255 says nothing. What is discrete becomes one-hot. Tuples and
    dicts are concatenated, without the parts that are texts, sequences or graphs.

    Args:
        space: of the values.
        path: what they are called in messages.
        left_out: gets the parts that are left out.
        seen: one of its values, or None; see `is_image`.

    Raises:
        Unfit: it has more values than anyone can learn from.
    """
    if isinstance(space, spaces.Box):
        return _box(space, path, seen)
    if isinstance(space, spaces.Discrete):
        return _one_hot([int(space.n)], [int(space.start)], (), path)
    if isinstance(space, spaces.MultiDiscrete):
        return _one_hot(space.nvec.ravel().tolist(), space.start.ravel().tolist(), space.shape, path)
    if isinstance(space, spaces.MultiBinary):
        return _box(spaces.Box(0, 1, space.shape, np.int8), path)
    if isinstance(space, spaces.Tuple):
        return _together(dict(enumerate(space.spaces)), path, left_out, seen)
    if isinstance(space, spaces.Dict):
        return _together(space.spaces, path, left_out, seen)
    left_out.append(f"{path}, a {type(space).__name__}")
    return None


def _box(space: spaces.Box, path: str, seen: Any = None) -> Part:
    def write(value: Any, out: NDArray[np.float32]) -> None:
        out[:] = array_of(value, space, path).ravel()

    if space.dtype == np.uint8 and len(space.shape) > 1 and not is_image(space, seen):  # codes
        low, high = np.full(space.shape, -np.inf, np.float32), np.full(space.shape, np.inf, np.float32)
    else:
        with np.errstate(over="ignore"):  # float64's largest number means that there is no bound
            low, high = space.low.astype(np.float32), space.high.astype(np.float32)
    return Part(write, low.ravel(), high.ravel())


class ForeignBox(spaces.Box):
    """The observations of an environment from elsewhere, whose bounds may be wider than its numbers ever are."""


def telling(space: spaces.Box) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the bounds that say how large a space's numbers are; infinity for the others.

    Many environments have wide bounds that their numbers seldom come near. A network that scales LunarLander's speeds,
    0.5 in most steps, by their bound of 10 hardly sees them: it was at -56 where without it was at 65.
    """
    bound = np.maximum(np.abs(space.low), np.abs(space.high))
    wide = (bound > 1) & (bound <= WIDEST) & isinstance(space, ForeignBox)
    return np.where(wide, -np.inf, space.low), np.where(wide, np.inf, space.high)


def array_of(value: Any, space: spaces.Box, path: str = "the observation") -> NDArray[Any]:
    """Return a value as the array that its space says it is."""
    try:
        array = np.asarray(value)
    except Exception:  # lists of different lengths, tensors on a GPU
        raise Unfit(f"{path} is {shown(value)}, which is no array") from None
    if array.shape != space.shape:
        raise Unfit(f"{path} has shape {array.shape}, its space says {space.shape}")
    kind, wanted = array.dtype.kind, np.dtype(space.dtype)
    if kind not in "fiub" or (kind == "f" and wanted.kind != "f"):
        raise Unfit(f"{path} has dtype {array.dtype}, its space says {wanted}")
    if wanted == np.uint8 and array.dtype != np.uint8 and array.size and not 0 <= array.min() <= array.max() <= 255:
        raise Unfit(f"{path} has values from {array.min()} to {array.max()}, its space says uint8")
    return array


def _one_hot(sizes: Sequence[int], starts: Sequence[int], shape: tuple[int, ...], path: str) -> Part:
    if sum(sizes) > MOST_VALUES:
        raise Unfit(f"{path} has {sum(sizes):,} values, which would be as many inputs; {MOST_VALUES:,} are the most")
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    first, count = np.array(starts, np.int64), np.array(sizes, np.int64)

    def write(value: Any, out: NDArray[np.float32]) -> None:
        try:
            array = np.asarray(value)
        except Exception:  # lists of different lengths
            array = np.empty(0)
        if array.shape != shape or array.dtype.kind not in "iub":
            raise Unfit(
                f"{path} is {shown(value)}, its space says {'an integer' if not shape else f'{shape} integers'}"
            )
        number = array.ravel().astype(np.int64) - first
        if (outside := (number < 0) | (number >= count)).any():
            k = int(outside.argmax())
            low, high = first[k], first[k] + count[k] - 1
            raise Unfit(f"{path} is {shown(value)}, its space says {low} to {high}")
        out[:] = 0
        out[offsets + number] = 1

    return Part(write, np.zeros(sum(sizes), np.float32), np.ones(sum(sizes), np.float32))


def _together(
    members: Mapping[Any, spaces.Space[Any]], path: str, left_out: list[str], seen: Any = None
) -> Part | None:
    parts = {key: flattened(space, f"{path}[{key!r}]", left_out, _member(seen, key)) for key, space in members.items()}
    taken = {key: part for key, part in parts.items() if part is not None}
    if not taken:
        return None

    def write(value: Any, out: NDArray[np.float32]) -> None:
        begin = 0
        for key, part in taken.items():
            try:
                member = value[key]
            except (KeyError, IndexError, TypeError):
                raise Unfit(f"{path} is {shown(value)}, its space says that it has {key!r}") from None
            part.write(member, out[begin : begin + part.size])
            begin += part.size

    low, high = (
        np.concatenate(bounds) for bounds in zip(*((part.low, part.high) for part in taken.values()), strict=True)
    )
    return Part(write, low, high)


def _member(value: Any, key: Any) -> Any:
    """Return a part of a value; None if it has none."""
    try:
        return value[key]
    except (KeyError, IndexError, TypeError):
        return None
