"""A sum tree of priorities, for prioritized replay. Schaul et al. 2015, arXiv:1511.05952, proportional variant."""

# numba's decorator has no types: kernels are typed by hand and checked by their tests
# mypy: allow-untyped-decorators
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.kernels import cached_njit

kernel = cached_njit(nogil=True)

ADDED = 1e-6  # to each priority, that none is never drawn again; the paper gives no value, OpenAI Baselines this one
LOWEST, HIGHEST = 1e-100, 1e100  # of priority ** exponent: none vanishes, and the sum of any number of them is finite
PRIORITY_BYTES = 16  # of a record: its leaf and a node above


@kernel
def put(tree, node, power):  # type: ignore[no-untyped-def]
    """Set a leaf and sum up all nodes above it again."""
    tree[node] = power
    while node > 1:
        node //= 2
        tree[node] = tree[2 * node] + tree[2 * node + 1]


@kernel
def put_least(least, node, power):  # type: ignore[no-untyped-def]
    """Set a leaf of a tree of minima, if there is one, and all nodes above it; a power of 0 has no part in them."""
    if least.shape[0] == 0:
        return
    least[node] = power if power > 0.0 else np.inf
    while node > 1:
        node //= 2
        least[node] = min(least[2 * node], least[2 * node + 1])


@kernel
def put_all(tree, least, index, power):  # type: ignore[no-untyped-def]
    """Set records (B,) to one power; return by how many those above 0 have become more."""
    more = 0
    for b in range(index.shape[0]):
        node = tree.shape[0] // 2 + index[b]
        more += (power > 0.0) - (tree[node] > 0.0)
        put(tree, node, power)
        put_least(least, node, power)
    return more


@kernel
def revalue(tree, least, index, priority, exponent):  # type: ignore[no-untyped-def]
    """Set records (B,) that can be drawn to their priority ** exponent; return the largest power of them, or 0."""
    largest = 0.0
    for b in range(index.shape[0]):
        node = tree.shape[0] // 2 + index[b]
        if tree[node] > 0.0 and np.isfinite(priority[b]):
            power = (max(priority[b], 0.0) + ADDED) ** exponent
            power = min(max(power, LOWEST), HIGHEST)
            put(tree, node, power)
            put_least(least, node, power)
            largest = max(largest, power)
    return largest


@kernel
def find(tree, point, index):  # type: ignore[no-untyped-def]
    """Find the record at each point (B,) of the sum of all powers; never one whose power is 0."""
    records = tree.shape[0] // 2
    for b in range(point.shape[0]):
        node, rest = 1, point[b]
        while node < records:
            node *= 2
            # rounding may carry a point past the end of all powers: an empty half is never entered
            if rest >= tree[node] and tree[node + 1] > 0.0:
                rest -= tree[node]
                node += 1
        index[b] = node - records


@kernel
def sum_up(tree, least):  # type: ignore[no-untyped-def]
    """Compute all nodes from the leaves of the sums."""
    leaves = tree.shape[0] // 2
    for node in range(leaves - 1, 0, -1):
        tree[node] = tree[2 * node] + tree[2 * node + 1]
    if least.shape[0] > 0:
        for node in range(leaves, 2 * leaves):
            least[node] = tree[node] if tree[node] > 0.0 else np.inf
        for node in range(leaves - 1, 0, -1):
            least[node] = min(least[2 * node], least[2 * node + 1])


class SumTree:
    """Samples records in proportion to their power, priority ** exponent; 0 is never sampled.

    The powers are the leaves of a binary tree whose nodes are the sum of the two below them, so that a
    draw and a change take log2(records) steps. Nodes are always summed up again, never changed by a
    difference: rounding does not pile up, and a tree rebuilt from its leaves is the same bit for bit.

    New records get the largest power so far, that each is soon drawn once; the first ones 1.

    Args:
        records: how many there can be.
        exponent: alpha; 0 makes all priorities alike.
        keeps_least: whether the least power of all records is known, which takes a second tree.
    """

    def __init__(self, records: int, exponent: float, keeps_least: bool = False) -> None:
        self.exponent = exponent
        self.largest = 1.0  # power so far
        self._tree = np.zeros(2 * records)  # node i is the sum of 2 i and 2 i + 1, node 1 of all; 0 is unused
        self._least = np.full(2 * records if keeps_least else 0, np.inf)  # the same, a minimum in place of each sum
        self._count = 0

    @property
    def powers(self) -> NDArray[np.float64]:
        """The power of each record, (records,), without copying; not to be written to."""
        return self._tree[len(self._tree) // 2 :]

    def __len__(self) -> int:
        """Return the number of records that can be drawn."""
        return self._count

    def admit(self, index: NDArray[np.int64]) -> None:
        """Let new records (B,) be drawn."""
        self._count += put_all(self._tree, self._least, index, self.largest)

    def drop(self, index: NDArray[np.int64]) -> None:
        """Let records (B,) be drawn no more."""
        self._count += put_all(self._tree, self._least, index, 0.0)

    def update(self, index: NDArray[np.int64], priority: NDArray[Any]) -> None:
        """Set the priorities of records, (B,) each; negative ones count as 0.

        Records that can't be drawn stay so; what is not a finite number changes nothing.
        """
        if index.shape != priority.shape:  # kernels don't look at bounds
            raise ValueError(f"{priority.shape} priorities for {index.shape} records")
        largest = revalue(self._tree, self._least, index, priority.astype(np.float64), self.exponent)
        self.largest = max(self.largest, largest)

    def draw(self, batch_size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return records (B,), one drawn from each of B equal parts of the sum of all powers (appendix B.2.1)."""
        if not self._count:
            raise ValueError("the replay is empty")
        point = (np.arange(batch_size) + rng.random(batch_size)) * (self._tree[1] / batch_size)
        index = np.empty(batch_size, np.int64)
        find(self._tree, point, index)
        return index

    def weights(
        self, index: NDArray[np.int64], importance_exponent: float, uniform_share: float
    ) -> NDArray[np.float32]:
        """Return the importance weights (1 / (N P))^beta of a batch's records (B,), the largest of them 1.

        P is the chance of each to be drawn. N, the number of records, falls out with the largest weight: the batch's,
        or where the least power is kept that of all records.
        """
        chance = self._chance(self.powers[index], uniform_share)
        least = self._chance(self._least[1], uniform_share) if len(self._least) else chance.min()
        weights: NDArray[np.float64] = (least / chance) ** importance_exponent
        return weights.astype(np.float32)

    def _chance(self, power: Any, uniform_share: float) -> Any:
        """Return the chance of a record of this power, or of records (B,), to be drawn."""
        return (1.0 - uniform_share) * power / self._tree[1] + uniform_share / self._count

    def load(self, powers: NDArray[np.float64], largest: float) -> None:
        """Restore the tree that had these ``powers``, (records,), and ``largest``."""
        self.powers[:] = powers
        sum_up(self._tree, self._least)
        self.largest, self._count = largest, int(np.count_nonzero(self.powers))
