"""A run that goes on: one that was stopped, exactly where it was; or any, to more agent steps than were planned."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from gymnasium import spaces
from rich.console import Console

import envs
from agents import recipe
from common import imports
from common.commands import command, typed
from common.errors import UserError
from common.reading import checked
from common.text import number_of
from common.waiting import waiting
from experiments import apex
from experiments.run_status import find_one
from experiments.training import print_line
from learning import checkpoint, live
from learning.config import LearnerConfig
from learning.plan import Plan
from learning.preflight import seconds_of
from learning.runfolder import Described, RunFolder, as_json, provenance
from learning.states import LEAST_PERIOD, Saved, States
from learning.trainer import Trainer
from scores.finding import find_all

NEEDED = ("config", "device", "threads", "evaluations", "eval_episodes")


def resume(
    path: Path, console: Console, total: int | None = None, rescale: bool = False, cluster: str | None = None
) -> Trainer:
    """Return the trainer of a run, brought to where it was; no other process can train the run meanwhile.

    Args:
        path: its folder.
        console: to print to.
        total: agent steps that it is to have in the end; None: as planned.
        cluster: where the actors of a run of Ape-X are.
        rescale: the schedules go over that total; else they stay as they were, so that a kept state gives bit for bit
            the run that would have been planned with ``total``, and with ``schedule_timesteps`` as it was.

    Raises:
        UserError: there is no state, it is damaged, nothing is left to train, or another process trains it.
    """
    folder = RunFolder(path)
    folder.claim.take()  # before the logs are cut back
    try:
        return _resumed(folder, console, total, rescale, cluster)
    except BaseException:
        folder.claim.release()
        live.tidy(folder.live)
        raise


def _resumed(folder: RunFolder, console: Console, total: int | None, rescale: bool, cluster: str | None) -> Trainer:
    path = folder.path
    about, plan = folder.config, plan_of(folder)
    agent, config = plan.recipe, plan.config
    states = States(folder.state)
    saved = _check(folder, states, config, total, lambda line: print_line(console, f"note: {line}"))
    if total == config.total_timesteps and not rescale:
        total = None  # it is that long already
    kept = saved is None or _holds_experience(saved)
    described: Described = checked(path / "config.json", about, Described)
    ray = apex.connected(described.actors, cluster)
    envs.WATCHDOG.limit(described.env_timeout)
    envs.PROCESSES.wanted = described.env_processes
    torch.set_num_threads(described.threads)
    torch.set_flush_denormal(True)
    if saved is not None:
        _check_size(plan, saved)
    if total is not None:
        plan = extended(plan, total, rescale)
    try:
        if ray is None or described.actors is None:
            trainer = Trainer(plan, folder)
        else:
            trainer = apex.trainer(plan, folder, described.actors, ray, lambda line: print_line(console, line))
    except (MemoryError, RuntimeError) as error:  # torch raises the latter
        raise UserError(f"{path / 'config.json'}: a run with these settings can't be made here ({error})") from None
    with suppress(KeyError, TypeError):  # older runs have no estimate
        trainer.forecast = plan.forecast(**about["estimate"])
    episodes = trainer.episodes
    if saved is None:
        print_line(console, f"{path} was killed before its first state was saved: it begins anew")
        trainer.start_over()
        return trainer
    with waiting(lambda: f"loading the run, playing its episodes up to where they were: {episodes.restored:.0%}"):
        trainer.load_state(saved)
    print_line(console, f"resumed {path} at {number_of(trainer.agent_steps, 'agent step')}")
    if not kept:
        starts = getattr(config, "learning_starts", 0)
        print_line(
            console,
            f"note: its {agent.experience.label} was not kept, so it is filled again: for {starts:,} agent steps it"
            " plays without learning, from new episodes; the run goes on, but not exactly as it would have",
        )
    if total is not None:
        folder.update(_described(about, config, plan, trainer.agent_steps, rescale, exact=kept))
        print_line(console, _extension(config, plan, rescale))
    return trainer


def named(run: Path, option: str, runs_dir: Path) -> Path:
    """Return the folder of the run that --resume or --verify names; `UserError` where that is none, or several."""
    if not os.path.exists(run) and os.path.exists(runs_dir / run):
        return runs_dir / run
    return find_one(str(run), option, find_all([runs_dir]))


def plan_of(folder: RunFolder) -> Plan:
    """Return the plan of a run, as its ``config.json`` says; `UserError` where that can't be used."""
    about, file = folder.config, folder.path / "config.json"
    if missing := [key for key in NEEDED if key not in about]:
        raise UserError(f"{file}: damaged, it lacks {', '.join(missing)}")
    described: Described = checked(file, about, Described)
    if missing := [name for name in described.imports if name not in imports.IMPORTED]:
        # a file never makes the program import a module
        raise UserError(f"this run needs modules of yours: add --import {' --import '.join(missing)}")
    agent = recipe(described.agent)
    config: LearnerConfig = checkpoint.config_from(agent.config, described.config, file)
    return Plan(
        described.env_id,
        agent,
        config,
        described.seed,
        described.device,
        described.evaluations,
        described.eval_episodes,
        described.storage,
        described.engine,
        described.interim_episodes,
        described.keep_state,
        seconds_of(described.checkpoint_every, f"{file}: checkpoint_every", LEAST_PERIOD),
    )


def _check(
    folder: RunFolder, states: States, config: LearnerConfig, total: int | None, say: Callable[[str], None]
) -> Saved | None:
    """Return the state that a run goes on from; None: it was killed before its first one. `UserError`: it can't."""
    path = folder.path
    done = config.total_timesteps
    saved = states.find(say)
    if saved is None:
        if _trained(folder) >= done:
            raise UserError(
                f"{path}: it is finished, and its state was not kept; start a new run from its network:"
                f" {command('train.py', folder.config['env_id'], '--from', path)}"
            )
        if total is not None or "from" in folder.config:
            raise UserError(f"{path}: no saved state here, it was killed before the first; start a new run")
        return None
    with checkpoint.saved_counters(saved) as counters:
        steps, evaluated = counters["agent_steps"], not counters.get("evaluation_due", False)
        if total is None and steps >= done and evaluated:
            extended = typed("--resume", path, "--total-timesteps", "N")
            raise UserError(f"{path}: it is finished; extend it with {extended}")
        if total is not None and total <= steps:
            raise UserError(
                f"--total-timesteps {total}: {path} has {number_of(steps, 'agent step')} already; take more"
            )
    return saved


def _holds_experience(saved: Saved) -> bool:
    with checkpoint.saved_counters(saved) as counters:
        return checkpoint.holds_experience(counters)


def _check_size(plan: Plan, saved: Saved) -> None:
    """Raise `UserError` if a state's network is not the one that the settings ask for, before that is allocated."""
    vec = envs.make_vec(plan.env_id, 1, **plan.env_options())
    space, actions = vec.single_observation_space, vec.single_action_space
    vec.close()
    assert isinstance(space, spaces.Box)
    assert isinstance(actions, spaces.Discrete)
    wanted = checkpoint.shapes(plan.recipe, space, int(actions.n), plan.config)
    checkpoint.check_shapes(saved.folder, checkpoint.LEARNER, "the run's config.json", wanted, prefix="online.")


def _trained(folder: RunFolder) -> int:
    """Return the agent steps of the newest saved agent, -1 without one."""
    try:
        return int(checkpoint.read_manifest(folder.agent)["agent_steps"])
    except UserError:
        return -1


def extended(plan: Plan, total: int, rescale: bool = False) -> Plan:
    """Return the plan with another total; evaluations keep their distance, schedules too unless rescaled."""
    config, before = plan.config, plan.config.total_timesteps
    over: int | None = config.schedule_steps
    if rescale:
        asked = config.schedule_timesteps
        over = None if asked is None else max(round(asked * total / before), 1)
    count = max(round(plan.evaluations * total / before), 1)
    return replace(plan, config=replace(config, total_timesteps=total, schedule_timesteps=over), evaluations=count)


def _described(
    about: dict[str, Any], before: LearnerConfig, plan: Plan, steps: int, rescale: bool, exact: bool
) -> dict[str, Any]:
    """Return what changes in ``config.json``, and the history of it."""
    versions = provenance(about["device"], about["threads"])
    event = {
        "at": steps,
        "from_total": before.total_timesteps,
        "to_total": plan.config.total_timesteps,
        "rescaled": rescale,
        "exact": exact,
        **{name: versions[name] for name in ("started", "commit", "versions")},
    }
    return {
        "config": as_json(plan.config),
        "evaluations": plan.evaluations,
        "extended": [*about.get("extended", []), event],
    }


def _extension(before: LearnerConfig, plan: Plan, rescale: bool) -> str:
    """Return in one line how long the run is now, and what its schedules do."""
    verb = "extended" if plan.config.total_timesteps > before.total_timesteps else "shortened"
    steps = f"{verb} from {before.total_timesteps:,} to {plan.config.total_timesteps:,} agent steps"
    over = plan.config.schedule_steps
    if rescale:
        return f"{steps}; the learning rate now falls over {over:,} of them"
    return f"{steps}; schedules as they were, over the first {over:,} (--rescale stretches them)"
