"""Published Atari scores and learning curves, read from the CSV tables in ``data/``; each with its source.

A score needs its agent's row in ``atari_agents.csv`` to be interpreted: protocol, frames, baseline. The same sources
occur thousands of times, so each is stored once in ``atari_sources.csv``, as a template; see ``data/README.md``.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TypeVar

from common.errors import UserError
from scores.references import DATA

AGENTS_FILE, SCORES_FILE, CURVES_FILE, SOURCES_FILE = (
    "atari_agents.csv",
    "atari_scores.csv",
    "atari_curves.csv",
    "atari_sources.csv",
)
AGENT_COLUMNS = (
    "agent",
    "games",
    "frames",
    "sticky_actions",
    "protocol",
    "source",
    "baseline",
    "returns",
    "lineage",
)
SCORE_COLUMNS = ("game", "agent", "score", "source", "detail")
CURVE_COLUMNS = (
    "game",
    "agent",
    "source",
    "detail",
    "seeds_but_5",
)  # the name of every other column is a number of frames
SEEDS = 5  # of a point of a curve, unless the table has another number
Parsed = TypeVar("Parsed")


@dataclasses.dataclass(frozen=True)
class Agent:
    """A published agent (or human, or random play), with what is needed to interpret its scores."""

    name: str
    frames: int | None  # emulator frames of training; None: not stated, or not trained
    sticky: bool | None  # sticky actions of 0.25; None: not stated
    protocol: str
    source: str
    baseline: str  # the human baseline with the same protocol: "atari57" or "mnih2015"
    training_returns: bool  # the scores are returns during training, not of a separate evaluation
    lineage: str  # agents of one lineage are variants of one code base: statistically near duplicates


@dataclasses.dataclass(frozen=True)
class Curve:
    """A published learning curve."""

    points: dict[int, float]  # emulator frames of training -> score
    template: str
    detail: str
    seeds: dict[int, int]  # frames -> number of seeds, where that is not 5

    def source(self, frames: int) -> str:
        """Return the source of the score after ``frames``."""
        million = frames // 1_000_000
        seeds = self.seeds.get(frames, SEEDS)
        return self.template.format(*self.detail.split(), millions=million, iteration=million - 1, seeds=seeds)


@dataclasses.dataclass(frozen=True)
class Tables:
    """The Atari tables of ``data/``; the inner keys are ALE's names of games (``MsPacman``)."""

    agents: dict[str, Agent]
    scores: dict[str, dict[str, float]]  # agent -> game -> final score
    sources: dict[str, dict[str, str]]  # agent -> game -> source of the score
    curves: dict[str, dict[str, Curve]]  # agent -> game -> curve

    @property
    def games(self) -> list[str]:
        """Return every game that has a score, in alphabetical order."""
        return sorted({game for by_game in self.scores.values() for game in by_game})


@functools.cache
def load(folder: Path = DATA) -> Tables:
    """Return the tables of a folder.

    Raises:
        UserError: a file or column is missing, or a cell does not parse; the message has file, line and column.
    """
    texts = {row["source"]: row["text"] for _, row in _rows(folder / SOURCES_FILE, ("source", "text"))}
    agents = {row["agent"]: _agent(where, row) for where, row in _rows(folder / AGENTS_FILE, AGENT_COLUMNS)}
    scores: dict[str, dict[str, float]] = {}
    sources: dict[str, dict[str, str]] = {}
    for where, row in _rows(folder / SCORES_FILE, SCORE_COLUMNS):
        name = _one_of(where, row, "agent", agents)
        scores.setdefault(name, {})[row["game"]] = _cell(where, row, "score", _finite)
        text = texts[_one_of(where, row, "source", texts)]
        sources.setdefault(name, {})[row["game"]] = text.format(*row["detail"].split())
    curves: dict[str, dict[str, Curve]] = {}
    for where, row in _rows(folder / CURVES_FILE, CURVE_COLUMNS):
        name = _one_of(where, row, "agent", agents)
        points = {
            _frames(where, column): _cell(where, row, column, _finite)
            for column, cell in row.items()
            if column not in CURVE_COLUMNS and cell
        }
        template = texts[_one_of(where, row, "source", texts)]
        seeds = _cell(where, row, "seeds_but_5", _pairs)
        curves.setdefault(name, {})[row["game"]] = Curve(points, template, row["detail"], seeds)
    return Tables(agents, scores, sources, curves)


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield (file and line, cells) of a table; raise ``UserError`` if it is damaged."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            head = reader.fieldnames or []
            for column in columns:
                if column not in head:
                    raise UserError(f"{path}, line 1: column '{column}' is missing; there are {', '.join(head)}")
            for row in reader:
                where = f"{path}, line {reader.line_num}"
                short = next((column for column, cell in row.items() if cell is None), None)
                if short is not None or None in row:
                    raise UserError(f"{where}, column '{short or 'after the last'}': {len(head)} cells are needed")
                yield where, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"{path}: not readable ({reason})") from None


def _agent(where: str, row: dict[str, str]) -> Agent:
    sticky = _one_of(where, row, "sticky_actions", ("yes", "no", ""))
    return Agent(
        name=row["agent"],
        frames=_cell(where, row, "frames", int) if row["frames"] else None,
        sticky={"yes": True, "no": False, "": None}[sticky],
        protocol=row["protocol"],
        source=row["source"],
        baseline=_one_of(where, row, "baseline", ("atari57", "mnih2015")),
        training_returns=_one_of(where, row, "returns", ("training", "evaluation")) == "training",
        lineage=row["lineage"],
    )


def _cell(where: str, row: dict[str, str], column: str, parse: Callable[[str], Parsed]) -> Parsed:
    try:
        return parse(row[column])
    except ValueError:
        raise UserError(f"{where}, column '{column}': '{row[column]}' can't be parsed") from None


def _one_of(where: str, row: dict[str, str], column: str, allowed: Collection[str]) -> str:
    """Return a cell that must be one of the known names."""
    known = list(allowed)
    if row[column] not in known:
        few = ", ".join(f"'{name}'" for name in known[:4]) + (", ..." if len(known) > 4 else "")
        raise UserError(f"{where}, column '{column}': '{row[column]}' is not known; allowed: {few}")
    return row[column]


def _finite(cell: str) -> float:
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(cell)
    return value


def _frames(where: str, column: str) -> int:
    if not column.isdecimal() or int(column) < 1:
        raise UserError(
            f"{where}, column '{column}': is neither one of {', '.join(CURVE_COLUMNS)} nor a number of frames"
        )
    return int(column)


def _pairs(cell: str) -> dict[int, int]:
    """Parse ``100000000:4 200000000:3``."""
    return {int(frames): int(seeds) for frames, _, seeds in (pair.partition(":") for pair in cell.split())}
