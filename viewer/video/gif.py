"""Writing gifs frame by frame, each with only the part that changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image, ImageChops

from envs import drawing
from viewer.drawing.theme import Theme

PALETTE = 255  # colours of a gif
EXACT, EXACT_SHARE = 24, 0.02  # colours of a picture that are kept as they are: how many at most, of which share of it
MAX_DIFFERENCE, MAX_PIXELS = 20, 120  # levels of a channel; pixels that may differ by more before a new palette is made
MAX_MEAN_DIFFERENCE = 1.0  # levels, over all pixels: a large area that is slightly off is seen too


class Gif:
    """A looping gif, written frame by frame: each frame is only the part that changed.

    Pillow's own ``save_all`` holds every frame in memory until the end; its single-frame encoder
    does not. Frames share the palette of the first, which has the theme's colours, as long as it fits;
    after other colours have appeared (the next screen of a game), each frame has a palette of its own.
    """

    def __init__(self, path: Path, fps: float) -> None:
        """Open the file; the first frame sets size and palette."""
        self._file: BinaryIO = path.open("wb")
        self._hundredths = max(2, round(100 / fps))
        self._last: Image.Image | None = None
        self._palette: Image.Image | None = None
        self._local = False  # the palette is no longer the one in the header

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Write what differs from the previous frame."""
        image = Image.fromarray(frame)
        if self._palette is None:
            self._palette = palette(image)
            self._write_header(frame.shape[1], frame.shape[0])
        box = (0, 0, *image.size)
        if self._last is not None:
            box = ImageChops.difference(image, self._last).getbbox() or (0, 0, 1, 1)
        part = image.crop(box)
        reduced = part.quantize(palette=self._palette, dither=Image.Dither.NONE)
        if _differs(part, reduced):
            self._palette, self._local = palette(image), True
            reduced = part.quantize(palette=self._palette, dither=Image.Dither.NONE)
        written = GifImagePlugin.getdata(
            reduced, box[:2], duration=10 * self._hundredths, include_color_table=self._local
        )
        for data in written:
            self._file.write(data)
        self._last = image

    def _write_header(self, width: int, height: int) -> None:
        assert self._palette is not None
        colors = (self._palette.getpalette() or [])[: 3 * 256]
        table = bytes(colors + [0] * (3 * 256 - len(colors)))
        screen_descriptor = width.to_bytes(2, "little") + height.to_bytes(2, "little") + b"\xf7\x00\x00"
        loop_forever = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
        self._file.write(b"GIF89a" + screen_descriptor + table + loop_forever)

    def close(self) -> None:
        """Write the trailer."""
        if not self._file.closed:
            self._file.write(b";")
            self._file.close()


def palette(image: Image.Image) -> Image.Image:
    """Return an image with the palette of a gif: the window's own colours and large areas exactly, then the rest.

    Pillow looks colours up by their upper six bits: similar colours would replace an own one, so they are left out.
    """
    own = [color for color in vars(Theme).values() if isinstance(color, tuple) and len(color) == 3]
    own += [drawing.WHITE, drawing.BLACK, drawing.RED, drawing.GREEN, drawing.GREY]
    pixels = image.width * image.height
    counted: list[tuple[int, Any]] = image.getcolors(pixels) or []
    most = sorted(counted, key=lambda found: -found[0])[:EXACT]
    own += [color for count, color in most if count > EXACT_SHARE * pixels and color not in own]
    flat = image.quantize(PALETTE - len(own), Image.Quantize.MEDIANCUT).getpalette() or []
    found = zip(flat[0::3], flat[1::3], flat[2::3], strict=True)
    others = [color for color in found if all(_distance(color, ours) > 12 for ours in own)]
    colors = Image.new("P", (1, 1))
    colors.putpalette([channel for color in [*own, *others][:PALETTE] for channel in color])
    return colors


def _differs(image: Image.Image, reduced: Image.Image) -> bool:
    """Return whether a palette has changed the colour of an area, not only of the edges of letters."""
    difference = np.abs(np.asarray(image, np.int16) - np.asarray(reduced.convert("RGB"), np.int16)).max(-1)
    return bool(np.count_nonzero(difference > MAX_DIFFERENCE) > MAX_PIXELS or difference.mean() > MAX_MEAN_DIFFERENCE)


def _distance(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
