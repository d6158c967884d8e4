"""SumTree: draws, updates and weights by hand, against a naive sum, and with extreme priorities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from learning.sum_tree import ADDED, HIGHEST, LOWEST, SumTree


class FixedPoints:
    """Replaces the generator: the same place in every segment."""

    def __init__(self, place: float) -> None:
        self.place = place

    def random(self, count: int) -> NDArray[np.float64]:
        return np.full(count, self.place)


def with_powers(*powers: float) -> SumTree:
    tree = SumTree(len(powers), 1.0)
    tree.load(np.array(powers, np.float64), max(powers))
    return tree


def records(*index: int) -> NDArray[np.int64]:
    return np.array(index, np.int64)


def drawn(tree: SumTree, batch_size: int, place: float) -> list[int]:
    return tree.draw(batch_size, FixedPoints(place)).tolist()  # type: ignore[arg-type, no-any-return]


# ---------------------------------------------------------------------- by hand


def test_draws_by_hand() -> None:
    """Powers 1, 2, 3, 4; their sum 10 is divided as 0: [0, 1), 1: [1, 3), 2: [3, 6), 3: [6, 10)."""
    tree = with_powers(1, 2, 3, 4)
    # one segment of length 10: the points are 10 * place
    assert [drawn(tree, 1, place)[0] for place in (0.0, 0.09, 0.1, 0.29, 0.3, 0.59, 0.6, 0.99)] == [
        0, 0, 1, 1, 2, 2, 3, 3,
    ]  # fmt: skip
    # five segments of length 2, points in their middle: 1, 3, 5, 7, 9
    assert drawn(tree, 5, 0.5) == [1, 2, 2, 3, 3]


def test_updates_by_hand() -> None:
    """Exponent 2: a priority of 3 becomes (3 + 1e-6)^2."""
    tree = SumTree(4, 2.0)
    tree.admit(records(0, 2))
    assert tree.powers.tolist() == [1, 0, 1, 0]  # the first records have priority 1
    assert (len(tree), tree.largest) == (2, 1.0)
    tree.update(records(2), np.array([3.0], np.float32))
    nine = (3 + ADDED) ** 2
    assert tree.powers.tolist() == [1, 0, nine, 0]
    tree.admit(records(1))
    assert tree.powers.tolist() == [1, nine, nine, 0]  # new records get the largest so far
    tree.update(records(1, 2), np.array([0.0, 0.5]))
    assert tree.powers.tolist() == [1, ADDED**2, (0.5 + ADDED) ** 2, 0]
    tree.drop(records(2, 3))
    assert tree.powers.tolist() == [1, ADDED**2, 0, 0]
    assert (len(tree), tree.largest) == (2, nine)  # the largest ever, even if no record has it any more


def test_importance_weights_by_hand() -> None:
    """Powers 1, 3, 4 and 0: probabilities P of three records 1/8, 3/8, 4/8.

    1 / (3 P) = 8/3, 8/9, 2/3; divided by the batch's largest: 1, 1/3, 1/4.
    """
    tree = with_powers(1, 3, 4, 0)
    np.testing.assert_allclose(tree.weights(records(0, 1, 2), 1.0, 0.0), [1, 1 / 3, 1 / 4], rtol=1e-6)
    np.testing.assert_allclose(tree.weights(records(0, 1, 2), 0.5, 0.0), [1, 3**-0.5, 1 / 2], rtol=1e-6)
    # divided by the largest of the batch, not of all: 8/9 over 8/9, 2/3 over 8/9
    np.testing.assert_allclose(tree.weights(records(2, 1), 1.0, 0.0), [3 / 4, 1], rtol=1e-6)
    # half of the draws uniform: probabilities (1/8 + 1/3) / 2 = 11/48, (3/8 + 1/3) / 2 = 17/48, (1/2 + 1/3) / 2 = 20/48
    np.testing.assert_allclose(tree.weights(records(0, 1, 2), 1.0, 0.5), [1, 11 / 17, 11 / 20], rtol=1e-6)
    assert tree.weights(records(0, 1, 2), 0.0, 0.5).tolist() == [1, 1, 1]
    assert tree.weights(records(0, 1), 1.0, 0.0).dtype == np.float32


# ---------------------------------------------------------------------- against a naive sum


def in_tree_order(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the records from left to right: the last records are in the deepest row, which comes first."""
    deepest = 2 ** int(np.ceil(np.log2(len(values)))) - len(values)
    return np.roll(np.arange(len(values)), -deepest)


@settings(max_examples=150, deadline=None)
@given(data=st.data(), size=st.integers(1, 70), exponent=st.sampled_from([0.0, 0.6, 1.0, 2.0]))
def test_the_tree_equals_a_naive_sum(data: st.DataObject, size: int, exponent: float) -> None:
    """Records are admitted, dropped and updated; draws equal a search in the cumulative sum."""
    tree, naive, largest = SumTree(size, exponent), np.zeros(size), 1.0
    for _ in range(data.draw(st.integers(1, 12))):
        some = np.array(data.draw(st.lists(st.integers(0, size - 1), max_size=12, unique=True)), np.int64)
        change = data.draw(st.sampled_from(["admit", "drop", "update"]))
        if change == "admit":
            tree.admit(some)
            naive[some] = largest
        elif change == "drop":
            tree.drop(some)
            naive[some] = 0.0
        else:
            priority = np.array([data.draw(st.floats(0, 100)) for _ in some])
            tree.update(some, priority)
            for i, one in zip(some, priority, strict=True):
                if naive[i] > 0:
                    naive[i] = (one + ADDED) ** exponent
                    largest = max(largest, naive[i])
        np.testing.assert_allclose(tree.powers, naive, rtol=1e-14)
        assert tree.largest == pytest.approx(largest, rel=1e-14)
        assert len(tree) == np.count_nonzero(naive)
    if not naive.any():
        with pytest.raises(ValueError, match="empty"):
            tree.draw(1, np.random.default_rng(0))
        return
    order = in_tree_order(naive)
    batch_size = data.draw(st.integers(1, 40))
    places = np.random.default_rng(7).random(batch_size)
    points = (np.arange(batch_size) + places) / batch_size * naive.sum()
    expected = order[np.searchsorted(np.cumsum(naive[order]), points, side="right").clip(max=size - 1)]
    index = tree.draw(batch_size, np.random.default_rng(7))
    assert index.tolist() == expected.tolist()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1000), size=st.integers(1, 300), rounds=st.integers(1, 50))
def test_a_tree_rebuilt_from_its_leaves_is_equal_bit_for_bit(seed: int, size: int, rounds: int) -> None:
    """After any number of updates: sums are recomputed, not changed by differences."""
    rng = np.random.default_rng(seed)
    tree = SumTree(size, 0.7)
    tree.admit(np.arange(size))
    for _ in range(rounds):
        some = rng.integers(0, size, 20)
        tree.update(some, rng.lognormal(0, 8, 20))
        tree.drop(rng.integers(0, size, 1))
        tree.admit(rng.integers(0, size, 1))
    fresh = SumTree(size, 0.7)
    fresh.load(tree.powers.copy(), tree.largest)
    assert fresh._tree.tobytes() == tree._tree.tobytes()
    assert (len(fresh), fresh.largest) == (len(tree), tree.largest)


# ---------------------------------------------------------------------- probabilities


def test_each_segment_of_the_sum_is_drawn_from_once() -> None:
    """Of B draws a record of probability P gets B P, within the two segments that it shares with its neighbours."""
    rng = np.random.default_rng(0)
    powers = rng.lognormal(0, 2, 1000)
    tree = with_powers(*powers)
    times = np.bincount(tree.draw(50_000, rng), minlength=1000)
    expected = 50_000 * powers / powers.sum()
    assert np.abs(times - expected).max() < 2  # independent draws would miss the largest by dozens


def test_exponent_0_draws_uniformly_with_weight_1() -> None:
    rng = np.random.default_rng(1)
    tree = SumTree(100, 0.0)
    tree.admit(np.arange(80))
    tree.update(np.arange(80), rng.lognormal(0, 5, 80))
    assert set(tree.powers[:80]) == {1.0}
    index = tree.draw(8_000, rng)
    times = np.bincount(index, minlength=100)
    assert np.abs(times[:80] - 100).max() < 2
    assert not times[80:].any()
    for share in (0.0, 0.3):
        assert set(tree.weights(index, 0.7, share).tolist()) == {1.0}


# ---------------------------------------------------------------------- extreme and invalid priorities


@pytest.mark.parametrize("invalid", [np.nan, np.inf, -np.inf])
def test_non_finite_priorities_change_nothing(invalid: float) -> None:
    tree = with_powers(1, 2, 3, 4)
    tree.update(records(1, 2), np.array([invalid, 7.0], np.float32))
    assert tree.powers.tolist() == [1, 2, 7 + ADDED, 4]
    assert tree.largest == 7 + ADDED
    assert drawn(tree, 1, 0.999) == [3]


@pytest.mark.parametrize("exponent", [0.0, 0.6, 10.0, 1000.0])
def test_extreme_priorities_leave_the_tree_valid(exponent: float) -> None:
    """The largest float32 to the power of 10 overflows; 1e-6 to the power of 1000 underflows to 0."""
    tree = SumTree(64, exponent)
    tree.admit(np.arange(64))
    tree.update(np.arange(64), np.repeat(np.array([3.4e38, 0.0], np.float32), 32))
    assert np.isfinite(tree._tree).all()
    assert tree.powers.min() >= LOWEST
    assert tree.powers.max() <= HIGHEST
    assert len(tree) == 64
    weights = tree.weights(tree.draw(32, np.random.default_rng(0)), 1.0, 0.1)
    assert np.isfinite(weights).all()
    assert weights.max() == 1


def test_a_slightly_negative_priority_counts_as_0() -> None:
    """A cross-entropy minus an entropy may round to -1e-5, whose root would be NaN."""
    tree = SumTree(2, 0.5)
    tree.admit(records(0, 1))
    tree.update(records(0, 1), np.array([-1e-5, 0.0], np.float32))
    assert tree.powers.tolist() == [ADDED**0.5, ADDED**0.5]


def test_dropped_records_stay_dropped() -> None:
    tree = with_powers(1, 0, 3)
    tree.update(records(0, 1), np.array([5.0, 9.0]))
    assert tree.powers.tolist() == [5 + ADDED, 0, 3]
    assert (len(tree), tree.largest) == (2, 5 + ADDED)


@pytest.mark.parametrize("place", [0.0, 1.0])
def test_points_at_the_ends_never_find_a_dropped_record(place: float) -> None:
    """Place 1 is outside [0, 1), but rounding may move a point there."""
    for powers in ([0, 0, 5, 0, 0], [0, 1e-100, 1e100, 0], [0.1, 0.2, 0.3, 0.0], [0, 0, 0, 0, 0, 0, 1]):
        tree = with_powers(*powers)
        assert all(tree.powers[drawn(tree, 7, place)] > 0)


def test_a_wrong_number_of_priorities_is_rejected() -> None:
    tree = with_powers(1, 2, 3)
    for shape in ((), (2,), (3, 1)):
        with pytest.raises(ValueError, match=r"priorities for \(3,\) records"):
            tree.update(records(0, 1, 2), np.ones(shape))
