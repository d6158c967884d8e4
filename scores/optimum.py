"""The best possible score of small environments: exact, from the table of transitions that they carry themselves.

Toy text environments of Gymnasium have `P[state][action]`, a list of (probability, next state, reward, terminated).
Backward induction over the steps that are left gives the expected undiscounted return of the best policy there is,
which may look at the clock; where the best action does not depend on it, a network can reach the same.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

CAP = 10_000  # steps where an environment has no limit: that of evaluation


class Optimum(NamedTuple):
    """The expected undiscounted return of the best policy."""

    mean: float
    """Over the environment's own distribution of first states."""
    state_values: NDArray[np.float64]
    """From each first state, (S,)."""
    steps: int
    """That an episode has at most."""


def optimum(env_id: str, **options: Any) -> Optimum | None:
    """Return the best expected return of an episode; None if the environment has no table of transitions.

    Args:
        env_id: a Gymnasium id.
        options: of its constructor.
    """
    env = gymnasium.make(env_id, **options)
    try:
        spec, table = env.spec, getattr(env.unwrapped, "P", None)
        first = getattr(env.unwrapped, "initial_state_distrib", None)
    finally:
        env.close()
    if not isinstance(table, dict) or first is None or spec is None:
        return None
    steps = spec.max_episode_steps or CAP
    values = best_values(table, steps)
    return Optimum(float(np.asarray(first, np.float64) @ values), values, steps)


def best_values(table: dict[int, dict[int, list[tuple[float, int, float, bool]]]], steps: int) -> NDArray[np.float64]:
    """Return the best expected undiscounted return of at most so many steps from each state, (S,).

    Args:
        table: P[state][action] is a list of (probability, next state, reward, terminated).
        steps: after which an episode is cut off.
    """
    states, actions = len(table), len(table[0])
    reward = np.zeros((states, actions))
    goes_on = np.zeros((states, actions, states))  # probability of each next state from which the episode goes on
    for state, of_state in table.items():
        for action, outcomes in of_state.items():
            for probability, after, gain, terminated in outcomes:
                reward[state, action] += probability * float(gain)
                goes_on[state, action, after] += probability * (not terminated)
    values = np.zeros(states)
    for _ in range(steps):
        better = (reward + goes_on @ values).max(1)
        if np.array_equal(better, values):  # more steps change nothing
            break
        values = better
    return values
