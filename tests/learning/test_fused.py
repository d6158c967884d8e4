"""The fused engine computes what PyTorch computes, to float32 rounding, and the same bits with one thread and two."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import recipe
from common.errors import UserError
from envs.mirrors import MirroredBox, together
from learning import checkpoint, fused
from learning.config import FamilyConfig
from learning.fused import FusedLearner, make_learner
from learning.learner import Learner
from learning.plan import Plan
from learning.preflight import preflight
from learning.replay import Batch
from learning.signals import AWAKE, CLAIMED, ENTERED, LEFT, POSTED
from learning.trainer import Trainer
from tests.learning.helpers import kept

MIRRORS = together(
    [
        (2, np.array([1, 0, 2, 3, 4]), np.array([1, 1, -1, 1, 1], np.float32), np.array([1, 0, 2])),
        (4, np.arange(5), np.array([1, 1, 1, 1, -1], np.float32), np.arange(3)),
    ]
)
# its bounds scale the observations by 1/3; its images are looked at where --canonical asks for it
SPACE = MirroredBox(spaces.Box(-2, 3, (5,), np.float32), MIRRORS)
ACTIONS = 3


def config_of(**changes: Any) -> FamilyConfig:
    """Return a small network's settings."""
    return replace(FamilyConfig(hidden=(16, 12), batch_size=16, target_period=3), **changes)


def both(config: FamilyConfig) -> tuple[Learner, FusedLearner]:
    """Return the same learner with both engines."""
    found = recipe("dqn")
    return Learner(found, config, SPACE, ACTIONS, 1), FusedLearner(found, config, SPACE, ACTIONS, 1)


def batch_of(size: int, generator: torch.Generator, actions: int = ACTIONS) -> Batch:
    """Return random transitions; some errors are small and some large, some end an episode, all weights differ."""
    normal = torch.randn(size, 12, generator=generator)
    return Batch(
        obs=normal[:, :5].contiguous(),
        action=torch.randint(0, actions, (size,), generator=generator),
        reward=2 * normal[:, 10],
        discount=0.9 * (normal[:, 11] > -1),
        next_obs=normal[:, 5:10].contiguous(),
        weight=torch.rand(size, generator=generator),
    )


def gradients(learner: Learner) -> torch.Tensor:
    """Return the gradient of the last update, as PyTorch left it."""
    return torch.cat([parameter.grad.flatten() for parameter in learner.parameters if parameter.grad is not None])


def weights(learner: Learner) -> torch.Tensor:
    """Return all parameters in one."""
    return torch.cat([parameter.detach().flatten() for parameter in learner.parameters])


COMBINATIONS = st.fixed_dictionaries(
    {
        "canonical": st.booleans(),
        "double": st.booleans(),
        "dueling": st.booleans(),
        "loss": st.sampled_from(["huber", "mse"]),
        "max_grad_norm": st.sampled_from([None, 0.01, 10.0]),
        "hidden": st.lists(st.integers(1, 20), max_size=3).map(tuple),
        "head_hidden": st.lists(st.integers(1, 20), max_size=2).map(tuple),
        "optimizer_epsilon": st.sampled_from([1e-8, 1.5e-4]),
    }
)


@settings(max_examples=60, deadline=None)
@given(COMBINATIONS, st.integers(1, 33), st.integers(0, 2**32))
def test_one_update_is_that_of_pytorch(changes: dict[str, Any], size: int, seed: int) -> None:
    slow, fast = both(config_of(**changes, target_period=1000))
    # the target network is another one, so that no role can be mistaken for another
    generator = torch.Generator().manual_seed(seed)
    for name, value in slow.target.state_dict().items():
        if "factor" not in name:
            value.copy_(torch.randn(value.shape, generator=generator))
            fast.target.state_dict()[name].copy_(value)
    batch = batch_of(size, generator)
    expected, found = slow.update(batch, 1e-3), fast.update(batch, 1e-3)
    assert float(found.loss) == pytest.approx(float(expected.loss), rel=1e-5, abs=1e-6)
    assert float(found.q_values) == pytest.approx(float(expected.q_values), rel=1e-5, abs=1e-6)
    # differences of expectations, which round in proportion to the largest ones
    allowed = 1e-5 * max(1.0, expected.priority.max().item())
    torch.testing.assert_close(found.priority, expected.priority, rtol=1e-5, atol=allowed)
    largest = gradients(slow).abs().max().item()
    norm = float(np.linalg.norm(fast.network.gradients[0]))
    share = 1.0 if changes["max_grad_norm"] is None else min(1.0, changes["max_grad_norm"] / (norm + 1e-6))
    gradient = share * torch.from_numpy(fast.network.gradients[0])
    torch.testing.assert_close(gradient, gradients(slow), rtol=1e-4, atol=1e-5 * max(largest, 1e-3))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"double": True, "canonical": True},
        {"dueling": True, "loss": "mse"},
        {"double": True, "dueling": True, "head_hidden": (8,)},
        {"hidden": (), "dueling": True, "head_hidden": (9, 7), "max_grad_norm": 0.1},
        {"hidden": (), "loss": "mse", "max_grad_norm": None},
    ],
)
def test_a_thousand_updates_are_those_of_pytorch(changes: dict[str, Any]) -> None:
    slow, fast = both(config_of(**changes, optimizer_epsilon=1e-4))
    generator = torch.Generator().manual_seed(0)
    start = weights(slow).clone()
    for update in range(1000):
        batch = batch_of(17, generator)
        slow.update(batch, 1e-3 - update * 9e-7)
        fast.update(batch, 1e-3 - update * 9e-7)
    assert slow.updates == fast.updates == 1000
    assert (weights(slow) - start).abs().max() > 0.05  # there was something to agree on
    # rounding is passed on from update to update
    torch.testing.assert_close(weights(fast), weights(slow), rtol=1e-2, atol=3e-3)
    obs = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    np.testing.assert_allclose(fast.noisy_q_values(obs), slow.noisy_q_values(obs), rtol=1e-2, atol=1e-2)
    with torch.no_grad():  # the module's parameters are the engine's
        np.testing.assert_allclose(fast.online(torch.from_numpy(obs)).q_values, fast.noisy_q_values(obs), atol=1e-5)
        expected = slow.target(torch.from_numpy(obs)).q_values
        torch.testing.assert_close(fast.target(torch.from_numpy(obs)).q_values, expected, rtol=1e-2, atol=1e-2)


WORLD: dict[str, Any] = {
    "total_timesteps": 100_000,
    "num_envs": 8,
    "hidden": (16,),
    "learning_starts": 200,
    "capacity": 1_000,
}


def trained(steps: int, agent: str = "d3qn", **changes: Any) -> Trainer:
    """Return a trainer after so many agent steps in Waterworld, with five updates of 32 every second step."""
    found = recipe(agent)
    config = found.config(**{**found.switches, **WORLD, "batch_size": 32, "replay_ratio": 10.0, **changes})
    trainer = Trainer(Plan("tidepool/Waterworld-v1", found, config, seed=3), None)
    trainer.begin()
    while trainer.agent_steps < steps:
        trainer.step()
    return trainer


@pytest.mark.parametrize("agent", ["d3qn", "prioritized_dqn"])
def test_threads_change_nothing(agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "SPARE_CORES", 0)
    alone = trained(3_000, agent)
    monkeypatch.setattr(fused, "SPARE_CORES", 1)
    together = trained(3_000, agent)
    assert isinstance(together.learner, FusedLearner)
    assert together.learner._thread is not None  # it did learn in two
    assert alone.learner.updates == together.learner.updates > 500
    assert torch.equal(weights(alone.learner), weights(together.learner))
    np.testing.assert_array_equal(alone.episodes.obs, together.episodes.obs)
    assert alone.update_log.read() == together.update_log.read()


def test_a_run_of_one_thread_keeps_to_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "SPARE_CORES", 1)
    found = recipe("d3qn")
    config = found.config(**{**found.switches, **WORLD})
    preflight(Plan("tidepool/Waterworld-v1", found, config, seed=3), "cpu", threads=1, longest=0.1)
    learner = trained(500).learner
    assert isinstance(learner, FusedLearner)
    assert learner._thread is None


def test_a_second_thread_that_sleeps_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "SPARE_CORES", 1)
    trainer = trained(500)
    learner = trainer.learner
    assert isinstance(learner, FusedLearner)
    assert learner._job is not None
    signals = learner._job.signals
    for _ in range(3):
        while signals[AWAKE]:
            time.sleep(0.01)
        assert signals[ENTERED] == signals[LEFT]
        updates = learner.updates
        while learner.updates == updates:
            trainer.step()
        assert signals[POSTED] == signals[CLAIMED]


def test_it_learns_from_the_batches_that_pytorch_would(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[np.ndarray]] = {"torch": [], "fused": []}
    for engine, drawn in seen.items():
        found = recipe("dqn")
        config = found.config(**{**WORLD, "batch_size": 32, "replay_ratio": 10.0, "n_step": 3})
        trainer = Trainer(Plan("tidepool/Waterworld-v1", found, config, seed=3, engine=engine), None)
        assert trainer.learner.engine == engine
        replay = trainer.experience.replay  # type: ignore[attr-defined]
        draw = replay.draw

        def noted(*args: Any, draw: Any = draw, drawn: list[np.ndarray] = drawn) -> Any:
            draws = draw(*args)
            drawn += [np.concatenate([draws.start, draws.end, draws.action], 1)]
            return draws

        monkeypatch.setattr(replay, "draw", noted)
        trainer.begin()
        while trainer.learner.updates < 20:  # later, rounding may have led to other actions
            trainer.step()
    np.testing.assert_array_equal(np.concatenate(seen["torch"])[:20], np.concatenate(seen["fused"])[:20])


def test_its_state_is_that_of_any_learner(tmp_path: Path) -> None:
    config = config_of(double=True)
    generator = torch.Generator().manual_seed(0)
    slow, fast = both(config)
    batches = [batch_of(16, generator) for _ in range(20)]
    for batch in batches[:10]:
        fast.update(batch, 1e-3)
    saved = kept(tmp_path, lambda into: checkpoint.save_learner(into, fast))
    # back into the same engine: exactly; into PyTorch: to rounding
    again = both(config)[1]
    for learner in (slow, again):
        checkpoint.load_learner(saved, learner, fast.updates)
        assert torch.equal(weights(learner), weights(fast))
    for learner in (slow, again, fast):
        for batch in batches[10:]:
            learner.update(batch, 1e-3)
    assert torch.equal(weights(again), weights(fast))
    torch.testing.assert_close(weights(slow), weights(fast), rtol=1e-3, atol=1e-4)
    again.load_optimizer({})
    assert not again.network.mean.any()
    assert not again.network.square.any()
    assert not again._steps.any()


def test_what_is_no_number_stays_visible() -> None:
    fast = both(config_of())[1]
    batch = batch_of(16, torch.Generator().manual_seed(0))
    batch.obs[3, 2] = torch.nan
    update = fast.update(batch, 1e-3)
    assert np.isnan(float(update.loss))
    assert weights(fast).isnan().any()
    assert np.isnan(fast.noisy_q_values(np.zeros((1, 5), np.float32))).any()


@pytest.mark.parametrize("action", range(ACTIONS))
@pytest.mark.parametrize("double", [False, True])
def test_no_action_whose_value_is_no_number_is_passed_over(action: int, double: bool) -> None:
    for learner in both(config_of(double=double)):
        with torch.no_grad():
            learner.online.output.linear.bias[1] = 9.0  # type: ignore[union-attr, operator]
            (learner.online if double else learner.target).output.linear.bias[action] = torch.nan  # type: ignore
            learner.target.output.linear.bias[action] = torch.nan  # type: ignore[union-attr, operator]
        batch = batch_of(8, torch.Generator().manual_seed(0))
        batch.action[:] = (action + 1) % ACTIONS  # itself a number
        batch.discount[:] = 0.9
        assert np.isnan(float(learner.update(batch, 1e-3).loss))


@pytest.mark.parametrize(
    ("agent", "changes", "reason"),
    [
        ("c51", {}, "--head categorical"),
        ("noisy_dqn", {}, "--noisy"),
        ("munchausen_dqn", {}, "--munchausen"),
        ("prioritized_dqn", {"priority": "loss"}, "--priority loss"),
        ("dqn", {"layer_norm": True}, "--layer-norm"),
        ("dqn", {"optimizer": "radam"}, "--optimizer radam"),
        ("pqn", {}, "loss or a learner of its own"),
    ],
)
def test_what_it_cannot_do_is_left_to_pytorch(agent: str, changes: dict[str, Any], reason: str) -> None:
    found = recipe(agent)
    config = found.config(**{**found.switches, **changes})
    assert make_learner(found, config, SPACE, ACTIONS, 1).engine == "torch"
    with pytest.raises(UserError, match=f"--engine fused can't train this: .*{reason}.*; --engine torch can"):
        make_learner(found, config, SPACE, ACTIONS, 1, engine="fused")


def test_frames_are_left_to_pytorch() -> None:
    frames = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    reason = fused.objection(recipe("dqn"), FamilyConfig(), frames, "cpu")
    assert reason == "frames go through convolutions, which it lacks"
    assert "cuda" in str(fused.objection(recipe("dqn"), FamilyConfig(), SPACE, "cuda"))
