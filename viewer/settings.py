"""The window's settings, kept between sessions: hidden panels, the agent's view, colours, sizes, hints seen."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_config_path

from common.errors import UserError
from common.files import read_json, write_json
from viewer.drawing.theme import LIGHT, THEMES, Theme

if TYPE_CHECKING:
    from viewer.view import View

FOLDER_VARIABLE = "TIDEPOOL_CONFIG_DIR"  # environment variable: another folder, for tests and for several settings
FILE = "window.json"
MAX_SIDE = 16_384  # pixels of a window's side; more is taken for damage
Size = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class WindowSettings:
    """What is saved, with the defaults of a first start."""

    hidden: tuple[str, ...] = ("neurons",)
    """Names of hidden panels."""
    agent_view: bool = False
    theme: str = LIGHT
    sizes: Mapping[str, Size] = dataclasses.field(default_factory=dict)
    """Width and height of the window, pixels, by what it shows; nothing: as large as that needs."""
    hints: tuple[str, ...] = ()
    """Names of hints that were shown."""


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
    hints: Any = found.get("hints")
    sizes: Any = found.get("sizes")
    return WindowSettings(
        hidden=tuple(hidden) if _are(hidden, str) else WindowSettings.hidden,
        agent_view=found.get("agent_view") is True,
        theme=found["theme"] if found.get("theme") in THEMES else LIGHT,
        sizes={kind: (size[0], size[1]) for kind, size in sizes.items() if _is_size(size)}
        if isinstance(sizes, dict)
        else {},
        hints=tuple(hints) if _are(hints, str) else (),
    )


def _is_size(size: Any) -> bool:
    return _are(size, int) and len(size) == 2 and all(100 <= side <= MAX_SIDE for side in size)


def _are(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)


def save(view: View, kind: str, size: Size | None, *, panels: bool = True) -> None:
    """Save how the window was left, if the file can be written; ``panels``: also which of them were hidden.

    ``size``, of the ``kind`` of what it showed: None, if it was as large as that needs.
    """
    before = load()
    sizes = {name: list(known) for name, known in before.sizes.items() if name != kind}
    if size is not None:
        sizes[kind] = list(size)
    left = {
        "hidden": sorted(view.hidden) if panels else list(before.hidden),
        "agent_view": view.agent_view,
        "theme": Theme.name,
        "sizes": sizes,
        "hints": list(before.hints) if view.tour is None else view.tour.seen,
    }
    try:
        path().parent.mkdir(parents=True, exist_ok=True)
        write_json(path(), left)
    except (OSError, UserError):
        return


def restore(view: View, known: Iterable[str]) -> WindowSettings:
    """Set a view as the window was left; panels that no longer exist are ignored."""
    found = load()
    view.hidden, view.agent_view = set(found.hidden) & set(known), found.agent_view
    return found
