"""The plan of a run: what is trained, by which rules, and how it is evaluated on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import envs
from learning.config import LearnerConfig
from learning.evaluate import episode_cap, protocol_name
from learning.forecast import Evaluations, Forecast
from learning.policy import env_options, protocol
from learning.recipe import Recipe


@dataclass(frozen=True)
class Plan:
    """What is to be trained, and how it is evaluated on the way."""

    env_id: str
    recipe: Recipe
    config: LearnerConfig
    seed: int
    device: str = "cpu"
    evaluations: int = 10
    """Evaluations of a run, the final one included."""
    eval_episodes: int = 100
    """Episodes of the final evaluation."""
    storage: str | None = None
    """Where the replay's observations lie; None: with the learner."""
    engine: str = "auto"
    """What computes updates; see `learning.fused.make_learner`."""
    interim_episodes: int | None = None
    """Episodes of an evaluation on the way; None: a fifth of the final one's."""
    keep_state: str = "auto"
    """Whether a finished run keeps the state that it is extended from: "yes", "no", or "auto", as `KEPT_BYTES` says."""

    state_every: float = 300.0
    """Seconds between two states that are written while it trains; see `learning.states`."""

    @property
    def protocol(self) -> envs.Protocol:
        """The rules of the episodes."""
        return protocol(self.env_id, self.config)

    @property
    def eval_cap(self) -> int | None:
        """After how many agent steps an episode of evaluation is cut; None: its own limit comes first."""
        return episode_cap(self.env_id, self.env_options(evaluation=True), self.config.eval_max_steps)

    @property
    def eval_protocol(self) -> str:
        """The name of the rules of an evaluation, which its scores carry."""
        return protocol_name(self.protocol.name, self.eval_cap)

    @property
    def schedule(self) -> Evaluations:
        """When is evaluated, and over how many episodes."""
        on_the_way = max(self.eval_episodes // 5, 1) if self.interim_episodes is None else self.interim_episodes
        return Evaluations(self.config.total_timesteps, self.evaluations, self.eval_episodes, on_the_way)

    def forecast(self, steps_per_second: float | None = None, episode_seconds: float | None = None) -> Forecast:
        """Return the forecast of the time left, from what was measured before: training, an episode of evaluation."""
        period = getattr(self.config, "rollout_steps", 1) * self.config.num_envs
        return Forecast(self.schedule, steps_per_second, episode_seconds, period)

    def env_options(self, evaluation: bool = False) -> dict[str, Any]:
        """Return the options of the environments of training or of evaluation."""
        return env_options(self.env_id, self.config, evaluation)
