"""Which keys select which action of an environment, derived from the names of its actions. No pygame here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Protocol

ARROWS = ("left", "right", "up", "down")
SIGNS = {"left": "←", "right": "→", "up": "↑", "down": "↓"}
CORNERS = {"upright": "↗", "upleft": "↖", "downright": "↘", "downleft": "↙"}
OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up"}
FIRE, NOOP, FIRE_KEY = "fire", "noop", "space"
NAMED = {  # the key of an action by its name, in Gymnasium's classics
    "push left": "left",
    "push right": "right",
    "torque left": "left",
    "torque right": "right",
    "left engine": "left",
    "right engine": "right",
    "main engine": "up",
    "pick up": "space",
    "drop off": "0",
    "steer left": "left",
    "steer right": "right",
    "gas": "up",
    "brake": "down",
    **{key: key for key in ("left", "right", "up", "down")},
}
STILL = ("coast", "no torque", "no engine")  # actions while no key is held
MAX_HELP_ROWS = 6  # action keys that the help lists one by one


class Keys(Protocol):
    """The keys of one environment."""

    known: frozenset[str]
    """Keys that have a meaning by themselves."""
    labels: Mapping[int, str]
    """The key caps of each action that has keys."""
    summary: str
    """All keys in a word or two."""
    noop: int | None
    """The action when no key is held; None: the environment has no such action."""

    def action(self, held: Sequence[str]) -> int | None:
        """Return the action of the keys held, in the order of pressing; None: no action."""
        ...

    def rows(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Return the keys and what they do, for the help."""
        ...


class RuleKeys:
    """Keys by rules, tried in order: the first whose keys are all held gives the action.

    A combination takes precedence over its parts. Of single keys the one pressed last wins.
    """

    def __init__(
        self, rules: Sequence[tuple[tuple[str, ...], int | None]], labels: Mapping[int, str], noop: int | None = None
    ) -> None:
        self.noop = noop
        self.rules = tuple(rules)
        self.labels: Mapping[int, str] = dict(labels)
        self.known = frozenset(key for keys, _ in self.rules for key in keys) - {"shift"}
        self.summary = "arrows" if {"←", "→"} <= set(labels.values()) else "0 … 9"

    def action(self, held: Sequence[str]) -> int | None:
        """Return the action of the keys held."""
        chords = [rule for rule in self.rules if len(rule[0]) > 1]
        for keys, action in chords:
            if all(key in held for key in keys):
                return action
        singles = {keys[0]: action for keys, action in self.rules if len(keys) == 1}
        return next((singles[key] for key in reversed(held) if key in singles), self.noop)

    def rows(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Return a row per action, or a single row if there are many."""
        rows = [(sign, names[action]) for action, sign in sorted(self.labels.items())]
        if len(rows) > MAX_HELP_ROWS:
            return [(f"{min(self.labels.values())} … {max(self.labels.values())}", "the action with that number")]
        return rows


class Joystick:
    """The Atari joystick: arrows, and space is its button; keys held together are one action (``uprightfire``).

    A game's minimal action set may lack the combination held. Then the largest part of it that exists
    is played; of parts of equal size, the one with the key pressed last. A direction that exists only with
    the button held (Atlantis) gets the button. In a game without up and down they mean right and left: in
    Pong, right moves the paddle up.
    """

    def __init__(self, action_names: Sequence[str]) -> None:
        self._place = {parts(name): action for action, name in enumerate(action_names)}
        used = frozenset().union(*self._place)
        flat = not used & {"up", "down"}
        self._means = {"up": "right", "down": "left"} if flat else {}
        self.noop: int | None = self._place.get(frozenset())
        self.known = frozenset(key for key in (*ARROWS, FIRE_KEY) if self._part(key) in used)
        self.labels: Mapping[int, str] = {action: _caps(wanted) for wanted, action in self._place.items() if wanted}
        self.summary = "arrows, space" if FIRE_KEY in self.known else "arrows"

    def _part(self, key: str) -> str:
        return FIRE if key == FIRE_KEY else self._means.get(key, key)

    def action(self, held: Sequence[str]) -> int | None:
        """Return the action nearest to the keys held."""
        wanted: list[str] = []  # in the order of pressing; of two opposites the later one
        for key in held:
            if key in self.known:
                part = self._part(key)
                wanted = [*(one for one in wanted if one not in (part, OPPOSITE.get(part))), part]
        if not wanted:
            return self.noop
        within = [combination for combination in self._place if combination and combination <= set(wanted)]
        if within:
            latest = {part: 2**index for index, part in enumerate(wanted)}
            best = max(within, key=lambda combination: (len(combination), sum(latest[part] for part in combination)))
            return self._place[best]
        return self._place.get(frozenset({*wanted, FIRE}), self.noop)

    def rows(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Return the rows of the stick, the button, and their combinations."""
        means = {sign: words(names[action]) for action, sign in self.labels.items()}
        stick = " ".join(SIGNS[key] for key in ARROWS if key in self.known and key not in self._means)
        rows = [(stick, "the joystick")] if stick else []
        if self._means and stick:
            rows.append(("↑ ↓", "right, left (in Pong: up, down)"))
        if FIRE_KEY in self.known:
            rows.append((FIRE_KEY, "fire" if FIRE_KEY in means else "fire, with a direction"))
        if any(len(combination) > 1 for combination in self._place):
            rows.append(("together", "diagonals, fire while moving"))
        return rows


def parts(name: str) -> frozenset[str]:
    """Return the parts of an Atari action: ``uprightfire`` is up, right and fire; ``noop`` has none.

    Raises:
        ValueError: it is not the name of a joystick action.
    """
    match = re.fullmatch(r"(up|down)?(left|right)?(fire)?", name)
    if match is None and name != NOOP:
        raise ValueError(f"'{name}' is not a joystick action")
    return frozenset(part for part in (match.groups() if match else ()) if part)


def is_joystick(action_names: Sequence[str]) -> bool:
    """Return whether these are a joystick's actions: all of its form, and one at least is noop or has the button."""
    try:
        combinations = {parts(name) for name in action_names}
    except ValueError:
        return False
    return frozenset() in combinations or any(FIRE in combination for combination in combinations)


def words(name: str) -> str:
    """Return an action's name in words: ``uprightfire`` is "up right fire"; other names stay."""
    try:
        held = parts(name)
    except ValueError:
        return name
    return " ".join(part for part in ("up", "down", "left", "right", FIRE) if part in held) or name


def short(name: str) -> str:
    """Return an action's name in short: ``uprightfire`` is "↗ fire"; other names stay."""
    for direction, sign in (*CORNERS.items(), *SIGNS.items()):
        if name in (direction, direction + FIRE):
            return sign + (f" {FIRE}" if name.endswith(FIRE) else "")
    return name


def _caps(wanted: frozenset[str]) -> str:
    arrows = [SIGNS[part] for part in ("up", "down", "left", "right") if part in wanted]
    return " ".join([*arrows, *([FIRE_KEY] if FIRE in wanted else [])])


def keys_for(action_names: Sequence[str]) -> Keys:
    """Return the keys of an environment, derived from the names of its actions."""
    place = {name: action for action, name in enumerate(action_names)}
    if is_joystick(action_names):
        return Joystick(action_names)
    if len(set(place) - set(STILL)) > 1 and all(name in NAMED or name in STILL for name in place):
        return _named_keys(place)
    if set(ARROWS) <= set(place):
        return RuleKeys([((key,), place[key]) for key in ARROWS], {place[key]: SIGNS[key] for key in ARROWS})
    if {"straight", "bear left", "bear right", "turn left", "turn right"} <= set(place):
        return _wheel_keys(place)
    digits = [((str(action),), action) for action in range(min(len(action_names), 10))]
    labels = {action: str(action) for action in range(min(len(action_names), 10))}
    if len(action_names) == 2:
        digits += [(("left",), 0), (("right",), 1)]
        labels = {0: "←", 1: "→"}
    return RuleKeys(digits, labels)


def _wheel_keys(place: Mapping[str, int]) -> Keys:
    """Return RLDemo's keys: arrows bear left and right; with down or shift they turn sharply."""
    rules: list[tuple[tuple[str, ...], int | None]] = []
    for side in ("left", "right"):
        rules += [((modifier, side), place[f"turn {side}"]) for modifier in ("down", "shift")]
    rules += [((side,), place[f"bear {side}"]) for side in ("left", "right")]
    rules += [(("up",), place["straight"]), (("down",), None)]
    labels = {"straight": "↑", "bear left": "←", "bear right": "→", "turn left": "↓ ←", "turn right": "↓ →"}
    return RuleKeys(rules, {place[name]: sign for name, sign in labels.items()})


def _named_keys(place: Mapping[str, int]) -> Keys:
    """Return the keys of actions that are named after what they do."""
    keys = {action: NAMED[name] for name, action in place.items() if name in NAMED}
    noop = next((place[name] for name in STILL if name in place), None)
    labels = {action: SIGNS.get(key, key) for action, key in keys.items()}
    return RuleKeys([((key,), action) for action, key in keys.items()], labels, noop)
