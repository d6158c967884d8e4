"""What a newcomer reads to see one training step: the files, functions and lines of ours that it executes.

    python benchmarks/reading_path.py                 # DQN on Waterworld-v1 and on Pong
    python benchmarks/reading_path.py --agent rainbow --files

Counted with `sys.settrace` over one step that makes an update, after the first ones. Compiled kernels are not traced.
Before this was counted, a step on Waterworld took 21 files, 48 functions and 356 lines.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Annotated, Any, Literal, NamedTuple

import tyro

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agents import recipe
from common.cli import parse
from common.files import ROOT
from common.program import run
from learning.plan import Plan
from learning.trainer import Trainer

ENVIRONMENTS = ("tidepool/Waterworld-v1", "ALE/Pong-v5")


class Function(NamedTuple):
    """A function that was executed."""

    file: str
    name: str
    lines: int


@dataclasses.dataclass(frozen=True)
class Options:
    """What is stepped."""

    env_ids: Annotated[tuple[str, ...], tyro.conf.Positional] = ENVIRONMENTS
    """Environments."""
    agent: str = "dqn"
    """Any agent."""
    engine: Literal["torch", "fused"] = "torch"
    """The one that is easier to read, or the compiled one."""
    files: bool = False
    """List the files and their functions too."""


def executed(agent: str, env_id: str, engine: str = "torch") -> list[Function]:
    """Return the project's functions that one training step with an update executes, by file and name."""
    chosen = recipe(agent)
    preset = next(name for name, one in chosen.presets.items() if (one.suits == "atari") == env_id.startswith("ALE/"))
    config = chosen.experience.rehearsal(chosen.config(**chosen.presets[preset].settings))
    trainer = Trainer(Plan(env_id, chosen, config, seed=1, engine=engine), None)
    trainer.begin()
    while trainer.learner.updates < 2:
        trainer.step()
    found: set[CodeType] = set()

    def trace(frame: FrameType, event: str, arg: Any) -> None:
        found.add(frame.f_code)

    before = trainer.learner.updates
    sys.settrace(trace)
    try:
        while trainer.learner.updates == before:
            trainer.step()
    finally:
        sys.settrace(None)
        trainer.episodes.close()
    ours = [code for code in found if Path(code.co_filename).is_relative_to(ROOT) and code.co_name[0] != "<"]
    functions = {
        Function(str(Path(code.co_filename).relative_to(ROOT)), code.co_qualname, len(inspect.getsourcelines(code)[0]))
        for code in ours
    }
    return sorted(functions)


def main(argv: Sequence[str]) -> None:
    """Print the counts, an environment a line."""
    options = parse(Options, argv, prog="reading_path.py", description=__doc__)
    for env_id in options.env_ids:
        functions = executed(options.agent, env_id, options.engine)
        files = sorted({function.file for function in functions})
        lines = sum(function.lines for function in functions)
        print(f"{options.agent} on {env_id}: {len(files)} files, {len(functions)} functions, {lines} lines")
        for file in files if options.files else ():
            here = [function for function in functions if function.file == file]
            print(f"  {file}: {', '.join(f'{function.name} ({function.lines})' for function in here)}")


if __name__ == "__main__":
    run(main)
