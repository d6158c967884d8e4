"""Ape-X: what actors send, how the replay takes it, and that a run of them learns and goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents import recipe
from common.errors import UserError
from learning.apex import Actor, ActorPlan, ApexTrainer, ChunkReplay, LocalFleet, ladder, td_errors
from learning.config import numpy_generator
from learning.runfolder import RunFolder
from tests.learning.helpers import RecordingWatcher, plan
from tests.tiny import CORRIDOR, Corridor

ACTORS = 2


def make(
    place: Path | None, env_id: str = CORRIDOR, agent: str = "d3qn", **settings: Any
) -> tuple[ApexTrainer, LocalFleet]:
    """Return a run of two actors in this process."""
    planned = plan(env_id, agent, **{"num_envs": 4, "total_timesteps": 2_000, **settings})
    actors = ActorPlan(planned.env_id, planned.recipe, planned.config, planned.seed, ACTORS, chunk_steps=10)  # type: ignore[arg-type]
    fleet = LocalFleet(actors)
    folder = None if place is None else RunFolder.create(place, env_id, agent, 1, {})
    return ApexTrainer(planned, folder, fleet, actors), fleet


def test_epsilons_fall_along_a_ladder() -> None:
    np.testing.assert_allclose(ladder(1), [0.4])
    np.testing.assert_allclose(ladder(8)[[0, 7]], [0.4, 0.4**8])
    np.testing.assert_allclose(ladder(3)[1], 0.4**4.5)


def test_no_actor_explores_less_than_the_schedule_says() -> None:
    run, fleet = make(None, num_envs=4, epsilon_start=1.0, epsilon_final=0.2, epsilon_steps=200)
    run.step()
    np.testing.assert_allclose([actor.epsilon for actor in fleet.actors], 1.0)
    while run.learner.updates < 200:
        run.step()
    first = next(actor for actor in fleet.actors if actor.number == 0)
    np.testing.assert_allclose(first.epsilon, np.maximum(ladder(4)[:2], 0.2))
    assert first.epsilon[0] == 0.4


def test_td_errors_are_those_of_returns_that_stop_at_an_episodes_end() -> None:
    """By hand: two environments, three steps, returns of two rewards; the second one's episode is cut after a step."""
    taken = np.array([[1.0, 2.0], [0.5, 0.0], [0.0, 1.0]])
    reward = np.array([[1.0, 0.5], [2.0, 1.0], [3.0, 0.0]])
    discount = np.array([[0.5, 0.5], [0.5, 0.5], [0.0, 0.5]])
    value = np.array([[9.0, 4.0], [8.0, 6.0], [7.0, 2.0]])
    done = np.array([[False, True], [False, False], [True, False]])
    found = td_errors(taken, reward, discount, value, done, 2)
    expected = [
        [abs(1 + 0.5 * 2 + 0.25 * 8 - 1), abs(0.5 + 0.5 * 4 - 2)],
        [abs(2 + 0.5 * 3 + 0 - 0.5), abs(1 + 0.5 * 0 + 0.25 * 2 - 0)],
        [abs(3 + 0 - 0), abs(0 + 0.5 * 2 - 1)],
    ]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("env_id", [CORRIDOR, "ALE/Pong-v5"])
def test_the_replay_holds_what_the_actors_saw(env_id: str) -> None:
    """Every transition is found again in the replay, and its observations are those of the environment."""
    settings = {"frame_stack": 2} if "Pong" in env_id else {}
    planned = plan(env_id, "dqn", num_envs=4, capacity=4_000, **settings)
    actors = ActorPlan(planned.env_id, planned.recipe, planned.config, 1, ACTORS, chunk_steps=8)  # type: ignore[arg-type]
    seen: list[tuple[Any, ...]] = []

    class Watched(Actor):
        def _act(self, q_values: Any) -> Any:
            action = super()._act(q_values)
            seen.append((self.number, self.episodes.obs.copy(), action.copy()))
            return action

    first, second = (Watched(actors, number) for number in range(ACTORS))
    config: Any = planned.config
    replay = ChunkReplay(
        config, first.episodes.space, first.episodes.stack, numpy_generator(1, "replay"), "cpu", None, lambda obs: obs
    )
    for actor in (first, second, second, first):
        replay.take(actor.chunk())
    assert replay.steps == 4 * 8 * 2 == len(replay.replay)
    batch = replay.replay.sample(2_000, np.random.default_rng(0))
    wanted = {(obs[i].tobytes(), int(action[i])) for _, obs, action in seen for i in range(2)}
    found = {(obs.numpy().tobytes(), int(action)) for obs, action in zip(batch.obs, batch.action, strict=True)}
    assert found == wanted if "Pong" not in env_id else len(found - wanted) == 0
    for actor in (first, second):
        actor.close()


def test_the_optimal_q_values_of_the_corridor_are_learnt(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "gamma": 0.9,
        "n_step": 1,
        "learning_rate": 3e-3,
        "final_learning_rate": 1e-4,
        "target_period": 50,
    }
    run, fleet = make(tmp_path, total_timesteps=12_000, hidden=(32,), capacity=5_000, **settings)
    watcher = RecordingWatcher()
    assert run.run(watcher)
    config: Any = run.plan.config
    due = (12_000 - config.learning_starts) * config.replay_ratio / config.batch_size
    assert run.learner.updates == pytest.approx(due, rel=0.05)
    assert 0 <= run.lag <= 200
    q_values = run.policy.q_values(np.eye(5, dtype=np.float32)[:4])
    np.testing.assert_allclose(q_values, Corridor.q_star(0.9), atol=0.06)
    assert watcher.evaluations[-1][1][0].episode_return == 1.0
    fleet.close()


def test_a_run_is_stopped_and_goes_on(tmp_path: Path) -> None:
    run, fleet = make(tmp_path)
    watcher = RecordingWatcher(stop_at=1_000)
    watcher.trainer = run
    assert not run.run(watcher)
    fleet.close()
    planned = dataclasses.replace(run.plan, recipe=recipe("d3qn"))
    actors, more = run.actor_plan, LocalFleet(run.actor_plan)
    again = ApexTrainer(planned, run.run_folder, more, actors)
    again.load_state()
    assert again.agent_steps == run.agent_steps
    assert len(again.experience.replay) == len(run.experience.replay)  # type: ignore[attr-defined]
    assert again.episodes.generation == 1  # type: ignore[attr-defined]
    for name, value in run.learner.online.state_dict().items():
        assert torch.equal(again.learner.online.state_dict()[name], value)
    assert again.run(RecordingWatcher())
    more.close()


def test_an_actor_that_was_replaced_begins_in_its_rings(tmp_path: Path) -> None:
    run, fleet = make(None)
    fleet.start(run.weights(), 0, 0.0)
    for _ in range(4):
        run.experience.take(fleet.next())  # type: ignore[attr-defined]
    held = len(run.experience.replay)  # type: ignore[attr-defined]
    replaced = Actor(run.actor_plan, 0, generation=1)
    chunk = replaced.chunk()
    assert chunk.first is not None
    run.experience.take(chunk)  # type: ignore[attr-defined]
    assert len(run.experience.replay) == held + chunk.transitions  # type: ignore[attr-defined]
    other = Actor(run.actor_plan, 0, generation=2).chunk()
    assert not np.array_equal(chunk.action, other.action)  # its seeds are others


WRONG = [("pqn", {}, "no replay"), ("dqn", {"num_envs": 3}, "evenly")]


@pytest.mark.parametrize(("agent", "changes", "message"), WRONG)
def test_what_cannot_work_is_said(agent: str, changes: dict[str, Any], message: str) -> None:
    planned = plan(CORRIDOR, agent, **changes)
    with pytest.raises(UserError, match=message):
        ActorPlan(planned.env_id, planned.recipe, planned.config, 1, ACTORS).check()  # type: ignore[arg-type]
