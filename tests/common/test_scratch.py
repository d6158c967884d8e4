"""Caches of a user without a home: a private folder for temporary files, and never one of somebody else's."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from common import scratch

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX users")


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for variable in ("HOME", *scratch.VARIABLES):  # so that they are set back
        monkeypatch.setenv(variable, "before")
        monkeypatch.delenv(variable)
    return tmp_path / f"tidepool-{os.getuid()}"


def test_it_is_made_once_and_only_its_user_can_write_to_it(temporary: Path) -> None:
    assert scratch.folder() == temporary == scratch.folder()
    assert temporary.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("what", ["others may write", "a link", "a file", "somebody else's", "no folder for it"])
def test_one_that_others_could_have_filled_is_not_used(
    what: str, temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "others may write":
        temporary.mkdir()
        temporary.chmod(0o777)
    elif what == "a link":
        (tmp_path / "elsewhere").mkdir()
        temporary.symlink_to(tmp_path / "elsewhere")
    elif what == "a file":
        temporary.write_bytes(b"")
    elif what == "somebody else's":
        user = os.getuid()
        (tmp_path / f"tidepool-{user + 1}").mkdir(mode=0o700)
        monkeypatch.setattr(os, "getuid", lambda: user + 1)
    else:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    assert scratch.folder() is None


def test_a_home_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    scratch.for_libraries()
    assert os.environ["HOME"] == str(tmp_path)
    assert not set(scratch.VARIABLES) & set(os.environ)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("home", ["/nonexistent", "~", "relative"])
def test_without_a_home_there_is_another(home: str, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`docker run --user 1234`; a user of whom nothing is known has the home ``~``, which libraries would make here."""
    monkeypatch.setattr(os.path, "expanduser", lambda path: home)
    monkeypatch.setenv("MPLCONFIGDIR", "/chosen")
    scratch.for_libraries()
    assert os.environ["HOME"] == str(temporary)
    assert os.environ["MPLCONFIGDIR"] == "/chosen"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(temporary / "torch")


def test_a_home_that_can_only_be_read_is_still_read(
    temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be somebody's login in it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    scratch.for_libraries()
    assert os.environ["HOME"] == str(tmp_path)
    assert os.environ["MPLCONFIGDIR"] == str(temporary / "matplotlib")
