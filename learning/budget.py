"""A wall-clock budget: the whole run, schedules and all, made to fit into it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TypeVar

from common.errors import UserError
from learning.config import LearnerConfig, ReplayConfig

EVALUATION_SHARE = 0.1  # of the budget; episodes get longer as the agent gets better, so this is a guess
LEAST_SECONDS = 10
LEAST_TARGET_PERIOD = 100  # updates; a target network that follows faster is hardly one
Settings = TypeVar("Settings", bound=LearnerConfig)
UNITS = {"h": 3600, "m": 60, "s": 1}


def seconds_of(text: str) -> float:
    """Return the seconds of ``20m``, ``1h30m`` or ``90s``; `UserError` when it is none of these."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise UserError(f"--budget {text} is not a time; write 90s, 20m or 1h30m")
    seconds = sum(float(number) * UNITS[unit] for number, unit in parts)
    if seconds < LEAST_SECONDS:
        raise UserError(f"--budget {text} is too short; at least {LEAST_SECONDS}s")
    return seconds


def fit(config: Settings, seconds: float, steps_per_second: float) -> Settings:
    """Return the settings with total, epsilon's fall, warm-up and target period scaled to a budget.

    The learning rate falls over the total anyway. Environments' steps come in vector steps of
    ``num_envs``, so the total is a multiple of that.
    """
    total = int((1 - EVALUATION_SHARE) * seconds * steps_per_second)
    total = max(total // config.num_envs, 1) * config.num_envs
    scale = total / config.total_timesteps
    fitted = replace(config, total_timesteps=total, epsilon_steps=max(round(config.epsilon_steps * scale), 1))
    if not isinstance(fitted, ReplayConfig):
        return fitted
    least = min(LEAST_TARGET_PERIOD, fitted.target_period)
    return replace(
        fitted,
        learning_starts=round(fitted.learning_starts * scale),
        target_period=max(round(fitted.target_period * scale), least),
    )
