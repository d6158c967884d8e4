"""The pages: links lead somewhere, generated sections are current, commands are known, examples work as written."""

from __future__ import annotations

import ast
import csv
import dataclasses
import importlib
import itertools
import re
import runpy
import shlex
import statistics
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import ablate
import agents
import compare
import envs
import train
from agents import AGENTS, load_policy
from agents.catalogue import file_of
from common.settings import option_name
from envs import factory
from envs.atari import games
from experiments.command_line import RunOptions, any_settings, given
from learning.heads import QOutput
from learning.replay import Batch
from viewer.options import Options as PlayOptions

ROOT = Path(__file__).resolve().parent.parent
GENERATE: dict[str, Any] = runpy.run_path(str(ROOT / "docs" / "generate.py"))
PAGES: list[Path] = GENERATE["pages"]()
README = (ROOT / "README.md").read_text(encoding="utf-8")


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ------------------------------------------------------------------ README


def test_the_readme_is_a_page() -> None:
    assert len(README.split()) <= 1150  # as `wc -w` counts


def test_the_readme_starts_with_a_film_and_has_the_commands() -> None:
    assert README.splitlines()[2].endswith("(docs/learning.gif)")
    for command in (
        "pip install -e . && python train.py",
        "python play.py",
        "python compare.py",
        "pip install -e '.[dev]' && pytest",
    ):
        assert command in README
    assert f"any of {len(games())} Atari games" in README
    assert f"{len(AGENTS)} agents" in README


def test_numbers_of_the_readme_come_from_results() -> None:
    """Worked out here once more, from the raw scores and the references, without docs/generate.py."""
    seeds: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (ROOT / "results" / "waterworld.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            seeds[row["env_id"], row["preset"]][row["seed"]].append(float(row["episode_return"]))
    with (ROOT / "results" / "atari.csv").open(newline="") as file:
        minutes = {(row["env_id"], row["seed"]): float(row["wall_s"]) / 60 for row in csv.DictReader(file)}.values()
    means = {key: [statistics.fmean(returns) for returns in runs.values()] for key, runs in seeds.items()}
    with (ROOT / "scores" / "data" / "reference_scores.csv").open(newline="") as file:
        references = [float(row["mean"]) for row in csv.DictReader(file)]
    results = README[README.index("## Results") : README.index("## Read")]
    table = [line for line in results.splitlines() if line.startswith("|")][2:]
    for line in table:
        who, mean, by_seed, _ = (cell.strip() for cell in line.strip("|").split("|"))
        if preset := re.match(r"\*\*d3qn, preset (\w+)\*\*", who):
            runs = means["tidepool/Waterworld-v1", preset[1]]
            assert by_seed == ", ".join(f"{run:.1f}" for run in runs)
            assert mean == f"{statistics.fmean(runs):.1f}"
        else:
            assert by_seed == "-"
            assert any(abs(float(mean) - reference) <= 0.05 + 1e-9 for reference in references), line
    below = results[results.index("![The same") :]
    assert "(docs/atari.png)" in below  # the chart has its numbers from results/atari.csv
    (said,) = re.findall(r"(\d+) minutes", below)
    assert abs(int(said) - statistics.median(minutes)) <= 5
    assert not re.findall(r"\d+\.\d", below)


# ------------------------------------------------------------------ all pages


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def without_code(text: str) -> str:
    return re.sub(r"```.*?```", "", text, flags=re.DOTALL)


def anchors(path: Path) -> set[str]:
    text = without_code(path.read_text(encoding="utf-8"))
    return {slug(match[1]) for match in re.finditer(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text(encoding="utf-8"))):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.is_relative_to(ROOT), target
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_generated_sections_are_current(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == GENERATE["rewritten"](page), "python docs/generate.py rewrites it"


@pytest.mark.parametrize("name", GENERATE["PICTURES"])
def test_charts_show_the_numbers_of_their_tables(name: str) -> None:
    assert GENERATE["is_current"](name), "python docs/generate.py draws it"


def test_a_chart_of_other_numbers_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GENERATE["is_current"].__globals__, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    for name in set(GENERATE["PICTURES"]) - {"comparison.png"}:  # one is enough
        monkeypatch.delitem(GENERATE["PICTURES"], name)
    assert not GENERATE["is_current"]("comparison.png")
    GENERATE["save_charts"](tmp_path / "docs")
    assert GENERATE["is_current"]("comparison.png")
    monkeypatch.setitem(GENERATE["PICTURES"], "comparison.png", lambda: "| other | numbers |")
    assert not GENERATE["is_current"]("comparison.png")


def test_a_section_may_be_empty_and_an_unknown_one_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- generated: heads -->\n<!-- end -->\nkept\n<!-- generated: heads -->\nold\n<!-- end -->\n")
    text = GENERATE["rewritten"](page)
    assert text.count("`--head quantile`") == 2
    assert "\nkept\n" in text
    assert "old" not in text
    page.write_text("<!-- generated: no_such_section -->\n<!-- end -->\n")
    with pytest.raises(KeyError):
        GENERATE["rewritten"](page)


def test_every_agent_has_a_page_and_stands_in_the_index() -> None:
    index = (ROOT / "docs" / "agents" / "README.md").read_text(encoding="utf-8")
    written = {path.stem for path in (ROOT / "docs" / "agents").glob("*.md")} - {"README"}
    assert written == set(AGENTS)
    for name, recipe in AGENTS.items():
        assert f"[`{name}`]({name}.md)" in index
        assert (ROOT / file_of(recipe)).is_file()
        text = (ROOT / "docs" / "agents" / f"{name}.md").read_text(encoding="utf-8")
        assert f"<!-- generated: facts {name} -->" in text
        assert f"<!-- generated: scores {name} -->" in text


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs").glob("*.md"):
        assert path.name == "README.md" or f"({path.name})" in index, path


def commands(script: str) -> list[tuple[str, list[str]]]:
    """Return the words after each ``python SCRIPT`` of the pages, and where it stands."""
    found = []
    for page in PAGES:
        if page.name.startswith("add-an-"):  # their commands are run below
            continue
        for match in re.finditer(rf"python {script}\.py\b([^`\n#]*)", page.read_text(encoding="utf-8")):
            words = match[1].split("  ")[0].split(" && ")[0].split(" (")[0].rstrip(".,:;) ")
            found.append((f"{page.name}: {match[0]}", shlex.split(words)))
    return found


def test_commands_of_the_pages_are_known() -> None:
    presets = {name for one in AGENTS.values() for name in one.presets}
    settings = {"train": {*fields(any_settings()), *fields(RunOptions), "list"}, "play": fields(PlayOptions)}
    for script, known in settings.items():
        found = commands(script)
        assert len(found) > 10
        for where, words in found:
            assert set(given(words)) <= {*known, "help"}, where
            named = dict(itertools.pairwise(words))
            assert named.get("--agent", "auto") in {*AGENTS, "auto"}, where
            assert named.get("--preset", "auto") in {*presets, "auto"}, where


def fields(cls: type[Any]) -> set[str]:
    return {field.name for field in dataclasses.fields(cls)}


@pytest.mark.parametrize("module", [compare, ablate], ids=lambda module: module.__name__)
def test_options_of_other_commands_are_known(module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        module.main(["--help"])
    known = capsys.readouterr().out
    found = commands(module.__name__)
    assert found
    names = ("agent", "preset", "total_timesteps") if module is ablate else ()
    assert set(names) <= {*fields(any_settings()), *fields(RunOptions)}
    passed_on = {option_name(name) for name in names}
    for where, words in found:
        for word in words:
            if word.startswith("--") and word not in passed_on:
                assert word in known, where


# ------------------------------------------------------------------ architecture


def definitions(path: Path) -> set[str]:
    """Return the functions and classes of a file, and ``Class.method``."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
    return names


def test_the_six_stops_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d)\. \w+ \| (.+?) \|", text, re.MULTILINE)
    assert [number for number, _ in rows] == list("123456")
    for _, where in rows:
        for name, functions in re.findall(r"\[([\w/]+\.py)\]\([^)]+\) ([^;]+)", where):
            named = set(re.findall(r"`([\w.]+)`", functions))
            assert named
            assert named <= definitions(ROOT / name), name


# ------------------------------------------------------------------ worked examples


def blocks(page: str) -> dict[str, str]:
    """Return the page's code blocks by their titles."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return {match[1]: match[2] for match in re.finditer(r'```python title="([^"]+)"\n(.*?)```', text, re.DOTALL)}


def run_commands(page: str, runs_dir: Path) -> list[Path]:
    """Train as the page says, for a few hundred steps; return the run folders, in order."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    short = "--total-timesteps 400 --learning-starts 100 --epsilon-steps 100 --evaluations 1 --eval-episodes 2"
    folders: list[Path] = []
    for words in re.findall(r"^python train\.py (.*)$", text, re.MULTILINE):
        assert train.main([*shlex.split(words), *shlex.split(short), "--runs-dir", str(runs_dir)]) == 0
        folders += [path for path in runs_dir.iterdir() if path not in folders]
    return folders


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder whose agents/ and envs/ belong to these packages for the time of a test."""
    for package in (agents, envs):
        folder = tmp_path / package.__name__
        folder.mkdir()
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    before = set(sys.modules)
    yield tmp_path
    for package in (agents, envs):
        for path in (tmp_path / package.__name__).glob("*.py"):
            if (name := f"{package.__name__}.{path.stem}") in set(sys.modules) - before:
                del sys.modules[name]
                delattr(package, path.stem)


def test_add_an_agent_works_as_written(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = blocks("add-an-agent.md")
    added = re.findall(r'"(\w+)"', files.pop("agents/registry.py"))[1:]
    assert sorted(files) == sorted(f"agents/{name}.py" for name in added)
    for name, text in files.items():
        (place / name).write_text(text)
    for name in added:
        recipe = importlib.import_module(f"agents.{name}").RECIPE
        assert recipe.name == name
        monkeypatch.setitem(AGENTS, name, recipe)
    folders = run_commands("add-an-agent.md", place / "runs")
    assert [folder.name.split("__")[1] for folder in folders] == ["advantage_dqn", "double_qr_dqn"]
    policy = load_policy(folders[0])
    values = policy.q_values(np.zeros((3, 4), np.float32))
    assert values is not None
    assert values.shape == (3, 2)
    advantage = importlib.import_module("agents.advantage_dqn")
    # gap 2 - 0.5; target 1 + 0.9 * 2 - 0.5 * 1.5 = 2.05; error 2.05 - 0.5 = 1.55; Huber: 1.55 - 0.5
    ones = torch.ones(1)
    batch = Batch(torch.zeros(1, 1), torch.tensor([0]), ones, 0.9 * ones, torch.zeros(1, 1), ones)

    def network(obs: torch.Tensor) -> QOutput:
        return QOutput(torch.tensor([[0.5, 2.0]]))

    loss = advantage.loss(network, network, batch, advantage.AdvantageConfig(advantage_alpha=0.5))
    assert loss.per_sample.item() == pytest.approx(1.05)
    assert loss.priority.item() == pytest.approx(1.55)


def test_add_an_environment_works_as_written(place: Path) -> None:
    files = blocks("add-an-environment.md")
    (place / "envs" / "catch.py").write_text(files["envs/catch.py"])
    exec(files["envs/factory.py"], vars(factory))
    try:
        env = gymnasium.make("tidepool/Catch-v0", render_mode="rgb_array")
        check_env(env.unwrapped)
        env.reset(seed=1)
        steps = [env.step(1) for _ in range(9)]
        assert [step[2] for step in steps] == [False] * 8 + [True]
        picture: Any = env.render()
        assert picture.shape == (400, 200, 3)
        (folder,) = run_commands("add-an-environment.md", place / "runs")
        assert load_policy(folder).env_id == "tidepool/Catch-v0"
    finally:
        gymnasium.registry.pop("tidepool/Catch-v0", None)


# ------------------------------------------------------------------ what runs the gate elsewhere


def gate() -> list[str]:
    """Return the commands of .ci/run."""
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    found = [line.removeprefix("run ").strip() for line in text.splitlines() if line.startswith("run ")]
    assert len(found) > 3
    return found


def test_the_workflow_runs_the_gate() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    newest, oldest_versions = text.split("\n  oldest:\n")
    ran = [match[1] for match in re.finditer(r"^ +run: (.+)$", newest, re.MULTILINE)]
    assert [command for command in ran if "apt-get" not in command] == gate()
    ran = [match[1] for match in re.finditer(r"^ +run: (.+)$", oldest_versions, re.MULTILINE)]
    assert ran[1:] == [command for command in gate() if command.startswith("pytest")]
    for system in ("ubuntu", "macos", "windows"):
        assert f"{system}-latest" in text
    oldest, newest = pythons()
    assert f'python: ["{oldest}", "{newest}"]' in text


def pythons() -> tuple[str, str]:
    """Return the oldest and the newest Python that pip installs the project for."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    match = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", wanted)
    assert match
    return f"3.{match[1]}", f"3.{int(match[2]) - 1}"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_pages_name_the_versions_of_python(page: str) -> None:
    assert "Python {} to {}".format(*pythons()) in (ROOT / page).read_text(encoding="utf-8")


def test_pre_commit_runs_the_gate() -> None:
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    hooks = re.findall(r"^ +entry: (.+)$", text, re.MULTILINE)
    assert sorted(hooks) == sorted(command for command in gate() if not command.startswith("pip"))


def test_the_contributing_page_names_the_gate() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for command in gate():
        assert command.replace(" -q", "").removesuffix(" --durations=10") in text


def test_the_citation_names_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "CITATION.cff").read_text(encoding="utf-8").splitlines()
    assert "cff-version: 1.2.0" in lines
    assert f"version: {project['version']}" in lines
    assert f"license: {project['license']}" in lines
