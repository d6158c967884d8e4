# ruff: noqa: RUF001
"""What an output's encoding lacks is printed as its nearest; without it a table of scores ends with a traceback."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.printable import print_all

ROOT = Path(__file__).resolve().parents[2]


def printed(text: str, encoding: str) -> bytes:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding)
    print_all(stream)
    stream.write(text)
    stream.flush()
    return raw.getvalue()


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("╭─┼─╮ │ ╰", "ascii", b"+-+-+ | +"),
        ("½ ± 3 × λ → …", "ascii", b"1/2 +- 3 x lambda -> ..."),
        ("10²", "ascii", b"10?"),
        ("½ ± 3 × λ → …", "cp1252", b"\xbd \xb1 3 \xd7 lambda -> \x85"),
        ("Łukasz, José, 日本", "ascii", b"?ukasz, Jose, ??"),
        ("Łukasz, José, 日本 →", "utf-8", "Łukasz, José, 日本 →".encode()),
        (os.fsdecode(b"caf\xe9"), "utf-8", b"caf\xe9"),
        (os.fsdecode(b"caf\xe9"), "ascii", b"caf\xe9"),
    ],
)
def test_what_an_encoding_lacks_is_printed_as_its_nearest(text: str, encoding: str, expected: bytes) -> None:
    if sys.getfilesystemencoding() != "utf-8":
        pytest.skip("names of files are not UTF-8 here")
    assert printed(text, encoding) == expected


def test_an_output_that_knows_what_to_do_is_left_alone() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", errors="backslashreplace")
    print_all(stream)
    assert stream.errors == "backslashreplace"
    print_all(None)  # pythonw.exe has none
    print_all(io.StringIO())


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8:strict"])
def test_a_program_prints_any_path(encoding: str) -> None:
    words = [sys.executable, "-c", "from common.program import run; run(lambda argv: print(argv[0]))", "日本/½"]
    if sys.platform == "linux":
        words[-1] += os.fsdecode(b"caf\xe9")
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(words, env=env, cwd=ROOT, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"/" in done.stdout


def test_the_table_of_scores_has_signs_that_ascii_lacks(tmp_path: Path) -> None:
    words = [sys.executable, "compare.py", "--games", "Pong", "--runs-dir", str(tmp_path)]
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(words, env=env, cwd=ROOT, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b" +- " in done.stdout
