"""A line for a silence, and only then."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from common.waiting import waiting


def test_a_quick_block_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with waiting("counting"):
        pass
    assert capsys.readouterr().out == ""
    assert not [thread for thread in threading.enumerate() if thread.name == "waiting"]


def test_a_slow_block_says_what_is_done_and_again_how_long_it_took() -> None:
    lines: list[str] = []
    texts = itertools.chain(["counting"], itertools.repeat("compiling"))
    with waiting(lambda: next(texts), lines.append, after=0.01, again=0.01):
        deadline = time.monotonic() + 10
        while len(lines) < 2 and time.monotonic() < deadline:
            time.sleep(0.001)
    assert lines[:2] == ["counting ...", "compiling ... (0 s)"]


def test_an_error_passes_through_and_a_reader_that_left_is_none() -> None:
    said = threading.Event()

    def closed(line: str) -> None:
        said.set()
        raise BrokenPipeError

    def work() -> None:
        with waiting("counting", closed, after=0.001):
            assert said.wait(10)
            raise KeyError

    with pytest.raises(KeyError):
        work()
