"""A line for a silence: what a program is doing, when that takes long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from common.text import time_text

AFTER = 2.0  # seconds of silence before the first line
AGAIN = 10.0  # seconds between further ones


@contextmanager
def waiting(
    doing: str | Callable[[], str], say: Callable[[str], None] | None = None, after: float = AFTER, again: float = AGAIN
) -> Iterator[None]:
    """Say what is being done if the block takes longer than ``after`` seconds, then every ``again`` seconds.

    A thread of its own says it, whatever the block does; a quick block says nothing.

    Args:
        doing: such as "loading PyTorch"; a function is asked each time.
        say: prints a line; None: to standard output.
        after: seconds before the first line.
        again: seconds between further ones.
    """
    done, began = threading.Event(), time.monotonic()

    def watch() -> None:
        said = False
        while not done.wait(again if said else after):
            text = doing if isinstance(doing, str) else doing()
            so_far = f" ({time_text(time.monotonic() - began)})" if said else ""
            said = True
            with suppress(OSError, ValueError):  # nobody reads any more; the program itself will notice
                (say or _print)(f"{text} ...{so_far}")

    thread = threading.Thread(target=watch, name="waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _print(line: str) -> None:
    print(line, flush=True)
