"""What libraries write by themselves is kept away from the person, and nothing else is."""

from __future__ import annotations

import os

import pytest

from common.quiet import silenced_stderr


def test_only_what_is_written_meanwhile_is_lost(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(2, b"before ")
    with silenced_stderr():
        os.write(2, b"meanwhile ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_an_error_comes_through(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="no device"), silenced_stderr():
        raise OSError("no device")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"
