"""Policies of networks: acting, and how they were trained."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from agents import AGENTS
from agents.loading import load_policy
from learning.config import (
    FamilyConfig,
    LearnerConfig,
    RolloutConfig,
    torch_generator,
)
from learning.networks import QNetwork
from learning.policy import Munchausen, NetworkPolicy, Training
from tests.learning.test_insight import PRETRAINED, VECTOR, policy_of, sample


def test_a_network_policy_takes_the_action_with_the_highest_q_value() -> None:
    space = spaces.Box(-1, 1, (3,), np.float32)
    policy = NetworkPolicy("x", None, QNetwork(space, 4, LearnerConfig(hidden=(8,)), torch_generator(0, "network")), 4)
    obs = np.random.default_rng(0).uniform(-1, 1, (50, 3)).astype(np.float32)
    q = policy.q_values(obs)
    assert q.shape == (50, 4)
    np.testing.assert_array_equal(policy.act(obs, 0.0, np.random.default_rng(0)), q.argmax(1))


def test_pretrained_agents_state_how_they_were_trained() -> None:
    water, pong = load_policy(PRETRAINED / "waterworld"), load_policy(PRETRAINED / "pong")
    assert isinstance(water, NetworkPolicy)
    assert isinstance(pong, NetworkPolicy)
    assert water.training == Training(gamma=0.98, double=True, n_step=3)
    # protocol dqn_zoo: in training, losing a life ends the return
    assert pong.training == Training(
        gamma=0.99, clip_rewards=True, life_loss_ends=True, target_network=False, q_lambda=0.9
    )


def test_training_of_munchausen_and_rollouts() -> None:
    config = FamilyConfig(munchausen=True, munchausen_network="online", head="implicit_quantile", n_step=3)
    training = Training.of(config)
    assert training.munchausen == Munchausen(0.9, 0.03, -1.0, by_online=True)
    assert (training.head, training.n_step, training.target_network) == ("implicit_quantile", 3, True)
    assert Training.of(RolloutConfig(q_lambda=0.3)).q_lambda == 0.3
    assert Training.of(AGENTS["stream_q"].config()).trace_decay == 0.8


def test_choose_with_known_q_values_equals_act() -> None:
    policy = policy_of("dqn", VECTOR)
    obs = np.stack([sample(VECTOR, seed) for seed in range(20)])
    for epsilon in (0.0, 0.5):
        acted = policy.act(obs, epsilon, np.random.default_rng(7))
        chosen = policy.choose(policy.q_values(obs), epsilon, np.random.default_rng(7))
        np.testing.assert_array_equal(acted, chosen)
    assert len(set(acted.tolist())) > 1
