"""An agent that learns online inside the window, from its own actions and the user's. No pygame here."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
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
from learning.config import LearnerConfig, numpy_generator, torch_generator, torch_seed
from learning.episodes import Step
from learning.fused import make_learner
from learning.insight import NetworkReader
from learning.learner import Agent, Learner, Update
from learning.ranges import measured
from learning.recipe import Experience, Recipe
from learning.replay import ReplayExperience
from learning.runfolder import RunFolder, as_json, provenance
from viewer.learning.config import load_saved_agent, single_env_config, spaces_of

AVERAGED_UPDATES = 100  # over which loss and TD error are averaged for display
SNAPSHOT_EVERY = 50  # updates between two copies of weights that are still finite
RESET_MASK = np.ones(1, np.bool_)  # of the one environment


class NonFiniteError(Exception):
    """A loss or the weights became NaN or infinite."""


class OnlineLearner:
    """A policy that learns from the transitions in the window, by any agent's recipe.

    It is a `Policy`. The window passes every transition to `on_step`, whoever acted, and the start of every episode
    to `on_reset`; the user sets ``learning``, ``epsilon`` and ``learning_rate``. While ``learning`` is off nothing is
    stored or updated, and it acts like any trained network. While it is on, it explores as in training, by the recipe's
    own noise and ``epsilon``, and each step makes the updates that are due: a transition is processed exactly as by the
    trainer, bit for bit. No return spans a gap: an interrupted episode, steps made with learning off, or a user's "no
    key", which is not an action of the network. A gap is treated as a truncation.

    The settings are made for a single environment by `single_env_config`. Schedules continue from ``prior_steps``: an
    agent that was loaded resumes where its training ended, and does not start again with random actions.
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
        prior_steps: int = 0,
    ) -> None:
        """Start with ``weights`` trained for ``prior_steps`` agent steps, or with random ones.

        Raises:
            UserError: the weights do not fit the network.
        """
        self.recipe, self.config, self.seed = recipe, single_env_config(recipe, config, space), seed
        self.space, self.num_actions = space, num_actions
        self.learning = False
        self.weights_version = 0  # grows with each change of the network
        self.learner: Learner = make_learner(recipe, self.config, space, num_actions, seed)
        self.network = self.learner.online  # always the same object, so that its readers stay valid
        self._player = self.learner.policy(env_id)
        self.name: str = self._player.name
        self.env_id: str | None = env_id
        self.default_epsilon, self.protocol = self._player.default_epsilon, self._player.protocol
        self.env_options, self.training = self._player.env_options, self._player.training
        self._life_loss_cuts = envs.protocol(env_id, config.protocol).life_loss_cuts
        # of epsilon and learning rate, by the user; they stay when the weights are replaced
        self._overrides: dict[str, float] = {}
        self._initial_optimizer = copy.deepcopy(self.learner.optimizer.state_dict()["state"])
        if weights is not None:
            self._check(weights, "the weights")
        self._start(self.network.state_dict() if weights is None else weights, prior_steps)

    @classmethod
    def of_agent(cls, folder: Path, *, seed: int = 0) -> OnlineLearner:
        """Return a learner that continues from the agent in a run folder or an ``agent/`` folder.

        Raises:
            UserError: there is no agent, it is damaged, or it can't be trained further (Karpathy's files).
        """
        recipe, config, saved, steps = load_saved_agent(folder)
        assert saved.env_id is not None
        space, num_actions = spaces_of(saved.env_id, config)
        weights = saved.network.state_dict()
        try:
            return cls(recipe, config, saved.env_id, space, num_actions, seed=seed, weights=weights, prior_steps=steps)
        except UserError as error:
            raise UserError(f"{folder}: {error}") from None

    @classmethod
    def fresh(cls, agent: str, env_id: str, *, seed: int = 0, env_kwargs: Sequence[str] = ()) -> OnlineLearner:
        """Return an untrained learner, with the preset that ``train.py`` would use on a CPU; the agent may be "auto".

        ``env_kwargs`` are arguments of the environment, KEY=VALUE.

        Raises:
            UserError: there is no such agent or environment.
        """
        env_id = envs.resolve(env_id)
        chosen, preset = choose(agent, "auto", env_id, "cpu", env_kwargs)
        config = chosen.config(**{**chosen.presets[preset].settings, "env_kwargs": tuple(env_kwargs)})
        config, _ = measured(config, env_id, seed)
        return cls(chosen, config, env_id, *spaces_of(env_id, config), seed=seed)

    def _start(self, weights: Mapping[str, Tensor], prior_steps: int) -> None:
        """Start from these weights with an empty replay, a new optimiser and new counters."""
        self._set_weights(weights)
        self.learner.updates = 0
        self.learner.generator.manual_seed(torch_seed(self.seed, "noise"))
        # whole observations, not a frame each: a stack from the middle of a game can't be rebuilt from single frames
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
        self.agent.steps = self.prior_steps = prior_steps
        # running means over the last hundred updates or so: |TD error| (or the recipe's other priority) and loss
        self.td_error: float | None = None
        self.loss: float | None = None
        self.stop_reason = ""  # why learning stopped by itself, one line
        self._snapshot = copy.deepcopy(self.network.state_dict())
        self._saved_version = self.weights_version

    def _set_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Copy weights into both networks, in place, and reset the optimiser."""
        self.network.load_state_dict(weights)
        self.learner.sync_target()
        self.learner.load_optimizer(self._initial_optimizer)
        self.weights_version += 1
        self._last_obs: NDArray[Any] | None = None  # that the next transition continues from; None: a gap
        # an observation, (...), and its Q values for exploration, (1, A)
        self._exploration_q: tuple[NDArray[Any], NDArray[np.float64]] | None = None

    def _check(self, weights: Mapping[str, Tensor], whose: str) -> None:
        mine = self.network.state_dict()
        if {name: value.shape for name, value in mine.items()} != {name: one.shape for name, one in weights.items()}:
            raise UserError(f"{whose} do not fit this {self.name}: its network has other layers, inputs or actions")

    # ------------------------------------------------------------------ the policy

    def q_values(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the expected discounted return of each action, (B, ...) -> (B, A), without noise."""
        return self._player.q_values(obs)

    @torch.inference_mode()
    def target_q(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the same from the target network; without one, from the network itself."""
        q = self.learner.target(torch.from_numpy(obs)).q_values
        return q.numpy().astype(np.float64)  # type: ignore[no-any-return]

    def act(self, obs: NDArray[Any], epsilon: float, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the actions, (B, ...) -> (B,); while it learns, for one observation, with the training's epsilon."""
        if self.learning and len(obs) == 1:
            return self.agent.act(self._noisy_q(obs[0]), rng)
        return self._player.act(obs, epsilon, rng)

    def reader(self) -> NetworkReader:
        """Return the reader of the network's activations and gradients."""
        return self._player.reader()

    def _noisy_q(self, obs: NDArray[Any]) -> NDArray[np.float64]:
        """Return the Q values for exploration, (1, A): computed once per step, since noise is drawn each time."""
        if self._exploration_q is None or not np.array_equal(self._exploration_q[0], obs):
            self._exploration_q = obs.copy(), self.learner.noisy_q_values(obs[None])
        return self._exploration_q[1]

    # ------------------------------------------------------------------ learning

    @property
    def steps_learnt(self) -> int:
        """Agent steps learnt from in this window, since the weights were drawn or loaded."""
        return self.agent.steps - self.prior_steps

    @property
    def unsaved(self) -> bool:
        """Whether it has learnt something here that was not saved."""
        return self.updates > 0 and self.weights_version != self._saved_version

    @property
    def epsilon(self) -> float:
        """Probability of a random action while it learns."""
        return self.agent.epsilon

    @property
    def learning_rate(self) -> float:
        """The optimiser's step size."""
        return self.agent.learning_rate

    def override(self, name: str, value: float | None) -> None:
        """Set "epsilon" or "learning_rate" in place of its schedule; None: back to the schedule."""
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
        """Observations that the replay can hold; None: the recipe has no replay."""
        return self.agent.experience.replay.slots if isinstance(self.agent.experience, ReplayExperience) else None

    @property
    def replay_size(self) -> int | None:
        """Transitions that the replay holds now; None: the recipe has no replay."""
        if not isinstance(self.agent.experience, ReplayExperience):
            return None
        # its own len() is slow, and the same without stacks
        return int(np.count_nonzero(self.agent.experience.replay.acted))

    def on_reset(self, obs: NDArray[Any]) -> None:
        """Start an episode with observation (...); the previous one may have been interrupted."""
        self._last_obs = self._exploration_q = None  # `on_step` receives the same observation

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
        """Receive one transition, whoever acted, and while ``learning`` make the updates that are due.

        Args:
            obs: the observation before the action, (...).
            action: the action taken; a user's "no key", -1, is not learnt from.
            reward: the environment's own reward.
            terminated: the episode terminated.
            truncated: the episode was truncated, so the value of ``next_obs`` still counts.
            life_lost: a life was lost; the episode continues.
            next_obs: the observation after it, (...); at an episode's end, the true last observation.
        """
        if not self.learning or not 0 <= action < self.num_actions:
            self._last_obs = self._exploration_q = None
            return
        obs, next_obs = (np.array(one, self.space.dtype) for one in (obs, next_obs))
        if self._last_obs is None or not np.array_equal(self._last_obs, obs):  # a new episode, or a gap in this one
            self.agent.experience.reset(obs[None], RESET_MASK if self.steps_learnt else None)
        step = Step(
            next_obs[None],
            np.array([reward]),
            np.array([terminated]),
            np.array([life_lost]),
            np.array([terminated or truncated]),
            [],
        )
        try:
            self.agent.transition(self._noisy_q(obs), np.array([action]), lambda: step)
        except NonFiniteError as error:
            self._stop(error)
            return
        self._last_obs = None if terminated or truncated else next_obs
        self._exploration_q = None

    def _updated(self, update: Update) -> None:
        """Add an update to the statistics; raise `NonFiniteError` where its loss or the weights are not finite."""
        loss, priority, number = float(update.loss), update.priority.mean().item(), self.updates
        self.weights_version += 1
        if not math.isfinite(loss):
            raise NonFiniteError(f"the loss became {loss} at update {number:,}")
        if number % SNAPSHOT_EVERY == 0:
            if not self._finite:
                raise NonFiniteError(f"the weights became infinite or NaN at update {number:,}")
            self._snapshot = copy.deepcopy(self.network.state_dict())
        share = 1 / min(number, AVERAGED_UPDATES)
        self.loss = loss if self.loss is None else self.loss + share * (loss - self.loss)
        self.td_error = priority if self.td_error is None else self.td_error + share * (priority - self.td_error)
        self.stop_reason = ""

    def _stop(self, error: NonFiniteError) -> None:
        """Stop learning and restore the last finite weights, at most `SNAPSHOT_EVERY` updates old."""
        self._set_weights(self._snapshot)
        self.learning = False
        self.stop_reason = f"{error}: learning stopped; a smaller learning rate usually helps"

    @property
    def _finite(self) -> bool:
        return all(bool(parameter.isfinite().all()) for parameter in self.learner.parameters)

    # ------------------------------------------------------------------ other weights

    def reinitialise(self) -> None:
        """Draw new random weights, others each time, and start again; the user's overrides stay."""
        self.seed += 1
        generator = torch_generator(self.seed, "network")
        self._start(self.recipe.network(self.space, self.num_actions, self.config, generator).state_dict(), 0)

    def load(self, folder: Path) -> None:
        """Start again with the weights of another agent of the same recipe, from its folder.

        Raises:
            UserError: there is no agent, it is damaged, or it has another recipe or network.
        """
        recipe, _, saved, steps = load_saved_agent(folder)
        if recipe.name != self.recipe.name:
            raise UserError(f"{folder}: its agent is a {recipe.name}, and this one is a {self.recipe.name}")
        weights = saved.network.state_dict()
        self._check(weights, f"{folder}: its weights")
        self._start(weights, steps)

    def save(self, folder: Path) -> None:
        """Write an agent folder, which ``play.py`` and `of_agent` load; `UserError` where that is not possible."""
        assert self.env_id is not None
        if not self._finite:  # the next update would find out
            raise UserError(f"{folder}: not written, the weights are not finite (NaN or infinite)")
        try:
            save_agent(folder, self.learner, self.env_id, self.space, self.agent.steps)
        except OSError as error:
            raise UserError(f"{folder}: can't be written ({error.strerror})") from None
        self._saved_version = self.weights_version

    def save_run(self, runs_dir: Path) -> Path:
        """Save it as a run of its own, without evaluations, and return the run's folder; `UserError` likewise."""
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
