"""Settings are dataclass fields that carry their own allowed range."""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from common.errors import UserError

NAME_BYTES, PATH_BYTES = 255, 4095  # what Linux, macOS and Windows take at most


@dataclasses.dataclass(frozen=True)
class Between:
    """The closed range a number must lie in; put into ``Annotated[int, Between(1, 64)]``."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Return whether the value is a real number within the range."""
        # NaN is in no range; whole numbers have no end, and more digits than a float
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{_number(self.low)} to {_number(self.high)}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1 and value == int(value) else f"{value:,g}"


@dataclasses.dataclass(frozen=True, init=False)
class Needs:
    """What another setting must be for this one to have an effect; put into ``Annotated[int, Needs("head", "x")]``."""

    field: str
    values: tuple[Any, ...]

    def __init__(self, field: str, *values: Any) -> None:
        object.__setattr__(self, "field", field)
        object.__setattr__(self, "values", values)

    def __str__(self) -> str:
        if self.values == (True,):
            return option_name(self.field)
        return " or ".join(f"{option_name(self.field)} {value}" for value in self.values)


SPELT = {"imports": "import"}  # which Python keeps for itself


def option_name(field_name: str) -> str:
    """Return the command line's spelling of a field: ``num_envs`` is ``--num-envs``."""
    return "--" + SPELT.get(field_name, field_name).replace("_", "-")


def field_name(option: str) -> str:
    """Return the field that an option of the command line sets, without its value: ``--no-double`` is ``double``."""
    name = option.removeprefix("--").removeprefix("no-").replace("-", "_")
    return next((field for field, spelt in SPELT.items() if spelt == name), name)


def ranges(config: Any) -> dict[str, Between]:
    """Return the range of every field of a dataclass (instance or class) that has one."""
    return _marked(config, Between)


def check_given(config: Any, given: Iterable[str]) -> None:
    """Raise ``UserError`` for the first field that was given and has no effect beside the others.

    A switch that was given as off is what it would be without the other: ``--no-noisy --no-noisy-epsilon``.
    """
    needs = _marked(config, Needs)
    for name in given:
        need = needs.get(name)
        if need and getattr(config, name) is not False and getattr(config, need.field) not in need.values:
            now = getattr(config, need.field)
            now = f"{option_name(need.field)} is {now}" if not isinstance(now, bool) else "which is off"
            raise UserError(f"{option_name(name)} has no effect without {need}; {now}")


def without_effect(config: Any) -> set[str]:
    """Return the fields of a dataclass that have no effect beside the others."""
    return {name for name, need in _marked(config, Needs).items() if getattr(config, need.field) not in need.values}


Mark = TypeVar("Mark")


def _marked(config: Any, kind: type[Mark]) -> dict[str, Mark]:
    """Return the mark of that kind of every field of a dataclass (instance or class) that has one."""
    cls = config if isinstance(config, type) else type(config)
    hints = typing.get_type_hints(cls, include_extras=True)
    return {name: mark for name, hint in hints.items() for mark in _marks(hint) if isinstance(mark, kind)}


def _marks(hint: Any) -> list[Any]:
    """Return the annotations of a type hint, looked for inside unions such as ``X | None`` too."""
    marks = list(getattr(hint, "__metadata__", ()))
    for inner in typing.get_args(hint):
        marks += _marks(inner)
    return marks


def validate(config: Any) -> None:
    """Raise ``UserError`` for the first field, also of nested dataclasses, that lies outside its range.

    A dataclass with a method ``check`` is called to raise for incompatible values.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            validate(value)
        elif isinstance(value, Path):
            _check_path(option_name(field.name), value)
    for name, allowed in ranges(config).items():
        value = getattr(config, name)
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and not allowed.holds(number):
                raise UserError(f"{option_name(name)} {number} is out of range; allowed: {allowed}")
    if check := getattr(config, "check", None):
        check()


def _check_path(option: str, path: Path) -> None:
    """Raise ``UserError`` for a path that no file system takes; `Path.is_dir` raises `OSError` for it."""
    if max(len(os.fsencode(part)) for part in (*path.parts, "")) > NAME_BYTES or len(os.fsencode(path)) > PATH_BYTES:
        raise UserError(f"{option} {path}: too long; allowed: names of {NAME_BYTES} bytes, {PATH_BYTES:,} in all")
