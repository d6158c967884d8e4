"""Promises about the repository itself."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

from agents import AGENTS
from agents.catalogue import file_of, readme_table

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [
    path
    for folder in ("agents", "common", "envs", "learning", "scores", "viewer")
    for path in (ROOT / folder).rglob("*.py")
]


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_dependencies_point_one_way() -> None:
    forbidden = {
        "common": {"agents", "envs", "learning", "scores", "viewer"},
        "envs": {"agents", "learning", "scores", "viewer", "torch"},
        "scores": {"agents", "learning", "viewer", "torch", "envs"},
        "learning": {"agents", "scores", "viewer", "pygame"},
        "agents": {"scores", "viewer", "pygame"},
    }
    for path in SOURCES:
        package = path.relative_to(ROOT).parts[0]
        assert not imported(path) & forbidden.get(package, set()), path


def test_no_pickle() -> None:
    for path in [*SOURCES, *ROOT.glob("*.py")]:
        assert not imported(path) & {"pickle", "dill", "cloudpickle", "joblib"}, path


def test_every_package_is_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in SOURCES if path.name == "__init__.py"}
    assert folders == set(settings["packages"])
    assert {path.stem for path in ROOT.glob("*.py")} == set(settings["py-modules"])


def test_the_readme_names_every_agent_and_its_commands() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    # written by `python -m agents.catalogue`
    assert readme_table() in text
    assert all((ROOT / file_of(recipe)).is_file() for recipe in AGENTS.values())
    for command in (
        "pip install -e . && python train.py",
        "python play.py",
        "python compare.py",
        "pip install -e '.[dev]' && pytest",
    ):
        assert command in text


def test_links_in_the_readme_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / target).exists(), target
