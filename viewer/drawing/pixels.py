"""Enlarging pictures so that their pixels stay sharp and of equal size."""

from __future__ import annotations

import math

import numpy as np
import pygame
from numpy.typing import NDArray

NEARLY = 0.85  # share of the room that a sharp picture must fill at least


def to_surface(picture: NDArray[np.uint8]) -> pygame.Surface:
    """Return a picture, (H, W, 3) or grey (H, W), as a surface."""
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    height, width = picture.shape[:2]
    return pygame.image.frombuffer(np.ascontiguousarray(picture).tobytes(), (width, height), "RGB")


def enlarge(image: pygame.Surface, size: tuple[int, int]) -> pygame.Surface:
    """Return the image at ``size``: by nearest neighbour if that is a whole multiple, else nearly so.

    Nearest neighbour alone would make some pixels of a 210-line screen two lines high and others
    three. So each axis is enlarged to the next whole multiple and averaged down from there; one axis
    after the other, because that is faster.
    """
    image = _stretch(image, (image.get_width(), size[1]))
    return _stretch(image, size)


def _stretch(image: pygame.Surface, size: tuple[int, int]) -> pygame.Surface:
    have, want = image.get_size(), (max(1, size[0]), max(1, size[1]))
    if have == want:
        return image
    whole = (have[0] * math.ceil(want[0] / have[0]), have[1] * math.ceil(want[1] / have[1]))
    image = pygame.transform.scale(image, whole)
    return image if whole == want else pygame.transform.smoothscale(image, want)


def fit(shape: tuple[float, float], room: tuple[int, int]) -> tuple[int, int]:
    """Return the largest size with the aspect ratio of ``shape`` (width, height) that fits the room."""
    scale = min(room[0] / shape[0], room[1] / shape[1])
    return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))


def fit_whole(size: tuple[int, int], room: tuple[int, int]) -> tuple[int, int]:
    """Return the largest whole multiple of a size that fits the room, or what fills it if that is much larger."""
    times = min(room[0] // size[0], room[1] // size[1])
    whole, filling = (size[0] * times, size[1] * times), fit(size, room)
    return whole if whole[0] >= NEARLY * filling[0] else filling
