"""What is redrawn in place stays whole when somebody types, as Ctrl-C; a log and a notebook redraw nothing."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from common import program
from common.redrawn import can_redraw
from experiments.live_view import Screen
from learning.display import LivePanel
from tests.learning.test_display import ROW
from viewer.video import progress

ROOT = Path(__file__).resolve().parents[2]
INLINE = "module://matplotlib_inline.backend_inline"  # not installed here, as in an environment beside the notebook's
CLEAN = {"TERM": "xterm-256color", "FORCE_COLOR": ""}


@contextmanager
def panel(console: Console) -> Iterator[None]:
    with LivePanel(console, 1_000) as shown:
        shown.progress(ROW)
        shown.live.refresh()
        yield


@contextmanager
def evaluation(console: Console) -> Iterator[None]:
    with LivePanel(console, 1_000) as shown:
        shown.evaluating(1, 3, 10.0)
        shown.live.refresh()
        yield


@contextmanager
def sweep(console: Console) -> Iterator[None]:
    screen = Screen(console, [], lambda job: "", lambda: 1)
    with screen.live:
        screen.live.update(screen.drawn(), refresh=True)
        yield


@contextmanager
def film(console: Console) -> Iterator[None]:
    with progress.bar("filming a.gif", 10) as tell:
        tell(5)
        yield


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("shown", [panel, evaluation, sweep, film])
def test_the_cursor_waits_on_an_empty_line(shown, width: int, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, height=24)
    monkeypatch.setattr(progress, "Console", lambda **options: console)
    with shown(console):
        drawn = out.getvalue()
    codes = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
    lines = codes.sub("", drawn).split("\n")
    assert lines[-1] == ""
    assert lines[-2].strip("\r")


def test_the_panel_that_stays_has_no_empty_line_below_it() -> None:
    out = io.StringIO()
    with LivePanel(Console(file=out, force_terminal=True, width=80), 1_000) as shown:
        shown.progress(ROW)
    assert re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).endswith("╯\n")


# ------------------------------------------------------------------ where anything can be redrawn


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("terminal", "environment", "can"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"FORCE_COLOR": "1"}, True),
        (False, {"FORCE_COLOR": "1"}, False),  # GitHub Actions, into its log
        (True, {"TERM": "dumb"}, False),  # a shell in Emacs
    ],
)
def test_only_a_terminal_can_be_drawn_over(
    terminal: bool, environment: dict[str, str], can: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**CLEAN, **environment}.items():
        monkeypatch.setenv(name, value)
        if not value:
            monkeypatch.delenv(name)
    assert can_redraw(Console(file=Terminal() if terminal else io.StringIO())) is can


def test_a_command_in_a_notebook_keeps_its_lines_and_can_draw_charts(tmp_path: Path) -> None:
    """`!python compare.py --plot scores.png`: MPLBACKEND is the notebook's, which ended it with a traceback."""
    code = "from common import program; program.begin_imports(); print(program.NOTEBOOK); import matplotlib.figure"
    environment = {**os.environ, "MPLBACKEND": INLINE}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


def test_a_notebook_is_not_drawn_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-color")
    console = Console(file=Terminal())
    assert can_redraw(console)
    monkeypatch.setattr(program, "NOTEBOOK", True)
    assert not can_redraw(console)
