"""The tables and charts of the pages that come from results/: used by docs/generate.py.

Each chart is drawn from the numbers of its table, which the picture carries in its metadata, so that a test can compare
them.
"""

from __future__ import annotations

import csv
import functools
import io
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

from common.files import ROOT
from learning.recipe import Recipe
from scores import references
from scores.atari.normalization import game_of, published

RESULTS = ROOT / "results"
RESULTS_TABLE: dict[str, Any] = runpy.run_path(str(ROOT / "benchmarks" / "results_table.py"))
WATERWORLD = "tidepool/Waterworld-v1"
# In this file d3qn still has the name of its time: double, dueling and three-step returns were dqn's defaults then.
FORMER_NAMES = {"waterworld.csv": {"dqn": "d3qn"}}
INK, OURS, OTHERS = "#20242a", "#2f6fb3", "#c9ced6"


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
        took = f"{line.wall_s:.0f} seconds" if line.wall_s < 100 else f"{line.wall_s / 60:.0f} minutes"
        training = f"{took}, {line.agent_steps:,} agent steps"
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
