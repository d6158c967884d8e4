"""A person's keys: which action they mean, and when control changes hands. No pygame here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from viewer.session import AGENT, HUMAN, Session

ARROWS = ("left", "right", "up", "down")
HAND_BACK_SECONDS = 2.0  # after the last key was let go


class Keys:
    """Which keys mean which action in one environment.

    ``rules`` are tried in order: the first whose keys are all held gives the action, so a
    combination stands before its parts. Among single keys the one pressed last wins.
    """

    def __init__(self, rules: Sequence[tuple[tuple[str, ...], int | None]], labels: Mapping[int, str]) -> None:
        self.rules = tuple(rules)
        self.labels = dict(labels)
        self.known = {key for keys, _ in self.rules for key in keys} - {"shift"}

    def action(self, held: Sequence[str]) -> int | None:
        """Return the action of the keys held, in the order of pressing; None: no action."""
        chords = [rule for rule in self.rules if len(rule[0]) > 1]
        for keys, action in chords:
            if all(key in held for key in keys):
                return action
        singles = {keys[0]: action for keys, action in self.rules if len(keys) == 1}
        return next((singles[key] for key in reversed(held) if key in singles), None)


def keys_for(action_names: Sequence[str]) -> Keys:
    """Return the keys of an environment, worked out from the names of its actions."""
    place = {name: action for action, name in enumerate(action_names)}
    if set(ARROWS) <= set(place):
        signs = {"left": "←", "right": "→", "up": "↑", "down": "↓"}
        return Keys([((key,), place[key]) for key in ARROWS], {place[key]: signs[key] for key in ARROWS})
    if {"straight", "bear left", "bear right", "turn left", "turn right"} <= set(place):
        return _wheel_keys(place)
    digits = [((str(action),), action) for action in range(min(len(action_names), 10))]
    labels = {action: str(action) for action in range(min(len(action_names), 10))}
    if len(action_names) == 2:
        digits += [(("left",), 0), (("right",), 1)]
        labels = {0: "←", 1: "→"}
    return Keys(digits, labels)


def _wheel_keys(place: Mapping[str, int]) -> Keys:
    """Return RLDemo's keys: arrows bear, with down or shift they turn on the spot."""
    rules: list[tuple[tuple[str, ...], int | None]] = []
    for side in ("left", "right"):
        rules += [((modifier, side), place[f"turn {side}"]) for modifier in ("down", "shift")]
    rules += [((side,), place[f"bear {side}"]) for side in ("left", "right")]
    rules += [(("up",), place["straight"]), (("down",), None)]
    labels = {"straight": "↑", "bear left": "←", "bear right": "→", "turn left": "↓ ←", "turn right": "↓ →"}
    return Keys(rules, {place[name]: sign for name, sign in labels.items()})


class Hands:
    """Keeps the keys held and lets them take over and hand back.

    ``locked``: the person keeps control whatever happens. Times are seconds of any steady clock.
    """

    def __init__(self, session: Session, keys: Keys, *, locked: bool = False) -> None:
        self.session, self.keys = session, keys
        self.locked = locked or session.policy is None
        self.held: list[str] = []
        self._idle = 0.0
        if self.locked:
            session.take_over()

    def press(self, key: str) -> bool:
        """Note a key that went down; a key that means something takes over. Return whether it did mean something."""
        if key in self.held or (key not in self.keys.known and key != "shift"):
            return False
        self.held.append(key)
        if key in self.keys.known:
            self.session.take_over()
        self.update(0.0)
        return key in self.keys.known

    def release(self, key: str) -> None:
        """Note a key that went up."""
        if key in self.held:
            self.held.remove(key)
        self.update(0.0)

    def release_all(self) -> None:
        """Let everything go: the window lost the keyboard."""
        self.held.clear()
        self.update(0.0)

    def hand_back(self) -> None:
        """Give control back to the agent now, unless the person plays alone."""
        if not self.locked:
            self.session.hand_back()

    def update(self, seconds: float) -> None:
        """Let time pass: tell the session what the keys mean; hand back when they have rested long enough."""
        session = self.session
        if session.control == AGENT:
            return
        session.human_action = self.keys.action(self.held)
        if self.held or self.locked or session.paused:
            self._idle = 0.0
            return
        self._idle += seconds
        if self._idle >= HAND_BACK_SECONDS:
            self._idle = 0.0
            session.hand_back()

    @property
    def hands_back_in(self) -> float | None:
        """Return the seconds until control goes back by itself; None when it does not."""
        if self.session.control != HUMAN or self.locked or self.held or self.session.paused:
            return None
        return HAND_BACK_SECONDS - self._idle
