"""What is redrawn in place in a terminal, in which a person may type meanwhile."""

from __future__ import annotations

import os

from rich.console import Console, Group, RenderableType

from common import program


def above_typing(*shown: RenderableType) -> Group:
    """Return what is to be redrawn in place, with an empty line below it, where the cursor waits.

    A terminal writes what is typed at the cursor, as ``^C`` for Ctrl-C. At the end of a line as wide as the terminal it
    would go on to the next one: all would be redrawn one line too low, and its first line stay above.
    """
    return Group(*shown, "")


def can_redraw(console: Console) -> bool:
    """Whether what was printed can be drawn over, as in a terminal; a log and a notebook keep every line.

    ``FORCE_COLOR``, which CI services set too, makes rich take a file for a terminal. A notebook's ``!command`` has a
    terminal, but lines once shown stay.
    """
    forced = "FORCE_COLOR" in os.environ and not console.file.isatty()
    return console.is_interactive and not forced and not program.NOTEBOOK
