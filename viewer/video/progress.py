"""A bar in the terminal while a film is written: a minute of silence looks like a fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Tell = Callable[[int], None]
"""Receives the steps so far."""


def nobody(steps: int) -> None:
    """Tell nobody."""


@contextmanager
def bar(title: str, total: int) -> Iterator[Tell]:
    """Show a bar of ``total`` steps in a terminal, and remove it at the end; elsewhere nothing is written."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield nobody
        return
    columns = TextColumn("{task.description}"), BarColumn(None), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda steps: progress.update(task, completed=min(steps, total))
