"""Where what was printed can be drawn over."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from common import program
from common.redrawn import can_redraw

ROOT = Path(__file__).resolve().parents[2]
INLINE = "module://matplotlib_inline.backend_inline"  # not installed here, as in an environment beside the notebook's
CLEAN = {"TERM": "xterm-256color", "FORCE_COLOR": ""}


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
