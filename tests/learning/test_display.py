"""What a person sees of a run: lines in a log, a panel in a terminal; never a long silence, never a wrong time left."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from rich.console import Console

from experiments.training import print_line
from learning import display as displays
from learning.display import LivePanel, PlainLines, display, episode_cells, evaluation_text
from learning.evaluate import EpisodeResult

ROW: dict[str, Any] = {
    "agent_steps": 500,
    "frames": 2_000,
    "updates": 40,
    "episodes": 3,
    "episodic_return": 1.5,
    "sps": 1_000.0,
    "epsilon": 0.5,
    "learning_rate": 1e-3,
    "td_loss": 0.25,
    "q_values": 0.75,
    "acting": 0.2,
    "environment": 0.3,
    "learning": 0.5,
    "left_s": 90.0,
}
RESULTS = [EpisodeResult(0, 3.0, 10), EpisodeResult(1, 5.0, 10)]


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr(time, "monotonic", one.monotonic)
    return one


def plain() -> tuple[PlainLines, io.StringIO]:
    out = io.StringIO()
    return PlainLines(Console(file=out, width=200), 1_000), out


def test_lines_come_every_few_seconds_and_at_the_end(clock: Clock) -> None:
    lines, out = plain()
    lines.progress(ROW)
    lines.pulse(ROW)
    clock.now += 4.9
    lines.pulse(ROW)
    assert out.getvalue().count("\n") == 1
    assert "500 of 1,000 agent steps | 1,000 steps/s | 90 s left | return 1.50 | loss 0.2500 | Q 0.75" in out.getvalue()
    clock.now += 0.2
    lines.evaluated(500, RESULTS)  # does not push out the next line of metrics
    lines.pulse({**ROW, "td_loss": None, "q_values": None, "left_s": None})
    assert (
        "| 1,000 steps/s | return 1.50 | loss 0.2500 | Q 0.75" in out.getvalue().splitlines()[2]
    )  # the last ones known
    lines.progress({**ROW, "agent_steps": 1_000})
    assert out.getvalue().count("\n") == 4


def test_a_long_evaluation_says_so_and_a_short_one_is_quiet(clock: Clock) -> None:
    lines, out = plain()
    clock.now += 100  # of training, with no line
    lines.evaluating(0, 20, 3.0)
    clock.now += 1.9
    lines.evaluating(3, 20, 2.0)
    assert out.getvalue() == ""
    clock.now += 0.2
    lines.evaluating(4, 20, 70.0)
    clock.now += 0.2
    lines.evaluating(5, 20, 69.0)
    assert out.getvalue() == "evaluating, episode 5 of 20 | 70 s left of it\n"
    lines.evaluated(500, RESULTS)
    assert "mean return 4.00" in out.getvalue()
    lines.evaluating(0, 20, 3.0)  # the next one: quiet again at first
    assert out.getvalue().count("\n") == 2


def test_a_long_silence_is_broken_by_where_the_run_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(displays, "SILENCE", 0.0)
    out = io.StringIO()
    with PlainLines(Console(file=out, width=200), 1_000, counters=lambda: (96, 7)):
        deadline = time.monotonic() + 20
        while not out.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert out.getvalue().splitlines()[0].strip() == "96 of 1,000 agent steps | 7 updates ..."


def panel_text(panel: LivePanel) -> str:
    out = io.StringIO()
    Console(file=out, width=120).print(panel.picture())
    return out.getvalue()


def test_the_panel_counts_down_and_shows_an_evaluation(clock: Clock) -> None:
    panel = LivePanel(Console(file=io.StringIO(), force_terminal=True, width=120), 1_000)
    assert "left -:--:--" in panel_text(panel)
    panel.progress(ROW)
    assert "left 0:01:30" in panel_text(panel)
    clock.now += 30
    assert "left 0:01:00" in panel_text(panel)  # also when no row came
    assert "evaluating" not in panel_text(panel)
    panel.evaluating(0, 20, 8.0)
    clock.now += 2
    panel.evaluating(4, 20, 6.0)
    text = panel_text(panel)
    assert "evaluating, episode 5 of 20" in text
    assert "left 0:00:06" in text
    assert panel.evaluation.tasks[0].completed == pytest.approx(0.25)  # 2 s of 8 s
    panel.evaluated(500, RESULTS)
    assert "evaluating" not in panel_text(panel)


def test_the_display_fits_the_console() -> None:
    assert isinstance(display(Console(file=io.StringIO()), 10), PlainLines)
    assert isinstance(display(Console(file=io.StringIO(), force_terminal=True), 10), LivePanel)


def test_before_an_episode_has_ended_the_running_ones_are_shown() -> None:
    row = {**ROW, "episodes": 0, "episodic_return": None, "running_length": 1_234.0, "running_return": -5.0}
    lines, out = plain()
    lines.progress(row)
    assert "| return - (no episode ended yet; those running: 1,234 steps, -5.00) | loss" in out.getvalue()
    out = io.StringIO()
    panel = LivePanel(Console(file=out, force_terminal=True, width=150), 1_000)
    panel.progress(row)
    shown = panel_text(panel)
    assert "no episode ended, step 1,234" in shown
    assert "return so far -5.00" in shown
    panel.progress({**row, "episodes": 1, "episodic_return": 2.5})
    assert "2.50" in str(episode_cells(panel.row)[0])


@pytest.mark.parametrize("width", [80, 150])
def test_the_panel_keeps_its_height(width: int) -> None:
    out = io.StringIO()
    panel = LivePanel(Console(file=out, force_terminal=True, width=width), 1_000)

    def height() -> int:
        return len(panel.console.render_lines(panel.picture(), pad=False))

    before = height()
    panel.progress(
        {**ROW, "episodes": 0, "episodic_return": None, "running_length": 98_765.0, "running_return": -123.45}
    )
    assert height() == before
    panel.evaluating(3, 20, 100.0)
    assert height() == before
    panel.evaluated(500, RESULTS)
    panel.progress({**ROW, "sps": 123_456.0, "updates": 1_234_567, "q_values": -12_345.67})
    assert height() == before
    panel.console.print(panel.picture())
    assert "1,234,567" in out.getvalue()


def test_lines_end_between_words() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=40, color_system=None)
    print_line(console, "about 6 s, of them 1 s for evaluations (9 x 2 episodes on the way)")
    assert out.getvalue().splitlines() == ["about 6 s, of them 1 s for evaluations ", "(9 x 2 episodes on the way)"]
    out.truncate(0)
    out.seek(0)
    print_line(console, "go on: python train.py --resume newest --total-timesteps 2000")
    assert len(out.getvalue().splitlines()) == 1


def test_cut_episodes_are_counted_in_the_line_of_the_evaluation() -> None:
    results = [EpisodeResult(0, 3.0, 70, cut=True), EpisodeResult(1, 5.0, 10)]
    assert evaluation_text("9 agent steps", results).endswith("(sd 1.41, 1 of 2 episodes were cut at 70 steps)")
    assert evaluation_text("9 agent steps", RESULTS).endswith("(sd 1.41, 2 episodes)")
