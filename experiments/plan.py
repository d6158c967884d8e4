"""A plan: a list of runs, each an environment, agent, preset, settings and seed; written to a file, and read back.

Nothing here loads PyTorch: a sweep's own process stays small.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from common import imports
from common.checked import AtMost, Name
from common.errors import UserError
from common.files import write_json
from common.reading import checked, read_json
from common.settings import Between, option_name
from experiments.planned import PlannedRun
from experiments.search_space import Dimension

FORMAT = 1
FILE = "plan.json"
CONFIGURATION = "configuration.json"  # in the folder of each configuration: what its runs have in common
PLAN_BYTES = 64_000_000
LONGEST_NAME, SHORT_NAME = 100, 60  # characters of a folder's name; of one to which something is added
Seed = Annotated[int, Between(0, 2**32 - 1)]
Kind = Literal["list", "grid", "search", "ablation"]


@dataclass(frozen=True)
class Configuration:
    """What the runs of several seeds have in common."""

    env_id: Name
    agent: Name
    preset: Name
    settings: Annotated[dict[str, Any], AtMost(1_000)] = field(default_factory=dict)
    """The agent's settings and the run's options that differ from their defaults, by name, as JSON's types."""
    label: Name = ""
    """What it is called, and its folder; "": environment, agent, and its settings."""

    @property
    def words(self) -> list[str]:
        """The command line of `train.py`, except seed and runs folder."""
        return [self.env_id, "--agent", self.agent, "--preset", self.preset, *words(self.settings), *imports.words()]

    def described(self) -> dict[str, Any]:
        """Return it as JSON's types, without the label."""
        return {"env_id": self.env_id, "agent": self.agent, "preset": self.preset, "settings": self.settings}

    @property
    def folder(self) -> str:
        """The name of its folder, which depends on nothing else in the plan."""
        if self.label:
            return safe_name(self.label)
        own = changes(self.settings, reversed(list(self.settings)))  # those that vary come last
        name = safe_name(f"{self.env_id} {self.agent} {own}", SHORT_NAME)
        return f"{name}-{digest([self.preset, self.settings])}"


@dataclass(frozen=True)
class Entry(Configuration):
    """One run of a plan file."""

    seed: Seed = 1


@dataclass(frozen=True)
class Row:
    """One run of a plan, and where it goes."""

    number: int
    """From 1 on, in the order of the plan."""
    configuration: Configuration
    label: str
    """What its configuration is called beside the others of the plan."""
    run: PlannedRun

    @property
    def seed(self) -> int:
        """Its seed."""
        return self.run.seed

    @property
    def name(self) -> str:
        """How it is reported."""
        return f"{self.label}, seed {self.seed}"

    @property
    def total(self) -> int:
        """Agent steps that it is planned to have, 0 if that is left to its preset."""
        value = self.configuration.settings.get("total_timesteps", 0)
        return value if isinstance(value, int) else 0

    @property
    def words(self) -> list[str]:
        """The command line of `train.py` that starts it."""
        folder = ["--seed", str(self.seed), "--runs-dir", str(self.run.folder)]
        # many runs, none of which is extended: their states would fill the disk
        return [*self.configuration.words, *folder, "--keep-state", "no"]


@dataclass(frozen=True)
class Plan:
    """All that is to be trained, in order."""

    out: Path
    """The folder of the runs."""
    entries: tuple[Entry, ...]
    kind: Kind = "list"
    varied: tuple[str, ...] = ()
    """Settings of a grid or a search."""

    @cached_property
    def rows(self) -> list[Row]:
        """Every run with its place; seeds of a configuration share a folder."""
        labels = labelled(self.entries)
        return [
            Row(number, one, label, PlannedRun(self.out / one.folder, one.seed))
            for number, (one, label) in enumerate(zip(self.entries, labels, strict=True), 1)
        ]

    @property
    def configurations(self) -> dict[Path, list[Row]]:
        """The runs of each configuration, by its folder."""
        found: dict[Path, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.run.folder, []).append(row)
        return found

    def write(self, path: Path | None = None) -> None:
        """Write the plan file; `UserError` where that is not possible."""
        runs = [
            {**one.described(), "seed": one.seed, **({"label": one.label} if one.label else {})} for one in self.entries
        ]
        value = {"format": FORMAT, "kind": self.kind, "varied": list(self.varied), "imports": list(imports.IMPORTED)}
        path = path or self.out / FILE
        try:
            write_json(path, {**value, "runs": runs})
        except OSError as error:
            raise UserError(f"{path}: can't be written ({error.strerror})") from None


@dataclass(frozen=True)
class Needs:
    """What the largest run of a plan takes."""

    bytes: float = 0.0
    """Of memory for its replay or rollout."""
    pictures: bool = False
    """It learns from pictures, which a GPU is good for."""
    gpu: bool = False
    """It will learn on this machine's GPU."""
    gains_from_threads: bool = False


@dataclass(frozen=True)
class Planned:
    """A plan, and what else the process that executes it must know; it loads none of the libraries."""

    plan: Plan
    needs: Needs = Needs()
    threads: int | None = None
    """CPU threads of each run, as asked for."""
    imports: tuple[str, ...] = ()
    search: tuple[Dimension, ...] = ()
    """What a search varies; its plan has the one run that all trials are made of, a seed each."""
    about: str = ""
    """The plan in one line."""
    track: str | None = None
    """The tracker that each run is sent to."""
    only: frozenset[int] | None = None
    """The numbers of the plan's runs that are to be executed now; None: all."""

    @property
    def tracking(self) -> list[str]:
        """The words that each run is started with for that."""
        return [] if self.track is None else ["--track", self.track]


def words(settings: Mapping[str, Any]) -> list[str]:
    """Return settings, as JSON has them, as the words of a command line: ``["--n-step", "3", "--no-double"]``."""
    line: list[str] = []
    for name, value in settings.items():
        if isinstance(value, bool):
            line.append(option_name(name if value else f"no_{name}"))
        else:
            line += [option_name(name), *map(str, value if isinstance(value, list | tuple) else [value])]
    return line


def shown_value(value: Any) -> str:
    """Return a setting's value as it is typed."""
    if isinstance(value, float):
        return f"{value:g}"
    return (
        ",".join(map(str, value))
        if isinstance(value, list | tuple)
        else str(value).lower()
        if value is None
        else str(value)
    )


def changes(settings: Mapping[str, Any], names: Iterable[str]) -> str:
    """Return what some settings are, in words: ``n_step 3, no double``."""
    parts = []
    for name in names:
        if name in settings:
            value = settings[name]
            spelt = option_name(name)[2:]
            parts.append(
                (spelt if value else f"no {spelt}") if isinstance(value, bool) else f"{spelt} {shown_value(value)}"
            )
    return ", ".join(parts)


def labelled(entries: Sequence[Configuration]) -> list[str]:
    """Return what each entry is called: its own label, else environment, agent and the settings that not all have."""
    names = {name for one in entries for name in one.settings}
    first = {name: json.dumps(entries[0].settings.get(name)) for name in names} if entries else {}
    varying = {name for name in names if any(json.dumps(one.settings.get(name)) != first[name] for one in entries)}
    presets = {(one.env_id, one.agent): set[str]() for one in entries}
    for one in entries:
        presets[one.env_id, one.agent].add(one.preset)
    found = []
    for one in entries:
        preset = f" {one.preset}" if len(presets[one.env_id, one.agent]) > 1 else ""
        own = changes(one.settings, [name for name in one.settings if name in varying])
        found.append(one.label or f"{one.env_id} {one.agent}{preset}" + (f", {own}" if own else ""))
    return found


def safe_name(label: str, most: int | None = None) -> str:
    """Return a label as the name of a folder; of more than ``most`` characters the end is cut off."""
    name = re.sub(r"[^A-Za-z0-9.=-]+", "_", label.replace("/", "-")).strip("_.") or "_"
    if most is None and len(name) > LONGEST_NAME:  # what is cut off still tells them apart
        return f"{name[:LONGEST_NAME].rstrip('_.')}-{digest(label)}"
    return name[:most].rstrip("_.")


def digest(values: Any) -> str:
    """Return eight characters that stand for some JSON."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


# ------------------------------------------------------------------ the file


@dataclass(frozen=True)
class _File:
    """A plan file."""

    format: int
    runs: Annotated[tuple[Entry, ...], AtMost(100_000)]
    kind: Kind = "list"
    varied: Annotated[tuple[Name, ...], AtMost(1_000)] = ()
    imports: Annotated[tuple[Name, ...], AtMost(100)] = ()


def read(path: Path, run: bool = True) -> Plan:
    """Return the plan in a file, or in the folder of a sweep; its runs go beside a file named ``plan.json``.

    Args:
        path: of the file or folder.
        run: whether its runs are to be started, and not only looked at.

    Raises:
        UserError: there is none, it is damaged, empty, or needs modules that were not imported.
    """
    path = path / FILE if path.is_dir() else path
    try:
        about = read_json(path, PLAN_BYTES)
    except UserError as error:
        raise UserError(f"--plan {error}") from None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise UserError(f'--plan {path}: not a plan of this version, which has "format": {FORMAT} and "runs"')
    try:
        file: _File = checked(path, about, _File)
    except UserError as error:
        raise UserError(f"--plan {error}") from None
    if not file.runs:
        raise UserError(f"--plan {path}: it has no runs")
    if missing := [name for name in file.imports if run and name not in imports.IMPORTED]:
        # a file never makes the program import a module
        raise UserError(f"--plan {path} needs modules of yours: add --import {' --import '.join(missing)}")
    out = path.parent if path.name == FILE else Path("sweeps") / path.stem
    return Plan(out, unique(file.runs), file.kind, file.varied)


def unique(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return the runs, each once."""
    found: dict[str, Entry] = {}
    for one in entries:
        found.setdefault(json.dumps([one.described(), one.label, one.seed], sort_keys=True), one)
    return tuple(found.values())


# ------------------------------------------------------------------ the folder


def prepare(plan: Plan, known: bool = False) -> None:
    """Make the folders and write the plan, or check that what is there was made by the same one.

    Args:
        plan: the plan.
        known: the folder is known to be the plan's, also without a plan file.

    Raises:
        UserError: the folder is something else, or holds runs of other settings, or nothing can be written.
    """
    out = plan.out
    if not known and out.exists() and not (out / FILE).exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: not empty and not a sweep; choose a new or empty folder")
    for folder, rows in plan.configurations.items():
        about, path = rows[0].configuration.described(), folder / CONFIGURATION
        if any(row.configuration.described() != about for row in rows):
            raise UserError(f"two configurations of the plan have the label {folder.name}; name them differently")
        if path.exists() and (before := read_json(path)) != about:
            raise UserError(f"{folder} was trained with {_difference(before, about)}; choose another --out or label")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                write_json(path, about)
        except OSError as error:
            raise UserError(f"--out {out}: can't be written ({error.strerror})") from None
    plan.write()


def _difference(before: Any, now: Mapping[str, Any]) -> str:
    """Return the first thing in which a configuration differs from the one that is there: ``--gamma 0.9, not 0.99``."""
    if not isinstance(before, dict) or not isinstance(before.get("settings"), dict):
        return "other settings (its file is damaged)"
    for name in ("env_id", "agent", "preset"):
        if before.get(name) != now[name]:
            return f"{option_name(name)} {before.get(name)}, not {now[name]}"
    old, new = before["settings"], now["settings"]
    name = next(name for name in [*old, *new] if name not in old or name not in new or old[name] != new[name])
    shown = [shown_value(one[name]) if name in one else "its default" for one in (old, new)]
    return f"{option_name(name)} {shown[0]}, not {shown[1]}"


def seeds_of(text: str) -> list[int]:
    """Return the seeds that ``1-3``, ``1,4,7`` or a mixture of them names; a number alone is how many: 3 is 1-3.

    Raises:
        UserError: it is none of these, or no seed.
    """
    if re.fullmatch(r"\d+", text):
        text = f"1-{text}"
    found: list[int] = []
    for part in filter(None, text.split(",")):
        match = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", part.strip())
        if match is None:
            raise UserError(f"--seeds {text}: '{part}' is not a seed; write 1-3, 1,4,7, or 3 for seeds 1 to 3")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UserError(f"--seeds {text}: {part} is upside down; write {last}-{first}")
        if last > 2**32 - 1 or last - first >= 100_000:
            raise UserError(f"--seeds {text}: {part} is out of range; allowed: 0 to {2**32 - 1:,}, 100,000 of them")
        found += range(first, last + 1)
    if not found:
        raise UserError(f"--seeds '{text}': no seeds; write 1-3, 1,4,7, or 3 for seeds 1 to 3")
    return list(dict.fromkeys(found))
