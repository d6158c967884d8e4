"""Numba functions whose compiled code is kept on disk, and whose damaged files are compiled again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.caching import FunctionCache


class Cache(FunctionCache):
    """Numba's cache, for which a truncated file is a missing one.

    A kill or a crash while it is written can leave half a file, which numba would report with a traceback at
    every later start.
    """

    misses = 0  # functions that this process had to compile, over all caches

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
        dispatcher._cache = Cache(function)  # type: ignore[no-untyped-call]  # as numba's own ``enable_caching`` does
        return dispatcher

    return compiled


def unless_compiling(text: str) -> Callable[[], str]:
    """Return what to say from now on of a wait: ``text``, or that kernels are being compiled if they are."""
    before = Cache.misses
    return lambda: text if Cache.misses == before else "compiling kernels, once on this machine"
