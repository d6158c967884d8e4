"""A bar in the terminal while a film is written: a minute of silence looks like a fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from common.redrawn import above_typing, can_redraw


class Tell:
    """Receives how far a film is; this one tells nobody."""

    def __call__(self, done: int) -> None:
        """Take what is done of the stage: steps filmed, or frames rewritten."""

    def stage(self, title: str, total: int) -> None:
        """Begin the next stage, of so much work."""


nobody = Tell()


class _Bar(Tell):
    def __init__(self, progress: Progress, task: TaskID, total: int) -> None:
        self._progress, self._task, self._total = progress, task, total

    def __call__(self, done: int) -> None:
        self._progress.update(self._task, completed=min(done, self._total))

    def stage(self, title: str, total: int) -> None:
        self._total = total
        self._progress.reset(self._task, total=total, description=title)


class _Progress(Progress):
    def get_renderable(self) -> RenderableType:
        return above_typing(*self.get_renderables())


@contextmanager
def bar(title: str, total: int) -> Iterator[Tell]:
    """Show a bar of ``total`` steps in a terminal, and remove it at the end; elsewhere nothing is written."""
    console = Console(stderr=True)
    if not can_redraw(console):
        yield nobody
        return
    columns = TextColumn("{task.description}"), BarColumn(None), TaskProgressColumn(), TimeRemainingColumn()
    with _Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(progress, progress.add_task(title, total=total), total)
