"""A human against the agent: two environments with the same seed, advanced by one clock. No pygame here."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import gymnasium

from viewer.playing.clock import PlaybackClock
from viewer.playing.session import Score, Session

if TYPE_CHECKING:
    from learning.policy import Policy


class ScorePair(NamedTuple):
    """The scores of both in the same episode."""

    agent: Score
    human: Score

    @property
    def lead(self) -> float:
        """Return the human's return minus the agent's."""
        return self.human.episode_return - self.agent.episode_return


class Versus:
    """Steps the agent's session and the human's in lockstep.

    Step k is made in both at once, so that the two environments differ only by the actions. Episodes start
    together; the session that finishes first waits, and the next episode starts when both have finished.

    Attributes:
        agent, human: the two sessions; the keys go to ``human.human_action``. Step, pause and change the
            speed through this object, which does it in both.
        results: the episodes that both have finished.
    """

    def __init__(
        self,
        make: Callable[[], gymnasium.Env[Any, Any]],
        policy: Policy,
        *,
        seed: int = 0,
        epsilon: float = 0.0,
        speed: float = 1.0,
        action_names: Sequence[str] | None = None,
        auto_next: bool = True,
    ) -> None:
        """Start the first episode in two environments from ``make``, which has to return the same kind each time.

        Raises:
            UserError: the policy does not fit the environment.
            ValueError: ``make`` returned the same object twice.
        """
        envs = make(), make()
        if envs[0] is envs[1]:
            raise ValueError("both got the same environment; make() has to return a new one each time")
        self.agent = Session(envs[0], policy, seed=seed, epsilon=epsilon, action_names=action_names, auto_next=False)
        # without a policy: control of the human's environment never changes
        self.human = Session(envs[1], None, seed=seed, action_names=action_names, auto_next=False)
        self.auto_next = auto_next
        self.results: deque[ScorePair] = deque(maxlen=1000)
        self.total_steps = 0
        self.speed = speed
        self.tick_seconds = self.human.tick_seconds
        self._playback_clock = PlaybackClock()

    @property
    def both(self) -> tuple[Session, Session]:
        """Return the agent's session and the human's."""
        return self.agent, self.human

    @property
    def scores(self) -> ScorePair:
        """Return both scores in the running episode so far."""
        return ScorePair(self.agent.score, self.human.score)

    @property
    def finished(self) -> bool:
        """Return whether both have finished the episode and the next one has not started."""
        return self.agent.finished and self.human.finished

    @property
    def rested(self) -> bool:
        """Return whether the finished episode has been on screen for long enough."""
        return self.finished and self._playback_clock.rested

    @property
    def paused(self) -> bool:
        """Return whether both are paused."""
        return self.human.paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        for session in self.both:
            session.paused = paused

    @property
    def speed(self) -> float:
        """Return the speed of both; 1 is normal."""
        return self.human.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        for session in self.both:
            session.speed = speed

    def change_speed(self, by: int) -> None:
        """Change the speed by ``by`` places in `clock.SPEEDS`."""
        self.human.change_speed(by)
        self.speed = self.human.speed

    def restart(self) -> None:
        """Restart the running episode, with its own seed."""
        for session in self.both:
            session.restart()
        self._playback_clock.begin()

    def next_episode(self) -> None:
        """Start the next episode, with the next seed, even if this one has not finished."""
        for session in self.both:
            session.next_episode()
        self._playback_clock.begin()

    def step(self) -> None:
        """Make one step in each session whose episode is not over; if both are, start the next episode."""
        if self.finished:
            self.next_episode()
            return
        for session in self.both:
            if not session.finished:
                session.step()
        self.total_steps += 1
        if self.finished:
            self.results.append(self.scores)

    def advance(
        self,
        seconds: float,
        *,
        limit: int | None = None,
        budget: float = math.inf,
        clock: Callable[[], float] = time.perf_counter,
    ) -> int:
        """Advance both by ``seconds`` of real time, as `PlaybackClock.advance` does."""
        return self._playback_clock.advance(self, seconds, limit, budget, clock)

    def close(self) -> None:
        """Close both environments."""
        for session in self.both:
            session.env.close()
