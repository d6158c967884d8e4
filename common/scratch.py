"""Where caches go when there is no home: in a container whose user has none, or whose code nobody may write to."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

# of libraries that complain, or fail, where they can't write to a home: what names another folder
VARIABLES = {"MPLCONFIGDIR": "matplotlib", "TORCHINDUCTOR_CACHE_DIR": "torch"}


def folder() -> Path | None:
    """Return a folder that nobody but this user can write to, for what can be made again; None: there can be none."""
    if not hasattr(os, "getuid"):
        return None
    try:
        found = Path(tempfile.gettempdir(), f"tidepool-{os.getuid()}")
        found.mkdir(mode=0o700, exist_ok=True)
        about = found.lstat()
    except OSError:
        return None
    # compiled code is loaded from there: it must not be another user's, nor a link
    safe = stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid() and not about.st_mode & 0o022
    return found if safe else None


def for_libraries() -> None:
    """Let libraries keep their caches there if this user has no home, or one that can't be written to."""
    home = os.path.expanduser("~")  # which stays "~" for a user of whom nothing is known
    there = os.path.isabs(home) and os.path.isdir(home)
    if (there and os.access(home, os.W_OK)) or (place := folder()) is None:
        return
    if not there:
        os.environ["HOME"] = str(place)  # some would make a folder called ~ here
    for variable, name in VARIABLES.items():
        os.environ.setdefault(variable, str(place / name))
