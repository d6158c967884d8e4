"""The command line of a training: options in groups, with the defaults of the agent and environment asked for."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import tyro

import envs
from agents import AGENTS, choose
from common import imports
from common.cli import parse
from common.errors import UserError, suggestion
from common.settings import Between, check_given, field_name, option_name, validate
from experiments import config_file
from experiments.tracking.tracker import Name
from learning.checkpoint import config_from
from learning.config import LearnerConfig
from learning.preflight import available_devices
from learning.runfolder import as_json

DESCRIPTION = """Train an agent: python train.py [ENV_ID] --agent NAME ...

Examples:
  python train.py                             Waterworld, with its default agent
  python train.py CartPole-v1 --budget 2m     two minutes, evaluations included
  python train.py ALE/Pong-v5 --watch         an Atari game, with a window on it
  python train.py --agent rainbow --seeds 1-5 five runs; compare.py shows them
  python train.py --resume newest             go on with what was stopped
  python train.py --from RUN --track wandb    from a run's network, tracked
  python train.py --print-config > my.json    settings as a file ...
  python train.py --config my.json            ... and from it
  python train.py --list                      all agents, presets, environments

Defaults are those of the agent and environment that are named, here too:
  python train.py ALE/Pong-v5 --agent c51 --help"""


@dataclass(frozen=True)
class RunOptions:
    """What is trained, and where it goes; the agent's own settings follow."""

    env_id: tyro.conf.Positional[str] = envs.DEFAULT_ENV
    """Any Gymnasium id with discrete actions, e.g. ALE/Pong-v5, or MODULE:ID; also as --env-id."""
    imports: imports.Option = ()
    """Import this module of yours first, which registers environments; may be given several times."""
    agent: str = "auto"
    """Name of the agent; --list shows all. "auto": chosen by environment and device."""
    preset: str = "auto"
    """Named values for the agent's settings; options given beside it win. "auto": chosen by environment and device."""
    budget: str | None = None
    """A time, such as 20m or 1h30m: the whole run is scaled to fit into it, from start-up to the last evaluation."""
    seed: Annotated[int, Between(0, 2**32 - 1)] = 1
    """One seed gives one run, bit for bit on the CPU."""
    seeds: str | None = None
    """Several seeds, such as 1-3 or 1,4: a sweep, as when several environments are named; see sweep.py --help."""
    name: str | None = None
    """A name for the run, which compare.py shows and finds it by."""
    config: Path | None = None
    """Take all settings from this file: a run's config.json, a sweep's best.json, or what --print-config printed;
    options given beside it win."""
    print_config: bool = False
    """Print the final settings as JSON, for --config, and exit."""
    runs_dir: Path = Path("runs")
    """Where the run's folder is made."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """"auto" measures, and takes the one that learns fastest."""
    engine: Literal["auto", "torch", "fused", "graphs"] = "auto"
    """What computes updates: PyTorch; compiled loops, for small networks on the CPU; CUDA graphs on a GPU."""
    env_timeout: Annotated[float, Between(0.1, 86_400.0)] | None = None
    """Seconds that a step of an environment may take; one that hangs ends the run, saved. By default it is waited."""
    env_processes: Literal["auto", "yes", "no"] = "auto"
    """Whether each environment steps in a process of its own, to the same results; "auto": where its steps take more
    than a millisecond and there are cores for it. Not for Atari, whose emulators have threads."""
    threads: Annotated[int, Between(1, 256)] | None = None
    """CPU threads of torch; by default all for large networks, one for small ones, which learn in a second thread of
    their own. 1: the run keeps to one core."""
    evaluations: Annotated[int, Between(1, 10_000)] = 10
    """Evaluations during the run, the final one included; fewer, unless asked for, if they took more than a tenth."""
    eval_episodes: Annotated[int, Between(1, 100_000)] = 100
    """Episodes of the final evaluation; those on the way have a fifth, or as few as 5, unless asked for."""
    interim_episodes: Annotated[int, Between(1, 100_000)] | None = None
    """Episodes of an evaluation on the way; by default a fifth of the final one's, or as few as 5."""
    resume: Path | None = None
    """Continue this run exactly where its state was saved, stopped or killed: a folder, or of --runs-dir "newest", a
    name, or its start or end. --total-timesteps N extends it."""
    verify: Path | None = None
    """Repeat the first steps of this run (named as for --resume) in a temporary folder, and say whether they are the
    same, bit for bit."""
    verify_steps: Annotated[int, Between(1, 10**11)] | None = None
    """Agent steps that --verify repeats; by default 10,000, or as many as it takes to compare what was learnt."""
    rescale: bool = False
    """With --resume and --total-timesteps: stretch the schedules over the new length, instead of keeping them."""
    start_from: Annotated[Path | None, tyro.conf.arg(aliases=("--from",))] = None
    """Start from the network of this run (named as for --resume) or agent instead of random weights; the network must
    be of the same shape."""
    keep_state: Literal["auto", "yes", "no"] = "auto"
    """Keep the state of the finished run, to extend it exactly; "auto": without a replay of more than 256 MB."""
    checkpoint_every: str = "5m"
    """A time, such as 30s or 5m: so often the run's state is saved while it trains, for --resume; first after 1m."""
    actors: Annotated[int, Between(1, 10_000)] | None = None
    """Ape-X: so many processes on a Ray cluster (--cluster) step the environments, this one learns. Not repeatable."""
    cluster: str | None = None
    """With --actors: the Ray cluster; "auto" finds the one of this machine or starts one, HOST:PORT is an address."""
    track: Name | None = None
    """Also send the run to this tracker, by its own client; it can be looked at there, and a resumed run goes on there.
    One that fails never stops a run."""
    watch: bool = False
    """Open a window on the run, in a process of its own; closing either leaves the other alone."""
    list: bool = False
    """Print all agents, switches, presets and environments with their papers, and exit."""


# The groups of --help, in order; a setting that is in none of them belongs to the agent.
GROUPS: dict[str, tuple[str, ...]] = {
    "run": (
        *("env_id", "agent", "preset", "total_timesteps", "budget", "seed", "seeds", "num_envs", "name", "runs_dir"),
        *("watch", "track", "config", "print_config", "imports", "list"),
    ),
    "machine": ("device", "engine", "threads", "env_processes", "env_timeout", "actors", "cluster"),
    "existing": ("resume", "rescale", "start_from", "verify", "verify_steps", "checkpoint_every", "keep_state"),
    "agent": (),
    "replay": (
        *("learning_starts", "capacity", "batch_size", "replay_ratio", "target_period", "prioritized"),
        *("priority_exponent", "importance_exponent", "final_importance_exponent", "uniform_share"),
        *("importance_norm", "priority"),
        *("rollout_steps", "minibatches", "epochs"),
    ),
    "network": (
        *("encoder", "canonical", "hidden", "head_hidden", "dueling", "layer_norm", "norm_epsilon", "last_layer"),
        *("spectral_norm", "impala_width", "impala_pool"),
        *("bf16", "compile"),
        *("noisy", "noisy_sigma", "noisy_epsilon"),
    ),
    "schedule": (
        "schedule_timesteps",
        *("learning_rate", "final_learning_rate", "optimizer", "optimizer_epsilon", "rmsprop_decay", "max_grad_norm"),
        "on_nan",
        *("epsilon_start", "epsilon_final", "epsilon_steps", "epsilon_schedule", "epsilon_waits", "epsilon_share"),
    ),
    "evaluation": ("evaluations", "eval_episodes", "interim_episodes", "eval_epsilon", "eval_max_steps"),
    "environment": (
        *("env_kwargs", "stagger", "action_mask", "picture_size", "picture_grayscale", "frame_stack", "action_repeat"),
        *("clip_rewards", "reward_scale"),
    ),
    "atari": ("protocol", "frame_size", "full_action_space", "mode", "difficulty"),
}
TITLES = {
    "run": "What is trained, how long, and where it goes.",
    "machine": "What computes it.",
    "existing": "Runs that are there: gone on with, started from, repeated; and what is kept for that.",
    "agent": "What is learnt: returns, targets, and the switches of DQN's family.",
    "replay": "The transitions that are learnt from, and how often.",
    "network": "From an observation to expected returns.",
    "schedule": "Optimiser, learning rate and exploration over the run.",
    "evaluation": "How the agent is evaluated on the way and at the end.",
    "environment": "Arguments of the environment, and what is done to its pictures and rewards.",
    "atari": "Rules and frames of Atari games.",
}


def read_command_line(argv: Sequence[str]) -> tuple[RunOptions, LearnerConfig]:
    """Return the run's options and the agent's settings, whose defaults agent, environment and preset decide.

    So the line is read twice: first, with the settings of all agents, for what decides. The environment may be an
    option too, as in the other commands.

    Raises:
        UserError: an unknown option or name, or a value out of range.
        SystemExit: after ``--help``, with code 0.
    """
    argv = _environment_first(argv)
    words = [word for word in argv if word not in ("-h", "--help")]
    options, given_settings = _parse(any_settings(), None, words)
    imports.load(options.imports)
    defaults, file = RunOptions(), None
    if options.config is not None:
        file = config_file.read(options.config)
        defaults = replace(defaults, **file.options)
        options, given_settings = _parse(any_settings(), None, words, defaults)
        for name in ("agent", "preset"):
            if getattr(options, name) != getattr(file, name):
                raise UserError(f"--config {options.config} has the settings of {name} {getattr(file, name)}")
    device = available_devices()[-1] if options.device == "auto" else options.device
    env_id = envs.resolve_typed(options.env_id)
    agent, preset = choose(options.agent, options.preset, env_id, device, given_settings.env_kwargs)
    settings = agent.config(**agent.presets[preset].settings)
    if file is not None:
        assert options.config is not None
        settings = config_from(agent.config, as_json(settings) | file.config, options.config)
    options, config = _parse(agent.config, settings, argv, defaults)
    check_given(config, given(argv))
    return replace(options, env_id=env_id, agent=agent.name, preset=preset), config


def asked(argv: Sequence[str], options: RunOptions) -> list[str]:
    """Return the names of the options that someone decided: in the command line, or the evaluations in a file."""
    return [*given(argv), *(("evaluations", "eval_episodes") if options.config is not None else ())]


def printed(options: RunOptions, config: LearnerConfig) -> str:
    """Return the final settings of a run as ``--config`` takes them."""
    return json.dumps(config_file.described(options, as_json(config)), indent=2)


def wants_many(argv: Sequence[str]) -> bool:
    """Return whether a command line names several seeds or environments, so that it is a sweep's."""
    leading = next((number for number, word in enumerate(argv) if word.startswith("-")), len(argv))
    return leading > 1 or any(word.split("=")[0] == "--seeds" for word in argv)


def read_any(argv: Sequence[str]) -> tuple[RunOptions, Any]:
    """Return options of a run and settings of whichever agent; of the settings only those given mean something.

    Raises:
        UserError: an unknown option, or a value of another kind.
    """
    return _parse(any_settings(), None, argv)


def _environment_first(argv: Sequence[str]) -> list[str]:
    """Return the words with ``--env-id ID`` as the first one, ``ID``."""
    words = list(argv)
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in ("--env-id", "--env_id"):
            values = [value] if equals else words[at + 1 : at + 2]
            if not values or not values[0] or values[0].startswith("-"):
                raise UserError("--env-id needs an environment, such as CartPole-v1")
            return [*values, *words[:at], *words[at + (1 if equals else 2) :]]
    return words


def with_resume(argv: Sequence[str]) -> list[str]:
    """Return the options of a command line that don't go with --resume."""
    allowed = (
        *("--resume", "--watch", "--no-watch", "--total-timesteps", "--rescale", "--import", "--runs-dir"),
        *("--cluster", "--track"),
    )
    return [word for word in argv if word.startswith("--") and word.split("=")[0].replace("_", "-") not in allowed]


def given(argv: Sequence[str]) -> list[str]:
    """Return the names of the fields that the words of a command line set."""
    words = [word.split("=")[0] for word in argv if word.startswith("--")]
    names = [field_name(word) for word in words]
    return ["start_from" if name == "from" else name for name in names]  # its short name


def check_names(training: Sequence[str], own: type[Any], refused: Mapping[str, str], where: str) -> None:
    """Raise `UserError` for options of trainings that nobody knows, or that a program sets itself.

    Args:
        training: the words for the trainings.
        own: the program's own options, to suggest them too.
        refused: why it does not take which.
        where: "a sweep", say.
    """
    known = {field.name for cls in (RunOptions, any_settings()) for field in dataclasses.fields(cls)}
    for name in given(training):
        if name in refused:
            raise UserError(f"{option_name(name)} is not allowed in {where}; {refused[name]}")
        if name not in known:
            options = [option_name(one) for one in (*known, *(field.name for field in dataclasses.fields(own)))]
            raise UserError(f"unknown option '{option_name(name)}'; {suggestion(option_name(name), options)}")


@functools.cache
def any_settings() -> type[Any]:
    """Return a dataclass with the settings of all agents, for a command line whose agent is not known yet.

    Without their ranges, which differ: a stream has one environment.
    """
    fields: dict[str, tuple[str, Any, Any]] = {}
    for agent in AGENTS.values():
        hints = get_type_hints(agent.config)
        for field in dataclasses.fields(agent.config):
            fields[field.name] = (field.name, hints[field.name], field.default)
    return dataclasses.make_dataclass("AnySettings", fields.values(), frozen=True)


def _parse(
    settings: type[Any], defaults: Any, argv: Sequence[str], run_defaults: RunOptions | None = None
) -> tuple[RunOptions, Any]:
    """Return the options and settings, read as one dataclass a group, which `--help` shows under a title each."""
    defaults = defaults or settings()
    fields = [*_fields(RunOptions, run_defaults or RunOptions()), *_fields(settings, defaults)]
    group_of = {name: group for group, names in GROUPS.items() for name in names}
    groups = []
    for group, title in TITLES.items():
        order = GROUPS[group]
        members = [field for field in fields if group_of.get(field[0], "agent") == group]
        members.sort(key=lambda field: order.index(field[0]) if field[0] in order else 0)
        made = dataclasses.make_dataclass(group, members, frozen=True, namespace={"__doc__": title})
        groups.append((group, made, made()))
    command = dataclasses.make_dataclass("Command", groups, frozen=True)
    parsed: Any = parse(command, argv, prog="train.py", description=DESCRIPTION)
    values = {name: value for group in TITLES for name, value in vars(getattr(parsed, group)).items()}
    own = {field.name for field in dataclasses.fields(RunOptions)}
    config = settings(**{name: value for name, value in values.items() if name not in own})
    validate(config)
    return RunOptions(**{name: values[name] for name in own}), config


def _fields(cls: type[Any], defaults: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield each field's name, type with its help, and default."""
    hints, helps = get_type_hints(cls, include_extras=True), field_docs(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if text := helps.get(field.name):
            hint = Annotated[hint, tyro.conf.arg(help=text)]
        yield field.name, hint, getattr(defaults, field.name)


def field_docs(cls: type[Any]) -> Mapping[str, str]:
    """Return the docstring below each field of a dataclass, or of the class that it inherits the field from."""
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(one) or one.__module__ == "types":
            continue
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]
        except (OSError, TypeError):  # made while the program runs
            continue
        assert isinstance(body, ast.ClassDef)
        for here, below in zip(body.body, body.body[1:], strict=False):
            if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name) and isinstance(below, ast.Expr):
                text = ast.literal_eval(below.value) if isinstance(below.value, ast.Constant) else None
                if isinstance(text, str):
                    found[here.target.id] = " ".join(text.split())
    return found
