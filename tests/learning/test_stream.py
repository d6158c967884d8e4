"""Stream-Q: ends of traces, running statistics, units, sparse initialisation, exact resume, ObGD."""

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
from learning.plan import Plan
from learning.replay import Batch
from learning.runfolder import RunFolder
from learning.stream import ObGD, RewardScale, Running, Stream, StreamLearner, StreamNetwork
from learning.trainer import Trainer
from tests.learning.helpers import RecordingWatcher, kept

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
    rewards, discounts = torch.tensor([reward]), torch.tensor([discount])
    return Batch(obs, action, rewards, discounts, next_obs, torch.ones(1), ends=ends, explored=explored)


# ------------------------------------------------------------------ eligibility traces


@pytest.mark.parametrize("flag", ["ends", "explored"])
def test_the_trace_is_reset_after_the_step_that_ends_it(flag: str) -> None:
    """That step still updates by the trace: it differs from the same step without a past."""
    updates = []
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
        updates.append(one.optimizer.flat - weights)
    assert not torch.allclose(updates[0], updates[1])


def test_the_trace_decays_by_gamma_times_lambda() -> None:
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
    expected = 2.0 + discount * ahead.max() - q[0, step.action]
    torch.testing.assert_close(one.update(step, 1.0).priority, expected.abs())


def states_and_action(batch: Batch) -> tuple[float, float, int]:
    return batch.obs[0, 0].item(), batch.next_obs[0, 0].item(), int(batch.action)


def stream() -> Stream:
    return Stream(SMALL, SPACE, 1, np.random.default_rng(0), "cpu", None, lambda obs: np.zeros(len(obs)))


def take_step(experience: Stream, action: int, q_values: list[float], discount: float, next_obs: float) -> list[Batch]:
    """Return copies of the batches that are due before a step, then take the step."""
    due = list(experience.batches(np.array([q_values])))
    due = [one._replace(obs=one.obs.clone(), next_obs=one.next_obs.clone(), action=one.action.clone()) for one in due]
    experience.add(np.array([action]), np.array([1.0]), np.array([discount]), np.full((1, 3), next_obs, np.float32))
    return due


def test_a_stream_yields_each_step_once_with_its_flags() -> None:
    experience = stream()
    experience.reset(np.zeros((1, 3), np.float32))
    assert take_step(experience, 1, [1.0, 2.0], 0.9, 1.0) == []
    (first,) = take_step(experience, 0, [1.0, 2.0], 0.9, 2.0)
    assert states_and_action(first) == (0.0, 1.0, 1)
    assert not first.ends
    assert not first.explored
    (second,) = take_step(experience, 0, [2.0, 2.0], 0.9, 3.0)
    assert second.explored
    (third,) = take_step(experience, 1, [2.0, 2.0], 0.0, 4.0)
    assert not third.explored  # a tie: greedy too
    (fourth,) = take_step(experience, 1, [2.0, 3.0], 0.9, 5.0)
    assert fourth.ends  # a life lost: there was no reset
    experience.reset(np.full((1, 3), 7.0, np.float32), np.array([True]))  # truncated
    (fifth,) = take_step(experience, 1, [2.0, 3.0], 0.9, 8.0)
    assert fifth.ends
    assert states_and_action(fifth) == (4.0, 5.0, 1)
    assert fifth.discount > 0
    (sixth,) = take_step(experience, 1, [2.0, 3.0], 0.9, 9.0)
    assert not sixth.ends
    assert states_and_action(sixth) == (7.0, 8.0, 1)


# ------------------------------------------------------------------ statistics and units


def test_running_statistics_equal_numpys() -> None:
    seen = np.random.default_rng(0).normal([10.0, 0.0, -3.0], [1.0, 5.0, 0.0], (500, 3)).astype(np.float32)
    running = Running((3,))
    for count, new in enumerate(seen, 1):
        running.observe(torch.from_numpy(new))
        known = seen[:count].astype(np.float64)
        np.testing.assert_allclose(running.mean, known.mean(0), rtol=1e-5, atol=1e-5)
        expected = known.var(0, ddof=1) if count > 1 else np.ones(3)
        np.testing.assert_allclose(running.variance, expected, rtol=1e-3, atol=1e-12)


def test_the_reward_scale_is_the_standard_deviation_of_the_discounted_return() -> None:
    rng = np.random.default_rng(0)
    rewards, ends = rng.normal(1.0, 3.0, 300).astype(np.float32), rng.random(300) < 0.1
    scale, returns, total = RewardScale(0.9), [], 0.0
    for reward, end in zip(rewards, ends, strict=True):
        scale.observe(torch.tensor(reward), bool(end))
        total = reward + (0.0 if end else 0.9 * total)
        returns.append(total)
        expected = np.std(returns, ddof=1) if len(returns) > 1 else 1.0
        assert scale.value.item() == pytest.approx(expected, rel=1e-4)


def test_q_values_are_in_the_environments_units() -> None:
    """Rewards eight times as large: the same weights, eight times the Q values and TD errors."""
    one, eight = learner(), learner()
    steps = np.random.default_rng(0)
    for t in range(200):
        # a single return has no deviation yet: it must be 0 for the scales to be proportional
        step = transition(steps, float(steps.normal()) if t else 0.0, ends=t % 17 == 16, explored=t % 5 == 4)
        plain = one.update(step, 1.0)
        scaled = eight.update(step._replace(reward=8 * step.reward), 1.0)
    assert one.optimizer.flat.abs().sum() > 1.0
    torch.testing.assert_close(eight.optimizer.flat, one.optimizer.flat, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(scaled.priority, 8 * plain.priority, rtol=1e-3, atol=1e-3)
    assert eight.online.rewards.value.item() == pytest.approx(8 * one.online.rewards.value.item(), rel=1e-4)
    torch.testing.assert_close(eight.online(step.obs).q_values, 8 * one.online(step.obs).q_values, rtol=1e-3, atol=1e-3)


def test_only_training_steps_change_the_statistics() -> None:
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
    # black frames, as before an episode's start: a pixel that was never black does not dominate the others
    stack = frames[0].copy()
    stack[0, :3] = 0
    stack[0, 3, 5:, 5:] = 255 - stack[0, 3, 5:, 5:]
    seen: list[torch.Tensor] = []
    one.online.convolutions[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    policy.q_values(stack)
    assert seen[0].abs().max() == 10.0


# ------------------------------------------------------------------ initialisation and settings


@pytest.mark.parametrize("space", [SPACE, FRAMES, spaces.Box(-1, 1, (152,), np.float32)])
def test_sparse_initialisation_leaves_a_tenth_of_each_units_weights(space: spaces.Box) -> None:
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
        assert len(set(map(tuple, (units != 0).tolist()))) > 1  # each unit has inputs of its own
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
def test_settings_without_effect_are_rejected(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(dataclasses.replace(StreamConfig(), **changes))


def test_presets_are_valid_and_leave_rewards_to_the_scale() -> None:
    assert {preset.suits for preset in RECIPE.presets.values()} == {"atari", "worlds", "control"}
    for preset in RECIPE.presets.values():
        config = StreamConfig(**preset.settings)
        validate(config)
        assert not config.clip_rewards


# ------------------------------------------------------------------ saving


def train(one: StreamLearner, steps: int, seed: int) -> NDArray[np.float64]:
    rng, policy = np.random.default_rng(seed), one.policy("CartPole-v1")
    for t in range(steps):
        step = transition(rng, float(rng.normal()), ends=t % 7 == 6)
        one.noisy_q_values(step.next_obs.numpy())
        one.update(step, 1.0)
    return policy.q_values(rng.normal(size=(10, 3)).astype(np.float32))


def test_a_loaded_learner_continues_bit_for_bit(tmp_path: Path) -> None:
    one, other, fresh = learner(), learner(seed=2), learner(seed=2)
    train(one, 40, 0)
    load_learner(kept(tmp_path, lambda into: save_learner(into, one)), other, one.updates)
    assert one.optimizer.trace.any()
    assert torch.equal(one.optimizer.trace, other.optimizer.trace)
    again, same = train(one, 40, 1), train(other, 40, 1)
    np.testing.assert_array_equal(again, same)
    assert torch.equal(one.optimizer.flat, other.optimizer.flat)
    assert not np.array_equal(train(fresh, 40, 1), same)


def test_a_saved_agent_plays_the_same(tmp_path: Path) -> None:
    one = learner()
    train(one, 40, 0)
    save_agent(tmp_path, one, "CartPole-v1", SPACE, 40)
    loaded = load_agent(tmp_path, RECIPE)
    obs = np.random.default_rng(1).normal(size=(10, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded.q_values(obs), one.policy("CartPole-v1").q_values(obs))


def test_a_stopped_run_resumes_exactly(tmp_path: Path) -> None:
    plan = Plan("CartPole-v1", RECIPE, SMALL, 1, evaluations=1, eval_episodes=1)

    def trainer() -> Trainer:
        return Trainer(plan, RunFolder.create(tmp_path, plan.env_id, RECIPE.name, 1, {}))

    uninterrupted, stopped = trainer(), trainer()
    assert uninterrupted.run(RecordingWatcher())
    watcher = RecordingWatcher(stop_at=300)
    watcher.trainer = stopped
    assert not stopped.run(watcher)
    resumed = Trainer(plan, RunFolder(stopped.run_folder.path))
    resumed.load_state()
    assert resumed.agent_steps == 300
    assert resumed.run(RecordingWatcher())
    assert resumed.learner.updates == uninterrupted.learner.updates == 599  # there is no update for the last step
    expected = uninterrupted.learner.online.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.learner.online.state_dict().items())


# ------------------------------------------------------------------ ObGD


class LinearFunction(nn.Module):
    """q = w . x + b, w = (1, 2), b = 1/2: all values below are exact in binary."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.tensor([1.0, 2.0])), nn.Parameter(torch.tensor(0.5))

    def error(self, target: float, x: list[float]) -> torch.Tensor:
        return target - (self.w @ torch.tensor(x) + self.b)


def obgd_step(function: LinearFunction, optimizer: ObGD, target: float, x: list[float]) -> float:
    optimizer.decay()
    error = function.error(target, x)
    error.backward()  # type: ignore[no-untyped-call]
    optimizer.move(error.item())
    return error.item()


def test_two_bounded_obgd_steps_by_hand() -> None:
    """Both steps are bounded.

    q = 1 - 4 + 1/2 = -2.5, error 2.5 with gradient (-1, 2, -1), the trace, of length 4. Bound 2 * 2.5 * 4 = 20:
    w -= 2.5 / 20 (-1, 2, -1). Then error 1 - (1.125 + 0.625) = -0.75, gradient (-1, 0, -1), trace half of the old one
    plus this, (-1.5, 1, -1.5), of length 4. Errors below 1 count as 1: bound 2 * 4 = 8, w -= -0.75 / 8 (-1.5, 1, -1.5).
    """
    function = LinearFunction()
    optimizer = ObGD(function.parameters(), lr=1.0, decay=0.5, kappa=2.0)
    assert obgd_step(function, optimizer, 0.0, [1.0, -2.0]) == 2.5
    assert function.w.tolist() == [1.125, 1.75]
    assert function.b.item() == 0.625
    assert function.error(0.0, [1.0, -2.0]).item() == 1.75  # smaller, of the same sign: no overshoot
    assert obgd_step(function, optimizer, 1.0, [1.0, 0.0]) == -0.75
    assert optimizer.trace.tolist() == [-1.5, 1.0, -1.5]
    assert function.w.tolist() == [1.125 - 9 / 64, 1.75 + 6 / 64]
    assert function.b.item() == 0.625 - 9 / 64


def test_small_obgd_steps_are_not_bounded() -> None:
    """Bound 2 * 1/64 * 2.5 * 4 < 1: w -= 2.5 / 64 (-1, 2, -1)."""
    function = LinearFunction()
    obgd_step(function, ObGD(function.parameters(), lr=1 / 64, decay=0.5, kappa=2.0), 0.0, [1.0, -2.0])
    assert function.w.tolist() == [1 + 2.5 / 64, 2 - 5 / 64]


def test_a_reset_trace_is_the_last_gradient_only() -> None:
    function = LinearFunction()
    optimizer = ObGD(function.parameters(), lr=1.0, decay=0.5, kappa=2.0)
    obgd_step(function, optimizer, 0.0, [1.0, -2.0])
    optimizer.reset_traces()
    obgd_step(function, optimizer, 0.0, [0.0, 3.0])
    assert optimizer.trace.tolist() == [0.0, -3.0, -1.0]


def test_parameters_and_traces_stay_views_of_one_vector_when_loaded() -> None:
    one, other = (LinearFunction() for _ in range(2))
    optimizers = [ObGD(function.parameters(), lr=1.0, decay=0.5, kappa=2.0) for function in (one, other)]
    obgd_step(one, optimizers[0], 0.0, [1.0, -2.0])
    other.load_state_dict(one.state_dict())
    optimizers[1].load_state_dict(optimizers[0].state_dict())
    for function, optimizer in zip((one, other), optimizers, strict=True):
        obgd_step(function, optimizer, 1.0, [1.0, 0.0])
        assert optimizer.trace.tolist() == [-1.5, 1.0, -1.5]
        assert optimizer.flat.tolist() == [*function.w.tolist(), function.b.item()]
    assert torch.equal(one.w, other.w)
