"""Names of the actions and observations of Gymnasium's classics, which have numbers only."""

from __future__ import annotations

import re
from collections.abc import Sequence

# by the name of the environment without its version; in the order of Gymnasium's documentation
ACTIONS: dict[str, tuple[str, ...]] = {
    "CartPole": ("push left", "push right"),
    "MountainCar": ("left", "coast", "right"),
    "Acrobot": ("torque left", "no torque", "torque right"),
    "LunarLander": ("no engine", "left engine", "main engine", "right engine"),
    "FrozenLake": ("left", "down", "right", "up"),
    "CliffWalking": ("up", "right", "down", "left"),
    "Taxi": ("down", "up", "right", "left", "pick up", "drop off"),
    "Blackjack": ("stick", "hit"),
    "CarRacing": ("coast", "steer right", "steer left", "gas", "brake"),
}
OBSERVATIONS: dict[str, tuple[str, ...]] = {
    "CartPole": ("cart position", "cart speed", "pole angle", "pole rotation"),
    "MountainCar": ("position", "speed"),
    "Acrobot": ("cos angle 1", "sin angle 1", "cos angle 2", "sin angle 2", "rotation 1", "rotation 2"),
    "LunarLander": ("x", "height", "speed x", "speed y", "tilt", "rotation", "left leg down", "right leg down"),
    "Blackjack": (
        *(f"your sum {total}" for total in range(32)),
        *(f"dealer shows {card}" for card in range(11)),
        "no usable ace",
        "usable ace",
    ),
}
TAXI_ROWS, TAXI_STOPS = 5, ("red", "green", "yellow", "blue")
WIDTHS = {"FrozenLake": {16: 4, 64: 8}, "CliffWalking": {48: 12}}  # of grids, by their number of cells


def stem(env_id: str) -> str:
    """Return the name of an environment without namespace and version: ``CartPole`` of ``CartPole-v1``."""
    return re.sub(r"-v\d+$", "", env_id.rpartition("/")[2])


def action_names(env_id: str, count: int) -> tuple[str, ...] | None:
    """Return the names of an environment's actions; None where it is not known, or has others."""
    names = ACTIONS.get(stem(env_id), ())
    return names if len(names) == count else None


def observation_names(env_id: str, count: int, actions: Sequence[str] = ()) -> tuple[str, ...] | None:
    """Return the names of an observation's numbers; None where they are not known.

    ``actions`` follow the numbers where the environment says which of them are allowed.
    """
    name = stem(env_id)
    allowed = tuple(f"{action} allowed" for action in actions)
    for known, more in ((count, ()), (count - len(allowed), allowed)):
        found = _observation_names(name, known)
        if found is not None:
            return (*found, *more)
    return None


def _observation_names(name: str, count: int) -> tuple[str, ...] | None:
    if len(names := OBSERVATIONS.get(name, ())) == count:
        return names
    if (width := WIDTHS.get(name, {}).get(count)) is not None:
        return tuple(f"row {cell // width + 1}, column {cell % width + 1}" for cell in range(count))
    if name == "Taxi" and count == TAXI_ROWS**2 * (len(TAXI_STOPS) + 1) * len(TAXI_STOPS):
        return tuple(map(_taxi, range(count)))
    return None


def _taxi(state: int) -> str:
    """Return a state of the taxi's world in words: where it is, where the passenger is, and where he wants to go."""
    state, goal = divmod(state, len(TAXI_STOPS))
    state, passenger = divmod(state, len(TAXI_STOPS) + 1)
    row, column = divmod(state, TAXI_ROWS)
    where = (*TAXI_STOPS, "in taxi")[passenger]
    return f"at {row + 1},{column + 1}; {where} to {TAXI_STOPS[goal]}"
