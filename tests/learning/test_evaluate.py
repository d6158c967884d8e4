"""Evaluation on environments of its own: what is played does not depend on how many episodes run side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import envs
from learning.config import episode_generator, episode_seed
from learning.evaluate import EVALUATION_SEED, GROUP, EpisodeResult, Evaluator, Progress, evaluate
from learning.networks import epsilon_greedy

CARTPOLE, BREAKOUT = "CartPole-v1", "ALE/Breakout-v5"


class Always:
    """Chooses one action, and notes the size of each batch."""

    name = "always"
    env_id: str | None = None

    def __init__(self, action: int = 0) -> None:
        self.action = action
        self.batches: list[int] = []

    def q_values(self, obs: Any) -> None:
        return None

    def act(self, obs: Any, epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        self.batches.append(len(obs))
        return epsilon_greedy(np.full(len(obs), self.action), 2, epsilon, rng)


def alone(episode: int, epsilon: float) -> EpisodeResult:
    """Play one episode of CartPole, always to the left but for random actions."""
    env, draws = envs.make(CARTPOLE), episode_generator(EVALUATION_SEED, "evaluation", episode)
    env.reset(seed=episode_seed(EVALUATION_SEED, "evaluation", 0, episode))
    length, done = 0, False
    while not done:
        random = epsilon > 0 and draws.random() < epsilon
        done = env.step(int(draws.integers(2)) if random else 0)[2]
        length += 1
    return EpisodeResult(episode, float(length), length)


@pytest.mark.parametrize("epsilon", [0.0, 0.5])
def test_every_episode_is_played_as_if_it_were_alone(epsilon: float) -> None:
    few, many = (evaluate(Always(), CARTPOLE, episodes, epsilon) for episodes in (3, 130))
    assert [result.episode for result in many] == list(range(130))
    assert many[:3] == few
    assert len({result.episode_return for result in many}) > 1
    for episode in (0, 11, 99, 100, 129):
        assert many[episode] == alone(episode, epsilon)


def test_an_evaluator_repeats_itself_whatever_was_played_before() -> None:
    evaluator = Evaluator(CARTPOLE)
    first = evaluator.evaluate(Always(), 25, 0.1)
    evaluator.pace(Always(1), 0.1, lanes=7, seconds=0.01)
    evaluator.evaluate(Always(1), 110, 0.1)
    assert evaluator.evaluate(Always(), 25, 0.1) == first
    assert evaluator.evaluate(Always(), 25, 0.1, seed=1) != first
    evaluator.close()


def test_only_episodes_that_count_are_asked_for_and_stepped(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Always()
    lengths = [result.episode_length for result in evaluate(policy, CARTPOLE, 4 * GROUP, 0.0)]
    assert sum(policy.batches) == sum(lengths)
    assert policy.batches[-1] < policy.batches[0] == 4 * GROUP
    evaluator = Evaluator(BREAKOUT, envs.options(BREAKOUT))
    evaluator.most = 3
    stepped = []
    group = type(evaluator._grouped(1)[0])
    send = group.send

    def counted(self: Any, actions: NDArray[np.int64]) -> None:
        stepped.append(len(actions))
        send(self, actions)

    monkeypatch.setattr(group, "send", counted)
    fire = Always(1)
    results = evaluator.evaluate(fire, 5, 0.0)
    assert sum(stepped) == sum(fire.batches) == sum(result.episode_length for result in results)
    evaluator.most = 1
    assert evaluator.evaluate(fire, 5, 0.0) == results
    evaluator.close()


def test_the_progress_counts_episodes_and_steps() -> None:
    seen: list[Progress] = []
    results = Evaluator(CARTPOLE).evaluate(Always(), 12, 0.0, watch=seen.append)
    total = sum(result.episode_length for result in results)
    assert seen[:2] == [Progress(0, 12, 0, 0), Progress(0, 12, 12, 0)]  # begun, one step
    assert seen[-1] == Progress(12, 12, total, total)
    assert [one.finished for one in seen] == sorted(one.finished for one in seen)


def test_the_pace_is_of_one_step_and_one_start() -> None:
    evaluator = Evaluator("tidepool/Waterworld-v1")
    pace = evaluator.pace(Always(), 0.0, lanes=5, seconds=0.05)
    assert 0 < pace.step < 0.05
    assert 0 < pace.start < 30
    evaluator.close()
