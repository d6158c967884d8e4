"""Whether the packages that are installed are those that pyproject.toml wants: after `git pull` they may be too old."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from importlib import metadata

from packaging.requirements import Requirement

from common.files import ROOT


def unfit() -> list[str]:
    """Return the packages of another version than is wanted, e.g. ``ale-py 0.12.0 (wanted: <0.13,>=0.12.1)``.

    One that is missing is not among them: what needs it says so.
    """
    try:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        needed = [Requirement(text) for text in project["dependencies"]]
    except (OSError, KeyError, ValueError):  # a conflict of two versions in it, say: no reason not to train
        return []
    found = []
    for wanted in needed:
        with suppress(metadata.PackageNotFoundError):
            version = metadata.version(wanted.name)
            if not wanted.specifier.contains(version, prereleases=True):
                found.append(f"{wanted.name} {version} (wanted: {wanted.specifier})")
    return found
