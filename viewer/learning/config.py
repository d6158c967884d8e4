"""What an agent needs to learn in a window: settings for one environment, and the agent that a folder holds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import psutil
from gymnasium import spaces

import envs
from agents.registry import recipe as recipe_of
from common.errors import UserError
from common.settings import validate
from learning.checkpoint import MANIFEST, config_from, load_agent, read_manifest
from learning.config import LearnerConfig, ReplayConfig, RolloutConfig
from learning.policy import NetworkPolicy, env_options
from learning.recipe import Recipe

MOST_WARM_UP = 1_000  # agent steps before the first update: half a minute at normal speed
MOST_BYTES = 10**9  # of a replay
LEAST_CAPACITY = 1_000
MOST_ROLLOUT = 64  # agent steps: two seconds at normal speed, then a burst of updates that is hardly felt
LEAST_SAMPLES = 32  # of a rollout's minibatch


def for_one_life(recipe: Recipe, config: LearnerConfig, space: spaces.Box) -> LearnerConfig:
    """Return the settings for one environment, in which a person waits for something to be learnt.

    A replay keeps its ratio of updates, begins to be learnt from after a thousand steps at most, and takes no more
    than a gigabyte, or half of the free memory. A rollout has as many samples as before, but no more than 64, in one
    row; then fewer minibatches, so that each has 32 samples.
    """
    one: Any = dataclasses.replace(config, num_envs=1)
    if isinstance(config, RolloutConfig):
        steps = min(config.rollout_steps * config.num_envs, MOST_ROLLOUT)
        parts = max(min(config.minibatches, steps // LEAST_SAMPLES), 1)
        one = dataclasses.replace(one, rollout_steps=steps, minibatches=parts)
    if isinstance(config, ReplayConfig):
        record = recipe.experience.bytes_needed(config, space, 1) / config.capacity
        room = int(min(MOST_BYTES, psutil.virtual_memory().available / 2) / record)
        capacity = min(config.capacity, max(room, LEAST_CAPACITY))
        one = dataclasses.replace(one, capacity=capacity, learning_starts=min(config.learning_starts, MOST_WARM_UP))
    return one  # type: ignore[no-any-return]


def world_of(env_id: str, config: LearnerConfig) -> tuple[spaces.Box, int]:
    """Return what an environment shows and how many actions it has."""
    env = envs.make(env_id, **env_options(env_id, config, evaluation=True))
    space, actions = env.observation_space, env.action_space
    env.close()
    assert isinstance(space, spaces.Box)
    assert isinstance(actions, spaces.Discrete)
    return space, int(actions.n)


def saved_agent(path: Path) -> tuple[Recipe, Any, NetworkPolicy, int]:
    """Return the agent in the folder of a run or of an agent: its recipe, settings, network and agent steps.

    Raises:
        UserError: what is there can't go on learning.
    """
    if path.is_file():
        raise UserError(f"{path}: a file has no network that could go on learning here; give an agent's folder")
    folder = next((place for place in (path, path / "agent") if (place / MANIFEST).is_file()), None)
    if folder is None:
        raise UserError(f"{path}: no agent here" if path.exists() else f"{path}: no such run or agent")
    manifest = read_manifest(folder)
    agent = recipe_of(manifest["agent"])
    try:
        config = config_from(agent.config, manifest["config"], folder / MANIFEST)
        validate(config)
        player = load_agent(folder, agent)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError) as error:
        raise UserError(f"{folder / MANIFEST}: damaged ({' '.join(str(error).split())})") from None
    return agent, config, player, manifest["agent_steps"]
