"""Pictures: which spaces are of them, what an environment renders, and what is done to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

LEAST_IMAGE = 16  # pixels of a side; smaller arrays of bytes are grids, as MiniGrid's 7 x 7 x 3
LEAST_SURE_IMAGE = 36  # what is smaller may be a grid, as MiniGrid's FullyObsWrapper makes: its numbers tell
CHANNELS = (1, 3, 4)
WIDEST = 30  # numbers that a network can take as they are


class Unfit(Exception):
    """What is wrong with one observation."""


@dataclass(frozen=True)
class Pictures:
    """What is done to an environment's pictures before an agent sees them, by Gymnasium's own wrappers."""

    size: int | None = None
    """Height and width that they are resized to, pixels; None: they stay as they are."""
    grayscale: bool = False
    """Colours become grey."""
    stack: int = 1
    """Newest frames in an observation."""


def is_image(space: spaces.Space[Any], seen: Any = None) -> bool:
    """Whether a space is one of pictures: bytes, (H, W), (H, W, C) or (C, H, W), brighter than codes are.

    ``seen``: one of its values, which decides where pictures would be small: a grid of codes has no large numbers.
    """
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) not in (2, 3):
        return False
    least = min(_sides(space.shape), default=0)
    if least < LEAST_IMAGE or space.high.max() <= WIDEST:
        return False
    if least >= LEAST_SURE_IMAGE or not isinstance(seen, np.ndarray) or seen.dtype != np.uint8 or not seen.any():
        return True
    return bool(seen.max() > WIDEST)


def _sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return height and width of pictures; nothing if the shape is not one of pictures."""
    if len(shape) == 2:
        return shape
    if shape[2] in CHANNELS:
        return shape[:2]
    return shape[1:] if shape[0] in CHANNELS else ()


def as_picture(rendered: Any) -> NDArray[np.uint8]:
    """Return what an environment rendered as a picture, (H, W, 3) uint8.

    It may be grey, have an alpha channel, be of numbers from 0 to 1, or the last of a list of pictures.

    Raises:
        Unfit: it is no picture.
    """
    if isinstance(rendered, list) and rendered and np.ndim(rendered[-1]) >= 2:
        rendered = rendered[-1]
    array = np.asarray(rendered)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in CHANNELS or array.dtype.kind not in "fiub" or not array.size:
        raise Unfit(f"returned {shown(rendered)}, which is no picture")
    array = array[..., :3] if array.shape[2] > 1 else np.repeat(array, 3, axis=2)
    if array.dtype.kind in "fb":
        array = np.nan_to_num(array.astype(np.float32))
        array = array * 255 if array.max() <= 1 else array
    return np.ascontiguousarray(array.clip(0, 255), np.uint8)


def shown(value: Any) -> str:
    """Return a value as it is shown in a message, 60 characters at most."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
