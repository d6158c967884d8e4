"""Packages that are too old or too new for this checkout."""

from __future__ import annotations

import io
from importlib import metadata
from pathlib import Path

import pytest
from rich.console import Console

from agents import recipe
from common import installed
from experiments import training
from learning.plan import Plan


def test_what_pip_installed_fits() -> None:
    assert installed.unfit() == []


def test_a_version_that_is_not_wanted_is_said_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """`git pull` where new code needs a newer ale-py: with 0.12.0 trainings hang."""
    versions = {"ale-py": "0.12.0", "torch": "2.13.0+cpu"}

    def version(name: str) -> str:
        if name == "tensorboard":
            raise metadata.PackageNotFoundError(name)
        return versions.get(name) or known(name)

    known = metadata.version
    monkeypatch.setattr(metadata, "version", version)
    assert installed.unfit() == ["ale-py 0.12.0 (wanted: <0.13,>=0.12.1)"]
    printed = io.StringIO()
    dqn = recipe("dqn")
    plan = Plan("CartPole-v1", dqn, dqn.config(**dqn.presets["control"].settings), 1)
    training.print_plan(Console(file=printed, width=300), plan, "control")
    assert "note: ale-py 0.12.0 (wanted: <0.13,>=0.12.1) is installed: pip install -e ." in printed.getvalue()


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\n", "", '[project]\ndependencies = ["==="]\n', None])
def test_a_damaged_pyproject_is_no_reason_not_to_train(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    monkeypatch.setattr(installed, "ROOT", tmp_path)
    assert installed.unfit() == []
