"""Progress of several long commands: a bar for each in a terminal, plain lines elsewhere."""

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
SECONDS_BETWEEN_REDRAWS = 1.0
TOTAL = "total"


def time_left_text(task: Task) -> str:
    """Return a task's remaining time; with all work done the command may still have to save and exit."""
    return "finishing" if task.fraction >= 1 else f"{time_text(task.seconds_left())} left"


class Lines:
    """Plain lines: every start and end, and now and then the progress of what runs."""

    def __init__(self, console: Console, tasks: Sequence[Task], outcome: Callable[[Task], str]) -> None:
        """``outcome`` returns one line on how a task ended; ``tasks`` are all that are to be run."""
        self.console, self.tasks, self.outcome = console, tasks, outcome
        self.done_before = {task.name: task.done for task in tasks}
        self.start = self._last = time.monotonic()
        self.ended_count = 0

    def started(self, task: Task) -> None:
        """Print which task starts or resumes."""
        verb = "resumes" if self.done_before[task.name] else "starts"
        self.print_line(f"{task.name}: {verb}, its output is in {task.log}")

    def running(self, tasks: Sequence[Task]) -> None:
        """Print the progress of each task, unless that was done a moment ago."""
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            for task in tasks:
                task.refresh()
                self.print_line(f"{task.name}: {task.fraction:.0%} | {time_left_text(task)}")

    def ended(self, task: Task) -> None:
        """Print how a task ended and how long the rest will take."""
        self.ended_count += 1
        text = f"[{self.ended_count} of {len(self.tasks)}] {self.outcome(task)}"
        rest = f" | {time_text(self.seconds_left())} left in total" if self.ended_count < len(self.tasks) else ""
        self.print_line(text + rest)

    def stopping(self, tasks: Sequence[Task]) -> None:
        """Print that the commands are being waited for."""
        runs = "1 run" if len(tasks) == 1 else f"{len(tasks)} runs"
        self.print_line(f"stopping: waiting for {runs} to save; Ctrl-C again stops at once")

    def seconds_left(self) -> float | None:
        """Return the remaining time of all tasks, at the speed of all so far; None before there is any progress."""
        gained = missing = 0.0
        for task in self.tasks:
            gained += task.done - self.done_before[task.name]
            missing += 0 if task.exit_code is not None else max(task.total - task.done, 0)
        return (time.monotonic() - self.start) * missing / gained if gained > 0 else None

    def print_line(self, text: str) -> None:
        """Print a line."""
        self.console.print(escape(text), soft_wrap=True, highlight=False)


class Bars(Lines):
    """A bar for each running command and one for all, redrawn in place; ends are printed as lines, starts are not."""

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
        self.total_bar = self.progress.add_task(TOTAL, total=1.0, left="? left")

    def started(self, task: Task) -> None:
        """Add a bar."""
        self.bars[task.name] = self.progress.add_task(escape(task.name), total=1.0, left="? left")

    def running(self, tasks: Sequence[Task]) -> None:
        """Move the bars, at most once a second: measuring the progress reads files."""
        if time.monotonic() - self._last < SECONDS_BETWEEN_REDRAWS:
            return
        self._last = time.monotonic()
        for task in tasks:
            task.refresh()
            self.progress.update(self.bars[task.name], completed=task.fraction, left=time_left_text(task))
        done = sum(1.0 if task.exit_code == 0 else task.fraction for task in self.tasks)
        left = f"{time_text(self.seconds_left())} left"
        self.progress.update(self.total_bar, completed=done / len(self.tasks), left=left)

    def ended(self, task: Task) -> None:
        """Replace the bar by a line above."""
        self.progress.remove_task(self.bars.pop(task.name))
        super().ended(task)


@contextmanager
def display(console: Console, tasks: Sequence[Task], outcome: Callable[[Task], str]) -> Iterator[Lines]:
    """Show tasks while they run: as bars in a terminal, as lines elsewhere."""
    if not console.is_terminal:
        yield Lines(console, tasks, outcome)
        return
    bars = Bars(console, tasks, outcome)
    with bars.progress:
        yield bars
