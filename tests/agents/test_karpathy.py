"""Karpathy's networks: Q values and scores of the original JavaScript, and damaged files."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs
from agents import karpathy
from agents.policy import Policy, RandomPolicy
from common.errors import UserError
from learning.evaluate import evaluate
from scores import references
from scores.stats import student_interval
from viewer.playing.calibration import TruthMeter
from viewer.playing.session import Session

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
WATER = ROOT / "pretrained" / "reinforcejs_wateragent.json"
WHEELS = ROOT / "pretrained" / "convnetjs_rldemo_net.json"


@pytest.mark.parametrize(
    ("network", "golden", "inputs"), [(WATER, "reinforcejs_q.npz", "obs"), (WHEELS, "rldemo_q.npz", "input")]
)
def test_q_values_equal_the_javascript(network: Path, golden: str, inputs: str) -> None:
    recorded = np.load(GOLDEN / golden)
    q = karpathy.load(network).q_values(recorded[inputs])
    assert q.dtype == np.float64
    np.testing.assert_allclose(q, recorded["q"], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("path", "env_id", "env_options", "actions"),
    [(WATER, "tidepool/Waterworld-v0", {}, 4), (WHEELS, "tidepool/RLDemo-v0", {"temporal_window": 1}, 5)],
)
def test_the_policy_knows_its_environment(path: Path, env_id: str, env_options: dict[str, int], actions: int) -> None:
    policy = karpathy.load(path)
    assert isinstance(policy, Policy)
    assert (policy.name, policy.env_id) == ("karpathy_pretrained", env_id)
    assert (policy.env_options, policy.num_actions, policy.default_epsilon) == (env_options, actions, 0.05)


def test_acting_is_epsilon_greedy() -> None:
    recorded = np.load(GOLDEN / "reinforcejs_q.npz")
    policy, rng = karpathy.load(WATER), np.random.default_rng(0)
    np.testing.assert_array_equal(policy.act(recorded["obs"], 0.0, rng), recorded["q"].argmax(1))
    batch = np.repeat(recorded["obs"][:1], 4000, axis=0)
    shares = np.bincount(policy.act(batch, 1.0, rng), minlength=4) / 4000
    np.testing.assert_allclose(shares, 0.25, atol=0.04)  # 6 standard errors
    np.testing.assert_allclose(  # 0.2 random, a quarter of which is the greedy action
        (policy.act(batch, 0.2, rng) == recorded["q"][0].argmax()).mean(), 0.85, atol=0.035
    )


def _water(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], str]:
    return lambda path: _changed(WATER, change)


def _wheels(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], str]:
    return lambda path: _changed(WHEELS, change)


def _changed(source: Path, change: Callable[[dict[str, Any]], object]) -> str:
    saved = json.loads(source.read_text())
    change(saved)
    return json.dumps(saved)


def _transpose(saved: dict[str, Any]) -> None:
    first = saved["net"]["W1"]
    first["n"], first["d"] = first["d"], first["n"]


def _set(saved: Any, value: object, *keys: Any) -> None:
    for key in keys[:-1]:
        saved = saved[key]
    saved[keys[-1]] = value


def _smaller_world(saved: dict[str, Any]) -> None:
    """Put in a valid network for an environment with 4 inputs and 2 actions."""
    layer = {"n": 3, "d": 4, "w": {str(i): 0.1 for i in range(12)}}
    saved["net"] = {
        "W1": layer,
        "b1": {"n": 3, "d": 1, "w": {"0": 0, "1": 0, "2": 0}},
        "W2": {"n": 2, "d": 3, "w": {str(i): 0.1 for i in range(6)}},
        "b2": {"n": 2, "d": 1, "w": {"0": 0, "1": 0}},
    }


DAMAGES: dict[str, tuple[Callable[[Path], str], str]] = {
    "truncated": (lambda path: WATER.read_text()[:100_000], "not readable as JSON"),
    "empty": (lambda path: "", "not readable as JSON"),
    "deep": (lambda path: "[" * 200_000, "not readable as JSON"),
    "a list": (lambda path: "[1, 2]", "neither a REINFORCEjs agent"),
    "another agent": (lambda path: '{"weights": {}}', "neither a REINFORCEjs agent"),
    "no W2": (_water(lambda saved: saved["net"].pop("W2")), "net has no 'W2'"),
    "net is a number": (_water(lambda saved: _set(saved, 3, "net")), "net has no 'W1'"),
    "a missing weight": (_water(lambda saved: saved["net"]["W1"]["w"].pop("15199")), "15199 numbers, 15200 expected"),
    "a gap": (_water(lambda saved: saved["net"]["W1"]["w"].pop("7")), "not numbered"),
    "null": (_water(lambda saved: _set(saved, None, "net", "b2", "w", "0")), "b2 holds something that is not a number"),
    "NaN": (_water(lambda saved: _set(saved, float("nan"), "net", "b2", "w", "0")), "not finite"),
    "overflow": (_water(lambda saved: _set(saved, 10**400, "net", "b2", "w", "0")), "not finite"),
    "text": (_water(lambda saved: _set(saved, "0.5", "net", "b2", "w", "0")), "not a number"),
    "size 0": (_water(lambda saved: _set(saved, 0, "net", "W1", "n")), "W1.n is 0"),
    "transposed": (_water(_transpose), "layer of weights 1 is 100 -> 152"),
    "another world": (_water(_smaller_world), "layer of weights 1 is 4 -> 3"),
    "layers is text": (_wheels(lambda saved: _set(saved, "x", "layers")), "'layers' is not a list"),
    "no filters": (_wheels(lambda saved: _set(saved, [], "layers", 1, "filters")), "layer 1: 'filters'"),
    "a missing filter": (_wheels(lambda saved: saved["layers"][1]["filters"].pop()), "50 numbers, 49 expected"),
    "unknown layer": (_wheels(lambda saved: _set(saved, "rleu", "layers", 2, "layer_type")), "nearest: relu"),
    "no last layer": (_wheels(lambda saved: _set(saved, saved["layers"][:5], "layers")), "50 outputs"),
    "no layers": (_wheels(lambda saved: _set(saved, [], "layers")), "59 outputs"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_reported_with_its_fault(damage: str, tmp_path: Path) -> None:
    make, fault = DAMAGES[damage]
    path = tmp_path / "agent.json"
    path.write_text(make(path))
    with pytest.raises(UserError) as caught:
        karpathy.load(path)
    assert str(path) in str(caught.value)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders_are_rejected(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(UserError, match=path.name):
            karpathy.load(path)


def test_lists_of_weights_and_other_hidden_sizes_load(tmp_path: Path) -> None:
    """A network trained in the web page or saved by another tool may have another width."""
    saved = json.loads(WATER.read_text())
    wide = copy.deepcopy(saved)
    wide["net"]["W1"] = {"n": 1, "d": 152, "w": [1.0] + [0.0] * 151}
    wide["net"]["b1"] = {"n": 1, "d": 1, "w": [0.5]}
    wide["net"]["W2"] = {"n": 4, "d": 1, "w": [1.0, 2.0, 3.0, 4.0]}
    (tmp_path / "agent.json").write_text(json.dumps(wide))
    obs = np.zeros((1, 152))
    obs[0, 0] = 0.25
    biases = [saved["net"]["b2"]["w"][str(i)] for i in range(4)]
    # tanh(0.25 * 1 + 0.5) = tanh(0.75) = 0.6351489523872873
    expected = [0.6351489523872873 * (i + 1) + biases[i] for i in range(4)]
    np.testing.assert_allclose(karpathy.load(tmp_path / "agent.json").q_values(obs)[0], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("path", "reference", "epsilon"),
    [
        (WATER, "karpathy_pretrained_eps_0.05", 0.05),
        (WATER, "karpathy_pretrained_greedy", 0.0),
        (WHEELS, "karpathy_pretrained_eps_0.05", 0.05),
    ],
)
def test_it_scores_as_in_the_original_world(path: Path, reference: str, epsilon: float) -> None:
    policy = karpathy.load(path)
    assert policy.env_id is not None
    _scores_like(policy, policy.env_id, reference, epsilon, policy.env_options)


@pytest.mark.parametrize(("env_id", "actions"), [("tidepool/Waterworld-v0", 4), ("tidepool/RLDemo-v0", 5)])
def test_a_random_policy_scores_as_in_the_original_world(env_id: str, actions: int) -> None:
    _scores_like(RandomPolicy(actions), env_id, "random", 0.0, {})


def _scores_like(policy: Policy, env_id: str, reference: str, epsilon: float, env_options: dict[str, Any]) -> None:
    """20 episodes come within 4 standard errors (the reference's own included) of the recorded mean."""
    expected = references.find(env_id, reference)
    per_step = references.metric(env_id).per_step
    results = evaluate(policy, env_id, 20, epsilon, seed=11, **env_options)
    found = student_interval([one.episode_return / (one.episode_length if per_step else 1) for one in results])
    assert found.standard_error is not None
    # RLDemo's references have no standard error: their 100,000 steps are 20 of our episodes, so it is about ours
    other = found.standard_error if expected.standard_error is None else expected.standard_error
    error = float(np.hypot(found.standard_error, other))
    assert abs(found.mean - expected.mean) < 4 * error, f"{found.mean:.3f} +- {error:.3f}, not {expected.mean}"
    # the test is meaningful: far above a random policy, unless this is the random policy
    if reference != "random":
        assert found.mean - 4 * error > references.find(env_id, "random").mean


@pytest.mark.parametrize(
    ("path", "gamma", "others"),
    [
        (WATER, 0.9, (0.7, 0.97)),
        (WHEELS, 0.7, (0.5, 0.85)),
    ],
)
def test_the_truth_meter_identifies_the_discount(path: Path, gamma: float, others: tuple[float, float]) -> None:
    """With a smaller discount the actual return is below the expected one, with a larger one above."""
    policy = karpathy.load(path)
    assert policy.training.gamma == gamma
    env = envs.make(policy.env_id or "", **policy.env_options)
    session = Session(env, policy, seed=3)
    meters = [TruthMeter(discount) for discount in (others[0], gamma, others[1])]
    for _ in range(600):
        number = session.timeline.last
        session.step()
        for meter in meters:
            meter.add(session.timeline[number])
    low, right, high = (meter.calibration().bias for meter in meters)
    assert low > 0.15
    assert abs(right) < 0.13
    assert high < -0.15
