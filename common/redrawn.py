"""What is redrawn in place in a terminal, in which a person may type meanwhile."""

from __future__ import annotations

from rich.console import Group, RenderableType


def above_typing(*shown: RenderableType) -> Group:
    """Return what is to be redrawn in place, with an empty line below it, where the cursor waits.

    A terminal writes what is typed at the cursor, as ``^C`` for Ctrl-C. At the end of a line as wide as the terminal it
    would go on to the next one: all would be redrawn one line too low, and its first line stay above.
    """
    return Group(*shown, "")
