"""Weights & Biases, by its own client; WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY and WANDB_DIR are its own variables."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import wandb

from experiments.tracking.tracker import NOTHING, About, Lost, Status, Tracked, project

SECONDS = 30.0  # that a connection may take


class Wandb:
    """A run there."""

    def begin(self, about: About, known: str | None) -> Tracked:
        """Begin, or go on with a run; offline that is another file of the same run."""
        settings = wandb.Settings(console="off", silent=True, disable_git=True, init_timeout=SECONDS)
        self._run = wandb.init(
            project=project("WANDB_PROJECT"),
            id=known,
            resume="allow" if known else None,
            name=about.title,
            config=dict(about.config),
            tags=[value[:64] for value in about.tags.values()],
            allow_val_change=True,
            settings=settings,
        )
        self._written = False
        self._run.define_metric("agent_steps")
        self._run.define_metric("*", step_metric="agent_steps")
        where = self._run.url or f"wandb sync {self._run.settings.sync_dir}"
        return Tracked(self._run.id, where, None if known is None else self._reached())

    def _reached(self) -> float | None:
        """Return up to where the server has rows: `log` only puts them into a queue, which a kill empties."""
        if getattr(self._run, "offline", False):
            return None
        return float(self._run.summary.get("agent_steps", NOTHING))

    def log(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Take rows of metrics."""
        self._check()
        for row in rows:
            self._run.log(dict(row))

    def _check(self) -> None:
        """Raise `Lost` if the file of an offline run was there and is gone; wandb itself would go on."""
        if getattr(self._run, "offline", False):
            path = self._run.settings.sync_file
            if self._written and not os.path.exists(path):
                raise Lost(f"{path} is gone")
            self._written = os.path.exists(path)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Take a table."""
        self._run.log({name: wandb.Table(columns=list(columns), data=[list(row) for row in rows])})

    def film(self, path: Path) -> None:
        """Take a film, as a file and as an artefact."""
        artifact = wandb.Artifact(f"film-{self._run.id}", type="film")
        artifact.add_file(str(path))
        self._run.log_artifact(artifact)

    def finish(self, status: Status) -> None:
        """Send what is left."""
        self._check()
        self._run.summary["status"] = status
        self._run.finish(exit_code=1 if status == "killed" else 0)
