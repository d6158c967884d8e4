"""What is shown while an agent trains: a live panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from common.redrawn import above_typing, can_redraw
from common.text import number_of, time_text
from learning.evaluate import EpisodeResult, cut_text

WIDE = 100  # columns, above which a panel's figures have longer names
SECONDS_BETWEEN_LINES = 5.0
EVALUATING = 2.0  # seconds without a line, after which one says so
SILENCE = 8.0  # seconds without a line, after which one says that the run is alive
Counters = Callable[[], tuple[int, int]]  # agent steps and updates so far, at any time


def number(value: float | None, form: str = "{:.2f}") -> str:
    """Return a number as text; a dash where there is none yet."""
    return "-" if value is None or math.isnan(value) else form.format(value)


def shares(row: dict[str, Any]) -> str:
    """Return the shares of time, as text."""
    return ", ".join(f"{part} {row[part]:.0%}" for part in ("acting", "environment", "learning"))


def steps_text(agent_steps: int, frames_per_step: int) -> str:
    """Return a number of agent steps, and of emulator frames where these are others."""
    frames = f" ({number_of(agent_steps * frames_per_step, 'frame')})" if frames_per_step > 1 else ""
    return f"{number_of(agent_steps, 'agent step')}{frames}"


def evaluation_text(steps: str, results: list[EpisodeResult]) -> str:
    """Return an evaluation in one line."""
    returns = [result.episode_return for result in results]
    spread = statistics.stdev(returns) if len(returns) > 1 else 0.0
    count = cut_text(results) or number_of(len(returns), "episode")
    return (
        f"evaluation at {steps}: mean return {statistics.fmean(returns):.2f}, median {statistics.median(returns):g},"
        f" {min(returns):g} to {max(returns):g} (sd {spread:.2f}, {count})"
    )


def episode_cells(row: dict[str, Any]) -> tuple[str, str]:
    """Return the panel's two cells on episodes: their mean return and number, or how far the first ones are."""
    if row["episodic_return"] is not None or "running_length" not in row:
        return (
            f"[dim]return, last 100[/] [bold]{number(row['episodic_return'])}[/]",
            f"[dim]episodes[/] {row['episodes']:,}",
        )
    return (
        f"[dim]return so far[/] {number(row['running_return'])}",
        f"[dim]no episode ended[/], step {row['running_length']:,.0f}",
    )


def return_text(row: dict[str, Any]) -> str:
    """Return the mean return of the last episodes; before the first has ended, how far the running ones are."""
    if row["episodic_return"] is not None or "running_length" not in row:
        return number(row["episodic_return"])
    length, so_far = number_of(round(row["running_length"]), "step"), number(row["running_return"])
    return f"- (no episode ended yet; those running: {length}, {so_far})"


class PlainLines:
    """One line now and then: for logs, pipes and CI."""

    def __init__(
        self,
        console: Console,
        total_timesteps: int,
        start: int = 0,
        frames_per_step: int = 1,
        counters: Counters | None = None,
    ) -> None:
        self.console, self.total, self.frames_per_step = console, total_timesteps, frames_per_step
        self._counters = counters
        self._last = time.monotonic()  # when a line was printed
        self._row_printed = self._last - SECONDS_BETWEEN_LINES  # when it was one of metrics
        self._evaluation_printed = self._row_printed
        self._evaluating_since: float | None = None
        self._loss: dict[str, float | None] = {"td_loss": None, "q_values": None}
        self._closed = threading.Event()
        self._watch = threading.Thread(target=self._break_silence, name="silence", daemon=True)

    def __enter__(self) -> PlainLines:
        self._watch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._watch.join()

    def _print(self, line: str) -> None:
        self._last = time.monotonic()
        self.console.print(line, soft_wrap=True, highlight=False)

    def _break_silence(self) -> None:
        """Print where the run is when nothing else does: a single step may hold many seconds of learning."""
        while not self._closed.wait(1.0):
            if self._counters is not None and time.monotonic() - self._last > SILENCE:
                agent_steps, updates = self._counters()
                with suppress(OSError, ValueError):  # nobody reads any more: the run itself will notice
                    self._print(f"{agent_steps:>10,} of {self.total:,} agent steps | {updates:,} updates ...")

    def progress(self, row: dict[str, Any]) -> None:
        """Print the row, unless one was printed just now."""
        self._loss |= {name: row[name] for name in self._loss if row[name] is not None}
        now = time.monotonic()
        if now - self._row_printed >= SECONDS_BETWEEN_LINES or row["agent_steps"] >= self.total:
            self._row_printed = now
            left = "" if row["left_s"] is None else f" | {time_text(row['left_s'])} left"
            loss, q_values = self._loss["td_loss"], self._loss["q_values"]
            self._print(
                f"{row['agent_steps']:>10,} of {self.total:,} agent steps | {row['sps']:,.0f} steps/s{left}"
                f" | return {return_text(row)} | loss {number(loss, '{:.4f}')} | Q {number(q_values)}"
                f" | epsilon {row['epsilon']:.3f} | {shares(row)}"
            )

    def pulse(self, row: dict[str, Any]) -> None:
        """Print the row likewise."""
        self.progress(row)

    def evaluating(self, finished: int, episodes: int, left: float) -> None:
        """Print how far the evaluation is, unless a line was printed just now."""
        now = time.monotonic()
        if self._evaluating_since is None:
            self._evaluating_since = now
        quiet = now - max(self._last, self._evaluating_since)
        if quiet >= EVALUATING and now - self._evaluation_printed >= SECONDS_BETWEEN_LINES:
            self._evaluation_printed = now
            self._print(
                f"evaluating, episode {min(finished + 1, episodes):,} of {episodes:,} | {time_text(left)} left of it"
            )

    def evaluated(self, agent_steps: int, results: list[EpisodeResult]) -> None:
        """Print the evaluation."""
        self._evaluating_since = None
        self._print(evaluation_text(steps_text(agent_steps, self.frames_per_step), results))


class TimeLeft(ProgressColumn):
    """The seconds left, as a task's field ``end`` has them: when it will be done, by the monotonic clock."""

    def render(self, task: Task) -> Text:
        """Return them as h:mm:ss, counted down between two rows."""
        end = task.fields["end"]
        text = "-:--:--" if end is None else str(timedelta(seconds=max(round(end - time.monotonic()), 0)))
        return Text(text, style="progress.remaining")


class LivePanel:
    """A bar and the figures below it, redrawn in place, always of the same height.

    While it evaluates, a second bar takes the place of the last line.
    """

    def __init__(
        self,
        console: Console,
        total_timesteps: int,
        start: int = 0,
        frames_per_step: int = 1,
        counters: Counters | None = None,
    ) -> None:
        self.console, self.frames_per_step = console, frames_per_step
        self.bar = Progress(
            TextColumn("[bold]{task.completed:>10,.0f}[/] of {task.total:,.0f} agent steps"),
            BarColumn(None),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeLeft(),
            console=console,
            expand=True,
        )
        self.task = self.bar.add_task("training", total=total_timesteps, completed=start, end=None)
        self.evaluation = Progress(
            TextColumn("evaluating, episode [bold]{task.fields[episode]:,}[/] of {task.fields[episodes]:,}"),
            BarColumn(None),
            TextColumn("left"),
            TimeLeft(),
            console=console,
            expand=True,
        )
        self._evaluating = False
        self._began = 0.0  # of the evaluation
        self.evaluation_task = self.evaluation.add_task("evaluation", total=1.0, end=None, episode=1, episodes=1)
        self.row: dict[str, Any] = {}
        self.live = Live(above_typing(self.picture()), console=console, refresh_per_second=4)

    def __enter__(self) -> LivePanel:
        self.live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.update(self.picture())
        self.live.__exit__(kind, error, trace)

    def progress(self, row: dict[str, Any]) -> None:
        """Show the row."""
        # between two updates there is no loss: the last one stays in sight
        self.row |= {name: value for name, value in row.items() if value is not None or name not in self.row}
        end = None if row["left_s"] is None else time.monotonic() + row["left_s"]
        self.bar.update(self.task, completed=row["agent_steps"], end=end)
        self.live.update(above_typing(self.picture()))

    def pulse(self, row: dict[str, Any]) -> None:
        """Show the row."""
        self.progress(row)

    def evaluating(self, finished: int, episodes: int, left: float) -> None:
        """Show how far the evaluation is: a bar of time, because episodes side by side end together."""
        now = time.monotonic()
        if not self._evaluating:
            self._evaluating, self._began = True, now
            self.live.update(above_typing(self.picture()))
        share = (now - self._began) / max(now - self._began + left, 1e-9)
        shown: dict[str, Any] = {"episode": min(finished + 1, episodes), "episodes": episodes, "end": now + left}
        self.evaluation.update(self.evaluation_task, completed=share, **shown)

    def evaluated(self, agent_steps: int, results: list[EpisodeResult]) -> None:
        """Print the evaluation above the panel, where it stays."""
        self._evaluating = False
        self.live.update(above_typing(self.picture()))
        line = evaluation_text(steps_text(agent_steps, self.frames_per_step), results)
        self.live.console.print(line, highlight=False)

    def picture(self) -> Panel:
        """Return the panel for the newest row."""
        row = self.row
        table = Table.grid(padding=(0, 3 if self.console.width > WIDE else 2))
        for _ in range(4):
            table.add_column(no_wrap=True)
        if row:
            expected = "expected return Q" if self.console.width > WIDE else "mean Q"
            counted = "frames" if self.frames_per_step > 1 else "updates"
            table.add_row(
                f"[dim]steps/s[/] {row['sps']:,.0f}",
                *episode_cells(row),
                f"[dim]{counted}[/] {row[counted]:,}",
            )
            table.add_row(
                f"[dim]epsilon[/] {row['epsilon']:.3f}",
                f"[dim]TD loss[/] {number(row['td_loss'], '{:.4f}')}",
                f"[dim]{expected}[/] {number(row['q_values'])}",
                f"[dim]rate[/] {row['learning_rate']:.1e}",
            )
        else:
            table.add_row("")
            table.add_row("")
        line = f"[dim]time:[/] {shares(row)}" if row else "[dim]playing at random at first ...[/]"
        time_line = Text.from_markup(line, overflow="ellipsis")
        time_line.no_wrap = True
        last = self.evaluation if self._evaluating else time_line
        title = "evaluating" if self._evaluating else "training"
        return Panel(Group(self.bar, table, last), title=title, border_style="cyan")


def display(
    console: Console,
    total_timesteps: int,
    start: int = 0,
    frames_per_step: int = 1,
    counters: Counters | None = None,
) -> LivePanel | PlainLines:
    """Return the display that fits the console.

    ``frames_per_step`` above 1 shows emulator frames too; ``counters`` lets it say where the run is at any time.
    """
    kind = LivePanel if can_redraw(console) else PlainLines
    return kind(console, total_timesteps, start, frames_per_step, counters)
