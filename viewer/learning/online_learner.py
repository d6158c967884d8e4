"""An agent that learns inside the window, in one life, from what it or a person does there. No pygame here."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

import envs
from agents.registry import choose
from common.errors import UserError
from learning.checkpoint import save_agent
from learning.config import FamilyConfig, LearnerConfig, numpy_generator, torch_generator, torch_seed
from learning.episodes import Step
from learning.insight import NetworkReader
from learning.learner import Agent, Learner, Update
from learning.recipe import Experience, Recipe
from learning.replay import ReplayExperience
from learning.runfolder import RunFolder, as_json, provenance
from viewer.learning.config import for_one_life, saved_agent, world_of

SMOOTHED = 100  # updates over which what is told of them is averaged
SNAPSHOT_EVERY = 50  # updates between two copies of weights that are still finite
ONE = np.ones(1, np.bool_)  # the one environment


class NonFiniteError(Exception):
    """A loss or the weights became NaN or infinite."""


class OnlineLearner:
    """A player that learns from what is played in the window, by any agent's recipe.

    It is a `Policy`. The window tells it of every step with `on_step`, whoever made it, and of every episode with
    `on_reset`; a person sets ``learning``, ``epsilon`` and ``learning_rate``. While ``learning`` is off nothing is
    stored, nothing changes, and it plays as any trained network does. While it is on, it explores as in training, by
    the recipe's own noise and `epsilon_now`, and each step makes the updates that are due: the way of a transition is
    the trainer's, bit for bit. What it learns from never reaches across a gap: an episode broken off, steps lived with
    learning off, or a person's "no key", of which no network expects anything. A gap is like a truncation.

    The settings are made for one environment by `for_one_life`. Schedules go by ``trained + age``: an agent that was
    loaded goes on where its training ended, and does not begin again with random actions.
    """

    def __init__(
        self,
        recipe: Recipe,
        config: LearnerConfig,
        env_id: str,
        space: spaces.Box,
        num_actions: int,
        *,
        seed: int = 0,
        weights: Mapping[str, Tensor] | None = None,
        trained: int = 0,
    ) -> None:
        """Begin with ``weights`` that saw ``trained`` agent steps, or with fresh ones.

        Raises:
            UserError: the weights are another network's.
        """
        self.recipe, self.config, self.seed = recipe, for_one_life(recipe, config, space), seed
        self.space, self.num_actions = space, num_actions
        self.learning = False
        self.weights_version = 0  # grows with each change of the network
        make_learner = recipe.learner or Learner
        self.learner: Learner = make_learner(recipe, self.config, space, num_actions, seed)
        self.network = self.learner.online  # the same object for life, whoever reads it
        self._player = self.learner.policy(env_id)
        self.name: str = self._player.name
        self.env_id: str | None = env_id
        self.default_epsilon, self.protocol = self._player.default_epsilon, self._player.protocol
        self.env_options, self.training = self._player.env_options, self._player.training
        self._life_loss_cuts = envs.protocol(env_id, config.protocol).life_loss_cuts
        self._overrides: dict[
            str, float
        ] = {}  # of epsilon and learning rate, by a person; they survive another network
        self._blank_optimizer = copy.deepcopy(self.learner.optimizer.state_dict())
        if weights is not None:
            self._check(weights, "the weights")
        self._start(self.network.state_dict() if weights is None else weights, trained)

    @classmethod
    def of_agent(cls, folder: Path, *, seed: int = 0) -> OnlineLearner:
        """Return one that goes on from the agent in a run's folder or in an ``agent/`` folder.

        Raises:
            UserError: no agent is there, or a damaged one, or one without a network of ours (Karpathy's files).
        """
        recipe, config, saved, trained = saved_agent(folder)
        assert saved.env_id is not None
        space, num_actions = world_of(saved.env_id, config)
        weights = saved.network.state_dict()
        try:
            return cls(recipe, config, saved.env_id, space, num_actions, seed=seed, weights=weights, trained=trained)
        except UserError as error:
            raise UserError(f"{folder}: {error}") from None

    @classmethod
    def fresh(cls, agent: str, env_id: str, *, seed: int = 0) -> OnlineLearner:
        """Return one that knows nothing, with the preset that ``train.py`` would take on a CPU; "auto" is an agent.

        Raises:
            UserError: there is no such agent or environment.
        """
        env_id = envs.resolve(env_id)
        chosen, preset = choose(agent, "auto", env_id, "cpu")
        config = chosen.config(**chosen.presets[preset].settings)
        if isinstance(config, FamilyConfig):
            config = config.with_range(envs.returns(env_id))
        return cls(chosen, config, env_id, *world_of(env_id, config), seed=seed)

    def _start(self, weights: Mapping[str, Tensor], trained: int) -> None:
        """Begin a life with such weights: nothing lived yet, and nothing left of the life before."""
        self._become(weights)
        self.learner.updates = 0
        self.learner.generator.manual_seed(torch_seed(self.seed, "noise"))
        # whole observations, not a frame each: a stack from the midst of a game can't be made again from frames
        experience: Experience = self.recipe.experience(
            self.config,
            self.space,
            1,
            numpy_generator(self.seed, "replay"),
            "cpu",
            None,
            lambda obs: self._player.q_values(obs).max(1),
        )
        self.agent = Agent(self.learner, experience, self._life_loss_cuts, self._updated)
        self.agent.overrides = self._overrides
        self.agent.steps = self.trained = trained  # agent steps before the weights were loaded
        # means over the last hundred updates or so: |TD error| (or what the recipe draws by in its place) and loss
        self.td_error: float | None = None
        self.loss: float | None = None
        self.trouble = ""  # why learning stopped by itself, one line
        self._snapshot = copy.deepcopy(self.network.state_dict())

    def _become(self, weights: Mapping[str, Tensor]) -> None:
        """Put other weights into both networks, in their place, and let the optimiser forget."""
        self.network.load_state_dict(weights)
        self.learner.sync_target()
        self.learner.optimizer.load_state_dict(self._blank_optimizer)
        self.weights_version += 1
        self._present: NDArray[Any] | None = None  # what the experience goes on from; None: from nothing
        # an observation, (...), and what was expected of it in exploring, (1, A)
        self._looked: tuple[NDArray[Any], NDArray[np.float64]] | None = None

    def _check(self, weights: Mapping[str, Tensor], whose: str) -> None:
        mine = self.network.state_dict()
        if {name: value.shape for name, value in mine.items()} != {name: one.shape for name, one in weights.items()}:
            raise UserError(f"{whose} are of a network with other layers, inputs or actions than this {self.name}")

    # ------------------------------------------------------------------ the player

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the expected discounted return of each action, (B, ...) -> (B, A), without noise."""
        return self._player.q_values(obs)

    @torch.inference_mode()
    def target_q(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the same as the target network has it; where there is none, the network's own."""
        q = self.learner.target(torch.from_numpy(obs)).q_values
        return q.numpy().astype(np.float64)  # type: ignore[no-any-return]

    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the actions, (B, ...) -> (B,); while it learns, of one observation, by `epsilon_now` instead."""
        if self.learning and len(obs) == 1:
            return self.agent.act(self._look(obs[0]), rng)
        return self._player.act(obs, epsilon, rng)

    def reader(self) -> NetworkReader:
        """Return what reads the network beyond its expectations."""
        return self._player.reader()

    def _look(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return what is expected in exploring, (1, A): once a step, for noise is drawn and statistics are fed."""
        if self._looked is None or not np.array_equal(self._looked[0], obs):
            self._looked = obs.copy(), self.learner.noisy_q_values(obs[None])
        return self._looked[1]

    # ------------------------------------------------------------------ learning

    @property
    def age(self) -> int:
        """Agent steps learnt from here."""
        return self.agent.steps - self.trained

    @property
    def epsilon(self) -> float:
        """Probability of a random action while it learns."""
        return self.agent.epsilon

    @property
    def learning_rate(self) -> float:
        """The optimiser's step size."""
        return self.agent.learning_rate

    def override(self, name: str, value: float | None) -> None:
        """Set "epsilon" or "learning_rate" in place of its schedule; None: the schedule's again."""
        if value is None:
            self._overrides.pop(name, None)
        else:
            self._overrides[name] = value

    @property
    def updates(self) -> int:
        """Updates since the weights were drawn or loaded."""
        return self.learner.updates

    @property
    def capacity(self) -> int | None:
        """Observations that the replay holds; None: the recipe keeps none."""
        return self.agent.experience.replay.slots if isinstance(self.agent.experience, ReplayExperience) else None

    @property
    def replay_size(self) -> int | None:
        """Transitions that the replay holds now; None: the recipe keeps none."""
        if not isinstance(self.agent.experience, ReplayExperience):
            return None
        return int(
            np.count_nonzero(self.agent.experience.replay.acted)
        )  # its own len() is slow, and the same without stacks

    def on_reset(self, obs: NDArray[Any]) -> None:
        """Hear that an episode begins, with observation (...); the one before may have been broken off."""
        self._present = self._looked = None  # `on_step` brings the same observation

    def on_step(
        self,
        obs: NDArray[Any],
        action: int,
        reward: float,
        terminated: bool,
        truncated: bool,
        life_lost: bool,
        next_obs: NDArray[Any],
    ) -> None:
        """Hear of one step, of whoever made it, and while ``learning`` learn what is due.

        Args:
            obs: what was seen before, (...).
            action: what was done; a person's "no key", -1, is not learnt from.
            reward: as the environment gave it.
            terminated: the episode ended there.
            truncated: it was cut off there, so its future still counts.
            life_lost: a life, and the episode goes on.
            next_obs: what was seen then, (...); at an end, the true last observation.
        """
        if not self.learning or not 0 <= action < self.num_actions:
            self._present = self._looked = None
            return
        obs, next_obs = (np.array(one, self.space.dtype) for one in (obs, next_obs))
        if self._present is None or not np.array_equal(self._present, obs):  # a new episode, or a gap in this one
            self.agent.experience.reset(obs[None], ONE if self.age else None)
        step = Step(
            next_obs[None],
            np.array([reward]),
            np.array([terminated]),
            np.array([life_lost]),
            np.array([terminated or truncated]),
            [],
        )
        try:
            self.agent.transition(self._look(obs), np.array([action]), lambda: step)
        except NonFiniteError as error:
            self._stop(error)
            return
        self._present = None if terminated or truncated else next_obs
        self._looked = None

    def _updated(self, update: Update) -> None:
        """Take in what an update reports; raise `NonFiniteError` where it or the weights are not finite."""
        loss, priority, number = update.loss.item(), update.priority.mean().item(), self.updates
        self.weights_version += 1
        if not math.isfinite(loss):
            raise NonFiniteError(f"the loss became {loss} at update {number:,}")
        if number % SNAPSHOT_EVERY == 0:
            if not self._finite:
                raise NonFiniteError(f"the weights became infinite at update {number:,}")
            self._snapshot = copy.deepcopy(self.network.state_dict())
        share = 1 / min(number, SMOOTHED)
        self.loss = loss if self.loss is None else self.loss + share * (loss - self.loss)
        self.td_error = priority if self.td_error is None else self.td_error + share * (priority - self.td_error)
        self.trouble = ""

    def _stop(self, error: NonFiniteError) -> None:
        """Stop learning and restore the last finite weights, at most `SNAPSHOT_EVERY` updates old."""
        self._become(self._snapshot)
        self.learning = False
        self.trouble = f"{error}: learning stopped; a smaller learning rate usually helps"

    @property
    def _finite(self) -> bool:
        return all(bool(parameter.isfinite().all()) for parameter in self.learner.parameters)

    # ------------------------------------------------------------------ other weights

    def reinitialise(self) -> None:
        """Draw fresh weights, others each time, and forget everything; what a person requested stays."""
        self.seed += 1
        generator = torch_generator(self.seed, "network")
        self._start(self.recipe.network(self.space, self.num_actions, self.config, generator).state_dict(), 0)

    def load(self, folder: Path) -> None:
        """Go on with the weights of another agent of the same recipe, from its folder, and forget everything.

        Raises:
            UserError: no agent is there, or a damaged one, or another recipe's or another network's.
        """
        recipe, _, saved, trained = saved_agent(folder)
        if recipe.name != self.recipe.name:
            raise UserError(f"{folder}: its agent is a {recipe.name}, and this one is a {self.recipe.name}")
        weights = saved.network.state_dict()
        self._check(weights, f"{folder}: its weights")
        self._start(weights, trained)

    def save(self, folder: Path) -> None:
        """Write an agent's folder, which ``play.py`` and `of_agent` open; `UserError` where that can't be done."""
        assert self.env_id is not None
        if not self._finite:  # the next update would find out
            raise UserError(f"{folder}: not written, the weights are no longer numbers")
        try:
            save_agent(folder, self.learner, self.env_id, self.space, self.trained + self.age)
        except OSError as error:
            raise UserError(f"{folder}: can't be written ({error.strerror})") from None

    def save_run(self, runs_dir: Path) -> Path:
        """Write it as a run of its own, never evaluated, and return that run's folder; `UserError` likewise."""
        assert self.env_id is not None
        about = {
            "preset": "window",
            "config": as_json(self.config),
            "protocol": self.protocol,
            **provenance("cpu", torch.get_num_threads()),
        }
        run = RunFolder.create(runs_dir, self.env_id, self.recipe.name, self.seed, about)
        self.save(run.agent)
        return run.path
