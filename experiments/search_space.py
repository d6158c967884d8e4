"""What a search varies: ranges and choices of settings.

Nothing here loads PyTorch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from common.errors import UserError, nearest
from common.settings import field_name, option_name


@dataclass(frozen=True)
class Dimension:
    """One setting of a search: numbers between two, or one of several values."""

    name: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    """Whole numbers."""
    choices: tuple[Any, ...] = ()

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that a check of all would look at."""
        return tuple(list(one) if isinstance(one, tuple) else one for one in self.choices) or (self.low, self.high)

    @staticmethod
    def plain(value: Any) -> Any:
        """Return one of the choices as a number or text: several numbers as 64+64."""
        return "+".join(map(str, value)) if isinstance(value, tuple) else value

    def typed(self, value: Any) -> Any:
        """Return a value that was proposed as JSON's types."""
        for one in self.choices:
            if self.plain(one) == value and type(self.plain(one)) is type(value):
                return list(one) if isinstance(one, tuple) else one
        return value

    def described(self) -> dict[str, Any]:
        """Return it as JSON's types."""
        return dataclasses.asdict(self) | {"choices": list(self.choices)}


def read(words: Sequence[str], value_of: Callable[[str, str, str], Any]) -> list[Dimension]:
    """Return what ``learning-rate=1e-5..1e-2:log n-step=1,3,5`` varies; ``value_of(name, text, option)`` types a value.

    Raises:
        UserError: it is not written so, a range is upside down, or a setting is unknown or named twice.
    """
    found = [_dimension(word, value_of) for word in words]
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--search names {option_name(name)[2:]} twice")
    return found


def _dimension(word: str, value_of: Callable[[str, str, str], Any]) -> Dimension:
    name, equals, text = word.partition("=")
    if not equals or not text.strip(",."):
        raise UserError(f"--search {word}: write NAME=LOW..HIGH, NAME=LOW..HIGH:log or NAME=VALUE,VALUE,...")
    spelt = field_name(f"--{name}")
    if ".." not in text:
        values = [value_of(name, one, "--search") for one in text.split(",") if one]
        choices = {str(one): tuple(one) if isinstance(one, list) else one for one in values}
        if len(choices) < 2:
            raise UserError(f"--search {word}: one value leaves nothing to search; write --{name} {text}")
        return Dimension(spelt, choices=tuple(choices.values()))
    text, _, scale = text.partition(":")
    if scale not in ("", "log"):
        raise UserError(f"--search {word}: '{scale}' is no scale; write :log, or nothing")
    low_text, _, high_text = text.partition("..")
    low, high = value_of(name, low_text, "--search"), value_of(name, high_text, "--search")
    if isinstance(low, bool) or not isinstance(low, int | float) or not isinstance(high, int | float):
        raise UserError(f"--search {word}: {name} is no number; write its values: {name}=VALUE,VALUE,...")
    if low >= high:
        raise UserError(f"--search {word}: the range is upside down; write {name}={high_text}..{low_text}")
    if scale and low <= 0:
        raise UserError(f"--search {word}: a logarithmic range starts above 0")
    return Dimension(spelt, low, high, bool(scale), isinstance(low, int) and isinstance(high, int))


def field_of(name: str, settings: Any, option: str) -> str:
    """Return the field of a dataclass with this name; `UserError` with the nearest ones if there is none."""
    found = name.strip().removeprefix("--").replace("-", "_")
    known = [field.name for field in dataclasses.fields(settings)]
    if found not in known:
        near = nearest(name, [option_name(one)[2:] for one in known])
        raise UserError(f"{option} {name}: no such setting; did you mean {near}?")
    return found
