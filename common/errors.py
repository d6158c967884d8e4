"""Errors that are written for the user who reads them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from common.text import shown

MOST = 300  # characters of a message


class Note(UserWarning):
    """What a person should know and can't change now; shown in one line, without the place in the code."""


class UserError(Exception):
    """Something the user can fix: one line that names the value and what would be accepted.

    The command lines print it without a traceback and leave with exit code 2. What it quotes may come from a file of
    somebody else's: control characters are escaped, and of a long message the middle is left out.
    """

    def __init__(self, text: str) -> None:
        super().__init__(shown(text, MOST))


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return the known names closest to ``name`` as text, e.g. ``dqn, double_dqn``.

    Falls back to the first few known names when nothing is close, so that the sentence
    "did you mean ...?" always has an end.
    """
    names, name = sorted(set(known)), name[:200]  # the comparison takes the square of the length
    folded = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), list(folded), n=count, cutoff=0.5)
    return ", ".join(folded[match] for match in close) if close else ", ".join(names[:count])


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error for a name that is not known: ``unknown agent 'dqm'; did you mean dqn?``."""
    return UserError(f"unknown {kind} '{name}'; did you mean {nearest(name, known)}?")
