"""One self-contained HTML file from our scripts and some data; it asks for nothing from any network."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from common.errors import UserError
from common.files import write_bytes

FOLDER = Path(__file__).parent
SCRIPTS = {
    "live": ("world", "network", "learn", "truth", "session", "draw", "ui", "live"),
    "recorded": ("world", "network", "draw", "ui", "recorded"),
}
"""The scripts of each kind of page, in the order in which they are read."""


def assemble(kind: str, title: str, data: Mapping[str, Any]) -> str:
    """Return a page of a kind in `SCRIPTS`; names in ``title`` and ``data`` are text, whatever they hold."""
    script = "\n".join(_read(f"{name}.js") for name in SCRIPTS[kind])
    return Template(_read("page.html")).substitute(
        title=html.escape(title),
        style=_read("style.css"),
        body=_read(f"{kind}.html"),
        support=_read("support.js"),
        # "<" could end the element, and U+2028 is a line's end in scripts
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        script=script,
    )


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8").rstrip("\n")


def check(
    path: Path, overwrite: bool, option: str = "--export-html", endings: Sequence[str] = (".html", ".htm")
) -> None:
    """Reject a page that can't be written, before anything is played.

    Raises:
        UserError: not an HTML file's name, an existing file, a folder that can't be made or written to.
    """
    if path.suffix.lower() not in endings:
        raise UserError(f"{option} {path}: unknown kind '{path.suffix}'; allowed: {', '.join(endings)}")
    if os.path.isdir(path):  # `Path.is_dir` raises for a name that is too long
        raise UserError(f"{option} {path}: is a folder")
    if os.path.exists(path) and not overwrite:
        raise UserError(f"{option} {path}: the file exists; --overwrite replaces it")
    beside = path.with_name(f".{path.stem}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(b"")
        beside.unlink()
    except OSError as error:
        raise UserError(f"{option} {path}: can't be written ({error.strerror})") from None


def write(path: Path, text: str, option: str = "--export-html") -> int:
    """Write a page in one step; return its size in bytes."""
    data = text.encode()
    try:
        write_bytes(path, data)
    except OSError as error:
        raise UserError(f"{option} {path}: can't be written ({error.strerror})") from None
    return len(data)
