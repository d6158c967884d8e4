"""Handling SIGINT (Ctrl-C), SIGTERM and the signals by which terminals and clusters announce an end."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

STOP = ("SIGINT", "SIGTERM")
ALL = (*STOP, "SIGHUP", "SIGUSR1", "SIGUSR2")
"""Also a closed terminal or connection, and a cluster's notice."""


@contextmanager
def on_signal(handle: Callable[[int], None], names: Sequence[str] = STOP) -> Iterator[None]:
    """Call ``handle`` with a signal's number; the former handlers are restored at the end.

    A signal that is ignored stays so, as SIGHUP under nohup.
    """

    def receive(number: int, frame: FrameType | None) -> None:
        handle(number)

    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]  # Windows has two of them
    wanted = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, receive) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


PARENT = "TIDEPOOL_PARENT"  # an environment variable: the process that started this one and is to be outlived by none
_SET_PARENT_DEATH_SIGNAL = 1  # of Linux's prctl


def end_with_parent() -> None:
    """Let a process that a sweep started be stopped, saved, when the sweep is killed; only Linux can."""
    parent = os.environ.get(PARENT, "")
    if sys.platform != "linux" or not parent.isdecimal():
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
    if os.getppid() != int(parent):  # it was killed before this line
        os.kill(os.getpid(), signal.SIGTERM)
