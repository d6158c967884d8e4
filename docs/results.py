"""The tables of the pages that come from results/, for docs/generate.py; Atari's are in docs/atari_results.py."""

from __future__ import annotations

import csv
import functools
import re
import runpy
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

from common.files import ROOT
from learning.recipe import Recipe
from scores import references, shipped
from scores.atari.table import percent

RESULTS = ROOT / "results"
RESULTS_TABLE: dict[str, Any] = runpy.run_path(str(ROOT / "benchmarks" / "results_table.py"))
WATERWORLD = "tidepool/Waterworld-v1"
# In this file d3qn still has the name of its time: double, dueling and three-step returns were dqn's defaults then.
FORMER_NAMES = {"waterworld.csv": {"dqn": "d3qn"}}


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
    """Return a number as the tables show it; half is rounded up, as on paper, and zero has no sign."""
    return str(Decimal(str(round(value, 6))).quantize(Decimal("0.1"), ROUND_HALF_UP) + 0)


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
    if not (RESULTS / name).exists():  # not measured yet
        return []
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
PRESET_COMMANDS = {
    "default": "`python train.py`",
    **{name: f"`python train.py --preset {name}`" for name in ("long", "best")},
}


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


def lunarlander() -> str:
    """Return the table of results/lunarlander.csv."""
    return str(RESULTS_TABLE["markdown"](lines("lunarlander.csv")))


def scores(agent: str) -> str:
    """Return all scores of an agent in results/, with what makes them scores."""
    rows = []
    for name in ("waterworld.csv", "family.csv", "cartpole.csv", "lunarlander.csv", "atari.csv", "atari_replay.csv"):
        if not lines(name):
            continue
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
    """Return the agents that ship, with the scores of their last evaluation and how they were trained."""
    rows = []
    for one in shipped.agents():
        level = "" if one.level is None else f", {percent(one.level)} of human"
        steps = f"{one.agent_steps:,} agent steps" + (f", {one.minutes:.0f} minutes" if one.minutes else "")
        preset = "" if one.preset == "default" else f", preset {one.preset}"
        rows.append(
            [
                f"[`{one.name}/`](/pretrained/{one.name})",
                one.env_id,
                f"[{one.agent}](/docs/agents/{one.agent}.md){preset}",
                f"{one_decimal(one.mean)}{level}",
                str(one.episodes),
                f"`{one.protocol}`, epsilon {one.epsilon:g}",
                str(one.seed),
                steps,
                f"{one.weights}, {one.megabytes:.1f} MB",
            ]
        )
    head = ["folder", "environment", "agent", ">mean return", ">episodes", "protocol", ">seed", "training", "files"]
    return table(head, rows)
