"""What a person sees of several long commands: a bar for each in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from common.text import time_text
from experiments.pool import Task

SECONDS_BETWEEN_LINES = 30.0
SECONDS_BETWEEN_MOVES = 1.0
ALL = "all together"


def left_text(task: Task) -> str:
    """Return what is left of a task; its work may be done and the command still have something to wind up."""
    return "winding up" if task.share >= 1 else f"{time_text(task.left())} left"


class Lines:
    """Plain lines: of every start and end, and of what is at work now and then."""

    def __init__(self, console: Console, tasks: Sequence[Task], outcome: Callable[[Task], str]) -> None:
        """``outcome`` says in a line how a task ended; ``tasks`` are all that are to be run."""
        self.console, self.tasks, self.outcome = console, tasks, outcome
        self.began_at = {task.name: task.done for task in tasks}
        self.start = self._last = time.monotonic()
        self.through = 0

    def began(self, task: Task) -> None:
        """Print which one starts."""
        self.say(f"{task.name}: {'goes on' if task.began_at else 'starts'}, its output is in {task.log}")

    def working(self, tasks: Sequence[Task]) -> None:
        """Print how far each one is, unless that was done just now."""
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            for task in tasks:
                task.look()
                self.say(f"{task.name}: {task.share:.0%} | {left_text(task)}")

    def ended(self, task: Task) -> None:
        """Print how it ended and what all that is still to be done will take."""
        self.through += 1
        text = f"[{self.through} of {len(self.tasks)}] {self.outcome(task)}"
        self.say(text if self.through == len(self.tasks) else f"{text} | {time_text(self.left())} left for all")

    def stopping(self, tasks: Sequence[Task]) -> None:
        """Print that the commands are being waited for."""
        self.say(f"stopping: {len(tasks)} at work save what they have; Ctrl-C again ends them at once")

    def left(self) -> float | None:
        """Return the seconds that are left for all, at the speed of all so far; None before there is one."""
        gained = missing = 0.0
        for task in self.tasks:
            gained += task.done - self.began_at[task.name]
            missing += 0 if task.code is not None else max(task.total - task.done, 0)
        return (time.monotonic() - self.start) * missing / gained if gained > 0 else None

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(escape(text), soft_wrap=True, highlight=False)


class Bars(Lines):
    """A bar for each command at work and one for all, redrawn in place; starts are not printed, ends are."""

    def __init__(self, console: Console, tasks: Sequence[Task], outcome: Callable[[Task], str]) -> None:
        super().__init__(console, tasks, outcome)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(None),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            expand=True,
            transient=True,
        )
        self.bars: dict[str, TaskID] = {}
        self.all = self.progress.add_task(ALL, total=1.0, left="? left")

    def began(self, task: Task) -> None:
        """Add a bar."""
        self.bars[task.name] = self.progress.add_task(escape(task.name), total=1.0, left="? left")

    def working(self, tasks: Sequence[Task]) -> None:
        """Move the bars, at most once a second: how far each is, is read from files."""
        if time.monotonic() - self._last < SECONDS_BETWEEN_MOVES:
            return
        self._last = time.monotonic()
        for task in tasks:
            task.look()
            self.progress.update(self.bars[task.name], completed=task.share, left=left_text(task))
        done = sum(1.0 if task.code == 0 else task.share for task in self.tasks)
        left = f"{time_text(self.left())} left"
        self.progress.update(self.all, completed=done / len(self.tasks), left=left)

    def ended(self, task: Task) -> None:
        """Replace the bar by a line above."""
        self.progress.remove_task(self.bars.pop(task.name))
        super().ended(task)


@contextmanager
def shown(console: Console, tasks: Sequence[Task], outcome: Callable[[Task], str]) -> Iterator[Lines]:
    """Show tasks in the way that fits the console, while they run."""
    if not console.is_terminal:
        yield Lines(console, tasks, outcome)
        return
    bars = Bars(console, tasks, outcome)
    with bars.progress:
        yield bars
