"""Command lines from dataclasses (tyro), with errors of one line and exit code 2."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from common.errors import UserError, nearest
from common.settings import option_name, validate

Config = TypeVar("Config")

FLAT = (tyro.conf.OmitArgPrefixes,)  # nested dataclasses add options, not prefixes


def parse(
    config: type[Config],
    argv: Sequence[str],
    *,
    default: Config | None = None,
    prog: str | None = None,
    description: str | None = None,
) -> Config:
    """Return the dataclass filled from the command line, its ranges checked.

    Raises:
        UserError: an unknown option (with the nearest known ones), or a value that does not fit.
        SystemExit: after ``--help``, with code 0.
    """
    keywords: dict[str, Any] = {} if default is None else {"default": default}
    complaint = io.StringIO()
    parsed: Config
    try:
        with contextlib.redirect_stderr(complaint):
            parsed, rest = tyro.cli(
                config,
                args=list(argv),
                prog=prog,
                description=description,
                return_unknown_args=True,
                config=FLAT,
                **keywords,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(_one_line(complaint.getvalue())) from None
    if rest:
        raise _unexpected(rest[0], _options(parsed))
    validate(parsed)
    return parsed


def _options(config: Any) -> list[str]:
    """Return how each field of a (nested) dataclass is spelt on the command line."""
    names: list[str] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            names += _options(value)
        else:
            names.append(option_name(field.name))
            if isinstance(value, bool):
                names.append(option_name("no_" + field.name))
    return names


def _unexpected(argument: str, known: list[str]) -> UserError:
    if argument.startswith("-"):
        name = argument.split("=")[0]
        return UserError(f"unknown option '{name}'; did you mean {nearest(name, known)}?")
    return UserError(f"unexpected argument '{argument}'; --help lists all options")


def _one_line(box: str) -> str:
    """Return the sentence inside the frame that tyro draws around an error."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in box.splitlines()]
    sentence: list[str] = []
    for line in lines:
        text = line.strip("│ ")
        if text.startswith("╭"):
            continue
        if not text or set(text) <= set("─╰╯"):
            break
        sentence.append(text)
    return " ".join(sentence) or "the command line could not be parsed; see --help"


def run(main: Callable[[Sequence[str]], int | None]) -> None:
    """Run a program's ``main(argv)`` and leave: 0 done, 2 a user's error, 130 Ctrl-C."""
    try:
        code = main(sys.argv[1:])
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # `compare.py | head` closes our output early; that is no error
        sys.stderr.close()
        code = 0
    sys.exit(code)
