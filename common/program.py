"""Leaving a program: exit codes, one line for each error, an output that may be closed.

The programs import it first, and it imports nothing slow: from here on Ctrl-C ends them with one line.
"""

from __future__ import annotations

import errno
import gc
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from common.errors import UserError
from common.quiet import warnings_once

INTERRUPTED = 128 + signal.SIGINT
CLOSED = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO)  # nobody will ever read what is printed


def run(main: Callable[[Sequence[str]], int | None], outlives_output: bool = False) -> None:
    """Run a program's ``main(argv)`` and leave: 0 done, 2 a user's error, 130 Ctrl-C.

    ``outlives_output``: whether it goes on, silently, when its output is closed, as by ``| head`` or with a terminal.
    """
    warnings_once()
    if outlives_output:
        sys.stdout, sys.stderr = (undying(stream) for stream in (sys.stdout, sys.stderr))
    try:
        code = main(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except (MemoryError, RuntimeError) as error:
        from common import memory  # psutil, seldom needed

        if not memory.ran_out(error):
            raise
        print(f"error: out of memory, {memory.where(error)}; {memory.in_use()}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = INTERRUPTED
    except BrokenPipeError:  # `compare.py | head` closes our output early; that is no error
        if outlives_output:  # writing to it never fails: this is another pipe, or a connection
            raise
        sys.stderr.close()
        code = 0
    sys.exit(code)


def begin_imports() -> None:
    """Let Ctrl-C end the program at once, with a line, while modules are imported; until `end_imports`.

    Nothing is lost then, and an exception inside the import of an extension becomes whatever it makes of it.
    """
    gc.disable()  # modules are no garbage: to look for some among them takes a sixth of the start
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else someone wants it to be ignored
        signal.signal(signal.SIGINT, _leave)


def end_imports() -> None:
    """Let Ctrl-C raise `KeyboardInterrupt` again: all modules that are slow to import are there."""
    if not gc.isenabled() and is_program():
        gc.enable()
        gc.freeze()  # nor will they be
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def is_program() -> bool:
    """Whether one of the programs runs, and not a test or a notebook."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return file is not None and Path(file).resolve().parent == Path(__file__).resolve().parent.parent


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


class _Undying(io.FileIO):
    """A file that swallows what can't be written to it."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Write, or don't."""
        try:
            return os.write(self.fileno(), data)
        except OSError as error:
            if error.errno in CLOSED:  # also for what libraries write themselves
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self.fileno())
                os.close(nowhere)
            return len(data)  # on a full disk later lines may be written again


def undying(stream: Any) -> Any:
    """Return a stream like this one of standard output, whose writing never fails."""
    try:
        assert stream is not None
        number = stream.fileno()
    except (AssertionError, OSError, ValueError):  # none at all, or not a file: a notebook's
        return stream
    stream.flush()
    raw = _Undying(number, "w", closefd=False)
    terminal = raw.isatty()
    buffered = io.BufferedWriter(raw)  # type: ignore[type-var]  # as of any raw file
    return io.TextIOWrapper(buffered, stream.encoding, stream.errors, line_buffering=terminal or stream.line_buffering)


if is_program():
    begin_imports()
