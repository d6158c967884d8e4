"""How the programs end: a closed output ends no training, Ctrl-C while modules are imported is one line."""

from __future__ import annotations

import builtins
import errno
import gc
import io
import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from common import program
from common.files import write_bytes

ROOT = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

# sends itself SIGINT when a module is first imported
INTERRUPTED = """
import importlib.abc, os, runpy, signal, sys

class At(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

at, script = sys.argv[1], sys.argv[2]
sys.meta_path.insert(0, At())
sys.modules["__main__"].__file__ = script
sys.argv[2:] = sys.argv[3:]
runpy.run_path(script, run_name="__main__")
"""
CASES = [
    ("train.py", "rich.console"),
    ("train.py", "torch"),
    ("train.py", "numpy"),
    ("train.py", "torch._C"),
    ("train.py", "numba"),
    ("play.py", "numpy"),
    ("play.py", "gymnasium"),
    ("compare.py", "tyro"),
    ("compare.py", "scores"),
    ("ablate.py", "rich.console"),
    ("ablate.py", "torch"),
]


@posix
@pytest.mark.parametrize(("script", "module"), CASES)
def test_interrupt_while_modules_are_imported_is_one_line(script: str, module: str) -> None:
    words = [sys.executable, "-c", INTERRUPTED, module, str(ROOT / script)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.parametrize("name", ["train", "play", "compare", "runs", "sweep", "ablate", "share"])
def test_a_missing_package_is_one_line(name: str) -> None:
    """A new terminal, where the environment is not active."""
    words = [sys.executable, "-S", str(ROOT / f"{name}.py")]  # without site-packages
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    *progress, line = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert f" is not installed in {sys.executable} (Python 3." in line
    assert line.endswith(f'activate Tidepool\'s environment, or pip install -e "{ROOT}"')
    assert all(said.startswith("loading") for said in progress)


def test_an_old_python_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"].startswith(f">={'.'.join(map(str, program.OLDEST))},")
    monkeypatch.setattr(program, "OLDEST", (9, 9))
    with pytest.raises(SystemExit) as left:
        program.explain_environment()
    assert left.value.code == 2
    assert f"error: Python 9.9 or newer is needed; {sys.executable} is 3." in capsys.readouterr().err


@pytest.mark.parametrize("name", ["numpy.nothing", "common.nothing", "common", None])
def test_a_fault_of_our_own_keeps_its_traceback(name: str | None) -> None:
    def main(argv: Sequence[str]) -> int:
        raise ModuleNotFoundError("No module", name=name)

    with pytest.raises(ModuleNotFoundError, match="No module"):
        program.run(main)


@posix
def test_an_ignored_interrupt_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        program.begin_imports()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
        gc.enable()


@posix
def test_garbage_is_collected_again_once_all_modules_are_there() -> None:
    """Also where Ctrl-C is ignored, as behind nohup."""
    text = """
import gc, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.modules["__main__"].__file__ = sys.argv[1]
from common import program
print(gc.isenabled())
program.end_imports()
print(gc.isenabled())
"""
    words = [sys.executable, "-c", text, str(ROOT / "train.py")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.stdout.split() == ["False", "True"], done.stderr
    for name in ("train.py", "viewer/modes.py", "compare.py", "runs.py", "sweep.py", "ablate.py", "share.py"):
        assert " end_imports()\n" in (ROOT / name).read_text(), name


def test_a_broken_pipe_that_is_not_the_output_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Such as one to an environment's process: to end without a word would look like the end of the work."""

    def main(words: Sequence[str]) -> int:
        raise BrokenPipeError(errno.EPIPE, "to somebody else")

    def outlives(words: Sequence[str]) -> int:
        program.outlive_output()
        return main(words)

    monkeypatch.setattr(program, "is_program", lambda: True)
    with (tmp_path / "stdout").open("w") as out, (tmp_path / "stderr").open("w") as err:
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        with pytest.raises(SystemExit, match="0"):
            program.run(main)
        with pytest.raises(BrokenPipeError):
            program.run(outlives)


@posix
class Cell(io.TextIOBase):
    """What a notebook's cell prints to: with the number of a file, and not one itself."""

    def fileno(self) -> int:
        return 1


def test_a_notebook_can_run_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """``%run train.py``: its output and its settings are the notebook's."""
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(ROOT / "train.py"), raising=False)
    assert program.is_program()
    monkeypatch.setattr(builtins, "__IPYTHON__", True, raising=False)
    assert not program.is_program()
    cell = Cell()
    assert program.undying(cell) is cell


def test_output_that_is_closed_swallows_what_is_printed() -> None:
    reading, writing = os.pipe()
    raw = open(writing, "w", encoding="utf-8")  # noqa: SIM115
    stream = program.undying(raw)
    stream.write("seen\n")
    stream.flush()
    assert os.read(reading, 100) == b"seen\n"
    os.close(reading)
    for _ in range(3):
        stream.write("not seen\n")
        stream.flush()
    os.write(writing, b"from a library")  # goes nowhere too
    raw.close()


def test_output_on_a_full_disk_comes_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        stream = program.undying(file)
        write = os.write
        full = [True]

        def write_if_there_is_room(file: int, data: bytes) -> int:
            if full[0]:
                raise OSError(errno.ENOSPC, "full")
            return write(file, data)

        monkeypatch.setattr(os, "write", write_if_there_is_room)
        print("lost", file=stream, flush=True)
        full[0] = False
        print("kept", file=stream, flush=True)
    assert (tmp_path / "log").read_text() == "kept\n"


full_disk = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
TRAINING = (
    "CartPole-v1 --agent dqn --total-timesteps 1500 --learning-starts 500 --capacity 2000 --eval-episodes 1"
    " --evaluations 1 --runs-dir"
)


@full_disk
@pytest.mark.parametrize(
    "words", ["compare.py --agents rainbow", "runs.py", "train.py --list", "play.py --list", "sweep.py --help"]
)
def test_what_is_asked_for_and_can_t_be_printed_is_an_error(words: str, tmp_path: Path) -> None:
    """Such as `train.py --print-config > settings.json` on a full disk."""
    script, *options = words.split()
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, str(ROOT / script), *options], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
    assert (done.returncode, done.stderr) == (
        1,
        "error: what is printed can't be written: No space left on device\n",
    )


def test_a_file_that_can_t_be_written_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Wherever it happens, as at the end of a sweep whose disk has become full; other faults are ours."""
    path = tmp_path / "sweep.csv"

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def report(words: Sequence[str]) -> None:
        write_bytes(path, b"data")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemExit, match="2"):
        program.run(report)
    assert capsys.readouterr().err == f"error: {path}: No space left on device\n"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        program.run(lambda words: os.remove(path))


@posix
@pytest.mark.parametrize("words", ["compare.py --agents rainbow", "train.py --list", "sweep.py --help"])
def test_what_is_asked_for_and_nobody_reads_is_no_error(words: str) -> None:
    """As in `train.py --list | head -1`; rich would leave with 1."""
    script, *options = words.split()
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, str(ROOT / script), *options]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@full_disk
def test_a_training_that_can_t_print_is_whole_and_says_that_lines_are_lost(tmp_path: Path) -> None:
    words = [sys.executable, str(ROOT / "train.py"), *TRAINING.split(), str(tmp_path)]
    with open("/dev/full", "w") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "note: some of what was printed is lost: No space left on device\n")
    (run,) = tmp_path.iterdir()
    assert (run / "agent" / "manifest.json").exists()


@posix
@pytest.mark.parametrize("error", [errno.EPIPE, errno.EIO])
def test_training_goes_on_when_nobody_reads(error: int, tmp_path: Path) -> None:
    """`train.py | head -1`: the pipe is closed after a line. EIO: its terminal is closed."""
    command = [sys.executable, str(ROOT / "train.py"), *TRAINING.split(), str(tmp_path)]
    if error == errno.EPIPE:
        training = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert training.stdout is not None
        assert training.stdout.readline()
        training.stdout.close()
    else:
        ours, theirs = os.openpty()
        training = subprocess.Popen(command, stdout=theirs, stderr=subprocess.PIPE)
        os.close(theirs)
        os.read(ours, 10)
        os.close(ours)
    assert training.stderr is not None
    assert training.stderr.read() == b""
    assert training.wait(timeout=120) == 0
    (run,) = tmp_path.iterdir()
    assert (run / "agent" / "manifest.json").exists()
