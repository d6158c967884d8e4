"""Rewrite what the pages take from the registry and from results/: python docs/generate.py

A page marks such a section: ``<!-- generated: presets -->`` before it and ``<!-- end -->`` after it. The name is a
key of `SECTIONS`; a word after it is the section's argument, such as an agent. The tables of results are in
docs/results.py, docs/atari_results.py and docs/ablations.py, their charts in docs/pictures.py, the tables of speed in
benchmarks/figures.py.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import envs
from agents.catalogue import ENCODER_PAPERS, HEAD_PAPERS, file_of, words
from agents.family import IDEAS
from agents.published import sources
from agents.published import table as published_rows
from agents.registry import AGENTS, choose
from benchmarks.figures import speed, speed_bounds, speed_measured
from common.files import ROOT
from common.settings import option_name
from docs.ablations import ablation
from docs.atari_results import atari, atari_chart, atari_replay, atari_summary, random_play
from docs.pictures import PICTURES, is_current, save_charts
from docs.results import (
    RESULTS,
    WATERWORLD,
    cartpole,
    code,
    family,
    linked,
    lunarlander,
    page_of,
    pretrained,
    scores,
    table,
    waterworld,
)
from envs.factory import EPISODE_STEPS
from envs.protocols import ATARI, MINUTE
from learning.recipe import Recipe

SECTION = re.compile(r"<!-- generated: ([^>]+?) -->\n(.*?)<!-- end -->", re.DOTALL)


def pages() -> list[Path]:
    """Return all Markdown pages of the project."""
    folders = (ROOT, ROOT / "docs", ROOT / "docs" / "agents", RESULTS, ROOT / "pretrained", ROOT / "scores" / "data")
    return [path for folder in folders for path in sorted(folder.glob("*.md"))]


def rewritten(path: Path) -> str:
    """Return a page with every generated section as it should be now."""
    text = path.read_text(encoding="utf-8")
    return SECTION.sub(lambda match: f"<!-- generated: {match[1]} -->\n{section(match[1], path)}\n<!-- end -->", text)


def section(name: str, page: Path) -> str:
    """Return the content of a section; links in it start at its page.

    Raises:
        KeyError: there is no such section.
    """
    kind, *arguments = name.split()
    text = SECTIONS[kind](*arguments)
    return re.sub(r"\]\(/([^)]+)\)", lambda match: f"]({os.path.relpath(ROOT / match[1], page.parent)})", text)


# ------------------------------------------------------------------ the registry


def agents() -> str:
    """Return all agents with paper and switches."""
    rows = (
        [
            page_of(one),
            linked(one.paper),
            code(words(dict(one.switches))) or "none",
            f"[{one.name}.py](/{file_of(one)})",
        ]
        for one in AGENTS.values()
    )
    return table(["agent", "paper", "switches", "file"], rows)


def names() -> str:
    """Return the names of all agents, with links."""
    return ", ".join(page_of(one) for one in AGENTS.values()) + "."


def steps_of(recipe: Recipe, preset: str) -> int:
    """Return the agent steps of a run with a preset."""
    return int(recipe.config(**recipe.presets[preset].settings).total_timesteps)


def presets() -> str:
    """Return which agent has which preset, as the agent steps of a run with it."""
    known = (
        "default",
        "long",
        "best",
        "control",
        "general",
        "tabular",
        "pictures",
        "racing",
        "cpu",
        "modern",
        "nature",
        "paper",
        "short",
    )
    assert {name for one in AGENTS.values() for name in one.presets} == set(known)
    rows = (
        [
            page_of(one),
            *(f"{steps_of(one, name):,}" if name in one.presets else "-" for name in known),
        ]
        for one in AGENTS.values()
    )
    return table(["agent", *(f">`{name}`" for name in known)], rows)


def choices() -> str:
    """Return what `train.py` takes when no agent and no preset are named."""
    cases = (
        ("Waterworld, RLDemo", WATERWORLD, "any", "cpu"),
        ("CartPole", "CartPole-v1", "any", "cpu"),
        ("other vectors", "Acrobot-v1", "any", "cpu"),
        ("numbered states", "FrozenLake-v1", "any", "cpu"),
        ("Atari", "ALE/Pong-v5", "CPU", "cpu"),
        ("Atari", "ALE/Pong-v5", "GPU", "cuda"),
    )
    rows = []
    for title, env_id, device, kind in cases:
        recipe, preset = choose("auto", "auto", env_id, kind)
        rows.append([title, device, page_of(recipe), f"`{preset}`", f"{steps_of(recipe, preset):,}"])
    return table(["environment", "device", "agent", "preset", ">agent steps"], rows)


def switches() -> str:
    """Return the ideas that can be switched on and off."""
    rows = (
        [f"`{option_name(one.setting)}`", f"`{words({one.setting: one.off})[0]}`", linked(one.paper)]
        for one in IDEAS.values()
    )
    return table(["switch", "without it", "paper"], rows)


def heads() -> str:
    """Return what a network can output."""
    return table(["head", "paper"], ([f"`--head {name}`", linked(paper)] for name, paper in HEAD_PAPERS.items()))


def encoders() -> str:
    """Return what can precede the fully connected layers."""
    rows = ([f"`--encoder {name}`", linked(paper)] for name, paper in ENCODER_PAPERS.items())
    return table(["encoder", "from"], rows)


def facts(agent: str) -> str:
    """Return what the registry knows of an agent."""
    recipe = AGENTS[agent]
    kinds = {"worlds": "Waterworld and RLDemo", "control": "other vectors", "atari": "Atari", "pictures": "pictures"}
    presets = (
        f"`{name}` ({kinds[one.suits]}, {steps_of(recipe, name):,} agent steps)" for name, one in recipe.presets.items()
    )
    rows = [
        ["paper", linked(recipe.paper)],
        ["file", f"[{file_of(recipe)}](/{file_of(recipe)})"],
        ["switches", code(words(dict(recipe.switches))) or "none: the others are this one with switches on"],
        ["presets", ", ".join(presets)],
        ["train it", f"`python train.py --agent {agent}`"],
    ]
    if text := deviations(recipe):
        rows.append(["deviations from the paper", text])
    return table(["", ""], rows)


def deviations(recipe: Recipe) -> str:
    """Return what the head of an agent's file says of deviations from its paper; empty: nothing."""
    text = ast.get_docstring(ast.parse((ROOT / file_of(recipe)).read_text(encoding="utf-8"))) or ""
    found = re.search(r"Deviations?(?: from the paper)?: (.+?)(?:\n\n|$)", text, re.DOTALL)
    return " ".join(found[1].split()).replace("|", "\\|") if found else ""


def published(agent: str) -> str:
    """Return an agent's Atari preset beside what was published, deviations first."""
    source, rows = sources()[agent], published_rows(agent)
    rows = [row for row in rows if row.deviation] + [row for row in rows if not row.deviation]
    cells = (
        [
            f"`{option_name(row.setting)}`" if row.setting.isidentifier() else row.setting,
            row.paper,
            row.code,
            f"**{row.ours}**" if row.deviation else row.ours,
            row.deviation,
        ]
        for row in rows
    )
    about = "Their authors have published no code."
    if source.repository:
        at = f"https://github.com/{source.repository}/tree/{source.commit}"
        about = f"Code: [{source.repository}]({at}) at commit `{source.commit[:7]}`: {source.files}."
    count = sum(bool(row.deviation) for row in rows)
    differing = f"Where ours differs ({count} of {len(rows)} lines) it is bold, with the reason."
    head = f"Preset `{source.preset}`. {about} {differing}"
    columns = ["setting", "paper", "authors' code", "ours", "why ours differs"]
    return f"{head}\n\n{table(columns, ([cell.replace('|', '/') for cell in row] for row in cells))}"


def protocols() -> str:
    """Return the rules of Atari episodes."""

    def minutes(options: Any) -> int:
        return int(options["frame_cap"] // MINUTE)

    rows = []
    for number, one in enumerate(ATARI.values()):
        test, training = one.evaluation, one.training
        cap = f"{minutes(test)} minutes"
        cap += "" if minutes(test) == minutes(training) else f" (training: {minutes(training)})"
        rows.append(
            [
                f"`{one.name}`" + (" (default)" if number == 0 else ""),
                f"{test['sticky']:g}" if test["sticky"] else "none",
                "at once" if not test["noops"] else f"up to {test['noops']} no-ops" + ", FIRE" * ("fire" in test),
                cap,
                "ends the bootstrap in training" if one.life_loss_cuts else "has no effect",
                f"{one.eval_epsilon:g}",
            ]
        )
    head = ["`--protocol`", "sticky actions", "start", "longest episode", "a lost life", "epsilon in evaluation"]
    return table(head, rows)


def worlds() -> str:
    """Return the project's own environments."""
    about = {
        "Waterworld-v1": "swim, eat red apples (+1), avoid green poison (-1); exact eyes",
        "Waterworld-v0": "the same as in Karpathy's [REINFORCEjs]"
        "(https://cs.stanford.edu/people/karpathy/reinforcejs/waterworld.html), bug for bug",
        "RLDemo-v0": "a two-wheeled creature between walls, as in his [ConvNetJS demo]"
        "(https://cs.stanford.edu/people/karpathy/convnetjs/demo/rldemo.html), bug for bug",
    }
    rows = []
    for world, text in about.items():
        env = envs.make(envs.resolve(world))
        space: Any = env.observation_space
        bounded = "within [-1, 1]" if abs(space.low).max() <= 1 and space.high.max() <= 1 else "raw"
        rows.append(
            [
                f"`{envs.resolve(world)}`" + (" (default)" if envs.resolve(world) == envs.DEFAULT_ENV else ""),
                text,
                f"{space.shape[0]} numbers, {bounded}",
                ", ".join(envs.action_names(env)),
                f"{EPISODE_STEPS[world]:,} steps",
            ]
        )
        env.close()
    return table(["id", "what it is", "observation", "actions", "episode"], rows)


def imports() -> str:
    """Return which package imports which, imports inside functions included."""
    ours = ("common", "scores", "envs", "learning", "agents", "experiments", "viewer")
    scripts = sorted(path.name for path in ROOT.glob("*.py") if path.name != "setup.py")
    rows = []
    for name in (*ours, *scripts):
        files = [ROOT / name] if name.endswith(".py") else (ROOT / name).rglob("*.py")
        found = {package for path in files for package in imported(path)} & set(ours) - {name}
        rows.append([f"`{name}`", code(one for one in ours if one in found) or "nothing of ours"])
    return table(["package or script", "imports"], rows)


def imported(path: Path) -> set[str]:
    """Return the top-level packages that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


SECTIONS: dict[str, Callable[..., str]] = {
    one.__name__: one
    for one in (
        *(agents, names, presets, choices, switches, heads, encoders, facts, published, protocols, worlds, imports),
        *(waterworld, family, cartpole, lunarlander, ablation, scores, pretrained),
        *(atari, atari_chart, atari_summary, atari_replay, random_play),
        *(speed, speed_bounds, speed_measured),
    )
}


def main() -> None:
    """Rewrite what is out of date, and print it."""
    for path in pages():
        text = rewritten(path)
        if text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8")
            print(f"rewritten: {path.relative_to(ROOT)}")
    old = [name for name in PICTURES if not is_current(name)]
    save_charts()
    if old:
        print("drawn: " + ", ".join(f"docs/{name}" for name in old))


if __name__ == "__main__":
    main()
