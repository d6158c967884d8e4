"""Only what libraries write to standard error within the block is discarded."""

from __future__ import annotations

import os
import warnings

import pytest

from common.errors import Note
from common.quiet import silenced_stderr, warnings_once


def test_only_output_within_the_block_is_discarded(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(2, b"before ")
    with silenced_stderr():
        os.write(2, b"within ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_exceptions_pass_through(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="no device"), silenced_stderr():
        raise OSError("no device")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_a_note_is_one_line_once(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        warnings_once()
        for _ in range(2):
            warnings.warn("it can't be drawn", Note, stacklevel=1)
    assert capfd.readouterr().err == "note: it can't be drawn\n"
