"""Means and intervals against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scores.stats import around, bootstrap_interval, student_interval


def test_student_by_hand() -> None:
    # 2, 4, 4, 6: mean 4, squares of deviations 4 + 0 + 0 + 4 = 8, variance 8 / 3, standard error sqrt(8 / 3 / 4)
    # = sqrt(2 / 3) = 0.8164966; t(3 degrees, 0.975) = 3.1824463 (tables); half-width 2.5984565
    found = student_interval([2, 4, 4, 6])
    assert (found.mean, found.size, found.method) == (4.0, 4, "Student t")
    assert found.standard_error == pytest.approx(0.81649658, abs=1e-8)
    assert found.ci95 == pytest.approx((1.4015435, 6.5984565), abs=1e-6)


def test_two_values_have_a_wide_interval() -> None:
    # 18 and 23: mean 20.5, standard error 2.5, t(1, 0.975) = 12.7062047
    assert student_interval([18, 23]).ci95 == pytest.approx((20.5 - 31.7655118, 20.5 + 31.7655118), abs=1e-5)


@pytest.mark.parametrize("interval", [student_interval, bootstrap_interval])
def test_one_value_has_no_interval(interval) -> None:  # type: ignore[no-untyped-def]
    found = interval([7.5])
    assert found == (7.5, None, None, 1, "none: one value")


@pytest.mark.parametrize("interval", [student_interval, bootstrap_interval])
@pytest.mark.parametrize("values", [[], [1.0, math.nan], [1.0, math.inf]])
def test_no_values_and_non_finite_values_are_rejected(interval, values: list[float]) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="finite"):
        interval(values)


@pytest.mark.parametrize("interval", [student_interval, bootstrap_interval])
def test_equal_values_have_an_interval_of_zero_width(interval) -> None:  # type: ignore[no-untyped-def]
    assert interval([3.0] * 10)[:4] == (3.0, 0.0, (3.0, 3.0), 10)


def test_a_few_equal_episodes_have_no_interval() -> None:
    assert student_interval([3.0, 3.0])[:4] == (3.0, 0.0, None, 2)


def test_the_bootstrap_of_two_runs_spans_both() -> None:
    # Resampling {20, 30}: both low with probability 1/4, both high with 1/4, so these are the 2.5 % and 97.5 % points.
    found = bootstrap_interval([20, 30])
    assert found.mean == 25
    assert found.ci95 == (20, 30)
    assert found.method == "bootstrap over runs"


def test_the_bootstrap_of_three_runs_by_hand() -> None:
    # Of the 27 resamples of {1, 2, 6}: mean 1 with probability 1/27 = 3.7 % > 2.5 %, mean 6 likewise.
    assert bootstrap_interval([1, 2, 6]).ci95 == (1, 6)


def test_the_bootstrap_of_many_runs_is_near_the_normal_interval_and_deterministic() -> None:
    values = np.random.default_rng(5).normal(10, 2, 400)
    found = bootstrap_interval(values.tolist())
    half = 1.96 * values.std(ddof=1) / 20
    assert found.ci95 == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert bootstrap_interval(values.tolist()) == found


def test_around_uses_student_t_for_few_values_and_the_normal_distribution_for_very_many() -> None:
    assert around(10, 1, 5) == pytest.approx((10 - 2.7764451, 10 + 2.7764451), abs=1e-6)
    assert around(10, 1, None) == pytest.approx((10 - 1.9599640, 10 + 1.9599640), abs=1e-6)
