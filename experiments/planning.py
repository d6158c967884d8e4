"""From the command line of a sweep to its plan: every environment, agent, setting and seed checked."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces

import envs
from agents import AGENTS, choose, recipe
from common import imports
from common.checked import Unfit, fit
from common.errors import UserError, unknown
from common.settings import check_given, option_name, validate
from common.text import number_of
from envs.atari import games
from experiments import command_line, config_file, plan, search_space
from experiments.command_line import RunOptions, any_settings, given
from experiments.plan import Entry, Kind, Needs, Plan, Planned
from experiments.search_space import Dimension
from experiments.sweep_options import NOT_PASSED_ON, Options, read
from learning.networks import gains_from_threads
from learning.plan import Plan as TrainerPlan
from learning.preflight import available_devices
from learning.runfolder import as_json
from scores.atari.games import SETS

# options of the run that every training gets as given; threads only change the speed
PASSED_ON = (
    *("budget", "device", "engine", "env_timeout", "env_processes", "evaluations", "eval_episodes", "interim_episodes"),
    *("checkpoint_every", "start_from"),
)
MOST_RUNS = 100_000
MOST_ENVIRONMENTS = 8  # of which the memory is worked out


def planned(argv: Sequence[str]) -> Planned:
    """Return the plan of a command line.

    Raises:
        UserError: anything in it can't work.
    """
    options, training = read(argv)
    imports.load(options.imports)
    command_line.check_names(training, Options, NOT_PASSED_ON, "a sweep")
    run_options, values = command_line.read_any(training)
    names = dict.fromkeys(name for name in given(training) if name not in ("threads", "track"))
    if options.plan is not None:
        made = checked_plan(plan.read(options.plan))
        only, dimensions = chosen(made, options), []
        about = f"{number_of(len(only or made.entries), 'run')} of {options.plan}"
    else:
        common = {
            name: getattr(run_options if name in PASSED_ON else values, name) for name in names if name != "config"
        }
        bases = base_entries(options, run_options, as_settings(common))
        dimensions = search_space.read(options.search, value_of) if options.search else []
        (made, about), only = combined(options, bases, dimensions), None
    if options.out is not None:
        made = dataclasses.replace(made, out=options.out)
    threads = run_options.threads
    if run_options.track is not None and options.slurm is not None:
        raise UserError("--slurm only writes a script; send its runs afterwards: python runs.py track RUN --track NAME")
    loaded = tuple(imports.IMPORTED)
    return Planned(made, needs(made), threads, loaded, tuple(dimensions), about, run_options.track, only)


def as_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as JSON's types."""
    return {
        name: list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
        for name, value in values.items()
    }


# ------------------------------------------------------------------ combinations


def base_entries(options: Options, run_options: RunOptions, common: dict[str, Any]) -> list[Entry]:
    """Return every environment with every agent and preset, with the settings that all runs have."""
    names = [*options.envs, *game_set(options.games)]
    agents: Sequence[str] = options.agents or ("auto",)
    presets: Sequence[str] = options.presets or ("auto",)
    if run_options.config is not None:
        file = config_file.read(run_options.config)
        if options.agents or options.presets:
            raise UserError(f"--config {run_options.config} has the settings of agent {file.agent}; leave out --agents")
        usual = recipe(file.agent)
        preset = choose(file.agent, file.preset, envs.resolve_typed(names[0] if names else file.env_id), "cpu")[1]
        own = as_json(usual.config(**usual.presets[preset].settings))
        changed = {name: value for name, value in file.config.items() if name not in own or own[name] != value}
        more = {name: value for name, value in file.options.items() if name in ("evaluations", "eval_episodes")}
        common, agents, presets, names = changed | more | common, (file.agent,), (preset,), names or [file.env_id]
    if not names:
        raise UserError("no environment; name one or several first, such as sweep.py CartPole-v1, or --games atari5")
    device = available_devices()[-1] if run_options.device == "auto" else run_options.device
    combinations = list(itertools.product(dict.fromkeys(names), agents, presets))
    return [resolved(Entry(*one, settings=common), device) for one in combinations]


def game_set(name: str | None) -> list[str]:
    """Return the ids of a set of Atari games."""
    if name is None:
        return []
    return games() if name == "all" else [f"ALE/{game}-v5" for game in SETS[name]]


def combined(options: Options, bases: Sequence[Entry], dimensions: Sequence[Dimension]) -> tuple[Plan, str]:
    """Return the plan of all combinations, all with the first seed first, and what it is in one line."""
    seeds = plan.seeds_of(options.seeds or ("1" if dimensions else "3"))
    count = len(bases) * len(seeds) * math.prod(1 + word.strip(",").count(",") for word in options.vary)
    if count > MOST_RUNS:  # before each value is looked at
        raise UserError(f"these are {count:,} runs; at most {MOST_RUNS:,} are allowed in a plan")
    grid = dict(setting_values(word) for word in options.vary)
    if len(grid) < len(options.vary):
        raise UserError("--vary names a setting twice")
    points = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    entries = [
        checked(dataclasses.replace(base, settings=base.settings | point), list(point))
        for base in bases
        for point in points
    ]
    for base, dimension in itertools.product(bases, dimensions):
        for value in dimension.ends:
            checked(dataclasses.replace(base, settings=base.settings | {dimension.name: value}), [])
    if dimensions and len(bases) > 1:
        raise UserError("--search is for one environment and one agent; take several sweeps")
    runs = tuple(dataclasses.replace(entry, seed=seed) for seed in seeds for entry in entries)
    varied = tuple(grid) or tuple(one.name for one in dimensions)
    kind: Kind = "search" if dimensions else "grid" if grid else "list"
    identity = [[one.described() for one in entries], [one.described() for one in dimensions]]
    out = Path("sweeps") / f"{_title(bases)}-{plan.digest(identity)}"
    return Plan(out, plan.unique(runs), kind, varied), _about(options, bases, grid, dimensions, seeds)


def _title(bases: Sequence[Entry]) -> str:
    parts = [list(dict.fromkeys(getattr(one, name) for one in bases)) for name in ("env_id", "agent")]
    return "_".join(plan.safe_name(found[0]) + (f"+{len(found) - 1}" if found[1:] else "") for found in parts)


def _about(
    options: Options,
    bases: Sequence[Entry],
    grid: Mapping[str, Sequence[Any]],
    dimensions: Sequence[Dimension],
    seeds: Sequence[int],
) -> str:
    environments, agents = ({getattr(one, name) for one in bases} for name in ("env_id", "agent"))
    first = bases[0]
    factors = [
        first.env_id if len(environments) == 1 else number_of(len(environments), "environment"),
        f"{first.agent} (preset {first.preset})" if len(bases) == 1 else number_of(len(agents), "agent"),
    ]
    factors += [f"{number_of(len(values), 'value')} of {option_name(name)[2:]}" for name, values in grid.items()]
    factors += [
        f"{number_of(options.trials, 'trial')} over {', '.join(option_name(one.name)[2:] for one in dimensions)}"
    ] * bool(dimensions)
    factors.append(f"{len(seeds)} seeds" if len(seeds) > 1 else "one seed")
    return " x ".join(factors)


def setting_values(word: str) -> tuple[str, list[Any]]:
    """Return name and values of ``learning-rate=1e-4,1e-3``; `UserError` for anything else."""
    name, equals, text = word.partition("=")
    if not equals or not text.strip(","):
        raise UserError(f"--vary {word}: write NAME=VALUE,VALUE,..., such as learning-rate=1e-4,1e-3")
    values = [value_of(name, one, "--vary") for one in text.split(",") if one]
    return search_space.field_of(name, any_settings(), "--vary"), list({str(one): one for one in values}.values())


def value_of(name: str, text: str, option: str) -> Any:
    """Return a value of a setting, typed as on the command line; for a switch yes or no; several are parted by +."""
    found = search_space.field_of(name, any_settings(), option)
    default = next(one.default for one in dataclasses.fields(any_settings()) if one.name == found)
    if isinstance(default, bool):
        if text.lower() not in YES_NO:
            raise UserError(f"{option} {name}={text}: it is a switch; write yes or no")
        return YES_NO[text.lower()]
    words = [option_name(found), *(text.split("+") if isinstance(default, tuple) else [text])]
    try:
        value = getattr(command_line.read_any(words)[1], found)
    except UserError as error:
        raise UserError(f"{option} {name}={text}: {error}") from None
    return list(value) if isinstance(value, tuple) else value


YES_NO = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}


# ------------------------------------------------------------------ checks


def resolved(entry: Entry, device: str) -> Entry:
    """Return a run with its environment's full id, and the agent and preset that "auto" stands for; all checked."""
    env_id = envs.resolve_typed(entry.env_id)
    kwargs = tuple(entry.settings.get("env_kwargs", ()))
    agent, preset = choose(entry.agent, entry.preset, env_id, device, kwargs)
    return checked(dataclasses.replace(entry, env_id=env_id, agent=agent.name, preset=preset), list(entry.settings))


def checked(entry: Entry, names: Sequence[str]) -> Entry:
    """Return a run whose settings its agent takes, ``names`` having an effect; `UserError`: it does not."""
    config = config_of(entry)
    check_given(config, [name for name in names if hasattr(config, name)])
    return entry


def config_of(entry: Entry) -> Any:
    """Return the settings of a run's agent; `UserError` that says what is wrong with them."""
    one = recipe(entry.agent)
    if entry.preset not in one.presets:
        raise unknown("preset", entry.preset, one.presets)
    known = {name.name for name in dataclasses.fields(one.config)}
    options = {name: value for name, value in entry.settings.items() if name in PASSED_ON}
    settings = {name: value for name, value in entry.settings.items() if name not in PASSED_ON}
    for name in settings:
        if name not in known:
            if name in {other.name for other in dataclasses.fields(any_settings())}:
                raise UserError(f"{entry.agent} has no setting {option_name(name)[2:]}")
            raise unknown("setting", name, known)
    try:
        config = fit(as_json(one.config(**one.presets[entry.preset].settings)) | settings, one.config)
        fit(options, _RunSettings)
    except Unfit as error:
        raise UserError(f"{entry.env_id}, {entry.agent}: {error}") from None
    validate(config)
    return config


@dataclass(frozen=True)
class _RunSettings:
    """Options of a run in a plan file; what they mean, the training checks."""

    budget: str | None = None
    device: str = "auto"
    engine: str = "auto"
    env_timeout: float | None = None
    env_processes: str = "auto"
    evaluations: int = 10
    eval_episodes: int = 100
    interim_episodes: int | None = None
    checkpoint_every: str = "5m"
    start_from: str | None = None


def checked_plan(found: Plan) -> Plan:
    """Return a plan from a file, everything in it resolved and checked."""
    device = available_devices()[-1]
    known: dict[str, Entry] = {}
    entries = []
    for number, one in enumerate(found.entries, 1):
        key = plan.digest([one.described(), one.label])
        if key not in known:
            try:
                known[key] = resolved(one, one.settings.get("device", device))
            except UserError as error:
                raise UserError(f"--plan, run {number}: {error}") from None
        entries.append(dataclasses.replace(known[key], seed=one.seed))
    return dataclasses.replace(found, entries=tuple(entries))


def chosen(one: Plan, options: Options) -> frozenset[int] | None:
    """Return the numbers of the runs of a plan that the command line names; None: all of them.

    Raises:
        UserError: it names an environment, agent or seed that the plan does not have, or they do not go together.
    """
    names = [envs.resolve_typed(name) for name in (*options.envs, *game_set(options.games))]
    seeds = plan.seeds_of(options.seeds) if options.seeds else []
    wanted: list[tuple[str, str, Sequence[Any]]] = [
        ("env_id", "environment", names),
        ("agent", "agent", options.agents),
        ("seed", "seed", seeds),
    ]
    numbers = list(range(1, len(one.entries) + 1))
    for field, noun, values in wanted:
        known = {getattr(entry, field) for entry in one.entries}
        if missing := [value for value in values if value not in known]:
            raise UserError(f"--plan {options.plan}: it has no run with the {noun} {missing[0]}")
        numbers = [number for number in numbers if not values or getattr(one.entries[number - 1], field) in values]
    if not numbers:
        raise UserError(f"--plan {options.plan}: no run has all of what was named beside it")
    return frozenset(numbers) if len(numbers) < len(one.entries) else None


# ------------------------------------------------------------------ what it takes


def needs(one: Plan) -> Needs:
    """Return what the largest run of a plan takes; of many environments the first few are looked at."""
    largest, pictures, gpu, threads = 0.0, False, False, False
    spaces_of: dict[Any, tuple[spaces.Box, int, int]] = {}
    for entry in {plan.digest(entry.described()): entry for entry in one.entries}.values():
        config, agent = config_of(entry), AGENTS[entry.agent]
        options = TrainerPlan(entry.env_id, agent, config, 1).env_options()
        key = ("Atari" if envs.is_atari(entry.env_id) else entry.env_id, repr(options))
        if key not in spaces_of:
            if len(spaces_of) == MOST_ENVIRONMENTS:
                continue
            vec = envs.make_vec(entry.env_id, 1, **options)
            space, actions = vec.single_observation_space, vec.single_action_space
            spaces_of[key] = space, int(actions.n), int(getattr(vec, "frame_stack", 1))  # type: ignore[assignment,attr-defined]
            vec.close()
        space, count, stack = spaces_of[key]
        frames = len(space.shape) == 3
        if not pictures or not frames:
            network = agent.network(space, count, config, torch.Generator())
            threads |= gains_from_threads(network)
        largest = max(largest, float(agent.experience.bytes_needed(config, space, stack)))
        pictures |= frames
        gpu |= frames and agent.gains_from_gpu and entry.settings.get("device", "auto") != "cpu"
    return Needs(largest, pictures, gpu and len(available_devices()) > 1, threads)
