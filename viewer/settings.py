"""The window's settings, kept between sessions: hidden panels, the agent's view, its size."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_config_path

from common.errors import UserError
from common.files import read_json, write_json

if TYPE_CHECKING:
    from viewer.view import View

FOLDER_VARIABLE = "TIDEPOOL_CONFIG_DIR"  # environment variable: another folder, for tests and for several settings
FILE = "window.json"
MAX_SIDE = 16_384  # pixels of a window's side; more is taken for damage


@dataclasses.dataclass(frozen=True)
class WindowSettings:
    """What is saved, with the defaults of a first start."""

    hidden: tuple[str, ...] = ("neurons",)
    """Names of hidden panels."""
    agent_view: bool = False
    size: tuple[int, int] | None = None
    """Width and height of the window, pixels; None: as large as what it shows."""


def path() -> Path:
    """Return the settings file."""
    given = os.environ.get(FOLDER_VARIABLE)
    return (Path(given) if given else user_config_path("tidepool", appauthor=False)) / FILE


def load() -> WindowSettings:
    """Return the saved settings; each one that can't be read has its default."""
    try:
        found = read_json(path())
    except UserError:
        return WindowSettings()
    if not isinstance(found, dict):
        return WindowSettings()
    hidden: Any = found.get("hidden")
    size: Any = found.get("size")
    return WindowSettings(
        hidden=tuple(hidden) if _are(hidden, str) else WindowSettings.hidden,
        agent_view=found.get("agent_view") is True,
        size=(size[0], size[1])
        if _are(size, int) and len(size) == 2 and all(100 <= s <= MAX_SIDE for s in size)
        else None,
    )


def _are(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)


def save(view: View, size: tuple[int, int] | None) -> None:
    """Save how the window was left, if the file can be written."""
    try:
        path().parent.mkdir(parents=True, exist_ok=True)
        write_json(path(), {"hidden": sorted(view.hidden), "agent_view": view.agent_view, "size": size})
    except (OSError, UserError):
        return


def restore(view: View, known: Iterable[str]) -> WindowSettings:
    """Set a view as the window was left; panels that no longer exist are ignored."""
    found = load()
    view.hidden, view.agent_view = set(found.hidden) & set(known), found.agent_view
    return found
