"""NaN or infinity in a loss, a gradient or a weight: the run ends and says where, or the update is left out."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from common.errors import UserError
from learning.fused import make_learner
from learning.trainer import Trainer
from tests.learning.helpers import RecordingWatcher
from tests.learning.helpers import trainer as small
from tests.tiny import CORRIDOR


def poisoned(run: Trainer, factor: float, *calls: int) -> None:
    """Multiply the losses of some updates, counted from 0."""
    recipe, made = run.learner.recipe, [0]

    def loss(*arguments: Any) -> Any:
        found = recipe.loss(*arguments)
        made[0] += 1
        return found._replace(per_sample=found.per_sample * factor) if made[0] - 1 in calls else found

    run.learner.recipe = dataclasses.replace(recipe, loss=loss)


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
@pytest.mark.parametrize("agent", ["double_dqn", "rainbow", "pqn", "stream_q"])
def test_an_update_that_is_not_finite_is_left_out_and_counted(agent: str, factor: float, tmp_path: Path) -> None:
    run = small(tmp_path, CORRIDOR, agent, on_nan="skip")
    poisoned(run, factor, 3, 5, 20)
    said: list[str] = []
    run.announce = said.append
    watcher = RecordingWatcher()
    assert run.run(watcher)
    assert run.learner.left_out == 3
    assert len([line for line in said if "--on-nan skip" in line]) == 1
    assert run.learner.strange_weights() == ""
    assert all(row["td_loss"] is None or row["td_loss"] >= 0 for row in watcher.rows)
    again = Trainer(run.plan, run.run_folder)
    again.load_state()
    assert again.learner.left_out == 3


def test_a_run_without_such_updates_is_the_same_with_either(tmp_path: Path) -> None:
    runs = [small(tmp_path / choice, CORRIDOR, "rainbow", on_nan=choice) for choice in ("stop", "skip")]
    for run in runs:
        run.run(RecordingWatcher())
    one, other = (run.learner.online.state_dict() for run in runs)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_stop_names_the_weights(tmp_path: Path) -> None:
    run = small(tmp_path, CORRIDOR, "rainbow")
    poisoned(run, float("nan"), 100)
    with pytest.raises(UserError, match=r"the loss became nan at update 101 .*; NaN or infinite are now .*\.weight"):
        run.run(RecordingWatcher())


def test_weights_are_looked_at_where_the_loss_is_finite(tmp_path: Path) -> None:
    run = small(tmp_path, CORRIDOR, "double_dqn")

    class Poisoner(RecordingWatcher):
        def progress(self, row: dict[str, Any]) -> None:
            if row["agent_steps"] == 100:  # before learning begins
                with torch.no_grad():
                    run.learner.parameters[0].view(-1)[:3] = float("inf")

    run.plan = dataclasses.replace(run.plan, evaluations=1)
    with pytest.raises(UserError, match=r"weights became NaN or infinite by .* \(3 of 80 values\)"):
        run.run(Poisoner())


def test_engines_that_cannot_leave_out_updates_are_not_taken(tmp_path: Path) -> None:
    run = small(tmp_path, CORRIDOR, "dqn", on_nan="skip")
    assert run.learner.engine == "torch"
    words = run.plan.recipe, run.plan.config, run.space, 2, 1
    with pytest.raises(UserError, match=r"--engine fused can't train this: it lacks --on-nan skip"):
        make_learner(*words, engine="fused")
