"""The best possible score, against values worked out by hand and against those of the committed table."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from learning.config import episode_seed
from learning.evaluate import EVALUATION_SEED
from scores import references
from scores.optimum import best_values, optimum

# Two states. In 0: action 0 waits at -1; action 1 ends at +4 with probability 1/2, else it leads to 1. In 1: nothing
# but an end at -6 (action 0), or back to 0 at -1.
TABLE = {
    0: {0: [(1.0, 0, -1.0, False)], 1: [(0.5, 0, 4.0, True), (0.5, 1, 0.0, False)]},
    1: {0: [(1.0, 1, -6.0, True)], 1: [(1.0, 0, -1.0, False)]},
}


@pytest.mark.parametrize(
    ("steps", "values"),
    [
        (0, (0.0, 0.0)),
        (1, (2.0, -1.0)),  # 4 / 2; back to 0, which is cut off
        (2, (1.5, 1.0)),  # (4 - 1) / 2; -1 + 2
        (3, (2.5, 0.5)),  # (4 + 1) / 2
        (200, (3.0, 2.0)),  # v = 2 + (v - 1) / 2
    ],
)
def test_backward_induction_by_hand(steps: int, values: tuple[float, float]) -> None:
    np.testing.assert_allclose(best_values(TABLE, steps), values, atol=1e-9)


def test_known_optima() -> None:
    """CliffWalking: 13 steps along the edge. FrozenLake without slipping is solved in 6 steps, with 5 it is not."""
    cliff = optimum("CliffWalking-v1")
    assert cliff is not None
    assert (cliff.mean, cliff.steps) == (-13.0, 10_000)
    for steps, mean in ((6, 1.0), (5, 0.0)):
        found = optimum("FrozenLake-v1", is_slippery=False, max_episode_steps=steps)
        assert found is not None
        assert found.mean == mean
    assert optimum("CartPole-v1") is None


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "Taxi-v4", "CliffWalking-v1"])
def test_the_committed_optima_are_computed(env_id: str) -> None:
    found = optimum(env_id)
    assert found is not None
    env = gymnasium.make(env_id)
    seeds = [episode_seed(EVALUATION_SEED, "evaluation", 0, episode) for episode in range(100)]
    first = [int(env.reset(seed=seed)[0]) for seed in seeds]
    row = references.find(env_id, "optimum")
    assert row.mean == pytest.approx(found.state_values[first].mean(), abs=1e-4)
    assert f"from all first states {found.mean:.4f}" in row.note
    assert references.find(env_id, "random").mean < row.mean
