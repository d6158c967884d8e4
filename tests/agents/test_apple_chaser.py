"""The scripted apple chaser: its actions in small constructed worlds, and its score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import envs
from agents.apple_chaser import SENSING, THRUSTS, AppleChaser
from agents.policy import Policy
from common.errors import UserError
from learning.evaluate import evaluate
from scores import references
from scores.stats import student_interval

APPLE, POISON = 1, 2
VERSIONS = sorted(SENSING)
RNG = np.random.default_rng(0)
MIDDLE = (350.0, 250.0)


def _obs(env_id: str, items: list[list[float]], pos: tuple[float, float] = MIDDLE, vel: tuple[float, float] = (0, 0)):  # type: ignore[no-untyped-def]
    """Return the observation of an agent among items [x, y, vx, vy, type, age]."""
    env = envs.make(env_id)
    env.reset(seed=0)
    state = {"clock": 1, "pos": np.array(pos), "vel": np.array(vel, float), "items": np.array(items).reshape(-1, 6)}
    return env.unwrapped.set_state(state)  # type: ignore[attr-defined]


def _act(env_id: str, *args: Any, **keywords: Any) -> int:
    return int(AppleChaser(env_id).act(_obs(env_id, *args, **keywords)[None], 0.0, RNG)[0])


def _item(offset: np.ndarray[Any, Any], kind: int, drift: tuple[float, float] = (0.0, 0.0)) -> list[float]:
    return [MIDDLE[0] + offset[0], MIDDLE[1] + offset[1], *drift, kind, 0]


@pytest.mark.parametrize("env_id", VERSIONS)
@pytest.mark.parametrize("action", range(4))
@pytest.mark.parametrize("distance", [25.0, 45.0, 70.0])
def test_it_thrusts_towards_a_resting_apple(env_id: str, action: int, distance: float) -> None:
    assert _act(env_id, [_item(distance * THRUSTS[action], APPLE)]) == action


@pytest.mark.parametrize("env_id", VERSIONS)
@pytest.mark.parametrize("action", range(4))
def test_it_does_not_thrust_towards_poison(env_id: str, action: int) -> None:
    assert _act(env_id, [_item(30 * THRUSTS[action], POISON)]) != action


@pytest.mark.parametrize("env_id", VERSIONS)
@pytest.mark.parametrize("action", range(4))
def test_it_chooses_the_apple_over_poison(env_id: str, action: int) -> None:
    ahead = 50 * THRUSTS[action]
    assert _act(env_id, [_item(ahead, APPLE), _item(-ahead, POISON)]) == action


@pytest.mark.parametrize("env_id", VERSIONS)
@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("height", [-1, 1])
def test_it_aims_where_an_apple_will_be(env_id: str, side: int, height: int) -> None:
    """An apple equally far in x and y: only its velocity decides which direction comes first."""
    corner = np.array([45.0 * side, 45.0 * height])
    outwards = _act(env_id, [_item(corner, APPLE, (2.5 * side, -2.5 * height))])
    assert outwards == (1 if side > 0 else 0)
    along = _act(env_id, [_item(corner, APPLE, (-2.5 * side, 2.5 * height))])
    assert along == (3 if height > 0 else 2)


@pytest.mark.parametrize("env_id", VERSIONS)
def test_it_never_hits_a_wall_when_nothing_is_in_sight(env_id: str) -> None:
    for pos, into in [((25.0, 250.0), 0), ((675.0, 250.0), 1), ((350.0, 25.0), 2), ((350.0, 475.0), 3)]:
        speed = 3 * THRUSTS[into]
        assert _act(env_id, [], pos=pos, vel=(float(speed[0]), float(speed[1]))) != into


@pytest.mark.parametrize("env_id", VERSIONS)
def test_acting_on_a_batch_equals_acting_on_each_row(env_id: str) -> None:
    vec = envs.make_vec(env_id, 6, seed=3)
    obs, _ = vec.reset(seed=1)
    chaser = AppleChaser(env_id)
    for _ in range(60):
        actions = chaser.act(obs, 0.0, RNG)
        assert actions.shape == (6,)
        assert actions.dtype == np.int64
        alone = [int(chaser.act(row[None], 0.0, RNG)[0]) for row in obs]
        assert actions.tolist() == alone
        obs, *_ = vec.step(actions)


def test_it_is_a_policy_and_epsilon_explores() -> None:
    chaser = AppleChaser("tidepool/Waterworld-v1")
    assert isinstance(chaser, Policy)
    obs = np.repeat(_obs("tidepool/Waterworld-v1", [_item(np.array([40.0, 0.0]), APPLE)])[None], 2000, axis=0)
    assert chaser.q_values(obs) is None
    shares = np.bincount(chaser.act(obs, 0.4, np.random.default_rng(1)), minlength=4) / 2000
    np.testing.assert_allclose(shares, [0.1, 0.7, 0.1, 0.1], atol=0.045)


def test_another_environment_is_rejected_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean tidepool/Waterworld-v1"):
        AppleChaser("tidepool/Waterworld-v2")


@pytest.mark.parametrize("env_id", VERSIONS)
def test_it_scores_as_in_the_reference_table(env_id: str) -> None:
    expected = references.find(env_id, "apple_chaser")
    results = evaluate(AppleChaser(env_id), env_id, 20, 0.0, seed=23)
    found = student_interval([one.episode_return for one in results])
    assert found.standard_error is not None
    assert abs(found.mean - expected.mean) < 4 * found.standard_error
    assert found.mean > 24, "far above Karpathy's network, 21.3"
