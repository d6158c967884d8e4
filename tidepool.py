"""Tidepool from Python, for a notebook or a script in the checkout: train, load, ask, play, compare.

    import tidepool
    run = tidepool.train("CartPole-v1", total_timesteps=20_000)
    agent = tidepool.load(run)
    agent.play(episodes=3)
    tidepool.scores()

`docs/python.md` walks through it.
"""

from __future__ import annotations

import csv
import io
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import Any

# The names of our packages are plain: openai-agents, which may be installed beside, has one called agents too.
sys.path.insert(0, str(Path(__file__).resolve().parent))

# isort: split
import gymnasium
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

import envs
import scores as score_tables
from agents import load_policy
from common.errors import UserError
from common.files import PRETRAINED
from common.program import NOTEBOOK
from experiments import training
from experiments.command_line import read_command_line
from experiments.plan import words
from experiments.tracking import beside
from learning.display import display
from learning.evaluate import EVALUATION_SEED, EpisodeResult, evaluate
from learning.policy import Policy

__all__ = ["Agent", "ScoreTable", "UserError", "load", "make", "scores", "train"]


def train(env_id: str = envs.DEFAULT_ENV, *, progress: bool = True, **settings: Any) -> Path:
    """Train an agent and return its run folder; Ctrl-C (a notebook's stop button) ends the run early, saved.

    Args:
        env_id: any Gymnasium id with discrete actions.
        progress: print what `train.py` prints.
        settings: the options of `train.py`, with underscores: ``agent="rainbow"``, ``total_timesteps=20_000``,
            ``seed=2``, ``runs_dir="runs"``, ``double=False``, ``hidden=(64, 64)``.

    Raises:
        UserError: an unknown name, a value out of range, or incompatible settings.
    """
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    options, config = read_command_line([env_id, *words(settings)])
    # A notebook gets plain lines, as a log does: it calls itself a terminal, and can't go back to a line.
    console = Console(quiet=not progress, force_jupyter=False, force_terminal=False if NOTEBOOK else None)
    trainer = training.start(options, config, console)
    total, frames_per_step = config.total_timesteps, trainer.rules.frames_per_step
    with ExitStack() as stack:
        folder, say = trainer.run_folder.path, print if progress else _quiet
        tracking = stack.enter_context(beside.tracked(folder, options.track, say, status="stopped"))
        if threading.current_thread() is threading.main_thread():  # elsewhere Python delivers no signals
            stack.enter_context(training.stop_on_signal(trainer))
        watcher = display(console, total, 0, frames_per_step)
        stack.enter_context(watcher)
        if trainer.run(watcher):
            tracking.status = "finished"
    return trainer.run_folder.path


def _quiet(line: str) -> None:
    """Print nothing."""


def load(path: Path | str) -> Agent:
    """Return the agent of a run folder, or of a name in ``pretrained/``, such as ``pretrained/waterworld``.

    Raises:
        UserError: there is no agent, or a damaged one.
    """
    places = (Path(path), PRETRAINED.parent / path, PRETRAINED / path)
    return Agent(load_policy(next((place for place in places if place.exists()), places[0])))


class Agent:
    """A trained agent: what it expects of each action, what it does, and how well it plays.

    Attributes:
        name: of the algorithm, such as ``dqn``.
        env_id: the environment it was trained in.
        policy: the same for batches of observations.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy, self.name = policy, policy.name
        self.env_id = policy.env_id or envs.DEFAULT_ENV
        self._options: dict[str, Any] = dict(getattr(policy, "env_options", {}))

    def __repr__(self) -> str:
        return f"<{self.name} for {self.env_id}>"

    def make_env(self, **options: Any) -> gymnasium.Env[Any, Any]:
        """Return the environment that it was trained in, under the rules of its evaluation."""
        return envs.make(self.env_id, **{**self._options, **options})

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the expected discounted return of each action: (A,) for one observation, (B, A) for a batch."""
        batch, single = self._batch(obs)
        q_values = self.policy.q_values(batch)
        assert q_values is not None  # trained networks have expectations
        return q_values[0] if single else q_values

    def act(self, obs: NDArray[Any], epsilon: float = 0.0, rng: np.random.Generator | None = None) -> Any:
        """Return the action with the highest expectation: an int for one observation, (B,) for a batch.

        ``epsilon`` is the probability of a random action instead, from ``rng``.
        """
        batch, single = self._batch(obs)
        actions = self.policy.act(batch, epsilon, rng or np.random.default_rng())
        return int(actions[0]) if single else actions

    def play(
        self, episodes: int = 1, *, seed: int = EVALUATION_SEED, epsilon: float | None = None
    ) -> list[EpisodeResult]:
        """Play whole episodes and return each one's number, return and length, with raw rewards.

        ``epsilon`` is the probability of random actions, by default that of the agent's evaluation.
        """
        if epsilon is None:
            epsilon = getattr(self.policy, "default_epsilon", 0.0)
        cap = getattr(self.policy, "eval_max_steps", None)
        return evaluate(self.policy, self.env_id, episodes, epsilon, seed, cap, **self._options)

    def _batch(self, obs: NDArray[Any]) -> tuple[NDArray[Any], bool]:
        """Return observations as a batch, and whether it was a single one."""
        obs, shape = np.asarray(obs), self._obs_shape
        if obs.shape == shape:
            return obs[None], True
        if obs.shape[1:] == shape:
            return obs, False
        sides = ", ".join(map(str, shape))
        raise UserError(f"observations of {self.env_id} have shape ({sides}) or (B, {sides}), not {obs.shape}")

    @cached_property
    def _obs_shape(self) -> tuple[int, ...]:
        env = self.make_env()
        env.close()
        return env.observation_space.shape or ()


def make(env_id: str = envs.DEFAULT_ENV, **options: Any) -> gymnasium.Env[Any, Any]:
    """Return one environment: flat float32 observations, of Atari games stacks of frames (4, 84, 84) uint8."""
    return envs.make(env_id, **options)


def scores(runs_dir: Path | str = "runs", env_id: str | None = None) -> ScoreTable:
    """Return the scores of all runs beside the references, or of one environment."""
    data = score_tables.read(Path(runs_dir), PRETRAINED)
    if env_id is None:
        return ScoreTable(score_tables.environment_comparisons(data), score_tables.atari_comparison(data))
    resolved = envs.resolve(env_id)
    if envs.is_atari(resolved):
        selection = score_tables.AtariSelection(games=(resolved,))
        return ScoreTable([], score_tables.atari_comparison(data, selection))
    return ScoreTable(score_tables.environment_comparisons(data, resolved), None)


class ScoreTable:
    """A table of scores: printed as text, shown as Markdown in a notebook, and rows for anything else."""

    def __init__(
        self, comparisons: Sequence[score_tables.Comparison], atari: score_tables.AtariComparison | None
    ) -> None:
        self._comparisons, self._atari = list(comparisons), atari

    @property
    def rows(self) -> list[dict[str, str]]:
        """The same as a list of rows, as `compare.py --format csv` has them; ``pandas.DataFrame(table.rows)`` works."""
        return list(csv.DictReader(io.StringIO(score_tables.as_csv(self._comparisons, self._atari))))

    def __repr__(self) -> str:
        return score_tables.as_text(self._comparisons, atari=self._atari)

    def _repr_markdown_(self) -> str:
        return score_tables.as_markdown(self._comparisons, self._atari)
