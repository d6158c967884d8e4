"""Printing what an output's encoding lacks as its nearest ASCII: a pipe on Windows has a code page."""

from __future__ import annotations

import codecs
import io
import unicodedata
from typing import Any

NEAREST = {
    **{"\N{LEFTWARDS ARROW}": "<-", "\N{RIGHTWARDS ARROW}": "->", "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-"},
    **{"\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'"},
    **{"\N{MULTIPLICATION SIGN}": "x", "\N{PLUS-MINUS SIGN}": "+-", "\N{MIDDLE DOT}": ".", "\N{FULL BLOCK}": "#"},
    **{"\N{GREEK SMALL LETTER LAMDA}": "lambda", "\N{GREEK SMALL LETTER GAMMA}": "gamma"},
}
UNDECODED = range(0xDC80, 0xDD00)  # where Python has the bytes of a file's name that are no text


def print_all(stream: Any) -> None:
    """Let a stream of standard output print any text: without this a path of other letters ends a program."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="nearest")


def nearest(character: str) -> str:
    """Return what stands for a character where there is only ASCII; "?" if nothing does."""
    name = unicodedata.name(character, "")
    if name.startswith("BOX DRAWINGS"):
        straight = " AND " not in name
        return "-" if straight and name.endswith("HORIZONTAL") else "|" if straight and "VERTICAL" in name else "+"
    parts = unicodedata.normalize("NFKD", character).replace("\N{FRACTION SLASH}", "/")
    plain = parts.encode("ascii", "ignore").decode()
    if plain.isdecimal():  # 10 with a small 2 would be 102
        return "?"
    return NEAREST.get(character) or plain or "?"


def _nearest(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    number = ord(character)
    # such a name is printed as the file system has it, so that a command with it can be typed
    return (bytes([number - 0xDC00]) if number in UNDECODED else nearest(character)), error.start + 1


codecs.register_error("nearest", _nearest)
