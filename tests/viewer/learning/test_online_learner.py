"""Learning inside the window: the trainer's own steps, what switching on and off does, and gaps in what was lived."""

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
from learning.checkpoint import MANIFEST, read_manifest
from learning.config import FamilyConfig, ReplayConfig, RolloutConfig, numpy_generator
from learning.episodes import Episodes
from learning.insight import Readable
from learning.policy import Policy
from learning.replay import Batch, Replayed
from learning.runfolder import RunFolder
from learning.trainer import Plan, Trainer
from tests import tiny
from tests.learning import helpers
from tests.viewer.helpers import V1
from viewer.learning.config import MOST_BYTES, for_one_life
from viewer.learning.online_learner import SOUND_EVERY, Apprentice
from viewer.playing.players import PRETRAINED, SHIPPED
from viewer.playing.session import Session

PLANE = spaces.Box(-np.inf, np.inf, (2,), np.float32)
# From replays, plain and prioritized with noise and n-step returns; from rollouts; from a stream.
COVER = ["dqn", "rainbow", "pqn", "stream_q"]


def small(agent: str, env_id: str = tiny.CORRIDOR, seed: int = 1, **changes: Any) -> Apprentice:
    """Return one with few units and few steps to wait."""
    plan = helpers.plan(env_id, agent, seed, **{"num_envs": 1, **changes})
    env = envs.make(env_id)
    space, actions = env.observation_space, env.action_space
    env.close()
    assert isinstance(space, spaces.Box)
    assert isinstance(actions, spaces.Discrete)
    return Apprentice(plan.recipe, plan.config, env_id, space, int(actions.n), seed=seed)


def play(apprentice: Apprentice, env: gymnasium.Env[Any, Any], steps: int) -> None:
    """Do what the window does."""
    rng, episode = np.random.default_rng(0), 0
    obs, _ = env.reset(seed=episode)
    apprentice.begins(obs)
    for _ in range(steps):
        action = int(apprentice.act(obs[None], 0.0, rng)[0])
        next_obs, reward, terminated, truncated, _ = env.step(action)
        apprentice.lived(obs, action, float(reward), terminated, truncated, False, next_obs)
        obs = next_obs
        if terminated or truncated:
            episode += 1
            obs, _ = env.reset(seed=episode)
            apprentice.begins(obs)


def copied(apprentice: Apprentice) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in apprentice.network.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


# ------------------------------------------------------------------ learning


@pytest.mark.parametrize("env_id", [tiny.CORRIDOR, tiny.LOOP])
@pytest.mark.parametrize("agent", COVER)
def test_it_learns_as_the_trainer_does_bit_for_bit(agent: str, env_id: str) -> None:
    apprentice = small(agent, env_id, learning_starts=50)
    apprentice.learning = True
    trainer = Trainer(Plan(env_id, apprentice.recipe, apprentice.config, 1), None)
    assert same(copied(apprentice), trainer.learner.online.state_dict())
    trainer.begin()
    episodes, rng = Episodes(env_id, 1, 1), numpy_generator(1, "exploration")
    episodes.begin()
    apprentice.begins(episodes.obs[0])
    for _ in range(400):
        trainer.step()
        obs = episodes.obs[0].copy()
        action = apprentice.act(obs[None], 0.0, rng)
        step = episodes.step(action)
        terminated = bool(step.terminated[0])
        truncated = bool(step.done[0]) and not terminated
        apprentice.lived(obs, int(action[0]), float(step.reward[0]), terminated, truncated, False, step.obs[0])
        if terminated or truncated:
            apprentice.begins(episodes.obs[0])
    assert apprentice.updates == trainer.learner.updates > 50
    assert same(copied(apprentice), trainer.learner.online.state_dict())
    assert apprentice.age == trainer.agent_steps == 400
    assert (apprentice.epsilon_now, apprentice.learning_rate_now) == (trainer.epsilon, trainer.learning_rate)


@pytest.mark.parametrize("agent", ["dqn", "pqn", "stream_q"])
def test_the_known_values_of_the_corridor_are_learnt(agent: str) -> None:
    apprentice = small(
        agent, total_timesteps=2_500, gamma=0.9, n_step=1, epsilon_final=0.5, learning_rate=3e-3,
        final_learning_rate=1e-4, target_period=50, hidden=(32,), capacity=5_000,
    )  # fmt: skip
    apprentice.learning = True
    play(apprentice, envs.make(tiny.CORRIDOR), 2_500)
    states = np.eye(5, dtype=np.float32)[:4]
    np.testing.assert_allclose(apprentice.q_values(states), tiny.Corridor.q_star(0.9), atol=0.05)
    assert apprentice.td_error is not None
    assert 0 <= apprentice.td_error < 0.05
    assert apprentice.loss is not None
    assert 0 <= apprentice.loss < 0.01


@pytest.mark.parametrize("agent", AGENTS)
def test_every_agent_can_be_made_fresh_and_learns_in_waterworld(agent: str) -> None:
    fresh = Apprentice.fresh(agent, "Waterworld-v1")
    assert isinstance(fresh, Policy)
    assert isinstance(fresh, Readable)
    assert (fresh.name, fresh.env_id, fresh.num_actions) == (agent, V1, 4)
    known = {field.name for field in dataclasses.fields(fresh.config)}
    wanted: dict[str, Any] = {
        "hidden": (16,), "learning_starts": 10, "batch_size": 8, "rollout_steps": 8, "minibatches": 2, "capacity": 500,
    }  # fmt: skip
    config = dataclasses.replace(fresh.config, **{name: value for name, value in wanted.items() if name in known})
    apprentice = Apprentice(fresh.recipe, config, V1, fresh.space, fresh.num_actions)
    before = copied(apprentice)
    apprentice.learning = True
    play(apprentice, envs.make(V1), 60)
    assert not same(copied(apprentice), before)
    assert apprentice.updates > 5
    assert apprentice.trouble == ""
    if apprentice.replay_size is None:
        assert apprentice.capacity is None
    else:
        assert (apprentice.replay_size, apprentice.capacity) == (60, 500)


@pytest.mark.parametrize("agent", COVER)
def test_without_learning_nothing_changes_and_the_window_s_epsilon_counts(agent: str) -> None:
    apprentice = small(agent, learning_starts=0)
    before, version = copied(apprentice), apprentice.weights_version
    play(apprentice, envs.make(tiny.CORRIDOR), 100)
    assert same(copied(apprentice), before)
    assert (apprentice.weights_version, apprentice.age, apprentice.updates) == (version, 0, 0)
    assert not apprentice.replay_size
    obs = np.eye(5, dtype=np.float32)
    greedy, rng = apprentice.q_values(obs).argmax(1), np.random.default_rng(0)
    for row in range(5):
        assert all(apprentice.act(obs[row : row + 1], 0.0, rng) == greedy[row] for _ in range(20))
    assert {int(apprentice.act(obs[:1], 1.0, rng)[0]) for _ in range(50)} == {0, 1}
    # off again after a while: bit-equal from then on
    apprentice.learning = True
    play(apprentice, envs.make(tiny.CORRIDOR), 100)
    apprentice.learning = False
    after, age = copied(apprentice), apprentice.age
    assert not same(after, before)
    play(apprentice, envs.make(tiny.CORRIDOR), 100)
    assert same(copied(apprentice), after)
    assert apprentice.age == age == 100


def test_the_person_s_epsilon_and_learning_rate_count_while_it_learns() -> None:
    apprentice = small("dqn", learning_starts=0, epsilon_steps=100, total_timesteps=200, final_learning_rate=0.0)
    assert (apprentice.epsilon_now, apprentice.learning_rate_now) == (1.0, apprentice.config.learning_rate)
    apprentice.learning, apprentice.epsilon = True, 0.0
    rng, obs = np.random.default_rng(0), np.eye(5, dtype=np.float32)[:1]
    assert len({int(apprentice.act(obs, 1.0, rng)[0]) for _ in range(50)}) == 1
    apprentice.epsilon = 1.0
    assert {int(apprentice.act(obs, 0.0, rng)[0]) for _ in range(50)} == {0, 1}
    apprentice.epsilon, apprentice.learning_rate = None, 0.0
    before = copied(apprentice)
    play(apprentice, envs.make(tiny.CORRIDOR), 100)
    assert apprentice.updates
    assert same(copied(apprentice), before)
    apprentice.learning_rate = None
    assert apprentice.learning_rate_now == pytest.approx(apprentice.config.learning_rate / 2)  # half of the run is over
    assert apprentice.epsilon_now == pytest.approx(0.03)


def test_noise_explores_only_while_it_learns_and_is_drawn_once_a_step() -> None:
    apprentice = small("noisy_dqn", epsilon_start=0.0)
    obs, rng = np.full((1, 5), 0.1, np.float32), np.random.default_rng(0)
    assert len({int(apprentice.act(obs, 0.0, rng)[0]) for _ in range(50)}) == 1
    apprentice.learning = True
    assert len({int(apprentice.act(obs, 0.0, rng)[0]) for _ in range(50)}) == 1
    seen = set()
    for _ in range(50):
        action = int(apprentice.act(obs, 0.0, rng)[0])
        seen.add(action)
        apprentice.lived(obs[0], action, 0.0, False, False, False, obs[0])
    assert seen == {0, 1}


# ------------------------------------------------------------------ gaps


def spy(apprentice: Apprentice) -> list[Batch]:
    """Return the list into which every batch that is learnt from will come."""
    batches: list[Batch] = []
    update = apprentice.learner.update

    def listen(batch: Batch, learning_rate: float) -> Any:
        batches.append(copy.deepcopy(batch))  # a stream's is written to again
        return update(batch, learning_rate)

    apprentice.learner.update = listen  # type: ignore[method-assign]
    return batches


def at(stretch: float, step: int) -> NDArray[np.float32]:
    return np.array([stretch, step], np.float32)


def stretch(apprentice: Apprentice, number: float, steps: int, reward: float, action: int = 1) -> None:
    for step in range(steps):
        apprentice.lived(at(number, step), action, reward, False, False, False, at(number, step + 1))


def broken_off(apprentice: Apprentice) -> None:
    apprentice.begins(at(1, 0))


def broken_off_twice(apprentice: Apprentice) -> None:
    apprentice.begins(at(7, 0))
    apprentice.begins(at(1, 0))


def off_for_a_while(apprentice: Apprentice) -> None:
    apprentice.learning = False
    stretch(apprentice, 0.5, 2, 1e4)
    apprentice.learning = True


def no_key(apprentice: Apprentice) -> None:
    stretch(apprentice, 0.5, 2, 1e4, action=-1)


def nothing_is_said(apprentice: Apprentice) -> None:
    """The next observation is simply another one."""


def cut_short(apprentice: Apprentice) -> None:
    apprentice.lived(at(0, 5), 1, 0.0, False, True, False, at(0, 6))


GAPS = [broken_off, broken_off_twice, off_for_a_while, no_key, nothing_is_said, cut_short]


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("agent", ["dqn", "prioritized_dqn", "pqn", "stream_q"])
def test_nothing_is_learnt_across_a_gap(agent: str, gap: Callable[[Apprentice], None]) -> None:
    """The rewards after it are poison: no transition before it may know of them."""
    plan = helpers.plan(
        tiny.LOOP, agent, num_envs=1, n_step=3, learning_starts=2, replay_ratio=32.0, q_lambda=1.0, gamma=0.9,
    )  # fmt: skip
    apprentice = Apprentice(plan.recipe, plan.config, tiny.LOOP, PLANE, 2)
    batches = spy(apprentice)
    apprentice.learning = True
    apprentice.begins(at(0, 0))
    stretch(apprentice, 0, 5, 0.0)
    gap(apprentice)
    stretch(apprentice, 1, 12, 1e4)
    last = apprentice.age - 12 - 1  # the step before the gap
    seen = set()
    for batch in batches:
        for row, (number, step) in enumerate(batch.obs.tolist()):
            seen.add((number, step))
            if number == 0:
                assert batch.reward[row] < 500
                assert batch.next_obs[row, 0] == 0
                if agent != "pqn":  # whose returns are whole: as where an episode is truncated the future still counts
                    count = batch.next_obs[row, 1].item() - step
                    assert 1 <= count <= (1 if agent == "stream_q" else 3)
                    assert batch.discount[row] == pytest.approx(0.9**count)
            if agent == "stream_q":
                assert batch.ends == ((number, step) == (0, last))
    assert {(0.0, float(step)) for step in range(last + 1)} < seen
    assert (1.0, 0.0) in seen
    assert {number for number, _ in seen} == {0.0, 1.0}


@pytest.mark.parametrize("told", ["a beginning", "an end"])
def test_an_episode_that_begins_where_the_last_one_stopped_is_another_one(told: str) -> None:
    """All observations are the same; the rewards after the break are poison, and either word is enough to know it."""
    plan = helpers.plan(tiny.LOOP, "dqn", num_envs=1, n_step=3, learning_starts=2, replay_ratio=32.0)
    apprentice = Apprentice(plan.recipe, plan.config, tiny.LOOP, PLANE, 2)
    batches = spy(apprentice)
    apprentice.learning = True
    apprentice.begins(at(0, 0))
    for step in range(4):
        apprentice.lived(at(0, 0), 0, 0.0, False, told == "an end" and step == 3, False, at(0, 0))
    if told == "a beginning":
        apprentice.begins(at(0, 0))
    for _ in range(8):
        apprentice.lived(at(0, 0), 1, 1e4, False, False, False, at(0, 0))
    before = [reward for batch in batches for reward in batch.reward[batch.action == 0].tolist()]
    assert before
    assert not any(before)


def test_an_end_that_terminates_has_no_future_and_a_truncation_has_one() -> None:
    for terminated in (True, False):
        plan = helpers.plan(tiny.LOOP, "dqn", num_envs=1, n_step=3, learning_starts=2, replay_ratio=32.0, gamma=0.9)
        apprentice = Apprentice(plan.recipe, plan.config, tiny.LOOP, PLANE, 2)
        batches = spy(apprentice)
        apprentice.learning = True
        apprentice.lived(at(0, 0), 0, 1.0, terminated, not terminated, False, at(0, 9))
        stretch(apprentice, 1, 5, 0.0)
        ends = [
            (round(batch.discount[row].item(), 6), tuple(batch.next_obs[row].tolist()))
            for batch in batches
            for row in range(len(batch.obs))
            if batch.obs[row, 0] == 0
        ]
        assert set(ends) == {(0.0 if terminated else 0.9, (0.0, 9.0))}


def test_of_stacked_frames_learning_may_begin_in_the_midst_of_a_game() -> None:
    """Every observation learnt from is one that was seen, whole; a lost life ends its returns, rewards are clipped."""
    space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    config = FamilyConfig(
        encoder="nature", hidden=(8,), learning_starts=2, batch_size=4, replay_ratio=4.0, clip_rewards=True,
        protocol="mnih2015", gamma=0.9,
    )  # fmt: skip
    apprentice = Apprentice(recipe("dqn"), config, "ALE/Pong-v5", space, 3)
    batches, before = spy(apprentice), copied(apprentice)
    frames = np.random.default_rng(0).integers(0, 255, (30, 84, 84), np.uint8)
    seen = [frames[k : k + 4] for k in range(26)]
    place = {stack.tobytes(): k for k, stack in enumerate(seen)}
    apprentice.begins(seen[0])
    for k in range(25):
        apprentice.learning = not (k < 5 or 10 <= k < 12)
        life_lost = k == 15
        apprentice.lived(seen[k], k % 3, 7.0, False, False, life_lost, seen[k + 1])
    assert not same(copied(apprentice), before)
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


# ------------------------------------------------------------------ trouble


@pytest.mark.parametrize("agent", COVER)
def test_a_loss_that_is_no_number_stops_learning_and_leaves_sound_weights(agent: str) -> None:
    apprentice = small(agent, learning_starts=0, replay_ratio=32.0)
    apprentice.learning = True
    kept: dict[int, dict[str, torch.Tensor]] = {}
    update = apprentice.learner.update

    def listen(batch: Batch, learning_rate: float) -> Any:
        told = update(batch, learning_rate)
        kept[apprentice.updates] = copied(apprentice)
        return told

    apprentice.learner.update = listen  # type: ignore[method-assign]
    play(apprentice, envs.make(tiny.CORRIDOR), 150)
    updates, obs = apprentice.updates, np.eye(5, dtype=np.float32)
    assert updates > SOUND_EVERY
    for _ in range(40):
        apprentice.lived(obs[0], 1, float("nan"), False, False, False, obs[0])
    assert not apprentice.learning
    assert apprentice.trouble.startswith("the loss became nan at update ")
    assert "\n" not in apprentice.trouble
    broken = int(apprentice.trouble.removeprefix("the loss became nan at update ").split(":")[0])
    assert same(copied(apprentice), kept[(broken - 1) // SOUND_EVERY * SOUND_EVERY])
    assert np.isfinite(apprentice.q_values(obs)).all()
    assert np.isfinite(apprentice.target_q(obs)).all()
    version = apprentice.weights_version
    apprentice.reinitialise()
    assert apprentice.trouble == ""
    assert apprentice.weights_version > version
    apprentice.learning = True
    play(apprentice, envs.make(tiny.CORRIDOR), 50)
    assert apprentice.learning
    assert all(torch.isfinite(value).all() for value in apprentice.network.state_dict().values())


def test_after_trouble_of_too_large_steps_it_can_go_on_with_small_ones() -> None:
    apprentice = small("dqn", learning_starts=0, replay_ratio=32.0, max_grad_norm=None)
    apprentice.learning, apprentice.learning_rate = True, 1e30
    play(apprentice, envs.make(tiny.CORRIDOR), 60)
    assert not apprentice.learning
    assert "learning stopped; a smaller learning rate usually helps" in apprentice.trouble
    assert all(torch.isfinite(value).all() for value in apprentice.network.state_dict().values())
    apprentice.learning, apprentice.learning_rate = True, 1e-3
    play(apprentice, envs.make(tiny.CORRIDOR), 60)
    assert apprentice.learning
    assert apprentice.trouble == ""


def test_weights_that_are_no_numbers_are_never_written(tmp_path: Path) -> None:
    apprentice = small("dqn")
    apprentice.network.state_dict()["layers.0.bias"][0] = float("inf")
    with pytest.raises(UserError, match="the weights are no longer numbers"):
        apprentice.save(tmp_path / "agent")
    assert not (tmp_path / "agent").exists()


# ------------------------------------------------------------------ other weights


@pytest.mark.parametrize("agent", COVER)
def test_reinitialise_draws_another_network_each_time_in_the_same_place(agent: str) -> None:
    apprentice = small(agent, learning_starts=0)
    network, found = apprentice.network, [copied(apprentice)]
    apprentice.learning, apprentice.epsilon = True, 0.3
    for _ in range(2):
        play(apprentice, envs.make(tiny.CORRIDOR), 60)
        version = apprentice.weights_version
        apprentice.reinitialise()
        assert (apprentice.age, apprentice.updates, apprentice.td_error, apprentice.loss) == (0, 0, None, None)
        assert apprentice.weights_version > version
        assert not apprentice.replay_size
        found.append(copied(apprentice))
    assert not any(same(a, b) for k, a in enumerate(found) for b in found[:k])
    assert apprentice.network is apprentice.learner.online is network
    assert (apprentice.learning, apprentice.epsilon) == (True, 0.3)
    # it is the one that would have been made with that seed, and lives as that one does
    other = small(agent, seed=3, learning_starts=0)
    assert same(found[-1], copied(other))
    other.learning, other.epsilon = True, 0.3
    for one in (apprentice, other):
        play(one, envs.make(tiny.CORRIDOR), 60)
    assert same(copied(apprentice), copied(other))


@pytest.mark.parametrize("agent", COVER)
def test_what_is_saved_plays_and_goes_on_learning(agent: str, tmp_path: Path) -> None:
    apprentice = small(agent, learning_starts=0)
    apprentice.learning = True
    play(apprentice, envs.make(tiny.CORRIDOR), 100)
    apprentice.save(tmp_path / "kept" / "agent")
    obs = np.eye(5, dtype=np.float32)
    for folder in (tmp_path / "kept", tmp_path / "kept" / "agent"):
        np.testing.assert_array_equal(load_policy(folder).q_values(obs), apprentice.q_values(obs))
        again = Apprentice.of_agent(folder, seed=5)
        np.testing.assert_array_equal(again.q_values(obs), apprentice.q_values(obs))
        assert (again.age, again.trained, again.config) == (0, 100, apprentice.config)
        assert again.epsilon_now == pytest.approx(apprentice.epsilon_now, abs=0.02)
    again.reinitialise()
    assert again.trained == 0
    assert not same(copied(again), copied(apprentice))
    version = again.weights_version
    again.load(tmp_path / "kept")
    assert again.weights_version > version
    assert again.trained == 100
    np.testing.assert_array_equal(again.target_q(obs), apprentice.q_values(obs))
    again.learning = True
    play(again, envs.make(tiny.CORRIDOR), 100)
    assert not same(copied(again), copied(apprentice))
    run = again.save_run(tmp_path / "runs")
    np.testing.assert_array_equal(load_policy(run).q_values(obs), again.q_values(obs))
    assert read_manifest(run / "agent")["agent_steps"] == 200
    assert RunFolder(run).config["agent"] == agent
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: can't be written"):
        again.save(tmp_path / "file")
    with pytest.raises(UserError, match="file: can't be written"):
        again.save_run(tmp_path / "file")


def test_the_target_network_lags_behind_and_is_the_network_itself_where_there_is_none() -> None:
    obs = np.eye(5, dtype=np.float32)
    apprentice = small("dqn", learning_starts=0, target_period=10, replay_ratio=32.0)
    np.testing.assert_array_equal(apprentice.target_q(obs), apprentice.q_values(obs))
    apprentice.learning = True
    play(apprentice, envs.make(tiny.CORRIDOR), 16)  # the first step has nothing to learn from: 15 updates
    assert apprentice.updates == 15
    assert apprentice.target_q(obs).shape == (5, 2)
    assert not np.array_equal(apprentice.target_q(obs), apprentice.q_values(obs))
    play(apprentice, envs.make(tiny.CORRIDOR), 5)
    np.testing.assert_array_equal(apprentice.target_q(obs), apprentice.q_values(obs))
    pqn = small("pqn")
    pqn.learning = True
    play(pqn, envs.make(tiny.CORRIDOR), 100)
    np.testing.assert_array_equal(pqn.target_q(obs), pqn.q_values(obs))


@pytest.mark.parametrize("name", ["waterworld", "pong"])
def test_the_agents_that_ship_go_on_where_their_training_ended(name: str) -> None:
    folder = PRETRAINED / name
    apprentice, player = Apprentice.of_agent(folder), load_policy(folder)
    config = apprentice.config
    assert apprentice.trained >= config.total_timesteps
    assert apprentice.epsilon_now == pytest.approx(config.epsilon_final)
    assert apprentice.learning_rate_now == pytest.approx(config.final_learning_rate)
    obs = np.stack([apprentice.space.sample() for _ in range(3)])
    if name == "waterworld":
        obs = np.random.default_rng(0).random((3, 152), np.float32)
    np.testing.assert_array_equal(apprentice.q_values(obs), player.q_values(obs))
    assert (apprentice.name, apprentice.env_id) == (player.name, player.env_id)


def test_agents_that_can_t_learn_here_are_refused(tmp_path: Path) -> None:
    made = small("dqn", learning_starts=0)
    made.save(tmp_path / "dqn")
    small("pqn").save(tmp_path / "pqn")
    small("dqn", hidden=(17,)).save(tmp_path / "wide")
    for path, message in (
        (PRETRAINED / "reinforcejs_wateragent.json", "a file has no network that could go on learning here"),
        (tmp_path / "nothing", "no such run or agent"),
        (tmp_path, "no agent here"),
    ):
        with pytest.raises(UserError, match=message):
            Apprentice.of_agent(path)
    before = copied(made)
    with pytest.raises(UserError, match=r"pqn: its agent is a pqn, and this one is a dqn"):
        made.load(tmp_path / "pqn")
    with pytest.raises(UserError, match=r"wide: its weights are of a network with other layers, inputs or actions"):
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
        for attempt in (Apprentice.of_agent, made.load):
            with pytest.raises(UserError) as refused:
                attempt(tmp_path / "damaged")
            assert "\n" not in str(refused.value)
    with pytest.raises(UserError, match="the weights are of a network with other"):
        Apprentice(made.recipe, made.config, tiny.LOOP, PLANE, 2, weights=before)
    with pytest.raises(UserError, match="unknown agent 'dqm'; did you mean"):
        Apprentice.fresh("dqm", V1)
    with pytest.raises(UserError, match="unknown environment"):
        Apprentice.fresh("dqn", "Waterwolrd-v1")


# ------------------------------------------------------------------ settings and session


def test_auto_is_what_training_would_take_and_a_range_of_returns_is_known() -> None:
    assert Apprentice.fresh("auto", "Waterworld-v1").name == "d3qn"
    c51 = Apprentice.fresh("c51", "Waterworld-v1").config
    assert isinstance(c51, FamilyConfig)
    assert c51.support == envs.returns(V1)
    pong = Apprentice.fresh("auto", "Pong-v5")
    assert (pong.name, pong.env_id, pong.space.shape) == ("pqn", "ALE/Pong-v5", (4, 84, 84))


def test_settings_are_made_for_one_life() -> None:
    frames = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    for agent in AGENTS.values():
        for preset in agent.presets.values():
            config = agent.config(**preset.settings)
            one = for_one_life(agent, config, frames)
            assert one.num_envs == 1
            assert for_one_life(agent, one, frames) == one
            if isinstance(one, RolloutConfig):
                assert isinstance(config, RolloutConfig)
                assert one.rollout_steps == 64
                assert one.minibatches == 2
                assert one.epochs == config.epochs
            if isinstance(one, ReplayConfig):
                assert isinstance(config, ReplayConfig)
                assert one.learning_starts == min(config.learning_starts, 1_000)
                assert (one.replay_ratio, one.batch_size) == (config.replay_ratio, config.batch_size)
                assert agent.experience.bytes_needed(one, frames, 1) <= MOST_BYTES
                assert one.capacity > 10_000
    few = RolloutConfig(num_envs=2, rollout_steps=4, minibatches=8)
    one = for_one_life(AGENTS["pqn"], few, frames)
    assert isinstance(one, RolloutConfig)
    assert (one.rollout_steps, one.minibatches) == (8, 1)


def test_a_session_plays_it_and_the_shipped_agent_s_scores_are_its_own() -> None:
    returns = []
    for policy in (load_policy(SHIPPED), Apprentice.of_agent(SHIPPED)):
        session = Session(envs.make(V1), policy, seed=3, epsilon=0.05)
        assert session.reader is not None
        for _ in range(150):
            session.step()
        returns.append((session.score.episode_return, session.obs.tolist()))
    assert returns[0] == returns[1]


def test_experience_of_whole_observations_is_what_a_replay_without_stacks_counts() -> None:
    apprentice = small("dqn", learning_starts=0, capacity=120)
    apprentice.learning = True
    play(apprentice, envs.make(tiny.CORRIDOR), 300)
    assert isinstance(apprentice.experience, Replayed)
    assert apprentice.replay_size == len(apprentice.experience.replay) <= 120
