"""Ctrl-C and a polite kill, answered by what we say."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_signal(ask: Callable[[], None]) -> Iterator[None]:
    """Call ``ask`` at Ctrl-C and at a polite kill, in place of what was done before, which comes back at the end."""

    def heard(number: int, frame: FrameType | None) -> None:
        ask()

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
