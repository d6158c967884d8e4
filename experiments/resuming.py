"""A run that goes on: one that was stopped, exactly where it was; or any, to more agent steps than were planned."""

from __future__ import annotations

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
from common.errors import UserError
from common.reading import checked
from common.waiting import waiting
from experiments.training import print_line
from learning import checkpoint, live
from learning.config import LearnerConfig
from learning.runfolder import Described, RunFolder, as_json, provenance
from learning.trainer import Plan, Trainer

NEEDED = ("config", "device", "threads", "evaluations", "eval_episodes")


def resume(path: Path, console: Console, total: int | None = None, rescale: bool = False) -> Trainer:
    """Return the trainer of a run, brought to where it was.

    Args:
        path: its folder.
        console: to print to.
        total: agent steps that it is to have in the end; None: as planned.
        rescale: the schedules go over that total; else they stay as they were, so that a kept state gives bit for bit
            the run that would have been planned with ``total``, and with ``schedule_timesteps`` as it was.

    Raises:
        UserError: there is no state, it is damaged, or nothing is left to train.
    """
    folder = RunFolder(path)
    about = folder.config
    if missing := [key for key in NEEDED if key not in about]:
        raise UserError(f"{path / 'config.json'}: damaged, it lacks {', '.join(missing)}")
    described: Described = checked(path / "config.json", about, Described)
    if missing := [name for name in described.imports if name not in imports.IMPORTED]:
        # a file never makes the program import a module
        raise UserError(f"this run needs modules of yours: add --import {' --import '.join(missing)}")
    agent = recipe(described.agent)
    config: LearnerConfig = checkpoint.config_from(agent.config, described.config, path / "config.json")
    kept = _check(folder, config, total)
    torch.set_num_threads(described.threads)
    torch.set_flush_denormal(True)
    plan = Plan(
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
    )
    _check_sizes(plan, folder)
    if total is not None:
        plan = extended(plan, total, rescale)
    try:
        trainer = Trainer(plan, folder)
    except (MemoryError, RuntimeError) as error:  # torch raises the latter
        raise UserError(f"{path / 'config.json'}: a run with these settings can't be made here ({error})") from None
    with suppress(KeyError, TypeError):  # older runs have no estimate
        trainer.forecast = plan.forecast(**about["estimate"])
    episodes = trainer.episodes
    with waiting(lambda: f"loading the run, playing its episodes up to where they were: {episodes.restored:.0%}"):
        trainer.load_state()
    print_line(console, f"resumed {path} at {trainer.agent_steps:,} agent steps")
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


def _check(folder: RunFolder, config: LearnerConfig, total: int | None) -> bool:
    """Raise `UserError` if a run can't go on; return whether all that an exact one needs was kept."""
    path = folder.path
    if live.is_training(folder.live):
        raise UserError(f"{path}: another process trains this run; stop it first, by Ctrl-C there")
    done = config.total_timesteps
    if not (folder.state / checkpoint.COUNTERS).exists() and _trained(folder) >= done:
        raise UserError(
            f"{path}: it is finished, and its state was not kept; start a new run from its network:"
            f" python train.py {folder.config['env_id']} --from {path}"
        )
    with checkpoint.saved_counters(folder.state) as counters:
        steps, evaluated = counters["agent_steps"], not counters.get("evaluation_due", False)
        if total is None and steps >= done and evaluated:
            raise UserError(f"{path}: it is finished; extend it with --resume {path} --total-timesteps N")
        if total is not None and total <= steps:
            raise UserError(f"--total-timesteps {total}: {path} has {steps:,} agent steps already; take more")
        return checkpoint.holds_experience(counters)


def _check_sizes(plan: Plan, folder: RunFolder) -> None:
    """Raise `UserError` if no saved network is the one that the settings ask for, before any of that is allocated."""
    saved = sorted(folder.state.rglob(checkpoint.LEARNER))
    if not saved:
        return
    vec = envs.make_vec(plan.env_id, 1, **plan.env_options())
    space, actions = vec.single_observation_space, vec.single_action_space
    vec.close()
    assert isinstance(space, spaces.Box)
    assert isinstance(actions, spaces.Discrete)
    wanted = checkpoint.shapes(plan.recipe, space, int(actions.n), plan.config)
    for number, path in enumerate(saved, start=1):
        try:
            checkpoint.check_shapes(path.parent, path.name, "the run's config.json", wanted, prefix="online.")
            return
        except UserError:
            if number == len(saved):
                raise


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
    steps = f"extended from {before.total_timesteps:,} to {plan.config.total_timesteps:,} agent steps"
    over = plan.config.schedule_steps
    if rescale:
        return f"{steps}; the learning rate now falls over {over:,} of them"
    return f"{steps}; schedules as they were, over the first {over:,} (--rescale stretches them)"
