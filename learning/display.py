"""What is shown while an agent trains: a live panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import statistics
import time
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from common.text import time_text
from learning.evaluate import EpisodeResult

SECONDS_BETWEEN_LINES = 5.0


def number(value: float | None, form: str = "{:.2f}") -> str:
    """Return a number as text; a dash where there is none yet."""
    return "-" if value is None or math.isnan(value) else form.format(value)


def shares(row: dict[str, Any]) -> str:
    """Return the shares of time, as text."""
    return ", ".join(f"{part} {row[part]:.0%}" for part in ("acting", "environment", "learning"))


def steps_text(agent_steps: int, frames_per_step: int) -> str:
    """Return a number of agent steps, and of emulator frames where these are others."""
    frames = f" ({agent_steps * frames_per_step:,} frames)" if frames_per_step > 1 else ""
    return f"{agent_steps:,} agent steps{frames}"


def evaluation_text(steps: str, results: list[EpisodeResult]) -> str:
    """Return an evaluation in one line."""
    returns = [result.episode_return for result in results]
    spread = statistics.stdev(returns) if len(returns) > 1 else 0.0
    return (
        f"evaluation at {steps}: mean return {statistics.fmean(returns):.2f}, median {statistics.median(returns):g},"
        f" {min(returns):g} to {max(returns):g} (sd {spread:.2f}, {len(returns)} episodes)"
    )


class PlainLines:
    """One line now and then: for logs, pipes and CI."""

    def __init__(self, console: Console, total_timesteps: int, start: int = 0, frames_per_step: int = 1) -> None:
        self.console, self.total, self.frames_per_step = console, total_timesteps, frames_per_step
        self._last = 0.0

    def __enter__(self) -> PlainLines:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def progress(self, row: dict[str, Any]) -> None:
        """Print the row, unless one was printed just now."""
        now, done = time.monotonic(), row["agent_steps"] >= self.total
        if now - self._last < SECONDS_BETWEEN_LINES and not done:
            return
        self._last = now
        left = max(self.total - row["agent_steps"], 0) / max(row["sps"], 1e-9)
        self.console.print(
            f"{row['agent_steps']:>10,} of {self.total:,} agent steps | {row['sps']:,.0f} steps/s"
            f" | {time_text(left)} left | return {number(row['episodic_return'])}"
            f" | loss {number(row['td_loss'], '{:.4f}')} | Q {number(row['q_values'])}"
            f" | epsilon {row['epsilon']:.3f} | {shares(row)}",
            soft_wrap=True,
            highlight=False,
        )

    def evaluated(self, agent_steps: int, results: list[EpisodeResult]) -> None:
        """Print the evaluation."""
        line = evaluation_text(steps_text(agent_steps, self.frames_per_step), results)
        self.console.print(line, soft_wrap=True, highlight=False)


class LivePanel:
    """A bar and the figures below it, redrawn in place."""

    def __init__(self, console: Console, total_timesteps: int, start: int = 0, frames_per_step: int = 1) -> None:
        self.console, self.frames_per_step = console, frames_per_step
        self.bar = Progress(
            TextColumn("[bold]{task.completed:>10,.0f}[/] of {task.total:,.0f} agent steps"),
            BarColumn(None),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            expand=True,
        )
        self.task = self.bar.add_task("training", total=total_timesteps, completed=start)
        self.row: dict[str, Any] = {}
        self.live = Live(self.picture(), console=console, refresh_per_second=4)

    def __enter__(self) -> LivePanel:
        self.live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.__exit__(kind, error, trace)

    def progress(self, row: dict[str, Any]) -> None:
        """Show the row."""
        # between two updates there is no loss: the last one stays in sight
        self.row |= {name: value for name, value in row.items() if value is not None or name not in self.row}
        self.bar.update(self.task, completed=row["agent_steps"])
        self.live.update(self.picture())

    def evaluated(self, agent_steps: int, results: list[EpisodeResult]) -> None:
        """Print the evaluation above the panel, where it stays."""
        line = evaluation_text(steps_text(agent_steps, self.frames_per_step), results)
        self.live.console.print(line, highlight=False)

    def picture(self) -> Panel:
        """Return the panel for the newest row."""
        row = self.row
        table = Table.grid(padding=(0, 3))
        if row:
            counted = "frames" if self.frames_per_step > 1 else "updates"
            table.add_row(
                f"[dim]steps/s[/] {row['sps']:,.0f}",
                f"[dim]return, last 100[/] [bold]{number(row['episodic_return'])}[/]",
                f"[dim]episodes[/] {row['episodes']:,}",
                f"[dim]{counted}[/] {row[counted]:,}",
            )
            table.add_row(
                f"[dim]epsilon[/] {row['epsilon']:.3f}",
                f"[dim]TD loss[/] {number(row['td_loss'], '{:.4f}')}",
                f"[dim]expected return Q[/] {number(row['q_values'])}",
                f"[dim]rate[/] {row['learning_rate']:.1e}",
            )
        time_line = f"[dim]time:[/] {shares(row)}" if row else "[dim]playing at random at first ...[/]"
        return Panel(Group(self.bar, table, time_line), title="training", border_style="cyan")


def display(console: Console, total_timesteps: int, start: int = 0, frames_per_step: int = 1) -> LivePanel | PlainLines:
    """Return the display that fits the console; ``frames_per_step`` above 1 shows emulator frames too."""
    return (LivePanel if console.is_terminal else PlainLines)(console, total_timesteps, start, frames_per_step)
