"""Command lines from dataclasses (tyro), with errors of one line and exit code 2."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import typing
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from common.errors import UserError, suggestion
from common.settings import option_name, validate

Config = TypeVar("Config")

FLAT = (tyro.conf.OmitArgPrefixes,)  # nested dataclasses add options, not prefixes
UNITS = {"k": 10**3, "K": 10**3, "M": 10**6}

# What other projects call our options: stable-baselines3 and its Zoo, CleanRL, Dopamine, Gymnasium's tutorials.
ALIASES = {
    "algo": "agent",
    "batch": "batch-size",
    "buffer-size": "capacity",
    "cuda": "device",
    "discount": "gamma",
    "end-e": "epsilon-final",
    "env": "env-id",
    "epsilon-decay": "epsilon-steps",
    "epsilon-end": "epsilon-final",
    "eval-freq": "evaluations",
    "exploration-final-eps": "epsilon-final",
    "exploration-fraction": "epsilon-steps",
    "exploration-initial-eps": "epsilon-start",
    "gradient-steps": "replay-ratio",
    "log-dir": "runs-dir",
    "log-folder": "runs-dir",
    "lr": "learning-rate",
    "max-steps": "total-timesteps",
    "memory-size": "capacity",
    "n-envs": "num-envs",
    "n-episodes": "total-timesteps",
    "n-eval-envs": "num-envs",
    "n-eval-episodes": "eval-episodes",
    "n-steps": "n-step",
    "n-timesteps": "total-timesteps",
    "net-arch": "hidden",
    "num-minibatches": "minibatches",
    "num-steps": "rollout-steps",
    "num-threads": "threads",
    "render": "watch",
    "replay-size": "capacity",
    "save-path": "runs-dir",
    "start-e": "epsilon-start",
    "start-steps": "learning-starts",
    "steps": "total-timesteps",
    "target-network-frequency": "target-period",
    "target-update-interval": "target-period",
    "tensorboard-log": "runs-dir",
    "timesteps": "total-timesteps",
    "train-freq": "replay-ratio",
    "train-frequency": "replay-ratio",
    "training-steps": "total-timesteps",
    "update-epochs": "epochs",
}


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
                args=list(_separated(config, argv)),
                prog=prog,
                description=description,
                return_unknown_args=True,
                config=FLAT,
                registry=REGISTRY,
                **keywords,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise UserError(_with_choices(_one_line(complaint.getvalue()))) from None
    if rest:
        raise _unexpected(rest[0], _options(parsed))
    validate(parsed)
    return parsed


REGISTRY = ConstructorRegistry()


@REGISTRY.primitive_rule
def _whole_numbers(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[int] | None:
    """Let options for whole numbers take 1e5, 1_000_000 and 100k too."""
    if info.type is not int:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=lambda words: whole(words[0]),
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    )


def whole(text: str) -> int:
    """Return the whole number that is written as 100000, 100_000, 100,000, 1e5 or 100k; ``ValueError``: it is none."""
    plain = re.sub(r"(?<=\d)[_,](?=\d{3}(?!\d))", "", text)  # only where it parts thousands
    unit = UNITS.get(plain[-1:], 1)
    match = re.fullmatch(r"([+-]?)(\d+)(?:\.(\d*))?(?:[eE]\+?(\d{1,3}))?", plain if unit == 1 else plain[:-1])
    if match is None:
        raise ValueError(f"'{text}' is not a whole number")
    sign, digits, decimals, exponent = match.groups(default="")
    value: int = int(digits + decimals) * 10 ** int(exponent or 0) * unit
    parts: int = 10 ** len(decimals)
    if value % parts:
        raise ValueError(f"{text} is not a whole number")
    return int(sign + "1") * (value // parts)


def _separated(config: type[Any], argv: Sequence[str]) -> Iterator[str]:
    """Yield the words, those of options that take several values parted at their commas: 64,64 is 64 64."""
    several = {option_name(name) for name in _tuples(config)}
    takes_several = False
    for word in argv:
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            takes_several = name.replace("_", "-") in several
        if not takes_several or (name.startswith("--") and not equals):
            yield word
        elif name.startswith("--"):
            yield from (name, *filter(None, value.split(",")))
        else:
            yield from filter(None, word.split(","))


def _tuples(config: type[Any]) -> Iterator[str]:
    """Yield the names of the fields of a (nested) dataclass that are tuples of numbers."""
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        hint = hints[field.name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield from _tuples(hint)
        elif typing.get_origin(hint) is tuple and typing.get_args(hint)[0] in (int, float):
            yield field.name


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
        ours = f"--{ALIASES.get(name.lstrip('-').replace('_', '-').lower(), '')}"
        if ours in known:
            return UserError(f"unknown option '{name}'; did you mean {ours}?")
        return UserError(f"unknown option '{name}'; {suggestion(name, known)}")
    return UserError(f"unexpected argument '{argument}'; --help lists all options")


def _one_line(box: str) -> str:
    """Return the sentence inside the frame that tyro draws around an error; without Unicode, between two rules."""
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip("│ ") for line in box.splitlines()]
    framed = any(line.startswith("╭") for line in lines)
    sentence: list[str] = []
    for text in lines if framed else lines[2:]:  # a heading, and a rule below it
        if text.startswith("╭"):
            continue
        if not text or set(text) <= set("─╰╯-"):
            break
        sentence.append(text)
    return " ".join(sentence) or "the command line could not be parsed; see --help"


def _with_choices(sentence: str) -> str:
    """Return tyro's sentence on a choice that there is not, with the nearest one, or with all, in order."""
    match = re.fullmatch(r"(invalid choice '(.*)' for argument '\S+')\. Expected one of \((.*)\)\.", sentence)
    if match is None:
        return sentence
    choices = [one for one in re.findall(r"'([^']*)'", match[3]) if one != "None"]
    if (hint := suggestion(match[2], choices)).startswith("did you"):
        return f"{match[1]}; {hint}"
    return f"{match[1]}; allowed: {', '.join(sorted(choices))}"
