"""The agent and a human in two environments of one seed: equal step by step, except for the actions."""

from __future__ import annotations

import functools
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import envs
from common.errors import UserError
from tests.viewer.helpers import CARTPOLE, RLDEMO, V1, EpsilonGreedy, Known
from viewer.playing.clock import REST_SECONDS
from viewer.playing.session import AGENT, HUMAN, Session
from viewer.playing.versus import Versus

PONG = "ALE/Pong-v5"
ACTIONS = {V1: 4, RLDEMO: 5, CARTPOLE: 2, PONG: 6}


class Commanded(Known):
    """Takes the action that the test sets."""

    now = 0

    def act(self, obs: Any, epsilon: float, rng: np.random.Generator) -> Any:
        return np.array([self.now])


def versus(
    env_id: str = V1, policy: Known | None = None, render_mode: str | None = "rgb_array", **options: Any
) -> Versus:
    make = functools.partial(envs.make, env_id, render_mode=render_mode)
    return Versus(make, policy or Known(np.eye(ACTIONS[env_id])[1].tolist()), **{"seed": 3, **options})


def both_alike(pair: Versus) -> None:
    np.testing.assert_array_equal(pair.agent.obs, pair.human.obs)
    agent, human = pair.scores
    assert (agent.episode, agent.seed, agent.steps) == (human.episode, human.seed, human.steps)
    assert agent.episode_return == human.episode_return
    assert (agent.apples, agent.poison, agent.lives, agent.frames) == (
        human.apples,
        human.poison,
        human.lives,
        human.frames,
    )


@pytest.mark.parametrize(("env_id", "ticks"), [(V1, 250), (RLDEMO, 250), (PONG, 100), (CARTPOLE, 40)])
def test_the_same_actions_make_the_same_world_tick_for_tick(env_id: str, ticks: int) -> None:
    """Pong has sticky actions: each frame repeats the last action at random, equally in both."""
    if env_id == PONG:
        pytest.importorskip("ale_py")
        assert envs.options(PONG)["sticky"] == 0.25
    policy = Commanded([0.0] * ACTIONS[env_id])
    pair = versus(env_id, policy)
    rng = np.random.default_rng(0)
    for episode in range(2):
        both_alike(pair)
        for _ in range(ticks):
            policy.now = pair.human.human_action = int(rng.integers(ACTIONS[env_id]))
            pair.step()
            both_alike(pair)
            if pair.finished:
                break
        assert np.array_equal(pair.agent.picture(), pair.human.picture())  # type: ignore[arg-type]
        assert [step.action for step in pair.agent.history] == [step.action for step in pair.human.history]
        pair.next_episode()
        assert pair.agent.score.seed == pair.human.score.seed == 4 + episode
    pair.close()


@pytest.mark.parametrize("env_id", [V1, RLDEMO, PONG])
def test_the_humans_actions_do_not_affect_the_agents_world(env_id: str) -> None:
    if env_id == PONG:
        pytest.importorskip("ale_py")
    policy = EpsilonGreedy(np.eye(ACTIONS[env_id])[1].tolist())
    alone = Session(envs.make(env_id), policy, seed=3, epsilon=0.5)
    pair = versus(env_id, policy, None, epsilon=0.5)
    rng = np.random.default_rng(8)
    for _ in range(80):
        pair.human.human_action = int(rng.integers(ACTIONS[env_id]))
        pair.step()
        alone.step()
        np.testing.assert_array_equal(pair.agent.obs, alone.obs)
    assert pair.agent.score == alone.score
    assert not np.array_equal(pair.human.obs, alone.obs)
    assert (pair.agent.control, pair.human.control) == (AGENT, HUMAN)
    assert (pair.agent.score.human_steps, pair.human.score.human_steps) == (0, 80)


def test_the_agents_actions_do_not_affect_the_humans_world() -> None:
    one, other = versus(policy=Known((1, 0, 0, 0))), versus(policy=Known((0, 0, 0, 1)))
    for t in range(100):
        for pair in (one, other):
            pair.human.human_action = None if t % 3 else t % 4
            pair.step()
        np.testing.assert_array_equal(one.human.obs, other.human.obs)
    assert not np.array_equal(one.agent.obs, other.agent.obs)


def test_one_clock_moves_both() -> None:
    pair = versus()
    made = sum(pair.advance(1 / 60) for _ in range(60))
    assert made == pair.agent.score.steps == pair.human.score.steps == pair.total_steps == 33  # 30 ms a tick
    pair.speed = 2.0
    assert pair.advance(0.3) == 20
    assert (pair.agent.speed, pair.human.speed) == (2.0, 2.0)
    pair.change_speed(-1)
    assert (pair.agent.speed, pair.human.speed, pair.speed) == (1.0, 1.0, 1.0)
    pair.paused = True
    assert pair.agent.paused
    assert pair.advance(1.0) == 0
    pair.step()  # one step at a time works when paused
    assert pair.agent.score.steps == pair.human.score.steps == 54
    pair.paused = False
    assert not pair.agent.paused
    assert pair.advance(1.0, limit=3) == 3


def test_a_slow_machine_drops_time_instead_of_accumulating_it() -> None:
    now = iter(range(10**6))  # every reading of the clock is a second later
    pair = versus(speed=50.0)
    assert pair.advance(1.0, budget=3.0, clock=lambda: float(next(now))) == 4
    assert pair.advance(0.0, clock=lambda: 0.0) <= 1


def fallen(pair: Versus) -> None:
    """Let CartPole's agent fall (it pushes one way only) while the human's pole stands."""
    while not pair.agent.finished:
        pair.human.human_action = int(pair.human.obs[2] + 0.5 * pair.human.obs[3] > 0)
        pair.step()


def test_the_first_to_finish_waits_and_both_start_the_next_together() -> None:
    pair = versus(CARTPOLE)
    fallen(pair)
    assert not pair.finished
    assert not pair.results
    steps, obs = pair.agent.score.steps, pair.agent.obs.copy()
    pair.human.human_action = 1
    assert pair.advance(0.1) == 5  # 20 ms a step: the human plays on
    assert pair.agent.score.steps == steps
    np.testing.assert_array_equal(pair.agent.obs, obs)
    pair.advance(10.0)
    assert pair.finished
    (done,) = pair.results
    assert done.human.steps > done.agent.steps == steps
    assert done.lead == done.human.steps - done.agent.steps > 0  # a point a step
    assert pair.advance(REST_SECONDS / 2) == 0
    assert not pair.rested
    pair.advance(REST_SECONDS)
    assert not pair.finished
    assert (pair.agent.score.episode, pair.human.score.episode) == (1, 1)
    both_alike(pair)
    assert len(pair.results) == 1


def test_without_auto_next_the_end_stays_on_screen_until_the_next_step() -> None:
    pair = versus(CARTPOLE, auto_next=False)
    pair.human.human_action = 1
    for _ in range(30):
        pair.advance(1.0)
    assert pair.rested
    assert pair.scores == pair.results[-1]
    pair.step()
    assert pair.scores.agent.episode == pair.scores.human.episode == 1
    both_alike(pair)


def test_restart_and_next_apply_to_both() -> None:
    pair = versus(CARTPOLE)
    start = pair.agent.obs.copy()
    fallen(pair)
    pair.restart()
    both_alike(pair)
    np.testing.assert_array_equal(pair.human.obs, start)
    fallen(pair)
    pair.next_episode()
    both_alike(pair)
    assert pair.scores.human.seed == 4
    assert not np.array_equal(pair.human.obs, start)
    assert not pair.results  # nobody has finished an episode together


def test_an_agent_that_does_not_fit_and_a_shared_environment_are_rejected() -> None:
    with pytest.raises(UserError, match="does not fit"):
        Versus(lambda: envs.make(V1), Known((0.0, 1.0)))
    env = envs.make(V1)
    with pytest.raises(ValueError, match="same environment"):
        Versus(lambda: env, Known((0.0, 1.0, 0.0, 0.0)))


def test_needs_no_pygame() -> None:
    code = "import sys, viewer.playing.versus; sys.exit('pygame' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
