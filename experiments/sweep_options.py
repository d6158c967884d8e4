"""The command line of a sweep: its own options, and those of the trainings.

Nothing here loads PyTorch.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from common import cli, imports
from common.errors import UserError
from common.settings import Between, option_name

DESCRIPTION = """Many runs: environments x agents x settings x seeds, on this machine, a Ray cluster or Slurm.

  python sweep.py ALE/Pong-v5 ALE/Breakout-v5 --agents dqn pqn --seeds 1-3
  python sweep.py CartPole-v1 --agents dqn --vary learning-rate=1e-4,1e-3 n-step=1,3
  python sweep.py CartPole-v1 --agents dqn --search learning-rate=1e-5..1e-2:log --trials 40

All options of train.py are accepted too, for every run: python train.py --help

The same command, run again, goes on where it was."""


@dataclasses.dataclass(frozen=True)
class Options:
    """What is trained, and where."""

    envs: tyro.conf.Positional[tuple[str, ...]] = ()
    """Environments, before all options."""
    agents: tuple[str, ...] = ()
    """Names of agents; python train.py --list shows all. By default chosen by environment and device."""
    presets: tuple[str, ...] = ()
    """Presets of the agents' settings; by default chosen by environment and device."""
    seeds: str | None = None
    """1-3, or 1,4,7; a number alone is how many. By default 3, for a search one."""
    games: Literal["atari5", "atari26", "atari57", "all"] | None = None
    """Atari games: five that predict the median of all (arXiv:2210.02019), Atari 100k's 26, the usual 57, or all."""
    vary: tuple[str, ...] = ()
    """A grid: learning-rate=1e-4,1e-3 n-step=1,3 double=yes,no hidden=64+64,256."""
    search: tuple[str, ...] = ()
    """Search for the best settings by Optuna: learning-rate=1e-5..1e-2:log n-step=1,3,5 batch-size=32..512:log."""
    trials: Annotated[int, Between(1, 100_000)] = 40
    """Settings that a search tries."""
    pruner: Literal["median", "halving", "none"] = "median"
    """How a search stops hopeless runs early, by their evaluations: Optuna's median or successive-halving pruner."""
    study: str | None = None
    """Where a search keeps its study, a URL such as postgresql://...; by default SQLite, in the sweep's folder."""
    plan: Path | None = None
    """Run this plan: a plan.json that a sweep wrote, as it is or edited, or the sweep's folder. Environments, --games,
    --agents and --seeds beside it choose some of its runs; by default all."""
    out: Path | None = None
    """Folder for the runs and the result; by default sweeps/<environment>_<agent>-<what identifies the plan>."""
    jobs: Annotated[int, Between(1, 1024)] | None = None
    """Runs at a time; by default as many as cores and memory allow."""
    cluster: str | None = None
    """Run on a Ray cluster: "auto" finds the one of this machine or starts one, HOST:PORT is another's address."""
    gpus: Annotated[float, Between(0.0, 8.0)] | None = None
    """On a cluster: GPUs of a run, also parts of one; by default 1 for pictures where the cluster has any, else 0."""
    slurm: Path | None = None
    """Write an array script for Slurm into this file, a task a run, instead of running anything."""
    status: Path | None = None
    """Print where the sweep in this folder stands, and its result so far."""
    retry_failed: bool = False
    """Also try again what failed before."""
    row: Annotated[int, Between(1, 10**6)] | None = None
    """With --plan: run this one row of it, as a task of Slurm's array does."""
    plot: Path | None = None
    """File of the picture: .png, .pdf or .svg; by default sweep.png in the folder."""
    imports: imports.Option = ()


# options of train.py that would change the plan itself, and what to use instead
NOT_PASSED_ON = {
    "agent": "use --agents",
    "preset": "use --presets",
    "seed": "use --seeds, such as --seeds 3-3",
    "runs_dir": "use --out to choose the folder",
    "resume": "run the same command again to resume stopped runs",
    "rescale": "run the same command again to resume stopped runs",
    "verify": "use python train.py --verify RUN",
    "verify_steps": "use python train.py --verify RUN",
    "keep_state": "a finished run of a sweep keeps no state",
    "name": "runs of a sweep are named by their settings",
    "print_config": "the plan is in plan.json, in the folder of the sweep",
    "list": "python train.py --list shows all agents and switches",
    "watch": "python play.py --attach RUN shows a run that is training",
}

SPEED = ("--threads", "--track")  # options of train.py that change nothing in a plan


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words of the command line that are this program's own, and those for the trainings."""
    names = {option_name(field.name) for field in dataclasses.fields(Options)}
    several = {"--agents", "--presets", "--vary", "--search"}
    flags = {"--retry-failed"}
    own: list[str] = []
    training: list[str] = []
    for word, after in itertools.pairwise((*argv, "--")):
        if word in several and after.startswith("--"):
            raise UserError(f"{word} needs at least one value")
    takes = "all"  # of the words that follow, up to the next option: "all" are ours, "one" is, or "none"
    for word in argv:
        if word.startswith("--"):
            name, equals, _ = word.replace("_", "-").partition("=")
            mine = name in names
            takes = "none" if not mine or equals or name in flags else "all" if name in several else "one"
            (own if mine else training).append(word)
        elif takes == "none":
            training.append(word)
        else:
            own.append(word)
            takes = "none" if takes == "one" else takes
    return own, training


def read(argv: Sequence[str], description: str = DESCRIPTION) -> tuple[Options, list[str]]:
    """Return the options of the sweep, and the words for the trainings.

    Raises:
        UserError: options that do not belong together.
        SystemExit: after ``--help``, with code 0.
    """
    if {"-h", "--help"} & set(argv):
        cli.parse(Options, ["--help"], prog="sweep.py [ENV ...]", description=description)
    own, training = split(_agent_as_agents(argv))
    options = cli.parse(Options, own, prog="sweep.py", description=description)
    _check(options, training)
    return options, training


def _agent_as_agents(argv: Sequence[str]) -> list[str]:
    """Return the words with train.py's --agent, --preset and --env-id as our own: what is right for one run is here."""
    spelt = {"--agent": "--agents", "--preset": "--presets"}
    found: list[str] = []
    for word in argv:
        name, equals, value = word.partition("=")
        found += [spelt[name], *([value] if equals else [])] if name in spelt else [word]
    return found


def _check(options: Options, training: Sequence[str]) -> None:
    """Raise `UserError` for options that do not belong together."""
    planning = {"--presets": options.presets, "--vary": options.vary, "--search": options.search}
    choosing = {
        **{"environments": options.envs, "--games": options.games},
        **{"--agents": options.agents, "--seeds": options.seeds},
    }
    beside = [word for word in training if word.startswith("--") and word.split("=")[0] not in SPEED]
    if options.plan is not None and (given := [*(name for name, value in planning.items() if value), *beside]):
        raise UserError(f"--plan has all that is to be run; leave out {', '.join(given)}, or edit the plan")
    chosen = [name for name, value in choosing.items() if value]
    if options.plan is not None and chosen and (options.slurm or options.row) is not None:
        raise UserError(f"--{'row' if options.row else 'slurm'} is for the whole plan; leave out {', '.join(chosen)}")
    if options.status is not None and (given := [*chosen, *(name for name, value in planning.items() if value)]):
        raise UserError(f"--status has all that is to be run; leave out {', '.join(given)}, or edit the plan")
    if options.vary and options.search:
        raise UserError("--vary tries all values and --search chooses them; give one of the two")
    if options.row is not None and options.plan is None:
        raise UserError("--row belongs to --plan")
    if options.study is not None and not options.search:
        raise UserError("--study belongs to --search")
    where = [name for name in ("cluster", "slurm", "status", "row") if getattr(options, name) is not None]
    if len(where) > 1:
        raise UserError(f"--{where[0]} and --{where[1]} do not belong together")
    if options.slurm is not None and options.search:
        raise UserError(
            "--search decides by the results what is tried next, so --slurm can't write it down; use --cluster"
        )
    if options.gpus is not None and options.cluster is None:
        raise UserError("--gpus belongs to --cluster")
    if options.jobs is not None and options.cluster is not None:
        raise UserError("--jobs is for this machine; a cluster runs as many as it has CPUs, GPUs and memory for")
