"""Numba functions whose compiled code is kept on disk, and whose damaged files are compiled again."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba import njit
from numba.core import config as numba_config
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic

from common import scratch

SETTINGS: Any = numba_config


@functools.cache  # a module imports before its first kernel what its kernels call
def sources(module: str) -> tuple[tuple[str, float, int], ...]:
    """Return a module's file and those of the kernels that its own may call, each with time and size."""
    found: dict[str, tuple[str, float, int]] = {}
    waiting = [module]
    while waiting:
        here = sys.modules.get(waiting.pop())
        file = getattr(here, "__file__", None)
        if here is None or file is None or file in found:
            continue
        state = Path(file).stat()
        found[file] = file, state.st_mtime, state.st_size
        waiting += {one.__module__ for one in vars(here).values() if compiled_in(one)}
    return tuple(sorted(found.values()))


def compiled_in(value: Any) -> bool:
    """Whether it is something of which a kernel's code is made: another one, an intrinsic, a named tuple."""
    named = isinstance(value, type) and issubclass(value, tuple)
    return named or isinstance(value, Dispatcher | _Intrinsic)


class Cache(FunctionCache):
    """Numba's cache, for which a truncated file is a missing one, and a change of what is called a change.

    A kill or a crash while it is written can leave half a file, which numba would report with a traceback at
    every later start. And numba asks only whether the function's own file has changed, though the kernels of other
    files that it calls are compiled into it: it would go on with what they were before an update.
    """

    misses = 0  # functions that this process had to compile, over all caches

    def __init__(self, function: Callable[..., Any]) -> None:
        """Raise `RuntimeError` where there is no folder that it can be written to."""
        try:
            super().__init__(function)  # type: ignore[no-untyped-call]
        except RuntimeError:  # neither beside the code nor in the user's home
            if SETTINGS.CACHE_DIR or (place := scratch.folder()) is None:
                raise
            SETTINGS.CACHE_DIR = str(place / "kernels")
            super().__init__(function)  # type: ignore[no-untyped-call]
        self._cache_file = IndexDataCacheFile(  # type: ignore[no-untyped-call]
            self._cache_path, self._impl.filename_base, sources(function.__module__)
        )

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled code for a signature; None: it has to be compiled."""
        try:
            found = super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # what a damaged pickle or object file raises is anything
            self._remove()
            found = None
        Cache.misses += found is None
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        """Write the compiled code, where that is possible."""
        try:
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        except Exception:  # disk full, not writable, or an index that another process has left damaged meanwhile
            self._remove()  # it is compiled again next time

    def _remove(self) -> None:
        folder, name = Path(self.cache_path), self._impl.filename_base
        with suppress(OSError):  # not ours to remove: then it is compiled at every start, but it works
            for path in [folder / f"{name}.nbi", *folder.glob(f"{name}.*.nbc")]:
                path.unlink(missing_ok=True)


def cached_njit(**options: Any) -> Any:  # untyped, as numba's is: kernels are typed by hand
    """Return numba's decorator ``njit(**options)``, with `Cache` in place of ``cache=True``."""

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = njit(**options)(function)
        with suppress(RuntimeError):  # then it is compiled at every start
            dispatcher._cache = Cache(function)  # as numba's own ``enable_caching`` does
        return dispatcher

    return compiled


def unless_compiling(text: str) -> Callable[[], str]:
    """Return what to say from now on of a wait: ``text``, or that kernels are being compiled if they are."""
    before = Cache.misses
    return lambda: text if Cache.misses == before else "compiling kernels, once on this machine"
