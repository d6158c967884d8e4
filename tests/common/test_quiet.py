"""Only what libraries write to standard error within the block is discarded."""

from __future__ import annotations

import os

import pytest

from common.quiet import silenced_stderr


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
