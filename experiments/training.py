"""One training from the outside: checked and started, or resumed; watched, stopped by a signal, and reported."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from rich.console import Console

import envs
from agents import recipe
from common import imports, installed
from common.commands import command, typed
from common.errors import UserError
from common.files import PRETRAINED, ROOT
from common.kernels import Cache
from common.signals import ALL, on_signal
from common.tail import Tail
from common.text import number_of, time_text
from common.waiting import waiting
from experiments import apex, starting
from experiments.command_line import RunOptions
from experiments.expected import Measured, expected
from experiments.tracking import beside
from experiments.tracking.tracker import Name
from learning.config import LearnerConfig, ReplayConfig
from learning.display import display
from learning.forecast import Evaluations, Forecast
from learning.plan import Plan
from learning.preflight import (
    FINISH_SECONDS,
    LONGEST_REHEARSAL,
    REHEARSAL_SECONDS,
    Preflight,
    Settings,
    fit,
    fit_evaluations,
    preflight,
    seconds_of,
)
from learning.ranges import measured as measured_settings
from learning.runfolder import RunFolder, as_json, provenance
from learning.states import LEAST_PERIOD
from learning.trainer import Trainer

MUCH = 0.4  # of a budget, which the start of a run may take before a line says so


def print_line(console: Console, text: str, markup: bool = False) -> None:
    """Print a line, coloured only by its own markup; a terminal's lines end between words.

    But for what is to be copied: a command, or a path that is longer than a line, is left to the terminal.
    """
    whole = not console.is_terminal or "python " in text or max(map(len, text.split()), default=0) >= console.width
    console.print(text, soft_wrap=whole, highlight=False, markup=markup)


def start(
    options: RunOptions,
    config: LearnerConfig,
    console: Console,
    asked: Collection[str] = (),
    began: float | None = None,
) -> Trainer:
    """Check everything, print what the run will take, then make its folder.

    Args:
        options: of the run.
        config: settings of the agent; a budget changes some.
        console: to print to.
        asked: names of the options that were given; evaluations asked for take what time they take.
        began: when the program was started, by `time.monotonic`; None: now. A budget counts from there.

    Raises:
        UserError: something in the settings can't work, or the folder can't be written.
    """
    began = time.monotonic() if began is None else began
    torch.set_flush_denormal(True)  # vanishing moments of Adam cost time and mean nothing
    ray = apex.connected(options.actors, options.cluster)
    plan = asked_for(options, config)
    source = None if options.start_from is None else starting.find(options.start_from, options.runs_dir)
    plan = starting.planned_from(source, plan)
    envs.WATCHDOG.limit(options.env_timeout)
    # a run that keeps to one core keeps to one process
    envs.PROCESSES.wanted = "no" if (options.threads, options.env_processes) == (1, "auto") else options.env_processes
    weights = None if source is None else starting.weights_for(source, plan)
    budget = None if options.budget is None else seconds_of(options.budget)
    if budget is not None and "total_timesteps" in asked:
        raise UserError("--budget and --total-timesteps both say how long the run is; give one of them")
    print_plan(console, plan, options.preset)
    if source is not None:
        print_line(console, f"starts from the network in {source.folder} ({source})")
    longest = REHEARSAL_SECONDS if budget is None else min(max(budget / 20, REHEARSAL_SECONDS), LONGEST_REHEARSAL)
    measured = preflight(plan, options.device, options.threads, longest, lambda line: print_line(console, line))
    print_line(console, str(measured))
    config = measured_range(plan, console)
    by_measuring = [name for name, value in as_json(plan.config).items() if as_json(config)[name] != value]
    spent = time.monotonic() - began
    if budget is not None and (note := start_note(budget, spent, Cache.misses > 0)):
        print_line(console, f"note: {note}")
    plan = fitted(plan, config, measured, None if budget is None else budget - spent - FINISH_SECONDS, asked)
    forecast = plan.forecast(measured.steps_per_second, measured.episode_seconds)
    print_length(console, plan, forecast, budget is not None)
    if note := nothing_learnt(plan.config, budget is not None):
        print_line(console, f"note: {note}")
    about = described(options, plan, measured)
    about |= {"measured": by_measuring} if by_measuring else {}
    about |= {} if source is None else {"from": source.described()}
    folder = RunFolder.create(options.runs_dir, plan.env_id, plan.recipe.name, options.seed, about)
    print_line(console, f"run folder {folder.path}")
    if ray is None or options.actors is None:
        trainer = Trainer(plan, folder, measured.emulators)
    else:
        trainer = apex.trainer(plan, folder, options.actors, ray, lambda line: print_line(console, line))
    trainer.forecast = forecast
    if weights is not None:
        trainer.start_from(weights)
        trainer.save_state()  # so that it need not be looked for again
    return trainer


def asked_for(options: RunOptions, config: LearnerConfig) -> Plan:
    """Return the plan that the options ask for, before anything is measured."""
    plan = Plan(
        options.env_id,
        recipe(options.agent),
        config,
        options.seed,
        evaluations=options.evaluations,
        eval_episodes=options.eval_episodes,
        engine=options.engine,
        interim_episodes=options.interim_episodes,
        keep_state=options.keep_state,
        state_every=seconds_of(options.checkpoint_every, "--checkpoint-every", LEAST_PERIOD),
    )
    if options.actors is not None:
        apex.actor_plan(plan, options.actors).check()
    return plan


def fitted(plan: Plan, config: LearnerConfig, measured: Preflight, left: float | None, asked: Collection[str]) -> Plan:
    """Return the plan with what was measured; arguments as `scaled` has them."""
    config, schedule = scaled(config, plan.schedule, measured, left, asked)
    return replace(
        plan,
        config=config,
        device=measured.device,
        storage=measured.storage,
        engine=measured.engine,
        evaluations=schedule.count,
        eval_episodes=schedule.episodes,
        interim_episodes=schedule.interim_episodes,
    )


def described(options: RunOptions, plan: Plan, measured: Preflight) -> dict[str, Any]:
    """Return what the run's config.json has of its options, its plan and this machine."""
    schedule = plan.schedule
    return {
        "preset": options.preset,
        "config": as_json(plan.config),
        "evaluations": schedule.count,
        "eval_episodes": schedule.episodes,
        "interim_episodes": schedule.interim_episodes,
        "protocol": plan.eval_protocol,
        "imports": imports.IMPORTED,
        **({} if options.name is None else {"name": options.name}),
        "storage": measured.storage,
        "engine": measured.engine,
        "keep_state": options.keep_state,
        "checkpoint_every": options.checkpoint_every,
        "env_timeout": options.env_timeout,
        "env_processes": envs.PROCESSES.wanted,
        **({} if options.actors is None else {"actors": options.actors, "repeatable": False}),
        "estimate": {
            "steps_per_second": round(measured.steps_per_second, 1),
            "episode_seconds": round(measured.episode_seconds, 4),
        },
        **provenance(measured.device, measured.threads),
    }


def nothing_learnt(config: LearnerConfig, budget: bool) -> str:
    """Return what there is to say of a run that ends before it learns; empty: it does not."""
    if not isinstance(config, ReplayConfig) or config.learning_starts < config.total_timesteps:
        return ""
    late = f"--learning-starts {config.learning_starts:,} is not before the run's end"
    return f"nothing will be learnt: {late}" + " in this --budget" * budget


def start_note(budget: float, spent: float, compiled: bool) -> str:
    """Return what there is to say when the start of a run took much of its budget, seconds; empty: it did not."""
    if spent < budget * MUCH:
        return ""
    why = "compiling kernels, which is done once on this machine, and " if compiled else ""
    again = "; the same command trains longer the next time" if compiled else ""
    return f"{why}starting took {time_text(spent)} of the budget of {time_text(budget)}{again}"


def measured_range(plan: Plan, console: Console) -> LearnerConfig:
    """Return the settings with what random play has to tell, the rewards' scale and the range of returns; print it."""
    with waiting("measuring rewards by random play", lambda line: print_line(console, line)):
        config, notes = measured_settings(plan.config, plan.env_id, plan.seed)
    for note in notes:
        print_line(console, f"note: {note}")
    return config


def scaled(
    config: Settings, schedule: Evaluations, measured: Preflight, left: float | None, asked: Collection[str]
) -> tuple[Settings, Evaluations]:
    """Return the settings and evaluations of a run that takes ``left`` seconds; None: as long as it takes.

    What was ``asked`` for stays; evaluations that were not give way where they would take too long.
    """
    fixed = bool({"evaluations", "eval_episodes", "interim_episodes"} & set(asked))
    episode = measured.episode_seconds
    if left is None:
        training = config.total_timesteps / measured.steps_per_second
        return config, schedule if fixed else schedule.fitted(training, episode)
    if fixed:
        training = left - sum(schedule.ahead(0)) * episode
    else:
        schedule, training = fit_evaluations(schedule, episode, left)
    if training < left / 10:
        raise UserError(
            f"--budget leaves {left:.0f} s, and the evaluations would take {left - training:.0f} s of them;"
            " take a longer one, or fewer --evaluations or --eval-episodes"
        )
    config = fit(config, training, measured.steps_per_second, asked)
    return config, replace(schedule, total=config.total_timesteps)


def print_plan(console: Console, plan: Plan, preset: str) -> None:
    """Print what is about to happen, at once: agent, environment, preset and why."""
    agent = plan.recipe
    suits = agent.presets[preset].suits
    others = [name for name, one in agent.presets.items() if one.suits == suits and name != preset]
    more = f"others: --preset {', '.join(others)}; " if others else ""
    print_line(console, f"[bold]{agent.name}[/] on [bold]{plan.env_id}[/]", markup=True)
    print_line(console, f"preset {preset}: {agent.presets[preset].about} ({more}--list shows all agents and switches)")
    if found := measured_before(plan, preset):
        print_line(console, f"measured: {found}")
    notes = [*plan.config.notes(), *(f"{package} is installed: pip install -e ." for package in installed.unfit())]
    for note in notes:
        print_line(console, f"note: {note}")


def measured_before(plan: Plan, preset: str) -> Measured | None:
    """Return what runs with the plan's preset have reached; None: nothing is known, or other settings were given."""
    agent, config = plan.recipe, plan.config
    usual = agent.config(**agent.presets[preset].settings)
    if replace(config, total_timesteps=usual.total_timesteps) != usual:
        return None
    return expected(plan.env_id, agent.name, preset, config.total_timesteps)


def print_length(console: Console, plan: Plan, forecast: Forecast, budget: bool) -> None:
    """Print how long the run is: steps and protocol, then evaluations and time, as far as that can be known."""
    config, rules, schedule = plan.config, plan.protocol, plan.schedule
    frames = config.total_timesteps * rules.frames_per_step
    steps = f"{number_of(config.total_timesteps, 'agent step')}" + (
        f" = {frames:,} frames" if rules.frames_per_step > 1 else ""
    )
    print_line(console, f"{steps} | protocol {rules.name} ({rules.source})")
    if (cap := plan.eval_cap) is not None:
        why = "asked for" if config.eval_max_steps is not None else "the environment has no limit"
        print_line(console, f"evaluations cut episodes at {number_of(cap, 'agent step')} ({why}; --eval-max-steps)")
    on_the_way = (
        f"{schedule.count - 1} x {schedule.interim_episodes} episodes on the way, " if schedule.count > 1 else ""
    )
    seconds = forecast.left(0) or 0.0
    evaluations = sum(schedule.ahead(0)) * (forecast.episode_seconds or 0.0)
    print_line(
        console,
        f"about {time_text(seconds)}, of them {time_text(evaluations)} for evaluations"
        f" ({on_the_way}{schedule.episodes} at the end)" + (" | the budget counts from Enter" if budget else ""),
    )


def train(trainer: Trainer, console: Console, tracker: Name | None = None) -> bool:
    """Train to the end, or until SIGINT or SIGTERM; return whether the end was reached."""
    trainer.announce = lambda line: print_line(console, line)
    total, frames_per_step = trainer.plan.config.total_timesteps, trainer.rules.frames_per_step

    def counters() -> tuple[int, int]:
        return trainer.agent_steps, trainer.learner.updates

    with beside.tracked(trainer.run_folder.path, tracker, lambda line: trainer.announce(line)) as tracking:
        shown = display(console, total, trainer.agent_steps, frames_per_step, counters)
        with stop_on_signal(trainer), shown as watcher:
            finished = trainer.run(watcher)
        tracking.status = "finished" if finished else "stopped"
    return finished


@contextmanager
def stop_on_signal(trainer: Trainer) -> Iterator[None]:
    """Let a signal end the run after the present step; a second Ctrl-C ends it at once, but not while it is saved."""

    def ask(number: int) -> None:
        if not trainer.stop_requested:
            trainer.stop_requested, trainer.stop_signal = True, number
        elif number == signal.SIGINT and not trainer.saving:
            raise KeyboardInterrupt

    with on_signal(ask, ALL):
        yield


def open_window(trainer: Trainer) -> None:
    """Let another process show the run; if it can't, print why, and train all the same."""
    words = [sys.executable, str(ROOT / "play.py"), "--attach", str(trainer.run_folder.path), *imports.words()]
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
    import scores  # here, because it takes half a second, and the training should begin

    folder = trainer.run_folder.path
    table = scores.comparison(trainer.plan.env_id, folder.parent, PRETRAINED, folder)
    if left_out := trainer.learner.left_out:
        print_line(console, f"note: {left_out:,} updates were left out, their loss or gradient NaN or infinite")
    width = console.width if console.is_terminal else None
    if any(not row.get("refused") for row in Tail(folder / "events.csv").rows()):
        print_line(console, f"note: this run was changed by hand while it trained; see {folder / 'events.csv'}")
    print("\n" + scores.as_text([table], width, color=console.is_terminal))
    print_line(console, f"\nwatch it:    {command('play.py', folder)}")
    if trainer.run_folder.state.exists():
        megabytes = sum(path.stat().st_size for path in trainer.run_folder.state.rglob("*") if path.is_file()) / 1e6
        further = command("train.py", "--resume", folder, "--total-timesteps", 2 * trainer.plan.config.total_timesteps)
        print_line(console, f"go on:       {further}  (state/: {megabytes:,.0f} MB)")
    print_line(console, f"compare it:  {command('compare.py', '--runs-dir', folder.parent)}")
    print_line(console, f"its curves:  {typed('tensorboard', '--logdir', folder.parent)}")
