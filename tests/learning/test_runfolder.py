"""The commit that a run names is Tidepool's own, or None."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from learning import runfolder


def repository(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for arguments in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "first"],
    ):
        subprocess.run(["git", *arguments], cwd=folder, check=True)


def head(folder: Path) -> str:
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_commit_in_a_checkout_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository(tmp_path / "tidepool")
    monkeypatch.setattr(runfolder, "ROOT", (tmp_path / "tidepool").resolve())
    assert runfolder._commit() == head(tmp_path / "tidepool")
    (tmp_path / "tidepool" / "file").write_text("1")
    subprocess.run(["git", "add", "file"], cwd=tmp_path / "tidepool", check=True)
    assert runfolder._commit() == head(tmp_path / "tidepool") + "+"


def test_commit_inside_another_repository_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository(tmp_path / "theirs")
    copy = tmp_path / "theirs" / "tidepool"
    copy.mkdir()
    monkeypatch.setattr(runfolder, "ROOT", copy.resolve())
    assert runfolder._commit() is None


def test_commit_outside_any_repository_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runfolder, "ROOT", tmp_path.resolve())
    assert runfolder._commit() is None
    assert runfolder.provenance("cpu", 1)["commit"] is None
