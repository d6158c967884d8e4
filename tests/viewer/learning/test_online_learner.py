"""Learning inside the window: equal to the trainer, switched on and off, and gaps between transitions."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.typing import NDArray

import envs
from agents import AGENTS, load_policy, recipe
from common.errors import UserError
from common.files import PRETRAINED
from learning.checkpoint import MANIFEST, read_manifest
from learning.config import FamilyConfig, ReplayConfig, RolloutConfig, numpy_generator
from learning.episodes import Episodes
from learning.insight import Readable
from learning.learner import Update
from learning.plan import Plan
from learning.policy import Policy
from learning.replay import Batch, Draws, ReplayExperience
from learning.runfolder import RunFolder
from learning.trainer import Trainer
from tests import tiny
from tests.learning import helpers
from tests.viewer.helpers import V1
from viewer.learning.config import MAX_REPLAY_BYTES, single_env_config
from viewer.learning.online_learner import SNAPSHOT_EVERY, OnlineLearner
from viewer.playing.players import DEFAULT_AGENT
from viewer.playing.session import Session

PLANE = spaces.Box(-np.inf, np.inf, (2,), np.float32)
# From replays, plain and prioritized with noise and n-step returns; from rollouts; from a stream.
COVER = ["dqn", "rainbow", "pqn", "stream_q"]


def small(agent: str, env_id: str = tiny.CORRIDOR, seed: int = 1, **changes: Any) -> OnlineLearner:
    """Return a learner with few units that starts learning early."""
    plan = helpers.plan(env_id, agent, seed, **{"num_envs": 1, **changes})
    env = envs.make(env_id)
    space, actions = env.observation_space, env.action_space
    env.close()
    assert isinstance(space, spaces.Box)
    assert isinstance(actions, spaces.Discrete)
    return OnlineLearner(plan.recipe, plan.config, env_id, space, int(actions.n), seed=seed)


def play(online_learner: OnlineLearner, env: gymnasium.Env[Any, Any], steps: int) -> None:
    """Step and report transitions as the window does."""
    rng, episode = np.random.default_rng(0), 0
    obs, _ = env.reset(seed=episode)
    online_learner.on_reset(obs)
    for _ in range(steps):
        action = int(online_learner.act(obs[None], 0.0, rng)[0])
        next_obs, reward, terminated, truncated, _ = env.step(action)
        online_learner.on_step(obs, action, float(reward), terminated, truncated, False, next_obs)
        obs = next_obs
        if terminated or truncated:
            episode += 1
            obs, _ = env.reset(seed=episode)
            online_learner.on_reset(obs)


def copied(online_learner: OnlineLearner) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in online_learner.network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


# ------------------------------------------------------------------ learning


@pytest.mark.parametrize("env_id", [tiny.CORRIDOR, tiny.LOOP])
@pytest.mark.parametrize("agent", COVER)
def test_it_equals_the_trainer_bit_for_bit(agent: str, env_id: str) -> None:
    online_learner = small(agent, env_id, learning_starts=50)
    online_learner.learning = True
    trainer = Trainer(Plan(env_id, online_learner.recipe, online_learner.config, 1), None)
    assert same(copied(online_learner), trainer.learner.online.state_dict())
    trainer.begin()
    episodes, rng = Episodes(env_id, 1, 1), numpy_generator(1, "exploration")
    episodes.begin()
    online_learner.on_reset(episodes.obs[0])
    for _ in range(400):
        trainer.step()
        obs = episodes.obs[0].copy()
        action = online_learner.act(obs[None], 0.0, rng)
        step = episodes.step(action)
        terminated = bool(step.terminated[0])
        truncated = bool(step.done[0]) and not terminated
        online_learner.on_step(obs, int(action[0]), float(step.reward[0]), terminated, truncated, False, step.obs[0])
        if terminated or truncated:
            online_learner.on_reset(episodes.obs[0])
    assert online_learner.updates == trainer.learner.updates > 50
    assert same(copied(online_learner), trainer.learner.online.state_dict())
    assert online_learner.steps_learnt == trainer.agent_steps == 400
    assert (online_learner.epsilon, online_learner.learning_rate) == (
        trainer.agent.epsilon,
        trainer.agent.learning_rate,
    )


@pytest.mark.parametrize("agent", ["dqn", "pqn", "stream_q"])
def test_the_known_values_of_the_corridor_are_learnt(agent: str) -> None:
    online_learner = small(
        agent,
        total_timesteps=2_500,
        gamma=0.9,
        n_step=1,
        epsilon_final=0.5,
        learning_rate=3e-3,
        final_learning_rate=1e-4,
        target_period=50,
        hidden=(32,),
        capacity=5_000,
    )
    online_learner.learning = True
    play(online_learner, envs.make(tiny.CORRIDOR), 2_500)
    states = np.eye(5, dtype=np.float32)[:4]
    np.testing.assert_allclose(online_learner.q_values(states), tiny.Corridor.q_star(0.9), atol=0.05)
    assert online_learner.td_error is not None
    assert 0 <= online_learner.td_error < 0.05
    assert online_learner.loss is not None
    assert 0 <= online_learner.loss < 0.01


@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_can_be_created_untrained_and_learns_in_waterworld(agent: str) -> None:
    fresh = OnlineLearner.fresh(agent, "Waterworld-v1")
    assert isinstance(fresh, Policy)
    assert isinstance(fresh, Readable)
    assert (fresh.name, fresh.env_id, fresh.num_actions) == (agent, V1, 4)
    known = {field.name for field in dataclasses.fields(fresh.config)}
    wanted: dict[str, Any] = {
        "hidden": (16,),
        "learning_starts": 10,
        "batch_size": 8,
        "rollout_steps": 8,
        "minibatches": 2,
        "capacity": 500,
    }
    config = dataclasses.replace(fresh.config, **{name: value for name, value in wanted.items() if name in known})
    online_learner = OnlineLearner(fresh.recipe, config, V1, fresh.space, fresh.num_actions)
    before = copied(online_learner)
    online_learner.learning = True
    play(online_learner, envs.make(V1), 60)
    assert not same(copied(online_learner), before)
    assert online_learner.updates > 5
    assert online_learner.stop_reason == ""
    if online_learner.replay_size is None:
        assert online_learner.capacity is None
    else:
        assert (online_learner.replay_size, online_learner.capacity) == (60, 500)


@pytest.mark.parametrize("agent", COVER)
def test_without_learning_nothing_changes_and_the_windows_epsilon_applies(agent: str) -> None:
    online_learner = small(agent, learning_starts=0)
    before, version = copied(online_learner), online_learner.weights_version
    play(online_learner, envs.make(tiny.CORRIDOR), 100)
    assert same(copied(online_learner), before)
    assert (online_learner.weights_version, online_learner.steps_learnt, online_learner.updates) == (version, 0, 0)
    assert not online_learner.replay_size
    obs = np.eye(5, dtype=np.float32)
    greedy, rng = online_learner.q_values(obs).argmax(1), np.random.default_rng(0)
    for row in range(5):
        assert all(online_learner.act(obs[row : row + 1], 0.0, rng) == greedy[row] for _ in range(20))
    assert {int(online_learner.act(obs[:1], 1.0, rng)[0]) for _ in range(50)} == {0, 1}
    # off again after a while: bit-equal from then on
    online_learner.learning = True
    play(online_learner, envs.make(tiny.CORRIDOR), 100)
    online_learner.learning = False
    after, age = copied(online_learner), online_learner.steps_learnt
    assert not same(after, before)
    play(online_learner, envs.make(tiny.CORRIDOR), 100)
    assert same(copied(online_learner), after)
    assert online_learner.steps_learnt == age == 100


def test_overrides_of_epsilon_and_learning_rate_apply_while_it_learns() -> None:
    online_learner = small("dqn", learning_starts=0, epsilon_steps=100, total_timesteps=200, final_learning_rate=0.0)
    assert (online_learner.epsilon, online_learner.learning_rate) == (1.0, online_learner.config.learning_rate)
    online_learner.learning = True
    online_learner.override("epsilon", 0.0)
    rng, obs = np.random.default_rng(0), np.eye(5, dtype=np.float32)[:1]
    assert len({int(online_learner.act(obs, 1.0, rng)[0]) for _ in range(50)}) == 1
    online_learner.override("epsilon", 1.0)
    assert {int(online_learner.act(obs, 0.0, rng)[0]) for _ in range(50)} == {0, 1}
    online_learner.override("epsilon", None)
    online_learner.override("learning_rate", 0.0)
    before = copied(online_learner)
    play(online_learner, envs.make(tiny.CORRIDOR), 100)
    assert online_learner.updates
    assert same(copied(online_learner), before)
    online_learner.override("learning_rate", None)
    assert online_learner.learning_rate == pytest.approx(
        online_learner.config.learning_rate / 2
    )  # half of the schedule is over
    assert online_learner.epsilon == pytest.approx(0.03)


def test_noise_explores_only_while_it_learns_and_is_drawn_once_per_step() -> None:
    online_learner = small("noisy_dqn", epsilon_start=0.0)
    obs, rng = np.full((1, 5), 0.1, np.float32), np.random.default_rng(0)
    assert len({int(online_learner.act(obs, 0.0, rng)[0]) for _ in range(50)}) == 1
    online_learner.learning = True
    assert len({int(online_learner.act(obs, 0.0, rng)[0]) for _ in range(50)}) == 1
    seen = set()
    for _ in range(50):
        action = int(online_learner.act(obs, 0.0, rng)[0])
        seen.add(action)
        online_learner.on_step(obs[0], action, 0.0, False, False, False, obs[0])
    assert seen == {0, 1}


# ------------------------------------------------------------------ gaps


def spy(online_learner: OnlineLearner) -> list[Batch]:
    """Return a list that will receive every batch learnt from."""
    batches: list[Batch] = []
    experience = online_learner.agent.experience
    if isinstance(experience, ReplayExperience):  # an engine need not gather whole batches
        replay = experience.replay
        draw = replay.draw

        def drawn(*args: Any) -> Draws:
            draws = draw(*args)
            batches.extend(copy.deepcopy(replay.gather(draws, which)) for which in range(len(draws.start)))
            return draws

        replay.draw = drawn  # type: ignore[method-assign, assignment]
        return batches
    update = online_learner.learner.update

    def record(batch: Batch, learning_rate: float) -> Any:
        batches.append(copy.deepcopy(batch))  # a stream's batch is reused
        return update(batch, learning_rate)

    online_learner.learner.update = record  # type: ignore[method-assign]
    return batches


def at(stretch: float, step: int) -> NDArray[np.float32]:
    return np.array([stretch, step], np.float32)


def stretch(online_learner: OnlineLearner, number: float, steps: int, reward: float, action: int = 1) -> None:
    for step in range(steps):
        online_learner.on_step(at(number, step), action, reward, False, False, False, at(number, step + 1))


def interrupted(online_learner: OnlineLearner) -> None:
    online_learner.on_reset(at(1, 0))


def interrupted_twice(online_learner: OnlineLearner) -> None:
    online_learner.on_reset(at(7, 0))
    online_learner.on_reset(at(1, 0))


def off_for_a_while(online_learner: OnlineLearner) -> None:
    online_learner.learning = False
    stretch(online_learner, 0.5, 2, 1e4)
    online_learner.learning = True


def no_key(online_learner: OnlineLearner) -> None:
    stretch(online_learner, 0.5, 2, 1e4, action=-1)


def without_notice(online_learner: OnlineLearner) -> None:
    """The next observation does not follow from the last one."""


def truncated(online_learner: OnlineLearner) -> None:
    online_learner.on_step(at(0, 5), 1, 0.0, False, True, False, at(0, 6))


GAPS = [interrupted, interrupted_twice, off_for_a_while, no_key, without_notice, truncated]


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("agent", ["dqn", "prioritized_dqn", "pqn", "stream_q"])
def test_nothing_is_learnt_across_a_gap(agent: str, gap: Callable[[OnlineLearner], None]) -> None:
    """The rewards after it are poison: no transition before it may contain them."""
    plan = helpers.plan(
        tiny.LOOP,
        agent,
        num_envs=1,
        n_step=3,
        learning_starts=2,
        replay_ratio=32.0,
        q_lambda=1.0,
        gamma=0.9,
    )
    online_learner = OnlineLearner(plan.recipe, plan.config, tiny.LOOP, PLANE, 2)
    batches = spy(online_learner)
    online_learner.learning = True
    online_learner.on_reset(at(0, 0))
    stretch(online_learner, 0, 5, 0.0)
    gap(online_learner)
    stretch(online_learner, 1, 12, 1e4)
    last = online_learner.steps_learnt - 12 - 1  # the step before the gap
    seen = set()
    for batch in batches:
        for row, (number, step) in enumerate(batch.obs.tolist()):
            seen.add((number, step))
            if number == 0:
                assert batch.reward[row] < 500
                assert batch.next_obs[row, 0] == 0
                if agent != "pqn":  # whose returns are complete: as after a truncation they still bootstrap
                    count = batch.next_obs[row, 1].item() - step
                    assert 1 <= count <= (1 if agent == "stream_q" else 3)
                    assert batch.discount[row] == pytest.approx(0.9**count)
            if agent == "stream_q":
                assert batch.ends == ((number, step) == (0, last))
    assert {(0.0, float(step)) for step in range(last + 1)} < seen
    assert (1.0, 0.0) in seen
    assert {number for number, _ in seen} == {0.0, 1.0}


@pytest.mark.parametrize("reported", ["start", "end"])
def test_an_episode_that_starts_where_the_last_one_stopped_is_separate(reported: str) -> None:
    """All observations are the same; the rewards after the break are poison, and the start or the end reports it."""
    plan = helpers.plan(tiny.LOOP, "dqn", num_envs=1, n_step=3, learning_starts=2, replay_ratio=32.0)
    online_learner = OnlineLearner(plan.recipe, plan.config, tiny.LOOP, PLANE, 2)
    batches = spy(online_learner)
    online_learner.learning = True
    online_learner.on_reset(at(0, 0))
    for step in range(4):
        online_learner.on_step(at(0, 0), 0, 0.0, False, reported == "end" and step == 3, False, at(0, 0))
    if reported == "start":
        online_learner.on_reset(at(0, 0))
    for _ in range(8):
        online_learner.on_step(at(0, 0), 1, 1e4, False, False, False, at(0, 0))
    before = [reward for batch in batches for reward in batch.reward[batch.action == 0].tolist()]
    assert before
    assert not any(before)


def test_a_termination_does_not_bootstrap_and_a_truncation_does() -> None:
    for terminated in (True, False):
        plan = helpers.plan(tiny.LOOP, "dqn", num_envs=1, n_step=3, learning_starts=2, replay_ratio=32.0, gamma=0.9)
        online_learner = OnlineLearner(plan.recipe, plan.config, tiny.LOOP, PLANE, 2)
        batches = spy(online_learner)
        online_learner.learning = True
        online_learner.on_step(at(0, 0), 0, 1.0, terminated, not terminated, False, at(0, 9))
        stretch(online_learner, 1, 5, 0.0)
        ends = [
            (round(batch.discount[row].item(), 6), tuple(batch.next_obs[row].tolist()))
            for batch in batches
            for row in range(len(batch.obs))
            if batch.obs[row, 0] == 0
        ]
        assert set(ends) == {(0.0 if terminated else 0.9, (0.0, 9.0))}


def test_with_stacked_frames_learning_may_start_in_the_middle_of_a_game() -> None:
    """Every observation learnt from is a complete one; a lost life ends the return, rewards are clipped."""
    space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    config = FamilyConfig(
        encoder="nature",
        hidden=(8,),
        learning_starts=2,
        batch_size=4,
        replay_ratio=4.0,
        clip_rewards=True,
        protocol="mnih2015",
        gamma=0.9,
    )
    online_learner = OnlineLearner(recipe("dqn"), config, "ALE/Pong-v5", space, 3)
    batches, before = spy(online_learner), copied(online_learner)
    frames = np.random.default_rng(0).integers(0, 255, (30, 84, 84), np.uint8)
    seen = [frames[k : k + 4] for k in range(26)]
    place = {stack.tobytes(): k for k, stack in enumerate(seen)}
    online_learner.on_reset(seen[0])
    for k in range(25):
        online_learner.learning = not (k < 5 or 10 <= k < 12)
        life_lost = k == 15
        online_learner.on_step(seen[k], k % 3, 7.0, False, False, life_lost, seen[k + 1])
    assert not same(copied(online_learner), before)
    learnt = set()
    for batch in batches:
        for row in range(4):
            k = place[batch.obs[row].numpy().tobytes()]
            assert place[batch.next_obs[row].numpy().tobytes()] == k + 1
            assert batch.reward[row] == 1.0
            assert batch.discount[row] == pytest.approx(0.0 if k == 15 else 0.9)
            learnt.add(k)
    assert learnt <= {*range(5, 10), *range(12, 25)}
    assert {5, 15} <= learnt


# ------------------------------------------------------------------ non-finite losses and weights


@pytest.mark.parametrize("agent", COVER)
def test_a_nan_loss_stops_learning_and_restores_finite_weights(agent: str) -> None:
    online_learner = small(agent, learning_starts=0, replay_ratio=32.0)
    online_learner.learning = True
    kept: dict[int, dict[str, torch.Tensor]] = {}
    on_update = online_learner.agent.on_update

    def record(update: Update) -> None:
        kept[online_learner.updates] = copied(online_learner)
        on_update(update)

    online_learner.agent.on_update = record
    play(online_learner, envs.make(tiny.CORRIDOR), 150)
    updates, obs = online_learner.updates, np.eye(5, dtype=np.float32)
    assert updates > SNAPSHOT_EVERY
    for _ in range(40):
        online_learner.on_step(obs[0], 1, float("nan"), False, False, False, obs[0])
    assert not online_learner.learning
    assert online_learner.stop_reason.startswith("the loss became nan at update ")
    assert "\n" not in online_learner.stop_reason
    broken = int(online_learner.stop_reason.removeprefix("the loss became nan at update ").split(":")[0])
    assert same(copied(online_learner), kept[(broken - 1) // SNAPSHOT_EVERY * SNAPSHOT_EVERY])
    assert np.isfinite(online_learner.q_values(obs)).all()
    assert np.isfinite(online_learner.target_q(obs)).all()
    version = online_learner.weights_version
    online_learner.reinitialise()
    assert online_learner.stop_reason == ""
    assert online_learner.weights_version > version
    online_learner.learning = True
    play(online_learner, envs.make(tiny.CORRIDOR), 50)
    assert online_learner.learning
    assert all(torch.isfinite(value).all() for value in online_learner.network.state_dict().values())


def test_after_a_stop_by_too_large_steps_it_can_resume_with_small_ones() -> None:
    online_learner = small("dqn", learning_starts=0, replay_ratio=32.0, max_grad_norm=None)
    online_learner.learning = True
    online_learner.override("learning_rate", 1e30)
    play(online_learner, envs.make(tiny.CORRIDOR), 60)
    assert not online_learner.learning
    assert "learning stopped; a smaller learning rate usually helps" in online_learner.stop_reason
    assert all(torch.isfinite(value).all() for value in online_learner.network.state_dict().values())
    online_learner.learning = True
    online_learner.override("learning_rate", 1e-3)
    play(online_learner, envs.make(tiny.CORRIDOR), 60)
    assert online_learner.learning
    assert online_learner.stop_reason == ""


def test_non_finite_weights_are_never_written(tmp_path: Path) -> None:
    online_learner = small("dqn")
    online_learner.network.state_dict()["layers.0.bias"][0] = float("inf")
    with pytest.raises(UserError, match=r"not written, the weights are not finite \(NaN or infinite\)"):
        online_learner.save(tmp_path / "agent")
    assert not (tmp_path / "agent").exists()


# ------------------------------------------------------------------ other weights


@pytest.mark.parametrize("agent", COVER)
def test_reinitialise_draws_another_network_each_time_in_the_same_place(agent: str) -> None:
    online_learner = small(agent, learning_starts=0)
    network, found = online_learner.network, [copied(online_learner)]
    online_learner.learning = True
    online_learner.override("epsilon", 0.3)
    for _ in range(2):
        play(online_learner, envs.make(tiny.CORRIDOR), 60)
        version = online_learner.weights_version
        online_learner.reinitialise()
        assert (online_learner.steps_learnt, online_learner.updates, online_learner.td_error, online_learner.loss) == (
            0,
            0,
            None,
            None,
        )
        assert online_learner.weights_version > version
        assert not online_learner.replay_size
        found.append(copied(online_learner))
    assert not any(same(a, b) for k, a in enumerate(found) for b in found[:k])
    assert online_learner.network is online_learner.learner.online is network
    assert (online_learner.learning, online_learner.epsilon) == (True, 0.3)
    # it equals one created with that seed, and learns as that one does
    other = small(agent, seed=3, learning_starts=0)
    assert same(found[-1], copied(other))
    other.learning = True
    other.override("epsilon", 0.3)
    for one in (online_learner, other):
        play(one, envs.make(tiny.CORRIDOR), 60)
    assert same(copied(online_learner), copied(other))


@pytest.mark.parametrize("agent", COVER)
def test_a_saved_agent_plays_and_can_be_trained_further(agent: str, tmp_path: Path) -> None:
    online_learner = small(agent, learning_starts=0)
    online_learner.learning = True
    play(online_learner, envs.make(tiny.CORRIDOR), 100)
    online_learner.save(tmp_path / "kept" / "agent")
    obs = np.eye(5, dtype=np.float32)
    for folder in (tmp_path / "kept", tmp_path / "kept" / "agent"):
        np.testing.assert_array_equal(load_policy(folder).q_values(obs), online_learner.q_values(obs))
        again = OnlineLearner.of_agent(folder, seed=5)
        np.testing.assert_array_equal(again.q_values(obs), online_learner.q_values(obs))
        assert (again.steps_learnt, again.prior_steps, again.config) == (0, 100, online_learner.config)
        assert again.epsilon == pytest.approx(online_learner.epsilon, abs=0.02)
    again.reinitialise()
    assert again.prior_steps == 0
    assert not same(copied(again), copied(online_learner))
    version = again.weights_version
    again.load(tmp_path / "kept")
    assert again.weights_version > version
    assert again.prior_steps == 100
    np.testing.assert_array_equal(again.target_q(obs), online_learner.q_values(obs))
    again.learning = True
    play(again, envs.make(tiny.CORRIDOR), 100)
    assert not same(copied(again), copied(online_learner))
    run = again.save_run(tmp_path / "runs")
    np.testing.assert_array_equal(load_policy(run).q_values(obs), again.q_values(obs))
    assert read_manifest(run / "agent")["agent_steps"] == 200
    assert RunFolder(run).config["agent"] == agent
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: can't be written"):
        again.save(tmp_path / "file")
    with pytest.raises(UserError, match="file: can't be written"):
        again.save_run(tmp_path / "file")


def test_the_target_network_lags_behind_and_without_one_it_is_the_network_itself() -> None:
    obs = np.eye(5, dtype=np.float32)
    online_learner = small("dqn", learning_starts=0, target_period=10, replay_ratio=32.0)
    np.testing.assert_array_equal(online_learner.target_q(obs), online_learner.q_values(obs))
    online_learner.learning = True
    play(online_learner, envs.make(tiny.CORRIDOR), 16)  # no update in the first step: 15 updates
    assert online_learner.updates == 15
    assert online_learner.target_q(obs).shape == (5, 2)
    assert not np.array_equal(online_learner.target_q(obs), online_learner.q_values(obs))
    play(online_learner, envs.make(tiny.CORRIDOR), 5)
    np.testing.assert_array_equal(online_learner.target_q(obs), online_learner.q_values(obs))
    pqn = small("pqn")
    pqn.learning = True
    play(pqn, envs.make(tiny.CORRIDOR), 100)
    np.testing.assert_array_equal(pqn.target_q(obs), pqn.q_values(obs))


@pytest.mark.parametrize("name", ["waterworld", "pong"])
def test_pretrained_agents_continue_where_their_training_ended(name: str) -> None:
    folder = PRETRAINED / name
    online_learner, player = OnlineLearner.of_agent(folder), load_policy(folder)
    config = online_learner.config
    assert online_learner.prior_steps >= config.total_timesteps
    assert online_learner.epsilon == pytest.approx(config.epsilon_final)
    assert online_learner.learning_rate == pytest.approx(config.final_learning_rate)
    obs = np.stack([online_learner.space.sample() for _ in range(3)])
    if name == "waterworld":
        obs = np.random.default_rng(0).random((3, 152), np.float32)
    np.testing.assert_array_equal(online_learner.q_values(obs), player.q_values(obs))
    assert (online_learner.name, online_learner.env_id) == (player.name, player.env_id)


def test_agents_that_can_not_be_trained_further_are_rejected(tmp_path: Path) -> None:
    made = small("dqn", learning_starts=0)
    made.save(tmp_path / "dqn")
    small("pqn").save(tmp_path / "pqn")
    small("dqn", hidden=(17,)).save(tmp_path / "wide")
    for path, message in (
        (
            PRETRAINED / "reinforcejs_wateragent.json",
            "an agent file can't be trained further; give a run or an agent folder",
        ),
        (tmp_path / "nothing", "no such run or agent"),
        (tmp_path, "no agent here"),
    ):
        with pytest.raises(UserError, match=message):
            OnlineLearner.of_agent(path)
    before = copied(made)
    with pytest.raises(UserError, match=r"pqn: its agent is a pqn, and this one is a dqn"):
        made.load(tmp_path / "pqn")
    with pytest.raises(
        UserError, match=r"wide: its weights do not fit this dqn: its network has other layers, inputs or actions"
    ):
        made.load(tmp_path / "wide")
    assert same(copied(made), before)
    config = {"hidden": "many"}
    for changes in ({"config": config}, {"observation": {"shape": [5]}}, {"agent": "dqm"}, {"observation": 3}):
        manifest = json.loads((tmp_path / "dqn" / MANIFEST).read_text())
        (tmp_path / "damaged").mkdir(exist_ok=True)
        (tmp_path / "damaged" / MANIFEST).write_text(json.dumps({**manifest, **changes}))
        (tmp_path / "damaged" / "network.safetensors").write_bytes(
            (tmp_path / "dqn" / "network.safetensors").read_bytes()
        )
        for attempt in (OnlineLearner.of_agent, made.load):
            with pytest.raises(UserError) as rejected:
                attempt(tmp_path / "damaged")
            assert "\n" not in str(rejected.value)
    with pytest.raises(
        UserError, match="the weights do not fit this dqn: its network has other layers, inputs or actions"
    ):
        OnlineLearner(made.recipe, made.config, tiny.LOOP, PLANE, 2, weights=before)
    with pytest.raises(UserError, match="unknown agent 'dqm'; did you mean"):
        OnlineLearner.fresh("dqm", V1)
    with pytest.raises(UserError, match="unknown environment"):
        OnlineLearner.fresh("dqn", "Waterwolrd-v1")


# ------------------------------------------------------------------ settings and session


def test_auto_is_the_trainings_choice_and_the_range_of_returns_is_known() -> None:
    assert OnlineLearner.fresh("auto", "Waterworld-v1").name == "d3qn"
    c51 = OnlineLearner.fresh("c51", "Waterworld-v1").config
    assert isinstance(c51, FamilyConfig)
    assert c51.support == envs.returns(V1)
    pong = OnlineLearner.fresh("auto", "Pong-v5")
    assert (pong.name, pong.env_id, pong.space.shape) == ("pqn", "ALE/Pong-v5", (4, 84, 84))


def test_a_new_agent_has_the_arguments_of_its_environment() -> None:
    learner = OnlineLearner.fresh("auto", "FrozenLake-v1", env_kwargs=("map_name=8x8",))
    assert (learner.config.env_kwargs, learner.space.shape) == (("map_name=8x8",), (64,))
    assert learner.env_options["env_kwargs"] == {"map_name": "8x8"}


def test_settings_are_adapted_to_a_single_environment() -> None:
    frames = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    for agent in AGENTS.values():
        for preset in agent.presets.values():
            config = agent.config(**preset.settings)
            one = single_env_config(agent, config, frames)
            assert one.num_envs == 1
            assert single_env_config(agent, one, frames) == one
            if isinstance(one, RolloutConfig):
                assert isinstance(config, RolloutConfig)
                assert one.rollout_steps == 64
                assert one.minibatches == 2
                assert one.epochs == config.epochs
            if isinstance(one, ReplayConfig):
                assert isinstance(config, ReplayConfig)
                assert one.learning_starts == min(config.learning_starts, 1_000)
                assert (one.replay_ratio, one.batch_size) == (config.replay_ratio, config.batch_size)
                assert agent.experience.bytes_needed(one, frames, 1) <= MAX_REPLAY_BYTES
                assert one.capacity > 10_000
    few = RolloutConfig(num_envs=2, rollout_steps=4, minibatches=8)
    one = single_env_config(AGENTS["pqn"], few, frames)
    assert isinstance(one, RolloutConfig)
    assert (one.rollout_steps, one.minibatches) == (8, 1)


def test_in_a_session_it_scores_exactly_as_the_pretrained_agent() -> None:
    returns = []
    for policy in (load_policy(DEFAULT_AGENT), OnlineLearner.of_agent(DEFAULT_AGENT)):
        session = Session(envs.make(V1), policy, seed=3, epsilon=0.05)
        assert session.reader is not None
        for _ in range(150):
            session.step()
        returns.append((session.score.episode_return, session.obs.tolist()))
    assert returns[0] == returns[1]


def test_replay_size_equals_the_length_of_a_replay_without_stacks() -> None:
    online_learner = small("dqn", learning_starts=0, capacity=120)
    online_learner.learning = True
    play(online_learner, envs.make(tiny.CORRIDOR), 300)
    assert isinstance(online_learner.agent.experience, ReplayExperience)
    assert online_learner.replay_size == len(online_learner.agent.experience.replay) <= 120
