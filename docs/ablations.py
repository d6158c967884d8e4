"""What each part of an agent is worth: table and chart from the episodes that ablate.py writes, for docs/generate.py.

``results/ablation_<agent>.csv`` is a copy of the ablation's ablation.csv. Before it is there, its section is empty.
"""

from __future__ import annotations

import csv
import statistics
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from docs.results import RESULTS
from experiments import ablation_chart, ablation_table
from experiments.ablation import Ablation, VariantScore
from experiments.ablation_plan import read_command_line
from experiments.variants import FULL
from scores.references import metric
from scores.stats import bootstrap_interval

AGENTS = ("rainbow", "btr")
Seeds = Mapping[int, list[dict[str, str]]]


def read(path: Path) -> Ablation | None:
    """Return the ablation in a file of episodes, the largest loss first after the full recipe; None without a file."""
    if not path.exists():
        return None
    runs: dict[str, dict[int, list[dict[str, str]]]] = defaultdict(lambda: defaultdict(list))
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        runs[row["variant"]][int(row["seed"])].append(row)
    first = rows[0]
    full = _means(runs[FULL])
    plan = read_command_line([first["env_id"], "--agent", first["agent"], "--preset", first["preset"]])
    typed = {one.name: " ".join(one.changes) for one in plan.variants}
    others = [_variant(name, seeds, full, typed[name]) for name, seeds in runs.items() if name != FULL]
    others.sort(key=lambda one: (one.difference is None, one.difference.mean if one.difference else 0.0, one.name))
    steps = sorted({int(row["agent_steps"]) for row in rows})
    episodes = sorted({len(episodes) for seeds in runs.values() for episodes in seeds.values()})
    return Ablation(
        title=f"{first['agent']} in {first['env_id']}: what each part is worth",
        about=f"preset {first['preset']}, {' to '.join(f'{one:,}' for one in steps)} agent steps,"
        f" final evaluation of {' to '.join(map(str, episodes))} episodes, protocol {first['protocol']}",
        metric=metric(first["env_id"]).name,
        variants=[_variant(FULL, runs[FULL], full), *others],
        remarks=[
            "95 % intervals: a bootstrap over the seeds' means; with fewer than five seeds they are too narrow.",
            "A difference whose interval contains 0 may be chance. No setting was tuned again without a part.",
        ],
        rows=[],
    )


def _means(seeds: Seeds) -> dict[int, float]:
    return {seed: statistics.fmean(float(row["episode_return"]) for row in rows) for seed, rows in seeds.items()}


def _variant(name: str, seeds: Seeds, full: Mapping[int, float], changes: str = "") -> VariantScore:
    scores, is_full = _means(seeds), name == FULL
    pairs = [] if is_full else [score - full[seed] for seed, score in scores.items() if seed in full]
    first = [rows[0] for rows in seeds.values()]
    return VariantScore(
        name=name,
        changes=changes,
        is_full=is_full,
        scores=scores,
        score=bootstrap_interval(list(scores.values())) if scores else None,
        difference=bootstrap_interval(pairs) if pairs else None,
        agent_steps=max((int(row["agent_steps"]) for row in first), default=None),
        frames=max((int(row["frames"]) for row in first), default=None),
        wall_s=statistics.fmean(float(row["wall_s"]) for row in first) if first else None,
    )


def of(agent: str) -> Path:
    """Return the file of an agent's ablation."""
    return RESULTS / f"ablation_{agent}.csv"


def ablation(agent: str) -> str:
    """Return the section of an agent's ablation; empty before it was measured."""
    found = read(of(agent))
    return "" if found is None else ablation_table.as_markdown(found, f"/docs/ablation_{agent}.png").strip()


def draw(agent: str) -> Figure:
    """Return the chart of an agent's ablation."""
    found = read(of(agent))
    assert found is not None
    return ablation_chart.draw(found)
