"""The report of `compare.py`: one page, in which the best agent of each of our worlds plays."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import envs
from common.errors import MOST, UserError
from common.output import write_output
from common.text import shown
from scores import report
from scores.collect import mean_score
from scores.report import Player
from scores.runs import Run
from scores.selection import Selected
from viewer.playing import players
from viewer.web import live


def write(selected: Selected, path: Path) -> None:
    """Write the page of a comparison, and say so on stderr.

    Raises:
        UserError: the file can't be written.
    """
    pages, failed = pages_for(selected.runs)
    for line in failed:
        print(f"warning: {shown(line, MOST)}", file=sys.stderr)
    size = write_output("--report", path, report.make(selected, pages, path))
    print(f"report: {path}, {size / 1e6:.1f} MB", file=sys.stderr)


def pages_for(runs: Sequence[Run]) -> tuple[dict[str, Player], list[str]]:
    """Return a page for each of our worlds in which one of the runs has an agent, and a line on each that failed."""
    found: dict[str, Player] = {}
    failed: list[str] = []
    for run in sorted(runs, key=mean_score, reverse=True):
        if run.env_id in found or not envs.is_world(run.env_id) or not (run.path / "agent").is_dir():
            continue
        try:
            policy = players.load(run.path)
            rules = players.rules_for(run.env_id, policy)
            page = live.make(policy, rules, seed=1, epsilon=run.episodes[0].epsilon or 0.0, source=run.path)
        except UserError as error:
            failed.append(f"{run.path}: no player in the report ({error})")
            continue
        found[run.env_id] = Player(f"{run.title} (seed {run.seed}) in {run.env_id}", page)
    return found, failed
