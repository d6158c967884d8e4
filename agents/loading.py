"""From a path to a player."""

from __future__ import annotations

import os
from pathlib import Path

from agents import karpathy
from agents.registry import recipe
from common.errors import UserError
from common.reading import check_inside
from learning.checkpoint import MANIFEST, load_agent, read_manifest
from learning.policy import Policy


def load_policy(path: Path | str) -> Policy:
    """Return the player in ``path``: a run folder, its ``agent/`` folder, or a JSON file of Karpathy's demos.

    Raises:
        UserError: nothing there, no agent in it yet, or a damaged file, which is named.
    """
    path = Path(path)  # `Path.exists` raises where a folder may not be looked into
    if os.path.isfile(path) and path.suffix == ".json" and path.name != MANIFEST:
        return karpathy.load(path)
    if not os.path.exists(path):
        raise UserError(f"{path}: no such run or agent")
    for folder in (path, path / "agent", path.parent):
        if os.path.isfile(folder / MANIFEST):
            if folder.parent == path:
                check_inside(folder, path)
            return load_agent(folder, recipe(read_manifest(folder)["agent"]))
    raise UserError(f"{path}: no agent here yet (a run saves one at its first evaluation)")
