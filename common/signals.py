"""Handling SIGINT (Ctrl-C) and SIGTERM."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def on_signal(handle: Callable[[], None]) -> Iterator[None]:
    """Call ``handle`` at SIGINT and SIGTERM; the former handlers are restored at the end."""

    def receive(number: int, frame: FrameType | None) -> None:
        handle()

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
