"""Training on Atari: what is learnt from, what is logged, and that it can be stopped and gone on with."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents import load_policy
from common.errors import UserError
from learning.config import LearnerConfig, torch_generator
from learning.encoders import Convolutions
from learning.networks import QNetwork, count_parameters
from learning.replay import ReplayExperience
from learning.runfolder import RunFolder
from learning.trainer import Trainer
from tests.learning.helpers import Onlooker, trainer

BREAKOUT, PACMAN, PONG = "ALE/Breakout-v5", "ALE/MsPacman-v5", "ALE/Pong-v5"
SHORT: dict[str, Any] = {
    "total_timesteps": 800,
    "capacity": 4_000,
    "encoder": "small",
    "frame_size": 42,
    "clip_rewards": True,
    "learning_starts": 300,
    "replay_ratio": 1.0,
}


def replay_of(run: Trainer) -> Any:
    assert isinstance(run.experience, ReplayExperience)
    return run.experience.replay


def lived(run: Trainer, steps: int) -> None:
    run.begin()
    while run.agent_steps < steps:
        run.step()


def test_the_learner_clips_a_copy_and_the_log_keeps_the_score(tmp_path: Path) -> None:
    run = trainer(tmp_path, PACMAN, **{**SHORT, "learning_starts": 10_000})
    lived(run, 3_000)
    rewards = replay_of(run).reward
    assert set(np.unique(rewards)) == {0.0, 1.0}  # a pill pays 10
    scores = [score for score, _ in run.recent] + run.episodes.returns.tolist()
    assert max(scores) >= 60
    assert all(score % 10 == 0 for score in scores)
    assert sum(scores) == 10 * rewards.sum()  # so early in the game there are only pills


@pytest.mark.parametrize(("protocol", "cuts"), [("mnih2015", True), ("dqn_zoo", True), ("machado2018", False)])
def test_losing_a_life_cuts_the_value_where_the_protocol_says_so_and_never_the_episode(
    protocol: str, cuts: bool, tmp_path: Path
) -> None:
    run = trainer(tmp_path, BREAKOUT, protocol=protocol, **{**SHORT, "learning_starts": 10_000})
    lived(run, 2_400)
    replay = replay_of(run)
    ends = int((replay.acted & (replay.discount == 0.0)).sum())
    games = run.episodes.finished
    assert games >= 4
    # five lives a game; those still running have lost some too
    assert (5 * games <= ends <= 5 * games + 4 * 4) if cuts else ends == games


@pytest.mark.parametrize("agent", ["rainbow", "pqn"])
def test_stopped_and_resumed_is_the_run_that_was_never_stopped(agent: str, tmp_path: Path) -> None:
    def weights(run: Trainer) -> torch.Tensor:
        return torch.cat([value.flatten() for value in run.learner.online.state_dict().values()])

    whole = trainer(tmp_path, PONG, agent, **SHORT)
    assert whole.run(Onlooker())
    stopped = trainer(tmp_path, PONG, agent, **SHORT)
    onlooker = Onlooker(stop_at=500)
    onlooker.trainer = stopped
    assert not stopped.run(onlooker)
    resumed = Trainer(stopped.plan, RunFolder(stopped.run_folder.path))
    resumed.load_state()
    assert not torch.equal(weights(resumed), weights(whole))
    assert resumed.run(Onlooker())
    assert torch.equal(weights(resumed), weights(whole))


def test_scores_count_steps_and_frames_and_name_their_protocol(tmp_path: Path) -> None:
    run = trainer(tmp_path, PONG, "pqn", protocol="dqn_zoo", **SHORT)
    run.run(Onlooker())
    rows = list(csv.DictReader((run.run_folder.path / "eval.csv").open()))
    assert {(row["agent_steps"], row["frames"]) for row in rows} == {("400", "1600"), ("800", "3200")}
    assert {(row["protocol"], row["epsilon"]) for row in rows} == {("dqn_zoo", "0.01")}
    policy = load_policy(run.run_folder.path)
    assert policy.env_options == {  # type: ignore[attr-defined]
        "sticky": 0.0,
        "noops": 30,
        "frame_cap": 108_000,
        "frame_size": 42,
        "frame_stack": 4,
    }
    obs = np.random.default_rng(0).integers(0, 256, (5, 4, 42, 42), np.uint8)
    np.testing.assert_array_equal(policy.q_values(obs), run.policy.q_values(obs))


def test_a_damaged_replay_is_named(tmp_path: Path) -> None:
    run = trainer(tmp_path, "CartPole-v1")
    run.stop_requested = True
    run.run(Onlooker())
    (run.run_folder.state / "observations.npy").write_bytes(b"half")
    with pytest.raises(UserError, match=r"observations\.npy: not readable"):
        Trainer(run.plan, RunFolder(run.run_folder.path)).load_state()


# ---------------------------------------------------------------------- networks for frames

FRAMES = spaces.Box(0, 255, (4, 84, 84), np.uint8)


def network(encoder: str, space: spaces.Box = FRAMES, **changes: Any) -> QNetwork:
    config = LearnerConfig(encoder=encoder, hidden=(512,), **changes)  # type: ignore[arg-type]
    return QNetwork(space, 6, config, torch_generator(1, "network"))


def test_natures_network_counted_by_hand() -> None:
    """32(4*64+1) + 64(32*16+1) + 64(64*9+1) + 512(64*7*7+1) + 6(512+1) = 1,687,206."""
    assert count_parameters(network("nature")) == 1_687_206
    assert count_parameters(network("auto")) == 1_687_206
    # a scale and a shift for each of 32 + 64 + 64 channels and 512 units
    assert count_parameters(network("auto", layer_norm=True)) == 1_687_206 + 2 * (32 + 64 + 64 + 512)


def test_frames_are_scaled_to_one_exactly_once() -> None:
    """Dividing by 255 twice leaves nothing to see (baselines#431)."""
    net = network("nature")
    white = torch.full((1, 4, 84, 84), 255, dtype=torch.uint8)
    assert isinstance(net.convolutions, Convolutions)
    by_hand = torch.ones(1, 4, 84, 84)
    for layer in net.convolutions.layers:
        by_hand = torch.relu(layer(by_hand))
    torch.testing.assert_close(net.convolutions(white), by_hand.flatten(1))


def test_layer_norm_makes_the_brightness_of_a_layer_not_matter() -> None:
    """Doubling a layer's weights changes nothing behind its normalisation (but for the guard against zero)."""
    net = network("nature", layer_norm=True)
    obs = torch.randint(0, 256, (3, 4, 84, 84), dtype=torch.uint8, generator=torch_generator(2, "replay"))
    before = net(obs).q_values
    assert isinstance(net.convolutions, Convolutions)
    with torch.no_grad():
        for layer in (net.convolutions.layers[1], net.layers[0]):
            layer.weight.mul_(2)  # type: ignore[operator]
            layer.bias.mul_(2)  # type: ignore[operator]
    torch.testing.assert_close(net(obs).q_values, before, atol=2e-3, rtol=1e-2)
    plain = network("nature")
    with torch.no_grad():
        plain.layers[0].weight.mul_(2)  # type: ignore[operator]
    assert not torch.allclose(plain(obs).q_values, network("nature")(obs).q_values, atol=2e-3, rtol=1e-2)


def test_observations_that_do_not_fit_an_encoder_are_refused() -> None:
    with pytest.raises(UserError, match="a convolutional --encoder needs frames"):
        network("nature", spaces.Box(-1, 1, (152,), np.float32))
    with pytest.raises(UserError, match="frames of 20 x 20 are too small for this --encoder"):
        network("nature", spaces.Box(0, 255, (4, 20, 20), np.uint8))
