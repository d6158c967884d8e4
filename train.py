"""Train an agent: `python train.py [ENV_ID] --agent dqn --total-timesteps N ...`; `--help` lists all."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import torch
import tyro
from rich.console import Console

import envs
import scores
from agents import AGENTS, choose, recipe
from agents.catalogue import print_catalogue
from common.cli import parse, run
from common.errors import UserError
from common.settings import Between, check_given
from common.signals import on_signal
from learning.checkpoint import config_from
from learning.config import FamilyConfig, LearnerConfig, ReplayConfig
from learning.display import display
from learning.preflight import REHEARSAL_SECONDS, Preflight, available_devices, fit, preflight, seconds_of
from learning.runfolder import RunFolder, Tail, as_json, provenance
from learning.trainer import Plan, Trainer

HERE = Path(__file__).resolve().parent
PRETRAINED, PLAY = HERE / "pretrained", HERE / "play.py"


@dataclass(frozen=True)
class RunOptions:
    """What is trained, and where it goes; the agent's own settings follow."""

    env_id: tyro.conf.Positional[str] = envs.DEFAULT_ENV
    """Any Gymnasium id with discrete actions, e.g. ALE/Pong-v5."""
    agent: str = "auto"
    """Which recipe learns. "auto": by environment and device."""
    preset: str = "auto"
    """Named values for the agent's settings; options given beside it win. "auto": by environment and device."""
    budget: str | None = None
    """A time, such as 20m or 1h30m: the whole run is scaled to fit into it."""
    seed: Annotated[int, Between(0, 2**32 - 1)] = 1
    """One seed gives one run, bit for bit on the CPU."""
    runs_dir: Path = Path("runs")
    """Where the run's folder is made."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """"auto" measures and takes the one that learns fastest."""
    threads: Annotated[int, Between(1, 256)] | None = None
    """CPU threads of torch; by default one for small networks, which gain nothing from more, all for large ones."""
    evaluations: Annotated[int, Between(1, 10_000)] = 10
    """Evaluations during the run, the final one included."""
    eval_episodes: Annotated[int, Between(1, 100_000)] = 100
    """Episodes of the final evaluation."""
    resume: Path | None = None
    """Go on with this stopped run, exactly where it was, with its own settings."""
    watch: bool = False
    """Open a window on the run too, in a process of its own; closing either leaves the other alone."""
    show: Annotated[bool, tyro.conf.arg(name="list")] = False
    """Print all agents, switches, presets and environments with their papers, and leave."""


def main(argv: Sequence[str]) -> int:
    """Train as the command line says; return 0, or 130 when stopped by Ctrl-C."""
    console = Console()
    if "--list" in argv:
        print_catalogue(console)
        return 0
    options, config = read_command_line(argv)
    beside = ("--resume", "--watch", "--no-watch")
    others = [word for word in argv if word.startswith("--") and word.split("=")[0] not in beside]
    if options.resume and others:
        raise UserError(f"--resume goes on with the run's own settings; leave out {', '.join(others)}")
    trainer = resume(options.resume, console) if options.resume else start(options, config, console)
    trainer.announce = lambda line: console.print(line, soft_wrap=True, highlight=False, markup=False)
    if options.watch:
        open_window(trainer)
    total = trainer.plan.config.total_timesteps
    frames_per_step = trainer.rules.frames_per_step
    with stop_on_signal(trainer), display(console, total, trainer.agent_steps, frames_per_step) as watcher:
        finished = trainer.run(watcher)
    folder = trainer.run_folder.path
    if not finished:
        console.print(f"stopped at {trainer.agent_steps:,} agent steps; all is saved. Go on with", highlight=False)
        console.print(f"  python train.py --resume {folder}", soft_wrap=True, highlight=False)
        return 130
    report(console, trainer)
    return 0


def read_command_line(argv: Sequence[str]) -> tuple[RunOptions, LearnerConfig]:
    """Return the run's options and the agent's settings, whose defaults agent, environment and preset decide.

    So the line is read twice: first, with the settings of all agents, for what decides.
    """
    options, _ = _parse(any_settings(), None, [word for word in argv if word not in ("-h", "--help")])
    device = available_devices()[-1] if options.device == "auto" else options.device
    env_id = envs.resolve(options.env_id)
    agent, preset = choose(options.agent, options.preset, env_id, device)
    options, config = _parse(agent.config, agent.config(**agent.presets[preset].settings), argv)
    check_given(config, given(argv))
    if isinstance(config, FamilyConfig):
        config = config.with_range(envs.returns(env_id))
    return replace(options, env_id=env_id, agent=agent.name, preset=preset), config


def given(argv: Sequence[str]) -> list[str]:
    """Return the names of the fields that the words of a command line set."""
    words = [word.split("=")[0] for word in argv if word.startswith("--")]
    return [word.removeprefix("--").removeprefix("no-").replace("-", "_") for word in words]


def any_settings() -> type[Any]:
    """Return a dataclass with the settings of all agents, which all agents can be asked with.

    Without their ranges, which differ: a stream has one environment.
    """
    fields: dict[str, tuple[str, Any, Any]] = {}
    for agent in AGENTS.values():
        hints = get_type_hints(agent.config)
        for field in dataclasses.fields(agent.config):
            fields[field.name] = (field.name, hints[field.name], field.default)
    return dataclasses.make_dataclass("AnySettings", fields.values(), frozen=True)


def _parse(settings: type[Any], defaults: Any, argv: Sequence[str]) -> tuple[RunOptions, Any]:
    command = dataclasses.make_dataclass(
        "Command",
        [("run", RunOptions, RunOptions()), ("settings", settings, defaults or settings())],
        frozen=True,
    )
    parsed: Any = parse(command, argv, prog="train.py", description=__doc__)
    return parsed.run, parsed.settings


def start(options: RunOptions, config: LearnerConfig, console: Console) -> Trainer:
    """Check everything, say what it will take, then make the run's folder."""
    torch.set_flush_denormal(True)  # vanishing moments of Adam cost time and mean nothing
    agent = recipe(options.agent)
    plan = Plan(
        options.env_id,
        agent,
        config,
        options.seed,
        evaluations=options.evaluations,
        eval_episodes=options.eval_episodes,
    )
    seconds = None if options.budget is None else seconds_of(options.budget)
    longest = REHEARSAL_SECONDS if seconds is None else seconds / 10
    estimate = preflight(plan, options.device, options.threads, longest)
    if seconds is not None:
        config = fit(config, seconds, estimate.steps_per_second)
        estimate = replace(estimate, seconds=seconds)
    plan = replace(plan, config=config, device=estimate.device, storage=estimate.storage)
    tell(console, plan, options.preset, estimate)
    described = {
        "preset": options.preset,
        "config": as_json(config),
        "evaluations": options.evaluations,
        "eval_episodes": options.eval_episodes,
        "protocol": plan.protocol.name,
        "storage": estimate.storage,
        **provenance(estimate.device, estimate.threads),
    }
    if isinstance(config, ReplayConfig) and config.learning_starts >= config.total_timesteps:
        console.print(
            f"note: nothing will be learnt: --learning-starts {config.learning_starts:,} is not before the run's end",
            soft_wrap=True,
            highlight=False,
        )
    folder = RunFolder.create(options.runs_dir, plan.env_id, agent.name, options.seed, described)
    console.print(f"run folder {folder.path}", soft_wrap=True, highlight=False)
    return Trainer(plan, folder)


def tell(console: Console, plan: Plan, preset: str, estimate: Preflight) -> None:
    """Say what is about to happen: agent, environment, preset and why, protocol, memory, time."""

    def line(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False)

    agent, config, rules = plan.recipe, plan.config, plan.protocol
    line(f"[bold]{agent.name}[/] on [bold]{plan.env_id}[/] | {estimate}")
    suits = agent.presets[preset].suits
    others = [name for name, one in agent.presets.items() if one.suits == suits and name != preset]
    more = f"others: --preset {', '.join(others)}; " if others else ""
    line(f"preset {preset}: {agent.presets[preset].about} ({more}--list shows all agents and switches)")
    for note in config.notes():
        line(f"note: {note}")
    frames = config.total_timesteps * rules.frames_per_step
    line(
        f"{config.total_timesteps:,} agent steps"
        + (f" = {frames:,} frames" if rules.frames_per_step > 1 else "")
        + f" | protocol {rules.name} ({rules.source})"
    )


def resume(path: Path, console: Console) -> Trainer:
    """Return the stopped run's trainer, brought to where it was."""
    folder = RunFolder(path)
    about = folder.config
    needed = ("config", "device", "threads", "evaluations", "eval_episodes")
    if missing := [key for key in needed if key not in about]:
        raise UserError(f"{path / 'config.json'}: damaged, it lacks {', '.join(missing)}")
    agent = recipe(about["agent"])
    config = config_from(agent.config, about["config"], path / "config.json")
    torch.set_num_threads(about["threads"])
    torch.set_flush_denormal(True)
    plan = Plan(
        about["env_id"],
        agent,
        config,
        about["seed"],
        about["device"],
        about["evaluations"],
        about["eval_episodes"],
        about.get("storage"),
    )
    trainer = Trainer(plan, folder)
    trainer.load_state()
    console.print(f"resumed {path} at {trainer.agent_steps:,} agent steps", soft_wrap=True, highlight=False)
    return trainer


@contextmanager
def stop_on_signal(trainer: Trainer) -> Iterator[None]:
    """Let Ctrl-C (or a polite kill) end the run after the present step; a second one ends it at once."""

    def ask() -> None:
        if trainer.stop_requested:
            raise KeyboardInterrupt
        trainer.stop_requested = True

    with on_signal(ask):
        yield


def open_window(trainer: Trainer) -> None:
    """Let another process show the run; if it can't, say why, and train all the same."""
    words = [sys.executable, str(PLAY), "--attach", str(trainer.run_folder.path)]
    # in a group of its own, so that Ctrl-C here does not end it; a file, because a pipe would end with us
    group: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    errors = tempfile.TemporaryFile()  # noqa: SIM115, the thread closes it
    window = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, **group)

    def see() -> None:
        if window.wait() != 0:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines()
            why = lines[-1].removeprefix("error: ") if lines else f"it ended with code {window.returncode}"
            trainer.announce(f"no window: {why}; training goes on")
        errors.close()

    threading.Thread(target=see, name="window", daemon=True).start()


def report(console: Console, trainer: Trainer) -> None:
    """Print the run beside the references, and what to type next."""
    folder = trainer.run_folder.path
    table = scores.comparison(trainer.plan.env_id, folder.parent, PRETRAINED)
    width = console.width if console.is_terminal else None
    if any(not row.get("refused") for row in Tail(folder / "events.csv").rows()):
        console.print(f"note: a person changed this run on its way; see {folder / 'events.csv'}", soft_wrap=True)
    print("\n" + scores.as_text([table], width, color=console.is_terminal))
    console.print(f"\nwatch it:    python play.py {folder}", soft_wrap=True, highlight=False)
    console.print(f"compare it:  python compare.py --runs-dir {folder.parent}", soft_wrap=True, highlight=False)
    console.print(f"its curves:  tensorboard --logdir {folder.parent}", soft_wrap=True, highlight=False)


if __name__ == "__main__":
    run(main)
