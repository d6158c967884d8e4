"""Errors that are written for the user who reads them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from common.text import shown

MOST = 300  # characters of a message
CLOSE, MARGIN = 0.5, 0.14  # likeness of a name that is suggested, at least; how much less than the best one's it may be
FEW = 6  # names that are listed where none is close


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
    names = sorted(set(known))
    return ", ".join(_close(name, names, count) or names[:count])


def suggestion(name: str, known: Iterable[str], count: int = 3) -> str:
    """Return ``did you mean dqn?``, or, when no name is close, the first few of all: ``known: dqn, c51, ...``."""
    names = sorted(set(known))
    if close := _close(name, names, count):
        return f"did you mean {', '.join(close)}?"
    return f"known: {', '.join(names[:FEW])}" + ", ..." * (len(names) > FEW)


def _close(name: str, names: Sequence[str], count: int) -> list[str]:
    """Return the closest names, the best first: of those that are far from it, none beside one that is near."""
    name = name[:200].lower()  # the comparison takes the square of the length
    folded = {candidate.lower(): candidate for candidate in names}
    matches = difflib.get_close_matches(name, list(folded), n=count, cutoff=CLOSE)
    likeness = [difflib.SequenceMatcher(None, match, name).ratio() for match in matches]
    return [folded[match] for match, like in zip(matches, likeness, strict=True) if like > likeness[0] - MARGIN]


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error for a name that is not known: ``unknown agent 'dqm'; did you mean dqn?``."""
    return UserError(f"unknown {kind} '{name}'; {suggestion(name, known)}")
