"""Evaluation on environments of its own: what is played does not depend on how many episodes run side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import envs
from learning.config import episode_generator, episode_seed
from learning.evaluate import (
    CAP,
    EVALUATION_SEED,
    GROUP,
    EpisodeResult,
    Evaluator,
    Progress,
    Stopped,
    cut_text,
    episode_cap,
    evaluate,
    protocol_name,
)
from learning.networks import epsilon_greedy
from tests import tiny

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
    assert seen[:2] == [Progress(0, 12, 0, 0, 6_000), Progress(0, 12, 12, 0, 6_000)]  # begun, one step
    assert seen[-1] == Progress(12, 12, total, total, 6_000)
    assert [one.finished for one in seen] == sorted(one.finished for one in seen)


def test_the_pace_is_of_one_step_and_one_start() -> None:
    evaluator = Evaluator("tidepool/Waterworld-v1")
    pace = evaluator.pace(Always(), 0.0, lanes=5, seconds=0.05)
    assert 0 < pace.step < 0.05
    assert 0 < pace.start < 30
    evaluator.close()


# ------------------------------------------------------------------ the cap


def test_only_environments_without_a_limit_are_capped_unless_asked_for() -> None:
    assert episode_cap(tiny.TRAP, {}) == CAP == 10_000
    assert episode_cap(tiny.TRAP, {}, 50) == 50
    assert episode_cap(tiny.TRAP, {"max_episode_steps": 300}) is None  # Gymnasium's own wrapper
    assert episode_cap(CARTPOLE, {}) is None
    assert episode_cap(CARTPOLE, {}, 300) == 300
    assert episode_cap(CARTPOLE, {}, 500) is None  # its own limit
    assert episode_cap(BREAKOUT, envs.options(BREAKOUT)) is None
    assert episode_cap(BREAKOUT, envs.options(BREAKOUT), 1_000) == 1_000
    assert protocol_name("dqn_zoo", None) == "dqn_zoo"
    assert protocol_name("dqn_zoo", 1_000) == "dqn_zoo cap=1000"


def test_an_endless_episode_is_cut_and_the_next_one_begins() -> None:
    evaluator = Evaluator(tiny.TRAP, max_steps=40)
    evaluator.most = 4  # lanes; each takes several episodes
    results = evaluator.evaluate(Always(0), 11, 0.0)
    assert results == [EpisodeResult(episode, 40.0, 40, cut=True) for episode in range(11)]
    some = evaluator.evaluate(Always(0), 200, 0.03)
    ended = [result for result in some if not result.cut]
    assert {result.episode_length for result in some if result.cut} == {40}
    assert 20 < len(ended) < 180  # chance ends an episode: 1.5 % a step
    assert cut_text(some) == f"{200 - len(ended)} of 200 episodes were cut at 40 steps"
    assert cut_text(ended) == ""
    evaluator.close()
    (default,) = evaluate(Always(0), tiny.TRAP, 1, 0.0)
    assert default == EpisodeResult(0, 10_000.0, 10_000, cut=True)


def test_an_episode_that_ends_at_the_cap_is_not_cut() -> None:
    whole = alone(0, 0.0)
    length = whole.episode_length
    assert evaluate(Always(), CARTPOLE, 1, 0.0, max_steps=length) == [whole]
    (cut,) = evaluate(Always(), CARTPOLE, 1, 0.0, max_steps=length - 1)
    assert cut == EpisodeResult(0, length - 1.0, length - 1, cut=True)


def test_games_are_cut_too_in_every_lane() -> None:
    evaluator = Evaluator(BREAKOUT, envs.options(BREAKOUT, frame_size=42), max_steps=60)
    evaluator.most = 3
    first = evaluator.evaluate(Always(1), 7, 0.1)
    assert [result.episode_length for result in first] == [60] * 7
    assert all(result.cut for result in first)
    assert evaluator.evaluate(Always(1), 7, 0.1) == first  # each begins from its seed, whatever was cut before
    evaluator.close()


def test_whoever_watches_can_end_an_evaluation_and_the_next_one_is_whole() -> None:
    evaluator = Evaluator(BREAKOUT, envs.options(BREAKOUT, frame_size=42), max_steps=30)
    evaluator.most = 4
    whole = evaluator.evaluate(Always(1), 6, 0.1)

    def stop(progress: Progress) -> None:
        if progress.steps > 50:
            raise Stopped

    with pytest.raises(Stopped):
        evaluator.evaluate(Always(1), 6, 0.1, watch=stop)
    assert evaluator.evaluate(Always(1), 6, 0.1) == whole
    evaluator.close()
