"""The plan of an ablation, read from its command line: which variants are trained, how often, and where they go."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from common import cli
from common.settings import Between, option_name
from experiments import command_line
from experiments.plan import Entry
from experiments.plan import Plan as RunPlan
from experiments.variants import Variant, selected_parts, variants
from learning.config import LearnerConfig
from learning.runfolder import as_json
from scores import chart

# options of train.py that would change the plan itself, and what to use instead
NOT_PASSED_ON = {
    "seed": "seeds 1 to N are trained: use --seeds N",
    "runs_dir": "use --out to choose the folder",
    "resume": "run the same command again to resume stopped runs",
    "rescale": "run the same command again to resume stopped runs",
    "name": "its runs are named by what they leave out",
    "print_config": "the plan is in plan.json, in its folder",
    "config": "give --agent and its settings",
    "keep_state": "a finished run of an ablation keeps no state",
    "start_from": "every variant has another network, and starts from random weights",
    "list": "python train.py --list shows all agents and switches",
    "track": "its runs are sent afterwards: python runs.py track RUN --track NAME",
    "watch": "python play.py --attach newest shows the run that is training now",
}
# options of the run that are passed to every training as given
PASSED_ON = ("budget", "device", "evaluations", "eval_episodes")
COMPARED = ("agent", "preset", "budget", "device", "evaluations", "eval_episodes")


@dataclasses.dataclass(frozen=True)
class Options:
    """What is trained how often, and where it goes."""

    seeds: Annotated[int, Between(1, 1000)] = 3
    """Number of seeds for each variant: seeds 1 to N."""
    parts: str | None = None
    """Leave out only these parts, e.g. double,noisy; by default each part of the agent, one at a time."""
    out: Path | None = None
    """Folder for runs, table and chart; by default ablations/<env>__<agent>."""
    jobs: Annotated[int, Between(1, 64)] = 1
    """Runs that train in parallel; with more than one, each uses one CPU thread unless --threads is given."""
    plot: Path | None = None
    """File of the chart: .png, .pdf or .svg; by default ablation.png in the folder."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that is to be trained, resolved."""

    env_id: str
    agent: str
    preset: str
    config: LearnerConfig
    settings: dict[str, Any]
    """JSON values that must be the same when the ablation is continued in its folder."""
    variants: list[Variant]
    seeds: int
    jobs: int
    out: Path
    plot: Path
    threads: int | None = None
    """CPU threads of each training; they only change the speed. None: as it chooses."""

    @cached_property
    def runs(self) -> RunPlan:
        """Every run: all variants with seed 1 first, so that a partial ablation can already be compared."""
        seeds = range(1, self.seeds + 1)
        entries = tuple(dataclasses.replace(one.entry, seed=seed) for seed in seeds for one in self.variants)
        return RunPlan(self.out, entries, "ablation")


def read_command_line(argv: Sequence[str], description: str | None = None) -> Plan:
    """Return the plan that the command line describes, everything in it checked.

    Raises:
        UserError: an unknown option or name, a value out of range, or an agent without the part.
        SystemExit: after ``--help``, with code 0.
    """
    if {"-h", "--help"} & set(argv):
        cli.parse(Options, ["--help"], prog="ablate.py [ENV] --agent NAME", description=description)
    own, training = split(argv)
    options = cli.parse(Options, own, prog="ablate.py", description=description)
    command_line.check_names(training, Options, NOT_PASSED_ON, "an ablation")
    run_options, config = command_line.read_command_line(training)
    given = dict.fromkeys(command_line.given(training))
    passed = {name: getattr(run_options, name) for name in PASSED_ON if name in given}
    threads = run_options.threads or (1 if options.jobs > 1 else None)
    env_id, agent, preset = run_options.env_id, run_options.agent, run_options.preset
    base = Entry(env_id, agent, preset, passed)
    agent_settings = {field.name for field in dataclasses.fields(config)}
    parts = selected_parts(agent, preset, config, env_id, options.parts)
    planned = variants(base, config, [name for name in given if name in agent_settings], parts)
    if options.plot is not None:
        chart.check_path(options.plot)
    out = options.out or Path("ablations") / f"{env_id.replace('/', '-')}__{agent}"
    settings = {"env_id": env_id, **{name: getattr(run_options, name) for name in COMPARED}, **as_json(config)}
    plot = options.plot or out / "ablation.png"
    return Plan(env_id, agent, preset, config, settings, planned, options.seeds, options.jobs, out, plot, threads)


def split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words of the command line that are this program's own options, and those for train.py."""
    names = {option_name(field.name) for field in dataclasses.fields(Options)}
    own: list[str] = []
    training: list[str] = []
    words = iter(argv)
    for word in words:
        if word.split("=")[0] not in names:
            training.append(word)
        elif "=" in word:
            own.append(word)
        else:
            own += [word, *(value for value in [next(words, None)] if value is not None)]
    return own, training
