"""What is redrawn in place stays whole when somebody types, as Ctrl-C, of which a terminal shows ^C."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rich.console import Console

from experiments.live_view import Screen
from learning.display import LivePanel
from tests.learning.test_display import ROW
from viewer.video import progress


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
