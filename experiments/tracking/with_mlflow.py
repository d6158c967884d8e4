"""MLflow, by its own client: where MLFLOW_TRACKING_URI says, else its own default here."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# a server that does not answer is said after seconds, and not after its own minutes; it is asked again all the same
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

# isort: split
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from experiments.tracking.tracker import NOTHING, About, Status, Tracked, project

STATUS = {"finished": "FINISHED", "stopped": "KILLED", "killed": "FAILED"}
AT_ONCE = 100  # parameters; of metrics it takes 1,000
LONGEST = 500  # characters of a parameter, which older servers take


class Mlflow:
    """A run there."""

    def begin(self, about: About, known: str | None) -> Tracked:
        """Begin, or go on with a run."""
        self._client = MlflowClient()
        there = known is not None and self._goes_on(known)
        if not there:
            self._create(about)
        uri = self._client.tracking_uri
        where = uri if uri.startswith("http") else f"mlflow ui --backend-store-uri {uri}"
        return Tracked(self._id, where, None if there else NOTHING)

    def _goes_on(self, known: str) -> bool:
        """Go on with a run; return False where the server, or the file, has lost it."""
        self._id = known
        try:
            self._client.update_run(known, status="RUNNING")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        return True

    def _create(self, about: About) -> None:
        name = project("MLFLOW_EXPERIMENT_NAME")
        experiment = self._client.get_experiment_by_name(name)
        where = experiment.experiment_id if experiment else self._client.create_experiment(name)
        tags: dict[str, Any] = {**about.tags, "mlflow.source.git.commit": str(about.config.get("commit"))}
        self._id = self._client.create_run(where, run_name=about.title, tags=tags).info.run_id
        params = [Param(key, _text(value)) for key, value in about.config.items()]
        for at in range(0, len(params), AT_ONCE):
            self._client.log_batch(self._id, params=params[at : at + AT_ONCE])

    def log(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Take rows of metrics."""
        now = int(time.time() * 1000)
        metrics = [Metric(key, value, now, int(row["agent_steps"])) for row in rows for key, value in row.items()]
        for at in range(0, len(metrics), 1_000):
            self._client.log_batch(self._id, metrics=metrics[at : at + 1_000])

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Take a table, in the form that MLflow's pages show."""
        path = f"{name}.json"
        self._client.log_dict(self._id, {"columns": list(columns), "data": [list(row) for row in rows]}, path)
        listed = [{"path": path, "type": "json"}]
        known = json.loads(self._client.get_run(self._id).data.tags.get("mlflow.loggedArtifacts", "[]"))
        tag = RunTag("mlflow.loggedArtifacts", json.dumps([one for one in known if one not in listed] + listed))
        self._client.log_batch(self._id, tags=[tag])

    def film(self, path: Path) -> None:
        """Take a film."""
        self._client.log_artifact(self._id, str(path), "films")

    def finish(self, status: Status) -> None:
        """Say how the run ended."""
        self._client.set_terminated(self._id, STATUS[status])


def _text(value: Any) -> str:
    return str(value)[:LONGEST]
