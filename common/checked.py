"""Values from files, checked against the types that dataclasses declare, before anything is made of them."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple

from common.settings import Between
from common.text import shown

LONGEST_TEXT = 1_000  # characters, unless `AtMost` says otherwise
LONGEST_LIST = 64  # elements, likewise: a setting has few


@dataclasses.dataclass(frozen=True)
class AtMost:
    """The largest length of a text, a list or an object; put into ``Annotated[tuple[float, ...], AtMost(100)]``."""

    length: int


@dataclasses.dataclass(frozen=True)
class Printable:
    """No control characters in a text; put into ``Annotated[str, Printable()]``."""


Name = Annotated[str, AtMost(200), Printable()]
"""A name that is printed as it is."""


class Unfit(ValueError):
    """What a value is that it should not be; the caller adds where it was read."""


def fit(value: Any, hint: Any, where: str = "") -> Any:
    """Return JSON's value as the type that a hint declares: a list as a tuple, an object as a dataclass.

    Known are ``Any``, numbers, texts, ``None``, ``Literal``, unions, ``tuple[X, ...]``, ``tuple[X, Y]``, ``list[X]``,
    ``dict[str, X]``, dataclasses (keys that they don't have are left out), and `Between` and `AtMost` in
    ``Annotated``. Numbers are finite. A table's cells are all texts: see `fit_cell`.

    Args:
        value: as JSON has it.
        hint: what it should be.
        where: the name of the value, for the message.

    Raises:
        Unfit: it is something else.
    """
    return _fit(value, hint, where, None)


def _fit(value: Any, hint: Any, where: str, most: int | None) -> Any:
    origin = typing.get_origin(hint)
    if origin is Annotated:
        lengths = [mark.length for mark in hint.__metadata__ if isinstance(mark, AtMost)]
        value = _fit(value, hint.__origin__, where, lengths[0] if lengths else most)
        for mark in hint.__metadata__:
            if isinstance(mark, Between):
                _check_range(value, mark, where)
            if isinstance(mark, Printable) and not value.isprintable():
                raise _unfit(where, value, "a name")
        return value
    if hint is Any:
        return value
    if origin is Literal:
        if not any(value == one and type(value) is type(one) for one in typing.get_args(hint)):
            raise _unfit(where, value, " or ".join(repr(one) for one in typing.get_args(hint)))
        return value
    if origin in (typing.Union, types.UnionType):
        return _fit_union(value, hint, where, most)
    if origin in (tuple, list, dict):
        return _fit_many(value, hint, where, most)
    if dataclasses.is_dataclass(hint):
        return _fit_object(value, hint, where)
    return _fit_plain(value, hint, where, most)


def _fit_plain(value: Any, hint: Any, where: str, most: int | None) -> Any:
    if hint is None or hint is type(None):
        if value is not None:
            raise _unfit(where, value, "null")
    elif hint is float:
        if type(value) not in (int, float) or not _is_finite(value):
            raise _unfit(where, value, "a finite number")
    elif hint is str:
        if type(value) is not str or len(value) > (most or LONGEST_TEXT):
            raise _unfit(where, value, f"a text of at most {most or LONGEST_TEXT:,} characters")
    elif type(value) is not hint:
        names = {int: "a whole number", bool: "true or false", dict: "an object", list: "a list"}
        raise _unfit(where, value, names.get(hint, str(hint)))
    return value


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def _fit_union(value: Any, hint: Any, where: str, most: int | None) -> Any:
    """Return the value as the first type of several that it fits."""
    members = typing.get_args(hint)
    if value is None and type(None) in members:
        return None
    members = tuple(one for one in members if one is not type(None))
    for one in members[:-1]:
        try:
            return _fit(value, one, where, most)
        except Unfit:
            continue
    return _fit(value, members[-1], where, most)


def _fit_many(value: Any, hint: Any, where: str, most: int | None) -> Any:
    origin, kinds = typing.get_origin(hint), typing.get_args(hint)
    wanted = dict if origin is dict else list
    if type(value) is not wanted:
        raise _unfit(where, value, "an object" if wanted is dict else "a list")
    assert isinstance(value, dict | list)
    if len(value) > (most or LONGEST_LIST):
        raise Unfit(f"{where or 'it'} has {len(value):,} entries; at most {most or LONGEST_LIST:,} are allowed")
    if isinstance(value, dict):
        return {key: _fit(one, kinds[1], f"{where} {shown(key, 40)}".strip(), None) for key, one in value.items()}
    if origin is tuple and kinds[-1] is not Ellipsis:
        if len(value) != len(kinds):
            raise _unfit(where, value, f"{len(kinds)} values")
        return tuple(_fit(one, kind, where, None) for one, kind in zip(value, kinds, strict=True))
    return origin(_fit(one, kinds[0], where, None) for one in value)


def _fit_object(value: Any, cls: Any, where: str) -> Any:
    if type(value) is not dict:
        raise _unfit(where, value, "an object")
    hints, found = hints_of(cls), {}
    for field in dataclasses.fields(cls):
        if field.name in value:
            found[field.name] = _fit(value[field.name], hints[field.name], f"{where} {field.name}".strip(), None)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise Unfit(f"it lacks {field.name}")
    return cls(**found)


def fit_cell(text: str, hint: Any, where: str) -> Any:
    """Return a cell of a table as the type that a hint declares; an empty one is None where that is allowed.

    Known are texts, numbers and ``bool`` (1 is true), with None, `Between` and `AtMost`. Texts come back `shown`: names
    from tables go to terminals.

    Raises:
        Unfit: it is something else.
    """
    cell = _cell(hint)
    if not text and cell.may_be_empty:
        return None
    if cell.kind is str:
        if not text.strip():
            raise Unfit(f"{where} is empty")
        if len(text) > cell.most:
            raise _unfit(where, text, f"a text of at most {cell.most:,} characters")
        return shown(text)
    if cell.kind is bool:
        return text == "1"
    try:
        value = cell.kind(text[:100])  # of any more digits they take a long time
    except (ValueError, OverflowError):
        raise _unfit(where, text, "a whole number" if cell.kind is int else "a number") from None
    if len(text) > 100 or not _is_finite(value):
        raise _unfit(where, value, "a finite number")
    if cell.allowed is not None and not cell.allowed.holds(value):
        raise _unfit(where, value, str(cell.allowed))
    return value


class _Cell(NamedTuple):
    """What a hint says of a cell."""

    kind: Any
    may_be_empty: bool
    allowed: Between | None
    most: int


@cache
def _cell(hint: Any) -> _Cell:
    """Return what a hint says: worked out once, and not for each of many thousand cells."""
    members = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    kind: Any = members[0]
    marks: tuple[Any, ...] = ()
    if typing.get_origin(kind) is Annotated:
        kind, marks = kind.__origin__, kind.__metadata__
    allowed = next((mark for mark in marks if isinstance(mark, Between)), None)
    most = next((mark.length for mark in marks if isinstance(mark, AtMost)), LONGEST_TEXT)
    return _Cell(kind, type(None) in members, allowed, most)


@cache
def hints_of(cls: Any) -> dict[str, Any]:
    """Return the types of a dataclass's fields, with what they are annotated with."""
    return typing.get_type_hints(cls, include_extras=True)


def _check_range(value: Any, allowed: Between, where: str) -> None:
    """Raise `Unfit` for a number, or one of several, outside its range."""
    numbers: Iterable[Any] = value if isinstance(value, tuple | list) else (value,)
    for number in numbers:
        if number is not None and not allowed.holds(number):
            raise _unfit(where, number, str(allowed))


def _unfit(where: str, value: Any, wanted: str) -> Unfit:
    if isinstance(value, dict | list):  # whose text may be long
        text = "an object" if isinstance(value, dict) else "a list"
    else:
        text = shown(repr(value), 60)
    return Unfit(f"{where or 'it'} is {text}, not {wanted}")
