"""Commands that we print, as they can be typed."""

from __future__ import annotations

import os
import shlex
from subprocess import list2cmdline


def command(program: str, *words: object) -> str:
    """Return how one of our programs is called with some words: ``python play.py 'my runs/pong'``."""
    return typed("python", program, *words)


def typed(*words: object) -> str:
    """Return words as a shell takes them: those that it would take apart are quoted."""
    texts = [str(word) for word in words]
    return list2cmdline(texts) if os.name == "nt" else shlex.join(texts)
