"""Aggregates against values computed by hand, against `rliable`, and their invariants."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scores.atari.aggregates import aggregate, iqm, performance_profile, probability_of_improvement

# rliable 1.2.0 (numpy 2.4.6, scipy 1.17.1, pandas 2; in a separate environment), 2026-11-23:
#   metrics.aggregate_median, _mean, _iqm, probability_of_improvement; library.get_interval_estimates and
#   create_performance_profile with reps=20000 (5000 for the probability of improvement), its own seeds.
# Rows are runs, columns are games.
X = np.array([
    [0.801, 0.745, 0.773, 1.276, 1.037, 1.944, 1.741, 1.778], [0.078, 0.087, 0.39, 1.355, 1.334, 0.736, 1.775, 1.295],
    [0.296, 1.796, 1.002, 1.279, 1.432, 0.731, 1.752, 4.288], [0.129, 1.459, 1.713, 1.84, 0.934, 1.197, 0.991, 1.656],
    [1.975, 0.445, 0.2, 1.155, 2.006, 1.255, 3.362, 1.583],
])  # fmt: skip
Y = np.array([
    [0.558, 0.244, 0.664, 1.559, 1.715, 2.228, 1.927, 1.878], [-0.111, 0.32, 3.37, 0.721, 1.565, 1.222, 1.873, 1.583],
    [0.121, 0.336, 1.05, 0.736, 0.466, 1.604, 2.165, 2.223], [1.244, 0.126, 2.239, 0.897, 0.72, 1.044, 1.076, 1.051],
])  # fmt: skip


def _games(table: np.ndarray) -> dict[str, list[float]]:
    return {f"game {number}": list(map(float, column)) for number, column in enumerate(table.T)}


def test_aggregates_agree_with_rliable() -> None:
    found = aggregate(_games(X), resamples=10_000)
    assert (found.median, found.mean, found.iqm) == pytest.approx((1.2606, 1.290525, 1.2634), abs=1e-12)
    assert found.iqm_ci95 == pytest.approx((1.0764475, 1.46020125), abs=0.01)


def test_improvement_agrees_with_rliable() -> None:
    found = probability_of_improvement(_games(X), _games(Y), resamples=10_000)
    assert found.probability == pytest.approx(0.521875, abs=1e-12)
    assert found.ci95 == pytest.approx((0.390625, 0.65625), abs=0.011)
    assert found.games == 8


def test_profile_agrees_with_rliable() -> None:
    found = performance_profile(_games(X), [0, 0.5, 1, 1.5, 2, 3], resamples=5000)
    assert found.fraction == pytest.approx([1, 0.825, 0.65, 0.35, 0.075, 0.05])
    assert found.low == pytest.approx([1, 0.725, 0.525, 0.225, 0, 0], abs=0.026)
    assert found.high == pytest.approx([1, 0.925, 0.775, 0.475, 0.15, 0.125], abs=0.026)


def test_aggregates_by_hand() -> None:
    # means of the games 0.5, 1, 4: median 1, mean 5.5 / 3, capped (0.5 + 1 + 1) / 3; two are at 1 or more
    # all runs sorted: 0, 1, 1, 1, 3, 5: a quarter of 6 is 1.5, so 1 is cut at each end: (1 + 1 + 1 + 3) / 4
    found = aggregate({"a": [0.0, 1.0], "b": [1.0, 1.0], "c": [3.0, 5.0]})
    assert (found.median, found.mean, found.capped_mean) == pytest.approx((1, 5.5 / 3, 2.5 / 3))
    assert found.iqm == 1.5
    assert (found.games, found.games_at_human_level) == (3, 2)


def test_games_have_equal_weight_whatever_their_number_of_runs() -> None:
    # b has one run, a two; equal weights: a's 0 and 2 once each, b's 4 twice: 0, 2, 4, 4 without the ends: 3
    assert aggregate({"a": [0.0, 2.0], "b": [4.0]}).iqm == 3.0
    # 7, 11 and 13 runs would need 1001 of each: nearly equal weights are enough
    many = aggregate({"a": [0.0] * 7, "b": [1.0] * 11, "c": [1.0] * 13}, resamples=10)
    assert many.iqm == pytest.approx(0.85, abs=0.1)


def test_one_run_a_game_has_no_interval() -> None:
    assert aggregate({"a": [1.0], "b": [2.0]}).iqm_ci95 is None
    assert aggregate({"a": [1.0, 1.1], "b": [2.0]}).iqm_ci95 is None, "every game needs several runs"
    assert probability_of_improvement({"a": [1.0]}, {"a": [0.0, 1.0]}).ci95 is None
    profile = performance_profile({"a": [1.0]}, [0.5])
    assert (profile.low, profile.high) == (None, None)


def test_improvement_by_hand() -> None:
    # game a: 2 beats 1 and ties 2, 3 beats both: (1 + 0.5 + 1 + 1) / 4 = 0.875; game b: 0 of 1; mean 0.4375
    found = probability_of_improvement({"a": [2.0, 3.0], "b": [0.0], "x": [9.0]}, {"a": [1.0, 2.0], "b": [1.0]})
    assert (found.probability, found.games) == (0.4375, 2)
    with pytest.raises(ValueError, match="at least one game"):
        probability_of_improvement({"a": [1.0]}, {"b": [1.0]})


def test_profile_by_hand() -> None:
    # above 1, strictly: a 1 of 2, b 0 of 1 -> 0.25; above 0.5: a 2 of 2, b 1 of 1 -> 1
    assert list(performance_profile({"a": [1.0, 2.0], "b": [1.0]}, [0.5, 1.0]).fraction) == [1.0, 0.25]


@pytest.mark.parametrize("function", [aggregate, lambda runs: performance_profile(runs, [0.0])])
@pytest.mark.parametrize("runs", [{}, {"a": []}, {"a": [math.nan]}, {"a": [1.0], "b": [math.inf]}])
def test_no_values_and_non_finite_values_are_rejected(
    function: Callable[[Mapping[str, Sequence[float]]], object], runs: dict[str, list[float]]
) -> None:
    with pytest.raises(ValueError, match="finite"):
        function(runs)


SCORES = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3),
    st.lists(st.floats(-50, 50), min_size=1, max_size=4),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(SCORES, st.floats(0.1, 10), st.floats(-5, 5))
def test_invariants(runs: dict[str, list[float]], factor: float, shift: float) -> None:
    found = aggregate(runs, resamples=50)
    means = [sum(values) / len(values) for values in runs.values()]
    low, high = min(map(min, runs.values())), max(map(max, runs.values()))
    assert min(means) - 1e-9 <= found.median <= max(means) + 1e-9
    assert low - 1e-9 <= found.iqm <= high + 1e-9
    assert found.capped_mean <= min(found.mean, 1) + 1e-9
    moved = aggregate({game: [factor * one + shift for one in values] for game, values in runs.items()}, resamples=50)
    assert (moved.median, moved.mean, moved.iqm) == pytest.approx(
        (factor * found.median + shift, factor * found.mean + shift, factor * found.iqm + shift), abs=1e-6
    )
    backwards = aggregate(dict(reversed(runs.items())), resamples=50)
    assert (backwards.median, backwards.mean, backwards.iqm) == pytest.approx(found[:2] + found[3:4], abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(SCORES, SCORES)
def test_probabilities_of_both_directions_add_up_to_one(
    first: dict[str, list[float]], second: dict[str, list[float]]
) -> None:
    second |= {game: second.get(game, [0.0]) for game in first}
    one = probability_of_improvement(first, second, resamples=20).probability
    other = probability_of_improvement({game: second[game] for game in first}, first, resamples=20).probability
    assert one + other == pytest.approx(1)
    assert probability_of_improvement(first, first, resamples=20).probability == pytest.approx(0.5)


@settings(max_examples=40, deadline=None)
@given(SCORES)
def test_profiles_decrease_and_bands_are_ordered(runs: dict[str, list[float]]) -> None:
    profile = performance_profile(runs, np.linspace(-60, 60, 25).tolist(), resamples=200)
    assert (np.diff(profile.fraction) <= 1e-12).all()
    assert (profile.fraction[0], profile.fraction[-1]) == (1, 0)
    if profile.low is not None and profile.high is not None:
        assert (profile.low <= profile.high).all()


def test_the_same_seed_gives_the_same_interval_and_runs_are_resampled_within_their_game() -> None:
    first, second = (aggregate(_games(X), resamples=500, seed=seed).iqm_ci95 for seed in (3, 3))
    assert first == second
    assert aggregate(_games(X), resamples=500, seed=4).iqm_ci95 != first
    # equal runs within each game: resampling changes nothing, although the games differ
    assert aggregate({"a": [1.0, 1.0], "b": [5.0, 5.0]}).iqm_ci95 == (3.0, 3.0)


def test_iqm_rounds_the_number_of_cut_values_down() -> None:
    assert iqm(np.array([0.0, 1, 2, 3, 100])) == 2.0  # a quarter of 5, rounded down, is 1
    assert list(iqm(np.array([[0.0, 1, 2, 100], [4, 4, 4, 4]]))) == [1.5, 4.0]
