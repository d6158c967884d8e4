"""Leaving a program: exit codes, one line for each error, an output that may be closed.

The programs import it first, and it imports nothing slow: from here on Ctrl-C ends them with one line.
"""

from __future__ import annotations

import builtins
import errno
import gc
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, ClassVar

from common import scratch
from common.errors import UserError
from common.printable import print_all
from common.quiet import warnings_once

OLDEST = (3, 11)  # version of Python
NOTEBOOK = "inline" in os.environ.get("MPLBACKEND", "")
"""Whether this is a notebook, or a command of one: so ipykernel says it, in Jupyter, VS Code and Colab."""
INTERRUPTED = 128 + signal.SIGINT
CLOSED = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO)  # nobody will ever read what is printed
CURE = f': activate Tidepool\'s environment, or pip install -e "{Path(__file__).resolve().parent.parent}"'
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EACCES, errno.EPERM)  # no fault of ours


def run(main: Callable[[Sequence[str]], int | None]) -> None:
    """Run a program's ``main(argv)`` and leave: 0 done, 2 a user's error, 130 Ctrl-C, 1 output that can't be written.

    An output that was closed, as by ``| head``, ends it quietly; see `outlive_output` for what goes on all the same.
    """
    warnings_once()
    print_all(sys.stdout)
    _Undying.failed, sys.stderr = None, undying(sys.stderr)
    code: str | int | None = 0
    try:
        code = _result(main)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # `compare.py | head` closes our output early; that is no error
        if _is_undying(sys.stdout):  # writing to it never fails: this is another pipe, or a connection
            raise
        _discard_output()
    except OSError as error:
        if _is_of_output(error):
            _discard_output()
            print(f"error: what is printed can't be written: {error.strerror}", file=sys.stderr)
            code = code or 1
        elif error.filename is not None and error.errno in DISK:  # the last resort: no option is named
            print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
            code = 2
        else:
            raise
    finally:
        gc.unfreeze()  # libraries count what is left of them at the end, and ale-py's says so in twenty lines
    if _Undying.failed is not None:
        print(f"note: some of what was printed is lost: {_Undying.failed.strerror}", file=sys.stderr)
    sys.exit(code)


def _result(main: Callable[[Sequence[str]], int | None]) -> str | int | None:
    """Return the exit code of a program; its errors are printed, one line each."""
    try:
        return main(sys.argv[1:])
    except SystemExit as leaving:  # after --help
        if isinstance(leaving.__context__, BrokenPipeError):  # how rich leaves
            raise leaving.__context__ from None
        return leaving.code
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        from common import memory  # psutil, seldom needed

        if not memory.ran_out(error):
            raise
        print(f"error: out of memory, {memory.where(error)}; {memory.in_use()}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def outlive_output() -> None:
    """Go on from here when the output is closed, or its disk is full: what is done now is kept elsewhere.

    Only in a program: a test or a notebook has an output of its own.
    """
    if is_program() and not _is_undying(sys.stdout):
        sys.stdout = undying(sys.stdout)


def begin_imports() -> None:
    """Let Ctrl-C end the program at once, with a line, while modules are imported; until `end_imports`.

    Nothing is lost then, and an exception inside the import of an extension becomes whatever it makes of it.
    """
    scratch.for_libraries()
    # charts are files; what a notebook asks for may not be installed here
    os.environ["MPLBACKEND"] = "agg"
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
    """Whether one of the programs runs, and not a test or a notebook, which may ``%run`` one."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return (
        file is not None
        and Path(file).resolve().parent == Path(__file__).resolve().parent.parent
        and not hasattr(builtins, "__IPYTHON__")
    )


def explain_environment() -> None:
    """End the program with a line where this Python is too old, or a package is missing: no environment is active."""
    if sys.version_info < OLDEST:
        needed = ".".join(map(str, OLDEST))
        print(f"error: Python {needed} or newer is needed; {sys.executable} is {_version()}{CURE}", file=sys.stderr)
        sys.exit(2)
    sys.excepthook = _end_where_missing


def _end_where_missing(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error that nothing caught: also of the imports at the top of a program, which are outside of `run`."""
    line = _missing(error) if isinstance(error, ModuleNotFoundError) else None
    if line is None:
        sys.__excepthook__(kind, error, trace)
        return
    print(line, file=sys.stderr, flush=True)
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    os._exit(2)  # after a hook Python leaves with 1


def _missing(error: ModuleNotFoundError) -> str | None:
    """Return what to say of a package that this Python does not have; None: something else is wrong."""
    name = (error.name or "").partition(".")[0]
    if not name or name in sys.modules or find_spec(name) is not None:
        return None
    return f"error: {name} is not installed in {sys.executable} (Python {_version()}){CURE}"


def _version() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


class _Undying(io.FileIO):
    """A file that swallows what can't be written to it."""

    failed: ClassVar[OSError | None] = None
    """Why something is lost that somebody may still want to read."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Write, or don't."""
        try:
            return os.write(self.fileno(), data)
        except OSError as error:
            if error.errno in CLOSED:
                _discard(self.fileno())  # also what libraries write themselves
            else:
                _Undying.failed = error
            return len(data)  # on a full disk later lines may be written again


def undying(stream: Any) -> Any:
    """Return a stream like this one of standard output, whose writing never fails."""
    try:
        assert isinstance(stream, io.TextIOWrapper)
        number = stream.fileno()
    except (AssertionError, OSError, ValueError):  # none at all, or not a file: a notebook's
        return stream
    stream.flush()
    raw = _Undying(number, "w", closefd=False)
    terminal = raw.isatty()
    buffered = io.BufferedWriter(raw)  # type: ignore[type-var]  # as of any raw file
    return io.TextIOWrapper(buffered, stream.encoding, stream.errors, line_buffering=terminal or stream.line_buffering)


def _is_undying(stream: Any) -> bool:
    return isinstance(getattr(getattr(stream, "buffer", None), "raw", None), _Undying)


def _is_of_output(error: OSError) -> bool:
    """Whether an error came from printing: then it comes again."""
    if error.filename is not None or sys.stdout is None:
        return False
    try:
        print(flush=True)
    except OSError as again:
        return again.errno == error.errno
    return False


def _discard_output() -> None:
    """Let what is still to be written go nowhere: it would fail again at the very end."""
    with suppress(OSError, ValueError, AttributeError):  # there is none, or it is no file
        _discard(sys.stdout.fileno())


def _discard(number: int) -> None:
    """Let all that is written to an open file go nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, number)
    os.close(nowhere)


if is_program():
    explain_environment()
    begin_imports()
