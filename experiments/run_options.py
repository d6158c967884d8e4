"""The options of runs.py."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from common.errors import UserError, suggestion
from common.text import shown
from experiments.run_status import PLACES, State, Status, find, status_of
from experiments.tracking.tracker import Name
from scores.finding import find_all

COMMANDS = ("list", "show", "prune", "export", "track")


@dataclasses.dataclass(frozen=True)
class Options:
    """What is done with which runs."""

    words: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[COMMAND] [RUN ...]")] = ()
    """list (the default), show, prune, export or track; then runs: a folder, "newest", a name, its start or end."""
    env_id: str | None = None
    """Only this environment, as Waterworld-v1 or ALE/Pong-v5."""
    agent: str | None = None
    """Only this agent."""
    state: State | None = None
    """Only runs in this state."""
    name: str | None = None
    """Only the run that was given this name by train.py --name."""
    runs_dir: Path | None = None
    """Where to look; by default runs, sweeps and ablations in the current folder."""
    format: Literal["table", "json", "csv"] = "table"
    """How a list is printed."""
    whole: bool = False
    """prune: remove agents, scores and curves too, and not only what resuming needs."""
    yes: bool = False
    """prune: don't ask."""
    out: Path | None = None
    """export: the file to write; by default the run's name and .zip, here."""
    with_state: bool = False
    """export: with what resuming needs, which may be gigabytes."""
    overwrite: bool = False
    """export: replace a file."""

    track: Name | None = None
    """track: send the run there; by default to where it was tracked before."""

    @property
    def command(self) -> str:
        """What is to be done."""
        return self.words[0] if self.words and self.words[0] in COMMANDS else "list"

    @property
    def names(self) -> tuple[str, ...]:
        """The runs that are named."""
        return self.words[1:] if self.words and self.words[0] in COMMANDS else self.words

    def check(self) -> None:
        """Raise `UserError` for options that belong to another command."""
        own = {"whole": "prune", "yes": "prune", "out": "export", "with_state": "export", "overwrite": "export"}
        own |= {"track": "track"}
        for name, command in own.items():
            if getattr(self, name) and self.command != command:
                raise UserError(f"--{name.replace('_', '-')} belongs to python runs.py {command}")
        if self.runs_dir is not None and not self.runs_dir.is_dir():
            raise UserError(f"--runs-dir {self.runs_dir}: no such folder")

    def selected(self) -> list[Status]:
        """Return the runs that are meant, the oldest first.

        Raises:
            UserError: a named one is not there; no run has what an option asks for, but some have what is spelt alike.
        """
        places = [Path(place) for place in PLACES] if self.runs_dir is None else [self.runs_dir]
        paths = find_all(places)
        if self.names:
            paths = list(dict.fromkeys(path for word in self.names for path in find(word, paths, self._commands)))
        known = [status_of(path) for path in paths]
        runs = [run for run in known if self._fits(run)]
        if not runs:
            self._check_spelling(known)
        return sorted(runs, key=lambda run: (run.started, run.path.name))

    @property
    def _commands(self) -> tuple[str, ...]:
        """What a word that is no run may have been meant for."""
        return COMMANDS if self.command == "list" else ()

    def _fits(self, run: Status) -> bool:
        return (
            (self.env_id is None or self.env_id.casefold() in _names_of(run.env_id))
            and self.agent in (None, run.agent)
            and self.state in (None, run.state)
            and self.name in (None, run.name)
        )

    def _check_spelling(self, known: Sequence[Status]) -> None:
        from agents.registry import AGENTS  # loads torch, and is needed here only

        for option, value, names, right in (
            ("--env-id", self.env_id, [_game(run.env_id) for run in known], []),
            ("--agent", self.agent, [run.agent for run in known], AGENTS),
            ("--name", self.name, [run.name for run in known], []),
        ):
            if value is None or value in names or value in right:
                continue
            if (hint := suggestion(_game(value), names)).startswith("did you mean"):
                raise UserError(shown(f"{option} {value}: no run here has it; {hint}"))

    @property
    def narrowed(self) -> bool:
        """Whether some runs were meant, and not just all."""
        return bool(self.names or self.env_id or self.agent or self.state or self.name)

    def one(self) -> Status:
        """Return the one run that is meant; `UserError` where it is none or several."""
        if not self.narrowed:
            raise UserError(f"python runs.py {self.command} needs a run; python runs.py lists them")
        runs = self.selected()
        if len(runs) != 1:
            few = ", ".join(run.path.name for run in runs[:3])
            found = f"{len(runs)} runs: {few}" + (", ..." if len(runs) > 3 else "") if runs else "no run"
            raise UserError(shown(f"python runs.py {self.command} takes one run, and these words mean {found}"))
        return runs[0]


def _game(name: str) -> str:
    """Return a name without namespace and version: two environments are not alike for ending in -v1."""
    return re.sub(r"-v\d+$", "", name.split("/")[-1])


def _names_of(env_id: str) -> tuple[str, ...]:
    """Return how an environment may be called: ALE/Pong-v5, Pong-v5, Pong."""
    short = env_id.split("/")[-1]
    return tuple(name.casefold() for name in (env_id, short, short.rpartition("-v")[0]))
