"""Silencing libraries that write to standard error themselves, and those that repeat themselves."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from common.errors import Note


@contextmanager
def silenced_stderr() -> Iterator[None]:
    """Discard what system libraries write to standard error; the caller reports the failure in one line."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # no standard error at all
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def warnings_once() -> None:
    """Show each warning once, whoever gives it: environments give theirs once for each of a batch.

    Python's own rule, once a place in the code, is forgotten whenever a library silences others for a while.
    """
    show, shown = warnings.showwarning, set[str]()

    def show_new(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if str(message) in shown:
            return
        shown.add(str(message))
        if issubclass(category, Note):
            print(f"note: {message}", file=sys.stderr)
        else:
            show(message, category, filename, lineno, file, line)

    warnings.showwarning = show_new
