"""What a sweep shows while it runs, for 3 runs or 1,000: a table that is redrawn in a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from common.redrawn import above_typing, can_redraw
from common.text import number_of, shown, time_text
from experiments.execution import REFRESH_SECONDS, Job, State, seconds_left

LINES_SECONDS = 30.0  # between two lines on what runs
MOST_FAILURES = 5  # that are shown while it runs
OTHER_LINES = 6  # of a terminal: heading, totals, and room for the cursor
ORDER: tuple[State, ...] = ("running", "failed", "waiting", "stopped", "finished")


def counted(jobs: Iterable[Job]) -> str:
    """Return how many runs are in which state: ``3 finished, 2 running, 7 waiting``."""
    counts = Counter(job.state for job in jobs)
    return ", ".join(f"{counts[state]:,} {state}" for state in reversed(ORDER) if counts[state])


def time_left(jobs: Iterable[Job], seconds: float | None) -> str:
    """Return how long jobs will take: ``5 min left``, or ``finishing`` where only last evaluations are left."""
    unfinished = [job for job in jobs if job.state in ("running", "waiting")]
    at_the_end = unfinished and all(job.state == "running" and job.fraction >= 1 for job in unfinished)
    return "finishing" if at_the_end else f"{time_text(seconds)} left"


def cells(job: Job) -> list[str]:
    """Return a run's cells: name, state, progress, steps a second, last return, time left, where."""
    if job.state == "finished":
        job.look_once()
    pace, left = job.steps_per_second, job.seconds_left() if job.state == "running" else None
    state = job.why if job.state == "failed" else "stopping" if job.stopping and job.state == "running" else job.state
    return [
        job.name,
        shown(state, 60),
        f"{job.fraction:.0%}",
        "-" if pace is None else f"{pace:,.0f}",
        "-" if job.last_return is None else f"{job.last_return:,.1f}",
        "-" if left is None else time_left([job], left).removesuffix(" left"),
        job.where or "-",
    ]


def table(jobs: Sequence[Job], most: int | None = None) -> Table:
    """Return a row a run, what runs first; of more than ``most`` the rest is folded into a line a state."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    several = len({job.where for job in jobs}) > 1
    titles = ["run", "state", "done", "steps/s", "return", "left", "where"]
    used = titles if several else titles[:-1]
    for title in used:
        made.add_column(title, justify="left" if title in ("run", "state", "where") else "right", overflow="ellipsis")
    ordered = sorted(jobs, key=lambda job: (ORDER.index(job.state), job.row.number))
    rows = ordered if most is None or len(ordered) <= most else ordered[: max(most, 1)]
    for job in rows:
        made.add_row(*map(Text, cells(job)[: len(used)]), style=STYLES.get(job.state, ""))
    if folded := ordered[len(rows) :]:
        made.add_row(Text(f"and {len(folded):,} more: {counted(folded)}"), style="dim")
    return made


STYLES = {"running": "bold", "failed": "red", "waiting": "dim"}


class Lines:
    """Plain lines: every start and end, and now and then the progress of what runs."""

    def __init__(
        self, console: Console, jobs: list[Job], outcome: Callable[[Job], str], places: Callable[[], int]
    ) -> None:
        """``jobs`` are all that there are, and may grow; ``outcome`` returns one line on how a run ended."""
        self.console, self.jobs, self.outcome, self.places = console, jobs, outcome, places
        self._last = self._looked = time.monotonic()
        self._estimated = False

    def print_line(self, text: str) -> None:
        """Print a line, as it is."""
        self.console.print(Text(text), soft_wrap=True, highlight=False)

    def left(self) -> str:
        """Return how long it takes until all are done."""
        return time_left(self.jobs, seconds_left(self.jobs, self.places()))

    @property
    def ended_count(self) -> int:
        """How many have ended, those included that were finished before."""
        return sum(job.state in ("finished", "failed", "stopped") for job in self.jobs)

    def started(self, job: Job) -> None:
        """Print which run starts or resumes."""
        verb = "resumes" if job.resumed else "starts"
        self.print_line(f"{job.name}: {verb}, its output is in {job.row.run.log}")

    def ended(self, job: Job) -> None:
        """Print how a run ended, and how long the rest will take."""
        text = f"[{self.ended_count} of {len(self.jobs)}] {self.outcome(job)}"
        rest = f" | in total: {self.left()}" if self.ended_count < len(self.jobs) else ""
        self.print_line(text + rest)

    def stopping(self, count: int) -> None:
        """Print that the runs are being waited for."""
        if count:
            runs = number_of(count, "run")
            self.print_line(f"stopping: waiting for {runs} to save; Ctrl-C again stops at once")

    def tick(self) -> None:
        """Look at what runs, at most once a second: that reads files."""
        if time.monotonic() - self._looked < REFRESH_SECONDS:
            return
        running = [job for job in self.jobs if job.state == "running"]
        for job in running:
            job.refresh()
        self._looked = time.monotonic()  # looking at a hundred takes a moment too
        if not self._estimated and running and all(job.expected for job in running):
            self._estimated = True
            self.print_line(f"all of it takes about {time_text(seconds_left(self.jobs, self.places()))} from now")
        self.show(running)

    def show(self, running: Sequence[Job]) -> None:
        """Print the progress of each run, unless that was done a moment ago."""
        if time.monotonic() - self._last >= LINES_SECONDS:
            self._last = time.monotonic()
            for job in running[:MOST_FAILURES]:
                self.print_line(f"{job.name}: {job.fraction:.0%} | {time_left([job], job.seconds_left())}")
            if len(running) > MOST_FAILURES:
                self.print_line(f"and {len(running) - MOST_FAILURES} more; {counted(self.jobs)}")


class Screen(Lines):
    """A table that is redrawn in place; ends are printed above it, starts are not."""

    def __init__(
        self, console: Console, jobs: list[Job], outcome: Callable[[Job], str], places: Callable[[], int]
    ) -> None:
        super().__init__(console, jobs, outcome, places)
        self.live = Live(console=console, auto_refresh=False, transient=True)

    def started(self, job: Job) -> None:
        """Show it with the next look."""

    def ended(self, job: Job) -> None:
        """Print how a run ended, unless there are too many for that."""
        if job.state != "finished" or len(self.jobs) <= 100:
            super().ended(job)

    def show(self, running: Sequence[Job]) -> None:
        """Draw the table."""
        self.live.update(self.drawn(), refresh=True)

    def drawn(self) -> Group:
        """Return the table of what runs, waits and failed, and the totals below."""
        room = max(self.console.height - OTHER_LINES, 3)
        done = sum(1.0 if job.state == "failed" else job.fraction for job in self.jobs) / max(len(self.jobs), 1)
        totals = Table.grid(padding=(0, 1))
        totals.add_row(
            Text(f"{counted(self.jobs)} |"),
            ProgressBar(total=1.0, completed=done, width=20),
            Text(f"{done:.0%} | {self.left()}"),
        )
        return above_typing(table(self.jobs, room), totals)


@contextmanager
def live_view(
    console: Console, jobs: list[Job], outcome: Callable[[Job], str], places: Callable[[], int]
) -> Iterator[Lines]:
    """Show runs while they are executed: as a table in a terminal, as lines elsewhere."""
    if not can_redraw(console):
        yield Lines(console, jobs, outcome, places)
        return
    screen = Screen(console, jobs, outcome, places)
    with screen.live:
        yield screen
