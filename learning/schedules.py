"""Values that change over a run."""


def linear(start: float, end: float, duration: float, now: float) -> float:
    """Return the value on the line from ``start`` to ``end``, which it reaches after ``duration`` and keeps."""
    return start + (end - start) * min(max(now / duration, 0.0), 1.0)
