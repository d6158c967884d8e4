"""A run's settings as a file, which `train.py --config` takes: printed by --print-config, or a run's config.json."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from common import imports
from common.checked import AtMost, Name
from common.errors import UserError
from common.reading import checked, read_json
from common.settings import Between

FORMAT = 1
# what of a file becomes an option's default; the others name the agent and its settings
OPTIONS = (
    *("env_id", "agent", "preset", "seed", "device", "engine", "threads", "evaluations", "eval_episodes"),
    *("interim_episodes", "keep_state", "checkpoint_every", "env_timeout", "env_processes"),
)


@dataclass(frozen=True)
class ConfigFile:
    """What a file of settings says of a run; what it does not say is left to the command line's defaults."""

    env_id: Name
    agent: Name
    config: Annotated[dict[str, Any], AtMost(1_000)]
    """The agent's own settings; those that are missing are the preset's."""
    preset: Name = "auto"
    seed: Annotated[int, Between(0, 2**32 - 1)] | None = None
    device: Literal["auto", "cpu", "cuda", "mps"] | None = None
    engine: Literal["auto", "torch", "fused", "graphs"] | None = None
    threads: Annotated[int, Between(1, 256)] | None = None
    evaluations: Annotated[int, Between(1, 10_000)] | None = None
    eval_episodes: Annotated[int, Between(1, 100_000)] | None = None
    interim_episodes: Annotated[int, Between(1, 100_000)] | None = None
    keep_state: Literal["auto", "yes", "no"] | None = None
    checkpoint_every: Name | None = None
    env_timeout: Annotated[float, Between(0.1, 86_400.0)] | None = None
    env_processes: Literal["auto", "yes", "no"] | None = None
    imports: Annotated[tuple[Name, ...], AtMost(100)] = ()

    @property
    def options(self) -> dict[str, Any]:
        """The options of the run that the file decides."""
        found = {name: getattr(self, name) for name in OPTIONS}
        return {name: value for name, value in found.items() if value is not None}


def read(path: Path) -> ConfigFile:
    """Return the settings in a file.

    Raises:
        UserError: there is none, it is damaged, or it is a run of modules that were not imported, or from a network.
    """
    about = read_json(path / "config.json" if path.is_dir() else path)
    if isinstance(about, dict) and about.get("format", FORMAT) != FORMAT:
        raise UserError(f"--config {path}: its format is not known; this version reads {FORMAT}")
    file: ConfigFile = checked(path, about, ConfigFile)
    if missing := [name for name in file.imports if name not in imports.IMPORTED]:
        # a file never makes the program import a module
        raise UserError(f"--config {path} needs modules of yours: add --import {' --import '.join(missing)}")
    if isinstance(source := about.get("from"), dict):
        raise UserError(
            f"--config {path}: that run started from another network, which a file of settings does not name;"
            f" repeat its command, with --from {source.get('path')}"
        )
    return file


def described(options: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the contents of such a file.

    Args:
        options: of the run, a dataclass.
        settings: of the agent, as JSON's types.
    """
    values = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    about = {name: values[name] for name in OPTIONS if values.get(name) is not None}
    more = {"imports": list(imports.IMPORTED)} if imports.IMPORTED else {}
    return {"format": FORMAT, **about, **more, "config": settings}
