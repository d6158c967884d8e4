"""Summarise raw scores: one line per agent, its mean over seeds with a 95 % interval (Student's t over the seeds).

python benchmarks/results_table.py results/family.csv
python benchmarks/results_table.py results/family.csv --plot docs/family.png
"""

from __future__ import annotations

import argparse
import csv
import statistics
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from scores.stats import Interval, student_interval

INK, OURS = "#20242a", "#2f6fb3"


class Line(NamedTuple):
    """An agent's runs with one preset, in one environment, of the same length."""

    env_id: str
    agent: str
    preset: str
    agent_steps: int
    seeds: dict[int, float]
    """By seed: the mean over the episodes of the final evaluation."""
    wall_s: float
    """Mean over the runs."""

    @property
    def score(self) -> Interval:
        """The mean over seeds."""
        return student_interval(list(self.seeds.values()))


def lines(path: Path) -> list[Line]:
    """Return the lines of a file of raw scores, the best first."""
    runs: dict[tuple[str, str, str, int], dict[int, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            runs[row["env_id"], row["agent"], row["preset"], int(row["agent_steps"])][int(row["seed"])].append(row)
    found = []
    for key, seeds in runs.items():
        scores = {seed: statistics.fmean(float(row["episode_return"]) for row in rows) for seed, rows in seeds.items()}
        wall_s = statistics.fmean(float(rows[0]["wall_s"]) for rows in seeds.values())
        found.append(Line(*key, dict(sorted(scores.items())), wall_s))
    return sorted(found, key=lambda line: (line.env_id, -line.score.mean))


def markdown(found: list[Line]) -> str:
    """Return the table in Markdown."""
    head = "| agent | preset | agent steps | mean | 95 % | by seed | minutes |\n|---|---|---:|---:|---|---|---:|"
    rows = []
    for line in found:
        spread = "-" if line.score.ci95 is None else f"{line.score.ci95[0]:.1f} to {line.score.ci95[1]:.1f}"
        seeds = ", ".join(f"{score:.1f}" for score in line.seeds.values())
        rows.append(
            f"| `{line.agent}` | {line.preset} | {line.agent_steps:,} | {line.score.mean:.1f} | {spread} | {seeds}"
            f" | {line.wall_s / 60:.1f} |"
        )
    return "\n".join([head, *rows])


def draw(found: list[Line], path: Path) -> None:
    """Write a chart: a row per agent, with its interval and its seeds."""
    figure = Figure(figsize=(9, 1.2 + 0.34 * len(found)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, line in enumerate(found):
        if line.score.ci95:
            axes.plot(line.score.ci95, (place, place), color=INK, linewidth=1.4, zorder=2)
        axes.plot(
            list(line.seeds.values()),
            [place] * len(line.seeds),
            "o",
            markersize=5,
            markerfacecolor="white",
            markeredgecolor=INK,
            zorder=3,
        )
        axes.plot(line.score.mean, place, "D", color=OURS, markersize=6, zorder=4)
    axes.set_yticks(range(len(found)), [line.agent for line in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    steps = " and ".join(f"{count:,}" for count in sorted({line.agent_steps for line in found}))
    axes.set_xlabel(f"mean return after {steps} agent steps; rings: seeds; lines: 95 % intervals (Student's t)")
    axes.set_title(found[0].env_id, loc="left", fontweight="bold")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(color="#e3e6ea", linewidth=0.8)
    axes.set_axisbelow(True)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Print the table of a file, and draw its chart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    found = lines(arguments.results)
    print(markdown(found))
    if arguments.plot:
        draw(found, arguments.plot)


if __name__ == "__main__":
    main()
