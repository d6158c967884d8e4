"""One environment in play: who acts, how fast, and the score. No pygame here."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import gymnasium
import numpy as np
from numpy.typing import NDArray

import envs
from common.errors import UserError
from common.text import number_of
from viewer.playing.axis import Axis
from viewer.playing.calibration import meter_for
from viewer.playing.clock import PlaybackClock, longest_episode, next_speed, tick_seconds
from viewer.playing.stall_detector import StallDetector
from viewer.playing.timeline import Score as Score
from viewer.playing.timeline import Step, Timeline

if TYPE_CHECKING:  # a human plays without torch
    from learning.insight import Reader
    from learning.policy import Policy, Training

AGENT, HUMAN = "agent", "human"
HISTORY = 10_000  # steps kept; a Waterworld episode has 1000


@runtime_checkable
class LearningPolicy(Protocol):
    """A policy that learns from the transitions of the session."""

    def on_reset(self, obs: NDArray[Any]) -> None:
        """Receive the first observation of an episode, (...), or the first one after a gap in it."""
        ...

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
        """Receive a transition, whoever acted."""
        ...


class Session:
    """Steps one environment with a policy, a human player, or both in turn.

    Episode k starts with seed ``seed + k``, always explicitly. ``version`` grows with every change
    of the environment, so that drawing knows whether something is new. Every step is added to ``timeline``,
    and to the truth meter ``truth`` if the policy's discount is known (else that is None). A policy that learns
    (`LearningPolicy`) receives every transition, whoever acted.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        policy: Policy | None,
        *,
        seed: int = 0,
        epsilon: float = 0.0,
        speed: float = 1.0,
        action_names: Sequence[str] | None = None,
        auto_next: bool = True,
    ) -> None:
        """Start the first episode of ``env``.

        Raises:
            UserError: the policy does not fit the environment's observations or actions.
        """
        self.env = env
        self.seed, self.epsilon = seed, epsilon
        self.num_actions = int(env.action_space.n)  # type: ignore[attr-defined]
        self.action_names = tuple(action_names or (str(action) for action in range(self.num_actions)))
        self.coast: int | None = getattr(env.unwrapped, "coast", None)
        self.tick_seconds = tick_seconds(env)
        self.horizon: int | None = longest_episode(env)
        self.speed = speed
        self.auto_next = auto_next
        self.paused = False
        self.control = HUMAN if policy is None else AGENT
        self.human_action: int | None = None  # what the keys say now; None: no key
        self.results: deque[Score] = deque(maxlen=1000)
        self.total_steps = 0
        self.version = 0
        self._axis = Axis()
        self._stall_detector = StallDetector(self.tick_seconds)
        self._is_world = all(hasattr(env.unwrapped, name) for name in ("get_state", "eyes", "walls"))
        self._playback_clock = PlaybackClock()
        self.timeline = Timeline.for_ticks(self.tick_seconds)
        self._set_policy(policy)
        self._begin(0)
        if policy is not None:
            self._check(policy)

    def _set_policy(self, policy: Policy | None) -> None:
        self.policy = policy
        self.online_learner = policy if isinstance(policy, LearningPolicy) else None
        self.training: Training | None = getattr(policy, "training", None)
        self.truth = meter_for(self.training)

    def change_policy(self, policy: Policy) -> None:
        """Continue the episode with another policy.

        Raises:
            UserError: it does not fit; the old one stays.
        """
        before = self.policy
        self._end_measurements()
        self._set_policy(policy)
        self._q_known = self._q_shown = False
        try:
            self._check(policy)
        except UserError:
            self._set_policy(before)
            self._q_known = self._q_shown = False
            raise
        self._axis = Axis()
        if self.online_learner is not None:
            self.online_learner.on_reset(self.obs)
        if self.control == AGENT:
            self.human_action = None

    def _begin(self, episode: int) -> None:
        self.score = Score(episode, self.seed + episode)
        self.history: deque[Step] = deque(maxlen=HISTORY)
        self.rng = np.random.default_rng([self.score.seed, 1])  # of the policy's exploration only
        obs, info = self.env.reset(seed=self.score.seed)
        if "apples" in info and "poison" in info:
            self.score.apples = self.score.poison = 0
        self.score.read_info(info)
        self._stall_detector.clear()
        self._playback_clock.begin()
        self._last_human_action = 0
        self.timeline.begin()
        self._observe(obs)
        if self.online_learner is not None:
            self.online_learner.on_reset(self.obs)

    def _observe(self, obs: Any) -> None:
        self.obs = np.asarray(obs)
        world: Any = self.env.unwrapped
        state = world.get_state() if self._is_world else None
        self.timeline.arrive(self.obs, self.score.episode, self.score.steps, state=state, lives=self.score.lives)
        self._q: NDArray[np.float64] | None = None
        self._q_known = self._q_shown = False
        self._q_version = 0
        self._picture: NDArray[np.uint8] | None = None
        self.version += 1

    def _check(self, policy: Policy) -> None:
        shape = "x".join(map(str, self.obs.shape)) or "1"
        here = self.env.spec.id if self.env.spec else getattr(self.env.unwrapped, "env_id", "this environment")
        mismatch = UserError(
            f"the agent '{policy.name}' (made for {policy.env_id or 'any environment'}) does not fit {here}:"
            f" {shape} observations, {number_of(self.num_actions, 'action')}"
        )
        try:
            action = int(policy.act(self.obs[None], 0.0, np.random.default_rng(0))[0])
            q_values = self.q_values()
        except (ValueError, IndexError, RuntimeError, TypeError):  # what numpy and torch raise for wrong sizes
            raise mismatch from None
        if not 0 <= action < self.num_actions or (q_values is not None and len(q_values) != self.num_actions):
            raise mismatch

    # the present state

    def q_values(self) -> NDArray[np.float64] | None:
        """Return the expected discounted return of each action here, (A,); None when the policy has none."""
        q = self._current_q()
        if q is not None and not self._q_shown:
            self._q_shown = True
            self._axis.widen(q)
        return q

    def _current_q(self) -> NDArray[np.float64] | None:
        """Return the same without widening the bars' axis."""
        if not self._q_known or self._q_version != self.weights_version:
            q = None if self.policy is None else self.policy.q_values(self.obs[None])
            self._q = None if q is None else np.asarray(q, np.float64)[0]
            self._q_known, self._q_version = True, self.weights_version
        return self._q

    @property
    def weights_version(self) -> int:
        """Return a number that changes when the network does."""
        return getattr(self.policy, "weights_version", 0)

    @property
    def target_q(self) -> Callable[[NDArray[Any]], NDArray[np.float64]] | None:
        """Return the target network's Q function; None where there is one network only."""
        return getattr(self.policy, "target_q", None)

    @property
    def reader(self) -> Reader | None:
        """Return the reader of the policy's network; None for scripts, random policies and human players."""
        if self.policy is None:
            return None
        from learning.insight import reader_of  # here: a human plays without torch

        return reader_of(self.policy)

    def q_axis(self) -> tuple[float, float]:
        """Return the range (low <= 0 <= high) of the Q values shown lately."""
        return self._axis.range

    def best_action(self) -> int | None:
        """Return the action with the highest expected return; None without Q values."""
        q = self.q_values()
        return None if q is None or np.isnan(q).all() else int(np.nanargmax(q))

    def picture(self) -> NDArray[np.uint8] | None:
        """Return the environment's rendered picture, (H, W, 3) uint8; None when it renders none."""
        if self._picture is None and self.env.render_mode == "rgb_array":
            self._picture = self.env.render()  # type: ignore[assignment]
            if self._picture is None:
                return None
            self.timeline.add_picture(self._picture)
        return self._picture

    def stack(self) -> NDArray[np.uint8] | None:
        """Return the stacked frames of the observation, oldest first, (F, H, W); None where it is a vector."""
        return self.frames_of(self.obs) if self.obs.ndim == 3 and self.obs.dtype == np.uint8 else None

    def frames_of(self, obs: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the frames of an observation (F * C, H, W), grey, (F, H, W)."""
        colours = envs.colours(self.env)
        if colours == 1:
            return obs
        grey: NDArray[np.uint8] = obs.reshape(-1, colours, *obs.shape[1:]).mean(1).astype(np.uint8)
        return grey

    @property
    def stalled(self) -> bool:
        """Return whether nothing has happened for so long that the game seems to have stalled."""
        return self._stall_detector.stalled and not self.finished

    @property
    def finished(self) -> bool:
        """Return whether the episode has ended and the next one has not started."""
        return self.score.finished

    @property
    def rested(self) -> bool:
        """Return whether the finished episode has been on screen for long enough."""
        return self.finished and self._playback_clock.rested

    # control

    def take_over(self) -> None:
        """Give control to the human player."""
        self.control = HUMAN

    def hand_back(self) -> None:
        """Give control to the agent, if there is one."""
        if self.policy is not None:
            self.control = AGENT
            self.human_action = None

    def change_speed(self, by: int) -> None:
        """Change the speed by ``by`` places in `clock.SPEEDS`."""
        self.speed = next_speed(self.speed, by)

    def restart(self) -> None:
        """Restart the running episode, with its own seed."""
        self._end_measurements()
        self._begin(self.score.episode)

    def next_episode(self) -> None:
        """Start the next episode, with the next seed."""
        self._end_measurements()
        self._begin(self.score.episode + 1)

    def _end_measurements(self) -> None:
        """Close the truth meter's open measurements: no more rewards follow in this episode."""
        if self.truth is not None and not self.finished:
            self.truth.end(self._current_q())

    def human_choice(self) -> int:
        """Return the human's action: that of the keys; without a key coasting, or else the last action again."""
        if self.human_action is not None:
            return self.human_action
        return self._last_human_action if self.coast is None else self.coast

    def step(self) -> None:
        """Advance by one step; after a finished episode, start the next one instead."""
        if self.finished:
            self.next_episode()
            return
        by_human, q = self.control == HUMAN, self._current_q()
        if by_human:
            action = self.human_choice()
            self._last_human_action = max(action, 0)
        else:
            action = self._agent_choice(q)
        before = self.obs
        obs, reward, terminated, truncated, info = self.env.step(action)
        greedy = not by_human and q is not None and not (q > q[action]).any()
        moment = self.timeline.act(
            action,
            float(reward),
            q_values=q,
            by_human=by_human,
            greedy=greedy,
            terminated=bool(terminated),
            truncated=bool(truncated),
            life_lost=bool(info.get("life_lost", False)),
        )
        self.history.append(Step(action, float(reward), by_human))
        self.score.count(float(reward), by_human, info)
        self.total_steps += 1
        self._observe(obs)
        if self.online_learner is not None and action >= 0:
            self.online_learner.on_step(
                before, action, float(reward), bool(terminated), bool(truncated), moment.life_lost, self.obs
            )
        elif self.online_learner is not None:
            self.online_learner.on_reset(self.obs)  # "no key" is not an action of the agent
        self._stall_detector.add(self.obs, float(reward))
        if self.truth is not None:
            self.truth.add(moment)
        if terminated or truncated:
            self._end_measurements()
            self.score.finished = True
            self.results.append(self.score)

    def _agent_choice(self, q: NDArray[np.float64] | None) -> int:
        """Return the policy's action; one with ``choose`` uses the Q values that are known already."""
        assert self.policy is not None
        choose = getattr(self.policy, "choose", None)
        if choose is not None and q is not None:
            return int(choose(q[None], self.epsilon, self.rng)[0])
        return int(self.policy.act(self.obs[None], self.epsilon, self.rng)[0])

    def advance(
        self,
        seconds: float,
        *,
        limit: int | None = None,
        budget: float = math.inf,
        clock: Callable[[], float] = time.perf_counter,
    ) -> int:
        """Advance by ``seconds`` of real time at the present speed, as `PlaybackClock.advance` does."""
        return self._playback_clock.advance(self, seconds, limit, budget, clock)
