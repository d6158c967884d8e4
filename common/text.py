"""Quantities in words, and texts from elsewhere made fit for a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def time_text(seconds: float | None) -> str:
    """Return a time in words as coarse as it deserves; "?" where it is not known."""
    if seconds is None:
        return "?"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


def significant(value: float, digits: int = 3) -> str:
    """Return a number with so many significant digits, and all before its point: ``0.0312``, ``33.1``, ``13,455``."""
    return f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def number_of(count: int, noun: str) -> str:
    """Return a number and what is counted: ``1 frame``, ``2,000 frames``."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return names in a row, the first of many: ``a, b and 3 more``; semicolons where a name has a comma itself."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ("; " if any("," in one for one in names) else ", ").join(names[:most]) + more


def shown(text: str, most: int | None = None) -> str:
    """Return a text in one line that does nothing to a terminal: control characters are escaped, as in ``\\x1b``.

    So are those that turn the direction of writing or can't be encoded. Of more than ``most`` characters the middle is
    left out.
    """
    if most is not None and len(text) > 4 * most:  # escaping a gigabyte takes long
        text = text[: 2 * most] + text[-2 * most :]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else _escaped(c) for c in text)
    if most is None or len(text) <= most:
        return text
    head = (most - 3) // 3  # what to do stands at the end
    return f"{text[:head]}...{text[len(text) - (most - 3 - head) :]}"


def _escaped(character: str) -> str:
    return " " if character.isspace() and ord(character) > 127 else ascii(character)[1:-1]
