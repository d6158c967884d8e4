"""One self-contained HTML file from our scripts and some data; it asks for nothing from any network."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Any

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
