"""Many pictures of one size in a few: sheets of lossless WebP, in which what repeats costs nothing."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SHEET_SIDE = 16_000  # pixels that a WebP picture may be high; the format ends at 16,383
SHEET_AREA = 3_000_000  # pixels, so that a phone can decode one between two frames
SMALL = 4_000  # bytes of a lossless picture: of larger ones lossy WebP is tried
LOSSY = 80  # quality where there is no room for all of them

Picture = NDArray[np.uint8]  # (H, W) grey or (H, W, 3)


def numbers(values: Any, kind: str) -> str:
    """Return numbers as base64 of a little-endian array; ``kind`` is NumPy's, such as "f4"."""
    return base64.b64encode(np.ascontiguousarray(values, f"<{kind}").tobytes()).decode()


class Sheets:
    """Pictures in the order of their first appearance, each once; and for each place in time which of them it shows."""

    def __init__(self, widest: int | None = None) -> None:
        """``widest``: larger pictures are made so wide, in pixels; None: they stay as they are."""
        self.widest = widest
        self.size = (0, 0)
        self.index: list[list[int]] = []
        self._known: dict[int, int] = {}
        self._pictures: list[bytes] = []  # compressed
        self._shape: tuple[int, ...] = ()

    def add(self, *pictures: Picture) -> None:
        """Add the pictures of the next moment."""
        self.index.append([self._place(picture) for picture in pictures])

    def repeat(self) -> None:
        """Show in the next moment what the last one did."""
        self.index.append(self.index[-1] if self.index else [])

    def _place(self, picture: Picture) -> int:
        data = np.ascontiguousarray(picture).tobytes()
        key = hash(data)
        if key not in self._known:
            if self.widest is not None and picture.shape[1] > self.widest:
                height = max(1, round(picture.shape[0] * self.widest / picture.shape[1]))
                small = Image.fromarray(picture).resize((self.widest, height), Image.Resampling.LANCZOS)
                picture = np.asarray(small, np.uint8)
            if not self._pictures:
                self._shape, self.size = picture.shape, (picture.shape[1], picture.shape[0])
            elif picture.shape != self._shape:  # it changed its size: fitted into the first one's
                picture = np.asarray(Image.fromarray(picture).resize(self.size), np.uint8)
            self._known[key] = len(self._pictures)
            self._pictures.append(zlib.compress(np.ascontiguousarray(picture).data, 1))
        return self._known[key]

    def as_json(
        self, lossless: bool = True, tell: Callable[[float], None] = lambda done: None
    ) -> dict[str, Any] | None:
        """Return what `Sheets` in recorded.js takes; None without a picture. ``tell`` hears the share that is done."""
        if not self._pictures:
            return None
        width, height = self.size
        per_sheet = max(1, min(SHEET_SIDE // height, SHEET_AREA // (width * height)))
        starts = range(0, len(self._pictures), per_sheet)
        sheets = []
        for start in starts:
            tell(start / len(self._pictures))
            sheets.append(self._sheet(self._pictures[start : start + per_sheet], lossless))
        each = max(map(len, self.index))
        index = [[*row, *row[-1:] * (each - len(row))] if row else [0] * each for row in self.index]
        return {
            "width": width,
            "height": height,
            "perSheet": per_sheet,
            "each": each,
            "index": numbers(index, "u4"),
            "sheets": sheets,
        }

    def _sheet(self, compressed: list[bytes], lossless: bool) -> str:
        parts = [np.frombuffer(zlib.decompress(one), np.uint8).reshape(self._shape) for one in compressed]
        sheet = Image.fromarray(np.concatenate(parts))
        data = _webp(sheet, lossless)
        if lossless and len(data) > SMALL * len(parts):  # thin slanted lines, photographs
            data = min(data, _webp(sheet, False), key=len)
        return base64.b64encode(data).decode()


def _webp(picture: Image.Image, lossless: bool) -> bytes:
    data = io.BytesIO()
    picture.save(data, "WEBP", lossless=lossless, quality=LOSSY, method=3)
    return data.getvalue()
