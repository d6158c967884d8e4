"""Environments that hang: a step that takes longer than a limit is ended, if it can be, and the run is saved.

Python's code, sleeping and waiting for a socket included, is interrupted by a signal whose handler raises. Compiled
code that never returns can't be: then the watchdog's own thread saves the run and ends the program, unless that code
holds the interpreter's lock, which nothing inside a process can break.
"""

from __future__ import annotations

import ctypes
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


class Hung(Exception):
    """A call took longer than the limit."""


class Watchdog:
    """Watches calls in the main thread, one at a time.

    Attributes:
        seconds: that a call may take; None: nothing is watched.
        give_up: called, in another thread, with what happened, where a call can't be interrupted; then the program
            ends.
    """

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.give_up: Callable[[str], None] = _say
        self._deadline = math.inf  # of the call in progress, by the monotonic clock
        self._given_up = False
        self._lock, self._thread = threading.Lock(), threading.Thread()

    def limit(self, seconds: float | None) -> None:
        """Watch calls from now on; None: no more."""
        self.seconds, self._deadline = seconds, math.inf
        if seconds is None:
            return
        if hasattr(signal, "pthread_kill") and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGALRM, self._interrupt)
        if not self._thread.is_alive():
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()

    def guarded(self, call: Callable[..., T]) -> Callable[..., T]:
        """Return a function that is watched; it raises `Hung` where it takes too long."""
        if self.seconds is None:
            return call

        def watched(*arguments: Any, **keywords: Any) -> T:
            self._deadline = time.monotonic() + (self.seconds or math.inf)
            try:
                return call(*arguments, **keywords)
            finally:
                with self._lock:
                    self._deadline = math.inf
                    given_up = self._given_up
                while given_up:  # too late: the run is being saved, and the program ends
                    time.sleep(1.0)

        return watched

    @property
    def what(self) -> str:
        """What is said of a call that takes too long."""
        return f"it did not return within {self.seconds:g} s (--env-timeout)"

    def _interrupt(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Raise in the call in progress, if it is late; again if it goes on all the same."""
        if time.monotonic() > self._deadline:
            self._deadline = time.monotonic() + (self.seconds or math.inf)
            raise Hung(self.what)

    def _watch(self) -> None:
        asked = math.inf  # the deadline for which the main thread was interrupted
        while self.seconds is not None:
            time.sleep(min(self.seconds / 10, 1.0))
            deadline, now = self._deadline, time.monotonic()
            if now <= deadline:
                continue
            if deadline != asked:
                asked = deadline
                self._ask()
            elif now > deadline + self.seconds:
                with self._lock:
                    if self._deadline != deadline:
                        continue
                    self._given_up = True
                self._end()

    def _ask(self) -> None:
        main = threading.main_thread().ident
        assert main is not None
        if hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main, signal.SIGALRM)  # also ends what sleeps or waits
        else:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(main), ctypes.py_object(Hung))

    def _end(self) -> None:
        """Save what can be saved, and end the program."""
        try:
            self.give_up(f"{self.what}, and can't be interrupted")
        except BaseException as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
        finally:
            os._exit(2)


def _say(what: str) -> None:
    raise Hung(f"an environment hangs: {what}")


WATCHDOG = Watchdog()
"""The process's own: signals and the main thread are a process's."""
