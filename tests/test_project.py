"""Promises about the repository itself."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from benchmarks import reading_path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("agents", "common", "envs", "experiments", "learning", "scores", "viewer")
SCRIPTS = sorted(path for path in ROOT.glob("*.py") if path.name != "setup.py")
SOURCES = [path for folder in PACKAGES for path in (ROOT / folder).rglob("*.py")]

# What no file of a package may import; scripts, tests and benchmarks may import anything.
FORBIDDEN = {
    "common": {"agents", "envs", "experiments", "learning", "scores", "viewer"},
    "envs": {"agents", "experiments", "learning", "scores", "viewer", "torch"},
    "scores": {"agents", "experiments", "learning", "viewer", "torch", "envs"},
    "learning": {"agents", "experiments", "scores", "viewer", "pygame"},
    "agents": {"experiments", "scores", "viewer", "pygame"},
    "experiments": {"viewer", "pygame"},
    "viewer": {"experiments"},
}
# Of rooms inside the viewer: from the bottom to the top. A room imports those before it.
ROOMS = ("drawing", "playing", "inspecting", "learning")


def imports(path: Path) -> set[str]:
    """Return the dotted names that a file imports, also inside functions and for type checking only."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, anywhere in it."""
    return {name.split(".")[0] for name in imports(path)}


def module(path: Path, root: Path = ROOT) -> str:
    """Return a file's dotted name."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def import_graph(paths: Sequence[Path], root: Path = ROOT) -> dict[str, set[str]]:
    """Return which of these files each of them imports."""
    known = {module(path, root) for path in paths}
    graph: dict[str, set[str]] = {}
    for path in paths:
        candidates = {name if name in known else name.rpartition(".")[0] for name in imports(path)}
        graph[module(path, root)] = (candidates & known) - {module(path, root)}
    return graph


def test_dependencies_point_one_way() -> None:
    for path in SOURCES:
        package = path.relative_to(ROOT).parts[0]
        assert not imported(path) & (FORBIDDEN[package] | {script.stem for script in SCRIPTS}), path


def test_no_import_leads_back_to_its_own_file() -> None:
    graph = import_graph([*SOURCES, *SCRIPTS])
    assert len(graph) > 150
    assert graph["learning.trainer"] >= {"learning.learner", "learning.episodes", "learning.checkpoint"}
    tuple(TopologicalSorter(graph).static_order())  # `CycleError` names the circle


def test_a_circle_behind_functions_and_type_checking_is_found(tmp_path: Path) -> None:
    files = {
        "a/one.py": "from a import two\n",
        "a/two.py": "def f():\n    from b.three import x\n",
        "b/three.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from a.one import y\n",
        "b/four.py": "import a.one\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    graph = import_graph([tmp_path / name for name in files], tmp_path)
    assert graph == {"a.one": {"a.two"}, "a.two": {"b.three"}, "b.three": {"a.one"}, "b.four": {"a.one"}}
    with pytest.raises(CycleError):
        tuple(TopologicalSorter(graph).static_order())


def test_rooms_of_the_viewer_are_stacked() -> None:
    for path in (ROOT / "viewer").rglob("*.py"):
        room = path.relative_to(ROOT).parts[1]
        if room in ROOMS:
            above = {
                f"viewer.{name}" for name in (*ROOMS[ROOMS.index(room) + 1 :], "panels", "video", "screen", "window")
            }
            used = {".".join(name.split(".")[:2]) for name in imports(path)}
            assert not used & above, path


def test_one_training_step_executes_at_most_ten_files() -> None:
    for env_id in reading_path.ENVIRONMENTS:
        functions = reading_path.executed("dqn", env_id)
        assert {"learning/trainer.py", "learning/losses.py", "learning/replay.py"} <= {one.file for one in functions}
        assert len({one.file for one in functions}) <= 10


def test_scripts_are_thin() -> None:
    for name in ("train.py", "play.py", "compare.py", "ablate.py", "sweep.py", "runs.py", "share.py"):
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) <= 80, name


def test_no_pickle() -> None:
    for path in [*SOURCES, *ROOT.glob("*.py")]:
        assert not imported(path) & {"pickle", "dill", "cloudpickle", "joblib"}, path


def test_every_package_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in SOURCES if path.name == "__init__.py"}
    assert folders == set(settings["packages"])
    assert {path.stem for path in SCRIPTS} == set(settings["py-modules"])


def test_a_wheel_is_rejected_in_one_line(tmp_path: Path) -> None:
    words = [
        sys.executable,
        str(ROOT / "setup.py"),
        "-q",
        "egg_info",
        "-e",
        str(tmp_path),
        "bdist_wheel",
        "-d",
        str(tmp_path),
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines()[-1].startswith("error: Tidepool is an application")
    assert "pip install -e ." in done.stderr
    assert not list(tmp_path.glob("*.whl"))
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    assert "Private :: Do Not Upload" in classifiers
