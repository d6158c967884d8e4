"""Compiled functions are kept on disk; a damaged file is compiled again and replaced."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from common.kernels import Cache, cached_njit

@cached_njit(nogil=True)
def double(x):
    return 2 * x

print(double(21), Cache.misses)
"""


@pytest.fixture
def start(tmp_path: Path) -> list[str]:
    (tmp_path / "program.py").write_text(PROGRAM)
    return [sys.executable, str(tmp_path / "program.py"), str(ROOT)]


def output(start: list[str], folder: Path) -> str:
    words = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    done = subprocess.run(start, capture_output=True, text=True, env=words, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_a_truncated_cache_file_is_compiled_again_and_replaced(ending: str, start: list[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert output(start, cache) == "42 1"
    assert output(start, cache) == "42 0"  # kept
    (file,) = cache.rglob(f"*.{ending}")
    for size in (0, 10, file.stat().st_size // 2):
        file.write_bytes(file.read_bytes()[:size])
        assert output(start, cache) == "42 1"
        assert output(start, cache) == "42 0"


NOWHERE = """
from numba.core.caching import CacheImpl, UserProvidedCacheLocator
CacheImpl._locator_classes = [UserProvidedCacheLocator]
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX users")
def test_where_neither_code_nor_home_can_be_written_to(start: list[str], tmp_path: Path) -> None:
    """It was a traceback of numba's, in a container whose user does not own the code. Without any folder, no cache."""
    (tmp_path / "program.py").write_text(NOWHERE + PROGRAM)
    (tmp_path / "tmp").mkdir()

    def run(temporary: Path) -> str:
        words = {**os.environ, "TMPDIR": str(temporary)}
        words.pop("NUMBA_CACHE_DIR", None)
        done = subprocess.run(start, capture_output=True, text=True, env=words, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip()

    assert run(tmp_path / "tmp") == "42 1"
    assert run(tmp_path / "tmp") == "42 0"
    (tmp_path / "tmp" / f"tidepool-{os.getuid()}").chmod(0o777)
    assert run(tmp_path / "tmp") == "42 0"  # it is not counted, and not loaded
    assert len(list((tmp_path / "tmp").rglob("*.nbi"))) == 1


CALLED = {
    "a kernel": "@cached_njit()\ndef called(x):\n    return x + SUMMAND\n",
    "a kernel of a kernel": "from third import called\n\n@cached_njit()\ndef unused(x):\n    return x\n",
    "an intrinsic": """@intrinsic
def called(typing, x):
    def generate(context, builder, signature, args):
        return builder.add(args[0], args[0].type(SUMMAND))
    return types.int64(types.int64), generate
""",
}


@pytest.mark.parametrize("kind", CALLED)
def test_a_change_of_what_is_called_is_seen_though_it_lies_in_another_file(
    kind: str, start: list[str], tmp_path: Path
) -> None:
    """Numba's own cache would go on with the old code: a wrong number and no word."""
    heading = "from numba import types\nfrom numba.extending import intrinsic\nfrom common.kernels import cached_njit\n"
    program = PROGRAM.replace("2 * x", "called(x)").replace("\n@", "\nfrom other import called\n\n@")
    (tmp_path / "program.py").write_text(program)
    (tmp_path / "other.py").write_text(heading + CALLED[kind].replace("SUMMAND", "1"))
    changed = tmp_path / ("third.py" if "third" in CALLED[kind] else "other.py")
    source = heading + (CALLED["a kernel"] if "third" in CALLED[kind] else CALLED[kind])
    cache = tmp_path / "cache"
    for summand, known in ((1, False), (1, True), (20, False), (20, True)):
        if not known:
            changed.write_text(source.replace("SUMMAND", str(summand)))
        result, misses = output(start, cache).split()
        assert (int(result), int(misses) == 0) == (21 + summand, known)


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_no_error(start: list[str], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    output(start, cache)
    (folder,) = {path.parent for path in cache.rglob("*.nbi")}
    for path in folder.iterdir():
        path.unlink()
    folder.chmod(0o500)
    try:
        assert output(start, cache) == "42 1"
    finally:
        folder.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL on Windows")
def test_a_kill_at_any_moment_of_the_first_compile_leaves_a_cache_that_works(start: list[str], tmp_path: Path) -> None:
    """Each of the files that numba writes is cut at its creation: what the kill of a process that writes it leaves."""
    program = (tmp_path / "program.py").read_text()
    killed = "import os, signal, sys\nnumber = int(sys.argv.pop())\nreplaced = os.replace\n"
    killed += "def replace(source, target):\n    global number\n    number -= 1\n"
    killed += "    if number < 0:\n"
    killed += "        replaced(source, target)\n        os.truncate(target, os.path.getsize(target) // 2)\n"
    killed += "        os.kill(os.getpid(), signal.SIGKILL)\n    replaced(source, target)\nos.replace = replace\n"
    for number in range(2):
        cache = tmp_path / f"cache{number}"
        (tmp_path / "program.py").write_text(killed + program)
        words = {**os.environ, "NUMBA_CACHE_DIR": str(cache)}
        done = subprocess.run([*start, str(number)], capture_output=True, env=words, timeout=120)
        assert done.returncode == -9
        (tmp_path / "program.py").write_text(program)
        assert output(start, cache) == "42 1"
        assert output(start, cache) == "42 0"
