"""Printed commands: typed again, they mean the same words."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from common import commands
from common.commands import command, typed

WORDS = ["plain", "my runs/pong", "it's", "$HOME", "a;b", "", "ü x", 'say "no"', "back\\slash"]


def test_plain_words_stay_as_they_are() -> None:
    assert command("play.py", Path("runs/pong__1"), "--seed", 2) == "python play.py runs/pong__1 --seed 2"


def test_a_shell_takes_them_as_they_were() -> None:
    assert shlex.split(command("play.py", *WORDS)) == ["python", "play.py", *WORDS]
    done = subprocess.run(["sh", "-c", typed("printf", "%s|", *WORDS)], capture_output=True, text=True, check=True)
    assert done.stdout == "".join(f"{word}|" for word in WORDS)


def test_windows_has_quotes_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "os", SimpleNamespace(name="nt"))
    assert typed("python", "play.py", "my runs\\pong") == 'python play.py "my runs\\pong"'
