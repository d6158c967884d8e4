"""Rewrite what the pages take from the registry and from results/: python docs/generate.py

A page marks such a section: ``<!-- generated: presets -->`` before it and ``<!-- end -->`` after it. The name is a
key of `SECTIONS`; a word after it is the section's argument, such as an agent. The two charts of results are drawn from
the numbers of their tables, which each picture carries in its metadata, so that a test can compare them.
"""

from __future__ import annotations

import ast
import csv
import functools
import io
import os
import re
import runpy
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import envs
from agents.catalogue import ENCODER_PAPERS, HEAD_PAPERS, file_of, words
from agents.family import IDEAS
from agents.registry import AGENTS, choose
from common.settings import option_name
from envs.factory import EPISODE_STEPS
from envs.protocols import ATARI, MINUTE
from learning.recipe import Recipe
from scores import references
from scores.atari.normalization import game_of, published

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
RESULTS_TABLE: dict[str, Any] = runpy.run_path(str(ROOT / "benchmarks" / "results_table.py"))
WATERWORLD = "tidepool/Waterworld-v1"
# In this file d3qn still has the name of its time: double, dueling and three-step returns were dqn's defaults then.
FORMER_NAMES = {"waterworld.csv": {"dqn": "d3qn"}}
INK, OURS, OTHERS = "#20242a", "#2f6fb3", "#c9ced6"
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


# ------------------------------------------------------------------ Markdown


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a column whose name starts with ``>`` is aligned right."""
    rule = ["---:" if name.startswith(">") else "---" for name in head]
    lines = [" | ".join(name.removeprefix(">") for name in head), "|".join(rule), *(" | ".join(row) for row in rows)]
    return "\n".join(f"|{line}|" if line == lines[1] else f"| {line} |" for line in lines)


def code(words: Iterable[str]) -> str:
    """Return words as code, separated by commas."""
    return ", ".join(f"`{word}`" for word in words)


def linked(paper: str) -> str:
    """Return a paper with links to arXiv and to its DOI."""
    paper = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", paper)
    return re.sub(r"doi:(10\.[^\s;,]+)", r"[doi:\1](https://doi.org/\1)", paper)


def one_decimal(value: float) -> str:
    """Return a number as the tables show it; half is rounded up, as on paper."""
    return str(Decimal(str(round(value, 6))).quantize(Decimal("0.1"), ROUND_HALF_UP))


def page_of(recipe: Recipe) -> str:
    """Return a link to an agent's page."""
    return f"[`{recipe.name}`](/docs/agents/{recipe.name}.md)"


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
    known = ("default", "long", "control", "cpu", "modern", "nature", "paper")
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
        ("other environments with vectors", "CartPole-v1", "any", "cpu"),
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
    kinds = {"worlds": "Waterworld and RLDemo", "control": "other vectors", "atari": "Atari"}
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
                f"up to {test['noops']} no-ops" if test["noops"] else "at once",
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


# ------------------------------------------------------------------ results


class Rules(NamedTuple):
    """Under what a score was measured."""

    protocol: str
    epsilon: float
    episodes: int


@functools.cache
def lines(name: str) -> list[Any]:
    """Return a file of raw scores: an agent's runs with one preset in one environment a line, the best first."""
    former = FORMER_NAMES.get(name, {})
    return [line._replace(agent=former.get(line.agent, line.agent)) for line in RESULTS_TABLE["lines"](RESULTS / name)]


@functools.cache
def rules(name: str) -> dict[str, Rules]:
    """Return under which rules the scores of a file were measured, by environment."""
    episodes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    found: dict[str, Rules] = {}
    with (RESULTS / name).open(newline="") as file:
        for row in csv.DictReader(file):
            episodes[row["env_id"]][row["run"]] += 1
            count = max(episodes[row["env_id"]].values())
            found[row["env_id"]] = Rules(row["protocol"], float(row["epsilon"]), count)
    return found


def seeds_text(scores: Iterable[float]) -> str:
    """Return the scores of several seeds."""
    return ", ".join(one_decimal(score) for score in scores)


class Bar(NamedTuple):
    """A row of the Waterworld table and of its chart."""

    who: str
    detail: str
    mean: float
    seeds: tuple[float, ...]
    training: str
    interval: tuple[float, float] | None


REFERENCES = {
    "full_information_planner": ("full-information planner", "sees everything; a ceiling estimate", "none"),
    "apple_chaser": (
        "scripted apple-chaser",
        "[agents/apple_chaser.py](/agents/apple_chaser.py), sees what the agents see",
        "none",
    ),
    "karpathy_pretrained_eps_0.05": ("Karpathy's pretrained network", "plays Waterworld-v0", "by its author"),
    "sb3_dqn_100k_steps": ("stable-baselines3 DQN", "Waterworld-v0, one seed", "100,000 agent steps"),
    "random": ("random", "", "none"),
}
PRESET_COMMANDS = {"default": "`python train.py`", "long": "`python train.py --preset long`"}


def bars() -> list[Bar]:
    """Return the rows of the Waterworld table, the best first."""
    rows = []
    for line in lines("waterworld.csv"):
        training = f"{line.wall_s / 60:.0f} minutes, {line.agent_steps:,} agent steps"
        seeds, who = tuple(line.seeds.values()), f"{line.agent}, preset {line.preset}"
        rows.append(Bar(who, PRESET_COMMANDS[line.preset], line.score.mean, seeds, training, line.score.ci95))
    known = {one.agent: one for env_id in ("tidepool/Waterworld-v0", WATERWORLD) for one in references.of_env(env_id)}
    for name, (who, detail, training) in REFERENCES.items():
        rows.append(Bar(who, detail, known[name].mean, (), training, known[name].ci95))
    return sorted(rows, key=lambda row: -row.mean)


def waterworld() -> str:
    """Return the Waterworld table."""
    rows = []
    for bar in bars():
        who = f"**{bar.who}**" if bar.seeds else bar.who
        detail = f" ({bar.detail})" if bar.detail else ""
        rows.append([who + detail, one_decimal(bar.mean), seeds_text(bar.seeds) or "-", bar.training])
    return table(["who", ">mean return", "by seed", "training"], rows)


def family() -> str:
    """Return the table of results/family.csv."""
    return str(RESULTS_TABLE["markdown"](lines("family.csv")))


def cartpole() -> str:
    """Return the table of results/cartpole.csv."""
    return str(RESULTS_TABLE["markdown"](lines("cartpole.csv")))


def atari() -> str:
    """Return the table of results/atari.csv beside random play and a human."""
    rows = []
    for line in sorted(lines("atari.csv"), key=lambda line: line.env_id, reverse=True):
        game = game_of(line.env_id) or line.env_id
        rows.append(
            [
                game,
                f"{published('random', game):g}",
                f"{published('human', game):g}",
                f"{line.agent}, preset {line.preset}",
                one_decimal(line.score.mean),
                seeds_text(line.seeds.values()),
                f"{line.agent_steps:,}",
            ]
        )
    return table(["game", ">random", ">human", "ours", ">mean", "by seed", ">agent steps"], rows)


def scores(agent: str) -> str:
    """Return all scores of an agent in results/, with what makes them scores."""
    rows = []
    for name in ("waterworld.csv", "family.csv", "cartpole.csv", "atari.csv"):
        measured = rules(name)
        for line in lines(name):
            if line.agent != agent:
                continue
            rule, interval = measured[line.env_id], line.score.ci95
            rows.append(
                [
                    line.env_id.removeprefix("tidepool/").removeprefix("ALE/"),
                    f"`{line.preset}`",
                    f"{line.agent_steps:,}",
                    one_decimal(line.score.mean),
                    "-" if interval is None else f"{interval[0]:.1f} to {interval[1]:.1f}",
                    seeds_text(line.seeds.values()),
                    f"`{rule.protocol}`, {rule.episodes} episodes a seed, epsilon {rule.epsilon:g}",
                    f"[{name}](/results/{name})",
                ]
            )
    if not rows:
        return "Not measured in this project yet."
    head = ["environment", "preset", ">agent steps", ">mean return", "95 %", "by seed", "protocol", "raw"]
    return table(head, rows)


def pretrained() -> str:
    """Return the pretrained agents with the scores of their last evaluation."""
    rows = []
    for folder in sorted(path for path in (ROOT / "pretrained").iterdir() if path.is_dir()):
        with (folder / "eval.csv").open(newline="") as file:
            episodes = list(csv.DictReader(file))
        last = max(int(row["agent_steps"]) for row in episodes)
        final = [row for row in episodes if int(row["agent_steps"]) == last]
        score = one_decimal(statistics.fmean(float(row["episode_return"]) for row in final))
        row = final[0]
        rows.append(
            [
                f"[`{folder.name}/`](/pretrained/{folder.name})",
                row["env_id"],
                score,
                f"{len(final)}",
                f"`{row['protocol']}`, epsilon {float(row['epsilon']):g}",
                row["seed"],
                f"{last:,}",
            ]
        )
    head = ["folder", "environment", ">mean return", ">episodes", "protocol", ">seed", ">agent steps"]
    return table(head, rows)


SECTIONS: dict[str, Callable[..., str]] = {
    one.__name__: one
    for one in (
        *(agents, names, presets, choices, switches, heads, encoders, facts, protocols, worlds, imports),
        *(waterworld, family, cartpole, atari, scores, pretrained),
    )
}


# ------------------------------------------------------------------ pictures

WATERWORLD_TITLE = "Waterworld-v1: mean return over episodes of 1000 steps"


def plain(text: str) -> str:
    """Return a table without Markdown's marks: what its picture shows, and carries in its metadata."""
    return re.sub(r"[*`]|\]\([^)]*\)|\[", "", text)


def draw_waterworld() -> Figure:
    """Return the Waterworld table as a chart."""
    rows = bars()
    figure = Figure(figsize=(9, 0.9 + 0.42 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, bar in enumerate(rows):
        axes.barh(place, bar.mean, 0.66, color=OURS if bar.seeds else OTHERS)
        if bar.interval:
            axes.plot(bar.interval, (place, place), color=INK, linewidth=1.4)
        axes.plot(bar.seeds, [place] * len(bar.seeds), "o", markersize=5, markerfacecolor="white", markeredgecolor=INK)
        text = one_decimal(bar.mean) + (f"  ({seeds_text(bar.seeds)})" if bar.seeds else "")
        axes.text(max(bar.mean, *(bar.interval or (0.0,))) + 0.6, place, text, va="center", fontsize=9)
    axes.set_yticks(range(len(rows)), [bar.who for bar in rows])
    for label, bar in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if bar.seeds else "normal")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-0.6, 43)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlabel("bars: means; rings: seeds; lines: 95 % intervals (Student's t)")
    axes.set_title(WATERWORLD_TITLE, loc="left", fontweight="bold")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def save_picture(png: bytes, path: Path, content: str) -> None:
    """Write a picture with the text of what it shows."""
    info = PngInfo()
    info.add_itxt("Description", content)
    Image.open(io.BytesIO(png)).save(path, pnginfo=info, optimize=True)


def save_charts(folder: Path = ROOT / "docs") -> None:
    """Draw both charts of results."""
    data = io.BytesIO()
    draw_waterworld().savefig(data, dpi=130)
    save_picture(data.getvalue(), folder / "comparison.png", plain(waterworld()))
    data = io.BytesIO()
    RESULTS_TABLE["draw"](lines("family.csv"), data)
    save_picture(data.getvalue(), folder / "family.png", plain(family()))


PICTURES: dict[str, Callable[[], str]] = {"comparison.png": waterworld, "family.png": family}


def is_current(name: str) -> bool:
    """Return whether a chart in docs/ was drawn from the numbers of its table."""
    path = ROOT / "docs" / name
    if not path.exists():
        return False
    with Image.open(path) as picture:
        return bool(picture.info.get("Description") == plain(PICTURES[name]()))


def main() -> None:
    """Rewrite what is out of date, and print it."""
    for path in pages():
        text = rewritten(path)
        if text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8")
            print(f"rewritten: {path.relative_to(ROOT)}")
    if not all(is_current(name) for name in PICTURES):
        save_charts()
        print("drawn: " + ", ".join(f"docs/{name}" for name in PICTURES))


if __name__ == "__main__":
    main()
