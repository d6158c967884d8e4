"""The online learner's config: settings for a single environment, and loading a saved agent to train it further."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from gymnasium import spaces

import envs
from agents.registry import recipe as recipe_of
from common.errors import UserError
from common.machine import free_memory
from common.settings import validate
from learning.checkpoint import MANIFEST, config_from, load_agent, read_manifest
from learning.config import LearnerConfig, ReplayConfig, RolloutConfig
from learning.policy import NetworkPolicy, env_options
from learning.recipe import Recipe

MAX_LEARNING_STARTS = 1_000  # agent steps before the first update: half a minute at normal speed
MAX_REPLAY_BYTES = 10**9
MIN_CAPACITY = 1_000
MAX_ROLLOUT = 64  # agent steps: two seconds at normal speed, then a burst of updates too short to notice
MIN_MINIBATCH = 32  # samples of a rollout's minibatch


def single_env_config(recipe: Recipe, config: LearnerConfig, space: spaces.Box) -> LearnerConfig:
    """Return the settings for a single environment, adapted to a user who waits for the agent to learn.

    With a replay, the replay ratio stays, learning starts after a thousand steps at most, and the replay takes no more
    than a gigabyte or half of the free memory. A rollout has as many samples as before, but at most 64, all from
    the one environment, and fewer minibatches if they would have less than 32 samples.
    """
    one: Any = dataclasses.replace(config, num_envs=1)
    if isinstance(config, RolloutConfig):
        steps = min(config.rollout_steps * config.num_envs, MAX_ROLLOUT)
        parts = max(min(config.minibatches, steps // MIN_MINIBATCH), 1)
        one = dataclasses.replace(one, rollout_steps=steps, minibatches=parts)
    if isinstance(config, ReplayConfig):
        record = recipe.experience.bytes_needed(config, space, 1) / config.capacity
        room = int(min(MAX_REPLAY_BYTES, free_memory() / 2) / record)
        capacity = min(config.capacity, max(room, MIN_CAPACITY))
        learning_starts = min(config.learning_starts, MAX_LEARNING_STARTS)
        one = dataclasses.replace(one, capacity=capacity, learning_starts=learning_starts)
    return one  # type: ignore[no-any-return]


def spaces_of(env_id: str, config: LearnerConfig) -> tuple[spaces.Box, int]:
    """Return an environment's observation space and its number of actions."""
    env = envs.make(env_id, **env_options(env_id, config, evaluation=True))
    space, actions = env.observation_space, env.action_space
    env.close()
    assert isinstance(space, spaces.Box)
    assert isinstance(actions, spaces.Discrete)
    return space, int(actions.n)


def load_saved_agent(path: Path) -> tuple[Recipe, Any, NetworkPolicy, int]:
    """Return the agent in a run folder or an agent folder: its recipe, settings, policy and agent steps.

    Raises:
        UserError: there is no agent, or it can't be trained further.
    """
    if path.is_file():
        raise UserError(f"{path}: an agent file can't be trained further; give a run or an agent folder")
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
