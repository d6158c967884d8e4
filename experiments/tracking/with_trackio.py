"""Trackio, by its own client: a file on this machine, or a Space where TRACKIO_SPACE_ID names one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import trackio

from experiments.tracking.tracker import PROJECT, About, Status, Tracked


class Trackio:
    """A run there."""

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
        return Tracked(self._run.name, self._run.url or f"trackio show --project {PROJECT}")

    def log(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Take rows of metrics."""
        for row in rows:
            self._run.log(dict(row), step=int(row["agent_steps"]))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Take a table."""
        self._run.log({name: trackio.Table(columns=list(columns), data=[list(row) for row in rows])})

    def film(self, path: Path) -> None:
        """Take a film."""
        self._run.log({"film": trackio.Video(str(path), caption=path.name)})

    def finish(self, status: Status) -> None:
        """Send what is left."""
        self._run.finish()
