"""Masks of actions: told by an environment, carried by its observations, obeyed by all who choose or take a maximum."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

import envs
from agents import load_policy
from agents.policy import RandomPolicy
from common.errors import UserError
from common.files import ROOT
from envs import masks
from learning.config import FamilyConfig
from learning.evaluate import evaluate
from learning.fused import make_learner
from learning.heads import FORBIDDEN, HEADS, QOutput, allow
from learning.learner import Learner
from learning.losses import Network, td_loss
from learning.networks import epsilon_greedy, random_actions
from learning.replay import Batch
from learning.trainer import Trainer
from tests import tiny
from tests.learning.helpers import RecordingWatcher, close, plan, trainer
from train import main

AGENTS = ("dqn", "d3qn", "c51", "hl_gauss", "iqn", "m_iqn", "rainbow", "pqn", "stream_q")
SHORT = ["--total-timesteps", "800", "--evaluations", "1", "--eval-episodes", "3", "--device", "cpu", "--num-envs", "4"]


@pytest.fixture(autouse=True, scope="module")
def _environments() -> None:
    tiny.register()


# ------------------------------------------------------------------ the environment


@pytest.mark.parametrize("by", ["info", "method"])
def test_the_mask_is_the_end_of_the_observation(by: str) -> None:
    vec = envs.make_vec(tiny.PICKY, 3, by=by)
    space = vec.single_observation_space
    assert isinstance(space, envs.MaskedBox)
    assert (space.shape, space.plain.shape, space.num_actions) == ((8,), (5,), 3)
    obs, _ = vec.reset(seed=1)
    rng = np.random.default_rng(0)
    for _ in range(60):
        assert space.contains(obs[0])
        state, allowed = obs[:, :5].argmax(1), envs.allowed(space, obs)
        assert allowed is not None
        expected = np.stack([state > 0, state < 4, state < 0], 1)
        np.testing.assert_array_equal(allowed, expected)
        obs, _, terminated, truncated, _ = vec.step(random_actions(3, 3, rng, allowed))
        done = terminated | truncated
        if done.any():
            obs, _ = vec.reset(seed=[7, 8, 9], options={"reset_mask": done})  # type: ignore[arg-type]
    vec.close()


def test_off_and_no_masks_leave_the_observation_alone() -> None:
    for env in (envs.make(tiny.PICKY, action_mask=False), envs.make(tiny.CORRIDOR)):
        assert not isinstance(env.observation_space, envs.MaskedBox)
        assert env.observation_space.shape == (5,)
        assert envs.allowed(env.observation_space, np.zeros((2, 5))) is None


def test_taxi_tells_its_masks() -> None:
    """Its walls, and where a passenger can be picked up: 6 actions behind 500 states."""
    env = envs.make("Taxi-v4")
    obs, info = env.reset(seed=1)
    assert obs.shape == (506,)
    np.testing.assert_array_equal(obs[-6:], info["action_mask"])


def test_a_mask_that_allows_nothing_or_is_missing_allows_all() -> None:
    class Silent(tiny.Picky):
        said: Any = None

        def _info(self) -> dict[str, Any]:
            return dict(self.said or {})

    env = masks.ActionMask(Silent(), "Silent")
    assert env.reset(seed=1)[0][-3:].tolist() == [1, 1, 1]
    env.unwrapped.said = {"action_mask": [0, 0, 0]}  # type: ignore[attr-defined]
    assert env.reset(seed=1)[0][-3:].tolist() == [1, 1, 1]
    env.unwrapped.said = {"action_mask": [False, True, False]}  # type: ignore[attr-defined]
    assert env.reset(seed=1)[0][-3:].tolist() == [0, 1, 0]


def test_a_mask_of_another_shape_is_one_line() -> None:
    env = envs.make(tiny.PICKY, by="wrong")
    with pytest.raises(UserError, match=r"info\['action_mask'\] has shape \(2,\); \(3,\) is needed") as caught:
        env.reset(seed=1)
    assert "\n" not in str(caught.value)
    assert "--action-mask off" in str(caught.value)


@pytest.mark.parametrize("said", ["left", [[1], [0, 1]], {"left": 1}])
def test_what_is_no_mask_is_one_line(said: Any) -> None:
    class Odd(tiny.Picky):
        def _info(self) -> dict[str, Any]:
            return {"action_mask": said}

    with pytest.raises(UserError, match=r"^Odd: info\['action_mask'\] gives no mask \(\w+Error: ") as caught:
        masks.ActionMask(Odd(), "Odd").reset(seed=1)
    assert "\n" not in str(caught.value)

    class Raises(tiny.Picky):
        def action_masks(self) -> Any:
            raise KeyError("left")

    with pytest.raises(UserError, match=r"^Raises: action_masks\(\) gives no mask \(KeyError: 'left'\); --action-mask"):
        masks.ActionMask(Raises(), "Raises").reset(seed=1)


def test_an_environment_that_fails_at_first_has_no_masks_and_its_own_message() -> None:
    class Broken(gymnasium.Env[Any, Any]):
        observation_space, action_space = spaces.Box(0, 1, (2,), np.float32), spaces.Discrete(2)

        def reset(self, **_: Any) -> Any:
            raise ZeroDivisionError

    env: Any = Broken()
    assert masks.masked(env, "Broken-v0") is env


# ------------------------------------------------------------------ choosing


def test_random_actions_are_uniform_over_those_allowed() -> None:
    allowed = np.array([[True, False, True, True], [False, True, False, False]])
    rows = np.repeat(allowed, 3_000, axis=0)
    drawn = random_actions(6_000, 4, np.random.default_rng(1), rows)
    counts = np.bincount(drawn[:3_000], minlength=4)
    assert counts[1] == 0
    assert abs(counts[[0, 2, 3]] - 1_000).max() < 100
    assert set(drawn[3_000:]) == {1}
    np.testing.assert_array_equal(
        epsilon_greedy(np.zeros(50, np.int64), 4, 0.5, np.random.default_rng(2)),
        epsilon_greedy(np.zeros(50, np.int64), 4, 0.5, np.random.default_rng(2), None),
    )


def test_the_random_policy_and_evaluations_random_actions_are_allowed_ones() -> None:
    """The environment breaks where they are not."""
    space = envs.make(tiny.PICKY).observation_space
    assert len(evaluate(RandomPolicy(3, space), tiny.PICKY, 20, epsilon=0.5)) == 20
    with pytest.raises(Exception, match="is not allowed in state"):
        evaluate(RandomPolicy(3), tiny.PICKY, 20, epsilon=0.0)
    with pytest.raises(Exception, match="is not allowed in state"):
        evaluate(RandomPolicy(3), tiny.PICKY, 20, epsilon=0.5, action_mask=False)


# ------------------------------------------------------------------ targets


@pytest.mark.parametrize("head", ["expected", "categorical", "histogram", "quantile"])
@pytest.mark.parametrize("switches", [{}, {"double": True}, {"munchausen": True}])
def test_targets_are_those_of_an_environment_without_the_actions(head: str, switches: dict[str, bool]) -> None:
    """Three actions, of which the best is not allowed, give the losses of the other two alone, bit for bit."""
    config = FamilyConfig(head=head, num_atoms=11, num_quantiles=5, v_min=-20, v_max=20, **switches)  # type: ignore[arg-type]
    made = HEADS[head](config)
    generator = torch.Generator().manual_seed(3)
    outputs = torch.randn((2, 2, 4, 3, made.outputs_per_action), generator=generator)  # network, obs, B, A, K
    outputs[..., 2, :] += 5 * torch.arange(made.outputs_per_action).add(1)
    mask = torch.tensor([[1.0, 1.0, 0.0]]).expand(4, 3)

    def networks(actions: int, masked: bool) -> tuple[Network, Network]:
        def network(which: int) -> Network:
            def forward(obs: Tensor) -> QOutput:
                which_obs, row = obs[:, 0].long(), torch.arange(len(obs)) % 4  # two batches may come as one
                out: QOutput = made(outputs[which, which_obs, row, :actions], None)
                return allow(out, mask[row, :actions]) if masked else out

            return forward

        return network(0), network(1)

    zeros, ones = torch.zeros(4, 1), torch.ones(4, 1)
    discount = torch.tensor([0.9, 0.0, 0.9, 0.9])
    batch = Batch(zeros, torch.tensor([0, 1, 1, 0]), torch.tensor([1.0, -2.0, 0.5, 0.0]), discount, ones, torch.ones(4))
    masked = td_loss(*networks(3, True), batch, config)
    without = td_loss(*networks(2, False), batch, config)
    unmasked = td_loss(*networks(3, False), batch, config)
    torch.testing.assert_close(masked.per_sample, without.per_sample, rtol=1e-6, atol=1e-6)
    assert not torch.allclose(masked.per_sample, unmasked.per_sample)


def test_networks_expect_nothing_of_forbidden_actions_and_do_not_see_the_mask() -> None:
    run = plan(tiny.PICKY, "d3qn")
    space = envs.make(tiny.PICKY).observation_space
    assert isinstance(space, envs.MaskedBox)
    learner = Learner(run.recipe, run.config, space, 3, seed=1)
    plain = Learner(run.recipe, run.config, space.plain, 3, seed=1)
    obs = torch.tensor([[1.0, 0, 0, 0, 0, 0, 1, 0], [0, 1.0, 0, 0, 0, 1, 1, 0]])
    q, same = learner.online(obs).q_values, plain.online(obs[:, :5]).q_values
    close(q[0, [0, 2]], [FORBIDDEN, FORBIDDEN])
    torch.testing.assert_close(q[0, 1], same[0, 1], rtol=0, atol=0)
    policy = learner.policy(tiny.PICKY)
    assert np.isneginf(policy.q_values(obs.numpy())).tolist() == [[True, False, True], [False, False, True]]
    rng = np.random.default_rng(0)
    assert {int(policy.act(obs.numpy(), 1.0, rng)[0]) for _ in range(20)} == {1}
    insight = policy.reader().insight(obs.numpy()[0])
    assert np.isneginf(insight.q_values).tolist() == [True, False, True]


# ------------------------------------------------------------------ agents


@pytest.mark.parametrize("agent", AGENTS)
def test_every_kind_of_agent_learns_by_allowed_actions_only(agent: str, tmp_path: Path) -> None:
    """Any other one breaks the environment, in training and in evaluation."""
    run = trainer(tmp_path, tiny.PICKY, agent, gamma=0.9, total_timesteps=600)
    assert run.learner.engine == "torch"
    assert run.run(RecordingWatcher())
    loaded = load_policy(run.run_folder.path)
    obs = np.array([[1, 0, 0, 0, 0, 0, 1, 0]], np.float32)
    np.testing.assert_array_equal(loaded.q_values(obs), run.policy.q_values(obs))
    assert len(evaluate(loaded, tiny.PICKY, 5, epsilon=0.3)) == 5


def test_the_values_are_those_of_the_corridor(tmp_path: Path) -> None:
    run = trainer(tmp_path, tiny.PICKY, "d3qn", gamma=0.9, total_timesteps=3_000, learning_rate=3e-3, target_period=20)
    assert run.run(RecordingWatcher())
    states = np.eye(5, dtype=np.float32)[:4]
    obs = np.concatenate([states, np.tile(np.array([1, 1, 0], np.float32), (4, 1))], 1)
    obs[0, 5] = 0
    q_values = run.policy.q_values(obs)[:, :2]
    np.testing.assert_allclose(q_values[1:], tiny.Corridor.q_star(0.9)[1:], atol=0.1)
    assert q_values[0, 1] == pytest.approx(0.9**3, abs=0.1)


def test_a_stopped_run_resumes_exactly(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "a", tiny.PICKY, "dqn", total_timesteps=800)
    whole.run(RecordingWatcher())
    watcher = RecordingWatcher(stop_at=400)
    part = watcher.trainer = trainer(tmp_path / "b", tiny.PICKY, "dqn", total_timesteps=800)
    assert not part.run(watcher)
    rest = Trainer(part.plan, part.run_folder)
    rest.load_state()
    assert rest.run(RecordingWatcher())
    for one, other in zip(whole.learner.parameters, rest.learner.parameters, strict=True):
        assert torch.equal(one, other)


def test_the_fused_engine_objects() -> None:
    run = plan(tiny.PICKY, "dqn")
    space: Any = envs.make(tiny.PICKY).observation_space
    with pytest.raises(UserError, match="--engine fused can't train this: it lacks masks of actions; --engine torch"):
        make_learner(run.recipe, run.config, space, 3, 1, engine="fused")
    assert make_learner(run.recipe, run.config, space.plain, 3, 1).engine == "fused"


def test_agents_from_before_masks_ignore_them(tmp_path: Path) -> None:
    run = trainer(tmp_path, tiny.PICKY, "dqn", action_mask="off")
    run.save_agent()
    path = run.run_folder.agent / "manifest.json"
    manifest = json.loads(path.read_text())
    assert "allowed_actions" not in manifest["observation"]
    del manifest["config"]["action_mask"]
    path.write_text(json.dumps(manifest))
    loaded: Any = load_policy(run.run_folder.path)
    assert loaded.env_options["action_mask"] is False
    assert loaded.q_values(np.zeros((1, 5), np.float32)).shape == (1, 3)
    assert replace(run.plan.config, action_mask="auto") != run.plan.config


# ------------------------------------------------------------------ from the command line


def test_from_training_to_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [tiny.PICKY, "--agent", "c51", "--learning-starts", "100", *SHORT, "--runs-dir", str(tmp_path)]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "torch engine" in printed
    (folder,) = tmp_path.iterdir()
    assert json.loads((folder / "config.json").read_text())["config"]["action_mask"] == "auto"
    program = (
        "import sys, play; from common.program import run; from tests import tiny; tiny.register(); run(play.main)"
    )
    picture = tmp_path / "picture.png"
    for who in ([str(folder)], ["--env-id", tiny.PICKY, "--runs-dir", str(tmp_path / "none")]):
        done = subprocess.run(
            [sys.executable, "-c", program, *who, "--record", str(picture), "--overwrite", "--steps", "20"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert picture.stat().st_size > 1_000
    with pytest.raises(Exception, match="is not allowed in state"):
        main([*words, "--action-mask", "off"])
