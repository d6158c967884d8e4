"""DuelingHead: what ends a trace, statistics, units, sparse first weights, an exact resume."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import nn

from agents.stream_q import RECIPE, StreamConfig
from common.errors import UserError
from common.settings import validate
from learning.checkpoint import load_agent, load_learner, save_agent, save_learner
from learning.replay import Batch
from learning.runfolder import RunFolder
from learning.stream import RewardScale, Running, Stream, StreamLearner, StreamNetwork
from learning.trainer import Plan, Trainer
from tests.learning.helpers import Onlooker

SPACE = spaces.Box(-np.inf, np.inf, (3,), np.float32)
FRAMES = spaces.Box(0, 255, (4, 84, 84), np.uint8)
SMALL = StreamConfig(hidden=(16,), total_timesteps=600, epsilon_steps=100)


def learner(seed: int = 1, space: spaces.Box = SPACE, **changes: Any) -> StreamLearner:
    return StreamLearner(RECIPE, dataclasses.replace(SMALL, **changes), space, 2, seed)


def transition(
    rng: np.random.Generator, reward: float = 1.0, discount: float = 0.99, ends: bool = False, explored: bool = False
) -> Batch:
    obs, next_obs = (torch.from_numpy(rng.normal(size=(1, 3)).astype(np.float32)) for _ in range(2))
    action = torch.from_numpy(rng.integers(0, 2, 1))
    numbers = torch.tensor([reward]), torch.tensor([discount])
    return Batch(obs, action, *numbers, next_obs, torch.ones(1), ends=ends, explored=explored)


# ------------------------------------------------------------------ what ends a trace


@pytest.mark.parametrize("flag", ["ends", "explored"])
def test_the_trace_is_forgotten_after_the_step_that_ends_it(flag: str) -> None:
    """The step itself still moves what led to it: it differs from the same step without a past."""
    moved = []
    for past in (True, False):
        rng = np.random.default_rng(0)
        before, now = transition(rng), transition(rng, **{flag: True})
        one = learner()
        one.update(before, 1.0)
        assert one.optimizer.trace.abs().sum() > 0
        if not past:
            one.optimizer.reset_traces()
        weights = one.optimizer.flat.clone()
        one.update(now, 1.0)
        assert not one.optimizer.trace.any()
        moved.append(one.optimizer.flat - weights)
    assert not torch.allclose(moved[0], moved[1])


def test_the_trace_fades_by_gamma_and_lambda() -> None:
    rng = np.random.default_rng(0)
    one = learner(gamma=0.5, trace_decay=0.25)
    one.update(transition(rng), 1.0)
    before = one.optimizer.trace.clone()
    now = transition(rng)
    weights = one.optimizer.flat.clone()
    one.update(now, 1.0)
    q = one.online
    after = one.optimizer.trace.clone()
    one.optimizer.flat.copy_(weights)
    one.optimizer.reset_traces()
    (-q(now.obs).q_values[0, now.action] / q.rewards.value).backward()
    torch.testing.assert_close(after, before / 8 + one.optimizer.trace)


@pytest.mark.parametrize(("discount", "ends"), [(0.5, False), (0.5, True), (0.0, True)])
def test_a_truncated_episode_bootstraps_and_a_terminated_one_does_not(discount: float, ends: bool) -> None:
    one = learner(gamma=0.5)
    step = transition(np.random.default_rng(0), 2.0, discount, ends=ends)
    q, ahead = (one.online(obs).q_values.detach() for obs in (step.obs, step.next_obs))
    wanted = 2.0 + discount * ahead.max() - q[0, step.action]
    torch.testing.assert_close(one.update(step, 1.0).priority, wanted.abs())


def ways(batch: Batch) -> tuple[float, float, int]:
    return batch.obs[0, 0].item(), batch.next_obs[0, 0].item(), int(batch.action)


def stream() -> Stream:
    return Stream(SMALL, SPACE, 1, np.random.default_rng(0), "cpu", None, lambda obs: np.zeros(len(obs)))


def live(experience: Stream, action: int, q_values: list[float], discount: float, next_obs: float) -> list[Batch]:
    """Return what is learnt before a step is taken, out of reach of what comes, and take it."""
    due = list(experience.batches(np.array([q_values])))
    due = [one._replace(obs=one.obs.clone(), next_obs=one.next_obs.clone(), action=one.action.clone()) for one in due]
    experience.add(np.array([action]), np.array([1.0]), np.array([discount]), np.full((1, 3), next_obs, np.float32))
    return due


def test_a_stream_hands_out_each_step_once_and_says_what_ended_it() -> None:
    experience = stream()
    experience.reset(np.zeros((1, 3), np.float32))
    assert live(experience, 1, [1.0, 2.0], 0.9, 1.0) == []
    (first,) = live(experience, 0, [1.0, 2.0], 0.9, 2.0)
    assert ways(first) == (0.0, 1.0, 1)
    assert not first.ends
    assert not first.explored
    (second,) = live(experience, 0, [2.0, 2.0], 0.9, 3.0)
    assert second.explored
    (third,) = live(experience, 1, [2.0, 2.0], 0.0, 4.0)
    assert not third.explored  # as good as the other
    (fourth,) = live(experience, 1, [2.0, 3.0], 0.9, 5.0)
    assert fourth.ends  # a life lost: no reset came
    experience.reset(np.full((1, 3), 7.0, np.float32), np.array([True]))  # truncated
    (fifth,) = live(experience, 1, [2.0, 3.0], 0.9, 8.0)
    assert fifth.ends
    assert ways(fifth) == (4.0, 5.0, 1)
    assert fifth.discount > 0
    (sixth,) = live(experience, 1, [2.0, 3.0], 0.9, 9.0)
    assert not sixth.ends
    assert ways(sixth) == (7.0, 8.0, 1)


# ------------------------------------------------------------------ statistics and units


def test_running_statistics_are_numpys() -> None:
    seen = np.random.default_rng(0).normal([10.0, 0.0, -3.0], [1.0, 5.0, 0.0], (500, 3)).astype(np.float32)
    running = Running((3,))
    for count, new in enumerate(seen, 1):
        running.observe(torch.from_numpy(new))
        known = seen[:count].astype(np.float64)
        np.testing.assert_allclose(running.mean, known.mean(0), rtol=1e-5, atol=1e-5)
        wanted = known.var(0, ddof=1) if count > 1 else np.ones(3)
        np.testing.assert_allclose(running.variance, wanted, rtol=1e-3, atol=1e-12)


def test_the_reward_scale_is_the_deviation_of_the_discounted_return() -> None:
    rng = np.random.default_rng(0)
    rewards, ends = rng.normal(1.0, 3.0, 300).astype(np.float32), rng.random(300) < 0.1
    scale, returns, total = RewardScale(0.9), [], 0.0
    for reward, end in zip(rewards, ends, strict=True):
        scale.observe(torch.tensor(reward), bool(end))
        total = reward + (0.0 if end else 0.9 * total)
        returns.append(total)
        wanted = np.std(returns, ddof=1) if len(returns) > 1 else 1.0
        assert scale.value.item() == pytest.approx(wanted, rel=1e-4)


def test_expectations_are_in_the_environments_units() -> None:
    """Rewards eight times as large: the same weights, eight times the expectations and errors."""
    one, eight = learner(), learner()
    steps = np.random.default_rng(0)
    for t in range(200):
        # of a single return no deviation is known yet: it must be 0 for the scales to be proportional
        step = transition(steps, float(steps.normal()) if t else 0.0, ends=t % 17 == 16, explored=t % 5 == 4)
        plain = one.update(step, 1.0)
        scaled = eight.update(step._replace(reward=8 * step.reward), 1.0)
    assert one.optimizer.flat.abs().sum() > 1.0
    torch.testing.assert_close(eight.optimizer.flat, one.optimizer.flat, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(scaled.priority, 8 * plain.priority, rtol=1e-3, atol=1e-3)
    assert eight.online.rewards.value.item() == pytest.approx(8 * one.online.rewards.value.item(), rel=1e-4)
    torch.testing.assert_close(eight.online(step.obs).q_values, 8 * one.online(step.obs).q_values, rtol=1e-3, atol=1e-3)


def test_only_exploring_changes_the_statistics() -> None:
    one = learner()
    policy = one.policy("CartPole-v1")
    obs = np.random.default_rng(0).normal(5.0, 2.0, (40, 1, 3)).astype(np.float32)
    for row in obs[:20]:
        one.noisy_q_values(row)
    before = {name: value.clone() for name, value in one.online.state_dict().items()}
    np.testing.assert_allclose(before["observations.mean"], obs[:20, 0].mean(0), rtol=1e-5)
    policy.q_values(obs[20:, 0])
    policy.act(obs[20:, 0], 0.0, np.random.default_rng(0))
    assert all(torch.equal(value, before[name]) for name, value in one.online.state_dict().items())


def test_frames_are_normalised_by_the_pixels_of_the_newest_one() -> None:
    one = learner(space=FRAMES)
    policy = one.policy("ALE/Pong-v5")
    frames = np.random.default_rng(0).integers(0, 256, (6, 1, 4, 84, 84), dtype=np.uint8)
    frames[..., 0, 0] = 7  # never changes
    for stack in frames:
        assert one.noisy_q_values(stack).shape == (1, 2)
    np.testing.assert_allclose(one.online.observations.mean, frames[:, 0, -1].mean(0), rtol=1e-4)
    assert one.online.observations.variance[0, 0] == 0.0
    assert [layer.in_features for layer in one.online.dense] == [256]
    # black frames, as before an episode's start: a pixel that never was black does not drown the others
    stack = frames[0].copy()
    stack[0, :3] = 0
    stack[0, 3, 5:, 5:] = 255 - stack[0, 3, 5:, 5:]
    seen: list[torch.Tensor] = []
    one.online.convolutions[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    policy.q_values(stack)
    assert seen[0].abs().max() == 10.0


# ------------------------------------------------------------------ first weights and settings


@pytest.mark.parametrize("space", [SPACE, FRAMES, spaces.Box(-1, 1, (152,), np.float32)])
def test_nine_weights_in_ten_of_each_unit_begin_at_zero(space: spaces.Box) -> None:
    network = StreamNetwork(space, 5, StreamConfig(hidden=(64, 40)), torch.Generator().manual_seed(0))
    layers = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    assert len(layers) == (6 if space is FRAMES else 3)
    for layer in layers:
        units = layer.weight.detach().flatten(1)
        inputs = units.shape[1]
        kept = (units != 0).sum(1)
        assert (kept == max(inputs - math.ceil(0.9 * inputs), 1)).all()
        bound = 1 / math.sqrt(inputs)
        assert units.abs().max() <= bound
        assert units.abs().max() > 0.8 * bound
        assert len(set(map(tuple, (units != 0).tolist()))) > 1  # each unit has its own inputs
        assert layer.bias is not None
        assert not layer.bias.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_envs": 2}, r"--num-envs 2 is out of range; allowed: 1 to 1"),
        ({"dueling": True}, r"--dueling has no effect on stream_q"),
        ({"optimizer": "rmsprop"}, r"--optimizer has no effect on stream_q"),
        ({"encoder": "impala"}, r"--encoder impala is not available for stream_q"),
    ],
)
def test_settings_without_meaning_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(dataclasses.replace(StreamConfig(), **changes))


def test_presets_are_valid_and_leave_rewards_to_the_scale() -> None:
    assert {preset.suits for preset in RECIPE.presets.values()} == {"atari", "worlds", "control"}
    for preset in RECIPE.presets.values():
        config = StreamConfig(**preset.settings)
        validate(config)
        assert not config.clip_rewards


# ------------------------------------------------------------------ what is kept


def life(one: StreamLearner, steps: int, seed: int) -> NDArray[np.float64]:
    rng, policy = np.random.default_rng(seed), one.policy("CartPole-v1")
    for t in range(steps):
        step = transition(rng, float(rng.normal()), ends=t % 7 == 6)
        one.noisy_q_values(step.next_obs.numpy())
        one.update(step, 1.0)
    return policy.q_values(rng.normal(size=(10, 3)).astype(np.float32))


def test_a_learner_goes_on_from_what_was_saved_bit_for_bit(tmp_path: Path) -> None:
    one, other, stranger = learner(), learner(seed=2), learner(seed=2)
    life(one, 40, 0)
    save_learner(tmp_path, one)
    load_learner(tmp_path, other, one.updates)
    assert one.optimizer.trace.any()
    assert torch.equal(one.optimizer.trace, other.optimizer.trace)
    again, same = life(one, 40, 1), life(other, 40, 1)
    np.testing.assert_array_equal(again, same)
    assert torch.equal(one.optimizer.flat, other.optimizer.flat)
    assert not np.array_equal(life(stranger, 40, 1), same)


def test_a_saved_agent_plays_by_itself(tmp_path: Path) -> None:
    one = learner()
    life(one, 40, 0)
    save_agent(tmp_path, one, "CartPole-v1", SPACE, 40)
    player = load_agent(tmp_path, RECIPE)
    obs = np.random.default_rng(1).normal(size=(10, 3)).astype(np.float32)
    np.testing.assert_array_equal(player.q_values(obs), one.policy("CartPole-v1").q_values(obs))


def test_a_stopped_run_goes_on_exactly(tmp_path: Path) -> None:
    plan = Plan("CartPole-v1", RECIPE, SMALL, 1, evaluations=1, eval_episodes=1)

    def trainer() -> Trainer:
        return Trainer(plan, RunFolder.create(tmp_path, plan.env_id, RECIPE.name, 1, {}))

    whole, stopped = trainer(), trainer()
    assert whole.run(Onlooker())
    onlooker = Onlooker(stop_at=300)
    onlooker.trainer = stopped
    assert not stopped.run(onlooker)
    resumed = Trainer(plan, RunFolder(stopped.run_folder.path))
    resumed.load_state()
    assert resumed.agent_steps == 300
    assert resumed.run(Onlooker())
    assert resumed.learner.updates == whole.learner.updates == 599  # the last step is not learnt from
    wanted = whole.learner.online.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in resumed.learner.online.state_dict().items())
