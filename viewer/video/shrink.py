"""A gif made smaller until a page takes it: fewer frames a second, then fewer pixels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from common.text import number_of
from viewer.video.gif import Gif
from viewer.video.progress import Tell, nobody

MOST_BYTES = 4_000_000  # GitHub shows no more than 10 MB, and on a telephone every megabyte is waited for
SCALES = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4, 0.3)
LEAST_FPS = 8.0  # below, nobody sees where things move
TRIES = 4


class Fitted(NamedTuple):
    """What a gif became."""

    frames: int
    fps: float
    size: tuple[int, int]
    bytes: int

    def __str__(self) -> str:
        width, height = self.size
        small = "stay under" if self.bytes <= MOST_BYTES else "be as small as it gets, which is more than"
        frames = f"{number_of(self.frames, 'frame')}, {self.fps:.3g} a second"
        return f"{frames}, of {width} x {height} pixels, to {small} {MOST_BYTES / 1e6:.0f} MB"


def to_fit(
    path: Path, fps: float, keep_fps: bool = False, most: int = MOST_BYTES, frames: int = 0, tell: Tell = nobody
) -> Fitted | None:
    """Make a gif smaller in place until it has at most so many bytes; None: it has no more than that.

    Args:
        path: of the file.
        fps: that it has.
        keep_fps: only its pixels are made fewer.
        most: bytes.
        frames: how many it has.
        tell: receives how far it is.
    """
    size = path.stat().st_size
    if size <= most:
        return None
    beside, fitted, share = path.with_name(f".small-{path.name}"), None, 0.95 * most / size
    try:
        for attempt in range(TRIES):
            tell.stage("making it smaller still" if attempt else "making it smaller", frames)
            ways = _ways(fps, keep_fps)
            skip, scale = next((way for way in ways if skip_cost(*way) <= share), ways[-1])
            kept, shape = _rewrite(path, beside, skip, scale, fps, tell)
            fitted = Fitted(kept, fps / skip, shape, beside.stat().st_size)
            if fitted.bytes <= most or (skip, scale) == ways[-1]:
                break
            share = skip_cost(skip, scale) * 0.95 * most / fitted.bytes  # it saved less than was expected
        if fitted is not None and fitted.bytes < size:
            os.replace(beside, path)
        return fitted
    finally:
        beside.unlink(missing_ok=True)


def skip_cost(skip: int, scale: float) -> float:
    """Return the share of a gif's bytes that is left, as far as can be said before: frames differ more when skipped."""
    return float(scale**1.7 / skip**0.8)


def _ways(fps: float, keep_fps: bool) -> list[tuple[int, float]]:
    """Return ways to make it smaller, which of so many frames and which scale, the gentlest first."""
    skips = [1] if keep_fps else [skip for skip in (1, 2, 3) if fps / skip >= LEAST_FPS] or [1]
    ways = [(skip, scale) for skip in skips for scale in SCALES if (skip, scale) != (1, 1.0)]
    return sorted(ways, key=lambda way: -skip_cost(*way))


def _rewrite(
    source: Path, target: Path, skip: int, scale: float, fps: float, tell: Tell
) -> tuple[int, tuple[int, int]]:
    """Write every ``skip``-th frame of a gif, scaled; return how many these are, and the new width and height."""
    writer: Gif | None = None
    kept, shape = 0, (0, 0)
    try:
        for number, frame in enumerate(_frames(source)):
            tell(number)
            if number % skip:
                continue
            if writer is None:
                writer = Gif(target, fps / skip)
                shape = (max(round(frame.width * scale), 2), max(round(frame.height * scale), 2))
            resized = frame if shape == frame.size else frame.resize(shape, Image.Resampling.LANCZOS)
            writer.add(np.asarray(resized))
            kept += 1
    finally:
        if writer is not None:
            writer.close()
    return kept, shape


def _frames(path: Path) -> Iterator[Image.Image]:
    with Image.open(path) as film:
        for number in range(getattr(film, "n_frames", 1)):
            film.seek(number)
            yield film.convert("RGB")
