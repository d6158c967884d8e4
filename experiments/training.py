"""One training from the outside: checked and started, or resumed; watched, stopped by a signal, and reported."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import scores
from agents import recipe
from common.errors import UserError
from common.files import PRETRAINED, ROOT
from common.signals import on_signal
from experiments.command_line import RunOptions
from learning.checkpoint import config_from
from learning.config import LearnerConfig, ReplayConfig
from learning.display import display
from learning.preflight import REHEARSAL_SECONDS, Preflight, fit, preflight, seconds_of
from learning.runfolder import RunFolder, Tail, as_json, provenance
from learning.trainer import Plan, Trainer


def print_line(console: Console, text: str, markup: bool = False) -> None:
    """Print a line as it is: neither wrapped nor coloured, unless by its own markup."""
    console.print(text, soft_wrap=True, highlight=False, markup=markup)


def start(options: RunOptions, config: LearnerConfig, console: Console) -> Trainer:
    """Check everything, print what the run will take, then make its folder.

    Raises:
        UserError: something in the settings can't work, or the folder can't be written.
    """
    torch.set_flush_denormal(True)  # vanishing moments of Adam cost time and mean nothing
    agent = recipe(options.agent)
    plan = Plan(
        options.env_id,
        agent,
        config,
        options.seed,
        evaluations=options.evaluations,
        eval_episodes=options.eval_episodes,
        engine=options.engine,
    )
    seconds = None if options.budget is None else seconds_of(options.budget)
    longest = REHEARSAL_SECONDS if seconds is None else seconds / 10
    estimate = preflight(plan, options.device, options.threads, longest)
    if seconds is not None:
        config = fit(config, seconds, estimate.steps_per_second)
        estimate = replace(estimate, seconds=seconds)
    plan = replace(plan, config=config, device=estimate.device, storage=estimate.storage, engine=estimate.engine)
    print_plan(console, plan, options.preset, estimate)
    described = {
        "preset": options.preset,
        "config": as_json(config),
        "evaluations": options.evaluations,
        "eval_episodes": options.eval_episodes,
        "protocol": plan.protocol.name,
        "storage": estimate.storage,
        "engine": estimate.engine,
        **provenance(estimate.device, estimate.threads),
    }
    if isinstance(config, ReplayConfig) and config.learning_starts >= config.total_timesteps:
        late = f"--learning-starts {config.learning_starts:,} is not before the run's end"
        print_line(console, f"note: nothing will be learnt: {late}")
    folder = RunFolder.create(options.runs_dir, plan.env_id, agent.name, options.seed, described)
    print_line(console, f"run folder {folder.path}")
    return Trainer(plan, folder)


def print_plan(console: Console, plan: Plan, preset: str, estimate: Preflight) -> None:
    """Print what is about to happen: agent, environment, preset and why, protocol, memory, time."""

    def line(text: str) -> None:
        print_line(console, text, markup=True)

    agent, config, rules = plan.recipe, plan.config, plan.protocol
    line(f"[bold]{agent.name}[/] on [bold]{plan.env_id}[/] | {estimate}")
    suits = agent.presets[preset].suits
    others = [name for name, one in agent.presets.items() if one.suits == suits and name != preset]
    more = f"others: --preset {', '.join(others)}; " if others else ""
    line(f"preset {preset}: {agent.presets[preset].about} ({more}--list shows all agents and switches)")
    for note in config.notes():
        line(f"note: {note}")
    frames = config.total_timesteps * rules.frames_per_step
    steps = f"{config.total_timesteps:,} agent steps" + (f" = {frames:,} frames" if rules.frames_per_step > 1 else "")
    line(f"{steps} | protocol {rules.name} ({rules.source})")


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
        about.get("engine", "torch"),  # older runs knew no other
    )
    trainer = Trainer(plan, folder)
    trainer.load_state()
    print_line(console, f"resumed {path} at {trainer.agent_steps:,} agent steps")
    return trainer


def train(trainer: Trainer, console: Console) -> bool:
    """Train to the end, or until SIGINT or SIGTERM; return whether the end was reached."""
    trainer.announce = lambda line: print_line(console, line)
    total, frames_per_step = trainer.plan.config.total_timesteps, trainer.rules.frames_per_step
    with stop_on_signal(trainer), display(console, total, trainer.agent_steps, frames_per_step) as watcher:
        return trainer.run(watcher)


@contextmanager
def stop_on_signal(trainer: Trainer) -> Iterator[None]:
    """Let SIGINT (Ctrl-C) or SIGTERM end the run after the present step; a second one ends it at once."""

    def ask() -> None:
        if trainer.stop_requested:
            raise KeyboardInterrupt
        trainer.stop_requested = True

    with on_signal(ask):
        yield


def open_window(trainer: Trainer) -> None:
    """Let another process show the run; if it can't, print why, and train all the same."""
    words = [sys.executable, str(ROOT / "play.py"), "--attach", str(trainer.run_folder.path)]
    # in a group of its own, so that Ctrl-C here does not end it; a file, because a pipe would end with us
    group: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    errors = tempfile.TemporaryFile()  # noqa: SIM115, the thread closes it
    window = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, **group)

    def wait() -> None:
        if window.wait() != 0:
            errors.seek(0)
            lines = errors.read().decode(errors="replace").strip().splitlines()
            why = lines[-1].removeprefix("error: ") if lines else f"it exited with code {window.returncode}"
            trainer.announce(f"no window: {why}; training continues")
        errors.close()

    threading.Thread(target=wait, name="window", daemon=True).start()


def report(trainer: Trainer, console: Console) -> None:
    """Print the run beside the references, and what to type next."""
    folder = trainer.run_folder.path
    table = scores.comparison(trainer.plan.env_id, folder.parent, PRETRAINED)
    width = console.width if console.is_terminal else None
    if any(not row.get("refused") for row in Tail(folder / "events.csv").rows()):
        print_line(console, f"note: this run was changed by hand while it trained; see {folder / 'events.csv'}")
    print("\n" + scores.as_text([table], width, color=console.is_terminal))
    print_line(console, f"\nwatch it:    python play.py {folder}")
    print_line(console, f"compare it:  python compare.py --runs-dir {folder.parent}")
    print_line(console, f"its curves:  tensorboard --logdir {folder.parent}")
