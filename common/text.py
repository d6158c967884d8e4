"""Quantities in words."""

from __future__ import annotations


def time_text(seconds: float | None) -> str:
    """Return a time in words as coarse as it deserves; "?" where it is not known."""
    if seconds is None:
        return "?"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
