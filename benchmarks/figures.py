"""From the turns of benchmarks/speed.py to its tables: medians, ratios, shares of the limit, and what bounds each."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.turns import ROOT, Result, Window

STORED = ROOT / "results" / "speed.json"
UNEQUAL = 0.02  # work that differs by more than this share is not compared


class Unit(NamedTuple):
    """How a figure is made of what was counted."""

    title: str
    counted: str
    scale: float = 1.0
    time: bool = False
    """Time for each, the less the better; else so many a second, the more the better."""


UNITS = {
    "steps/s": Unit("agent steps/s", "agent_steps"),
    "transitions/s": Unit("transitions/s", "transitions"),
    "ms/update": Unit("ms an update", "updates", 1e3, True),
    "us/call": Unit("µs", "calls", 1e6, True),
    "ms/frame": Unit("ms of work a frame", "frames", 1e3, True),
    "s": Unit("s", "starts", 1.0, True),
    "GFLOP/s": Unit("GFLOP/s", "gflop"),
    "GB/s": Unit("GB/s", "gigabytes"),
}


@dataclass
class Figure:
    """A row that was measured."""

    name: str
    title: str
    unit: str
    cores: int
    rest: str
    peerless: str
    commit: str
    date: str
    hardware: str
    results: list[Result] = field(default_factory=list)

    def of(self, role: str) -> list[Result]:
        """Return those with a role."""
        return [one for one in self.results if one.role == role]

    @property
    def full_title(self) -> str:
        """What it is, and on how many cores."""
        return self.title + (f", {self.cores} cores" if self.cores > 1 else "")

    @property
    def ours(self) -> Result | None:
        """Our own, where it ran."""
        return next((one for one in self.of("ours") if one.windows), None)


# ------------------------------------------------------------------ files


def load(path: Path = STORED) -> list[Figure]:
    """Return what was stored; nothing, where there is no file."""
    if not path.exists():
        return []
    figures = []
    for row in json.loads(path.read_text(encoding="utf-8"))["rows"]:
        results = [
            Result(**{**one, "windows": [Window(**window) for window in one["windows"]]}) for one in row["results"]
        ]
        figures.append(Figure(**{**row, "results": results}))
    return figures


def store(path: Path, figures: Iterable[Figure], order: Sequence[str]) -> None:
    """Write figures; of rows that were not measured now, the file's stay. ``order`` names all rows that there are."""
    every = {one.name: one for one in (*load(path), *figures)}
    rows = [asdict(every[name]) for name in order if name in every]
    for row in rows:
        for result in row["results"]:
            result["windows"] = [_rounded(window) for window in result["windows"]]
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    # a row a line: a new measurement of one changes one line
    text = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    unfinished.write_text(f'{{"rows": [\n{text}\n]}}\n', encoding="utf-8")
    unfinished.replace(path)


def _rounded(window: Mapping[str, Any]) -> dict[str, Any]:
    counts = {name: round(value, 6) for name, value in window["counts"].items()}
    return {"seconds": round(window["seconds"], 6), "cpu": round(window["cpu"], 6), "counts": counts}


# ------------------------------------------------------------------ arithmetic


def value(window: Window, unit: Unit, clock: str = "seconds") -> float:
    """Return one turn's figure, by the wall clock or by processor time ("cpu")."""
    took, count = window.cpu if clock == "cpu" else window.seconds, window.counts[unit.counted]
    return unit.scale * (took / count if unit.time else count / max(took, 1e-9))


def values(result: Result, unit: Unit, clock: str = "seconds") -> list[float]:
    """Return each turn's figure."""
    return [value(window, unit, clock) for window in result.windows]


def times_as_fast(ours: Result, other: Result, unit: Unit, clock: str = "seconds") -> float | None:
    """Return the median over the rounds of how many times as fast ours was; None: unequal work, or no pairs."""
    if not ours.windows or not other.windows or unequal(ours, other, unit):
        return None
    pairs = zip(values(ours, unit, clock), values(other, unit, clock), strict=False)
    return statistics.median(theirs / mine if unit.time else mine / theirs for mine, theirs in pairs)


def work(result: Result, unit: Unit) -> dict[str, float]:
    """Return the updates and samples for each of what the unit counts, over all turns."""
    base = sum(window.counts[unit.counted] for window in result.windows)
    counted = [key for key in ("updates", "samples") if key in result.windows[0].counts]
    return {key: sum(window.counts[key] for window in result.windows) / base for key in counted}


def unequal(ours: Result, other: Result, unit: Unit) -> str:
    """Return in what two differ in the work that they did; nothing: equal to within 2 %."""
    mine, theirs = work(ours, unit), work(other, unit)
    for key in mine.keys() & theirs.keys():
        if abs(mine[key] - theirs[key]) > UNEQUAL * max(mine[key], theirs[key]):
            what = UNITS_OF[unit.counted]
            return f"{key} {what}: {mine[key]:.4g} against {theirs[key]:.4g}; no ratio of unequal work"
    return ""


UNITS_OF = {"agent_steps": "an agent step", "updates": "an update"}


def parts(result: Result) -> dict[str, float]:
    """Return the share of the time that each part of ours took, the largest first."""
    seconds: dict[str, float] = {}
    for window in result.windows:
        for key, spent in window.counts.items():
            if key.startswith("part:"):
                seconds[key.removeprefix("part:")] = seconds.get(key.removeprefix("part:"), 0.0) + spent
    total = sum(seconds.values())
    return {name: spent / total for name, spent in sorted(seconds.items(), key=lambda item: -item[1]) if total}


# ------------------------------------------------------------------ tables

HEAD = (
    *("what", "unit", ">Tidepool", "beside it", ">its figure", ">times as fast", ">by CPU time"),
    ">CPU load, ours and its",
)


def lines(figures: Iterable[Figure]) -> list[list[str]]:
    """Return the table: each figure once, with a line for each peer and for the limit."""
    table = []
    for figure in figures:
        unit, ours = UNITS[figure.unit], figure.ours
        first = [figure.full_title, unit.title]
        first.append(spread(ours, unit) if ours else "-")
        beside = [one for one in figure.results if one.role != "ours"]
        for one in beside:
            name = f"limit: {one.label}" if one.role == "limit" else one.label
            cells = [name, spread(one, unit) if one.windows else "-"]
            cells += [_ratio(ours, one, unit), _ratio(ours, one, unit, "cpu"), _load(ours, one)]
            table.append([*first, *cells])
            first = ["", "", ""]
        if figure.peerless:
            table.append([*first, f"no peer: {figure.peerless}", "-", "-", "-", _load(ours, None)])
    return table


def _ratio(ours: Result | None, other: Result, unit: Unit, clock: str = "seconds") -> str:
    if ours is None:
        return "-"
    ratio = times_as_fast(ours, other, unit, clock)
    if ratio is None:
        return "-"
    return f"{ratio:.0%}" if other.role == "limit" else f"{ratio:.2f}"


def _load(ours: Result | None, other: Result | None) -> str:
    """Return processor seconds a second of wall clock: 1.00 is one core, busy all the time."""
    loads = [
        statistics.median(one.cpu / one.seconds for one in who.windows) for who in (ours, other) if who and who.windows
    ]
    return ", ".join(f"{load:.2f}" for load in loads) or "-"


def spread(result: Result, unit: Unit) -> str:
    """Return the median and, in brackets, the smallest and the largest."""
    found = values(result, unit)
    return f"{number(statistics.median(found))} ({number(min(found))} to {number(max(found))})"


def number(figure: float) -> str:
    """Return three significant digits, without an exponent."""
    if figure >= 1000:
        digits = 10 ** (len(str(int(figure))) - 3)
        return f"{round(figure / digits) * digits:,}"
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"


def notes(figures: Iterable[Figure]) -> list[str]:
    """Return a line for each that did not run, and for each comparison that was refused."""
    found = []
    for figure in figures:
        for one in figure.results:
            if one.missing:
                found.append(f"{figure.name}, {one.label}: {one.missing}")
            elif figure.ours and one.windows and (why := unequal(figure.ours, one, UNITS[figure.unit])):
                found.append(f"{figure.name}, {one.label}: {why}")
    return list(dict.fromkeys(found))


def bounds(figures: Iterable[Figure]) -> list[str]:
    """Return a sentence for each figure: how near it is to its limit, and what takes the rest."""
    found = []
    for figure in figures:
        unit, ours, words = UNITS[figure.unit], figure.ours, []
        if ours is None:
            continue
        for limit in figure.of("limit"):
            if (share := times_as_fast(ours, limit, unit)) is not None:
                rate = _rate(limit)
                words.append(f"{limit.label} would take {share:.0%} of its time{rate}")
        if shares := parts(ours):
            words.append("of its own time " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
        if figure.rest:
            words.append(f"the rest: {figure.rest}" if figure.of("limit") else figure.rest)
        if words:
            found.append(f"{figure.full_title}: {'; '.join(words)}.")
    return found


def _rate(limit: Result) -> str:
    """Return at which rate matrix products were computed."""
    rates = [window.counts["flop"] / window.seconds / 1e9 for window in limit.windows if "flop" in window.counts]
    return f", at {statistics.median(rates):.0f} GFLOP/s" if rates else ""


# ------------------------------------------------------------------ the page


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a column whose name starts with ``>`` is aligned right."""
    rule = "|".join("---:" if name.startswith(">") else "---" for name in head)
    text = [f"| {' | '.join(name.removeprefix('>') for name in head)} |", f"|{rule}|"]
    return "\n".join([*text, *(f"| {' | '.join(row)} |" for row in rows)])


def speed(group: str) -> str:
    """Return the table of a group of rows, as it is stored; section ``speed`` of docs/performance.md."""
    return markdown(HEAD, lines(one for one in load() if one.name.split("/")[0] == group))


def speed_bounds() -> str:
    """Return what bounds each figure, and what did not run."""
    figures = load()
    return "\n".join(f"- {line}" for line in [*bounds(figures), *notes(figures)])


def speed_measured() -> str:
    """Return when, where and with what the stored figures were measured."""
    figures = load()
    versions: dict[str, str] = {}
    for figure in figures:
        for result in figure.results:
            versions |= result.versions
    when = sorted({(one.date[:10], one.commit) for one in figures})
    where = sorted({one.hardware for one in figures})
    measured = ", ".join(f"{date} from commit {commit}" for date, commit in when)
    libraries = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    return f"Measured on {'; '.join(where)}; {measured}; with {libraries}."
