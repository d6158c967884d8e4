"""Trackio, by its own client: a file on this machine, or a Space where TRACKIO_SPACE_ID names one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import trackio

from experiments.tracking.tracker import NOTHING, PROJECT, About, Lost, Status, Tracked

LOSSES = ("could not be persisted", "may be dropped", "could be lost")  # in warnings, which is how it says so


class Trackio:
    """A run there."""

    def __init__(self) -> None:
        self._lost, self._sent = "", False
        show = warnings.showwarning

        def showwarning(message: Warning | str, *more: Any, **named: Any) -> None:
            if any(words in str(message) for words in LOSSES):
                self._lost = str(message).split(". ")[0]
            show(message, *more, **named)

        warnings.showwarning = showwarning  # threads of its own warn

    def _check(self) -> None:
        if self._lost:
            raise Lost(self._lost)

    def begin(self, about: About, known: str | None) -> Tracked:
        """Begin, or go on with a run, which is found by its name."""
        name = known or about.folder.resolve().name
        self._run = trackio.init(
            PROJECT,
            name=name,
            group=about.tags.get("environment"),
            config={key: value for key, value in about.config.items() if not key.startswith("_")},
            resume="allow" if known else "never",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )
        reached = NOTHING if known and not self._is_kept() else None
        return Tracked(self._run.name, self._run.url or f"trackio show --project {PROJECT}", reached)

    def _is_kept(self) -> bool:
        """Return whether the run and its config are in this machine's file; trackio makes a new one where it is gone.

        Its config goes into the file with a process's first rows, and never again.
        """
        if self._run.url:  # it is in a Space
            return True
        try:
            return any(one.name == self._run.name and one.config for one in trackio.Api().runs(PROJECT))
        except ValueError:  # there is no file
            return False

    def log(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Take rows of metrics."""
        self._check()
        for row in rows:
            self._run.log(dict(row), step=int(row["agent_steps"]))
        self._sent = True

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Take a table."""
        self._run.log({name: trackio.Table(columns=list(columns), data=[list(row) for row in rows])})

    def film(self, path: Path) -> None:
        """Take a film."""
        self._run.log({"film": trackio.Video(str(path), caption=path.name)})

    def finish(self, status: Status) -> None:
        """Send what is left."""
        self._run.finish()
        self._check()
        if self._sent and not self._is_kept():
            raise Lost("its file was removed or damaged meanwhile")
