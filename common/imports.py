"""Modules of one's own, whose import registers environments: only a command line can name them, never a file."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable
from typing import Annotated

import tyro

from common.errors import UserError

HELP = "Import this module of yours first, which registers environments; may be given several times."
_ARG = tyro.conf.arg(name="import", metavar="MODULE", help=HELP)
Option = Annotated[tuple[str, ...], tyro.conf.UseAppendAction, _ARG]
"""The type of the option that names such modules."""

IMPORTED: list[str] = []
"""The modules imported so far, for a run's config.json."""


def load(modules: Iterable[str]) -> None:
    """Import modules, from the current folder too.

    Raises:
        UserError: there is no such module, or it raises.
    """
    for name in modules:
        if "" not in sys.path:
            sys.path.append("")  # the current folder; last, so that no file there hides one of ours
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0] != name.split(".")[0]:
                raise UserError(f"--import {name}: it needs {error.name}, which is not installed") from None
            hint = f"; is it {name.removesuffix('.py')}?" if name.endswith(".py") else ""
            raise UserError(f"--import {name}: no such module here or in {sys.prefix}{hint}") from None
        except Exception as error:
            detail = " ".join(f"{type(error).__name__}: {error}".split())
            raise UserError(f"--import {name}: it raised {detail}") from error
        if name not in IMPORTED:
            IMPORTED.append(name)


def words() -> list[str]:
    """Return the options with which another program imports the same."""
    return [word for name in IMPORTED for word in ("--import", name)]
