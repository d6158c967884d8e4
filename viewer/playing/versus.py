"""A person against the agent: two worlds of the same seed, moved by one clock. No pygame here."""

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


class Pair(NamedTuple):
    """What the same episode has brought to both."""

    agent: Score
    human: Score

    @property
    def lead(self) -> float:
        """Return by how much the person's return is above the agent's."""
        return self.human.episode_return - self.agent.episode_return


class Versus:
    """Steps the agent's session and the person's in lockstep.

    Tick k of both is made together, so that nothing but what is done tells the two worlds apart. Episodes
    begin together; whoever is done first waits, and the next one begins when both are done.

    Attributes:
        agent, human: the two sessions; give the keys to ``human.human_action``. Stepping, pausing and
            changing speed goes through this object, which does it to both.
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
        """Begin the first episode in two environments from ``make``, which has to give the same kind each time.

        Raises:
            UserError: the policy does not fit the environment.
            ValueError: ``make`` gave one environment twice.
        """
        envs = make(), make()
        if envs[0] is envs[1]:
            raise ValueError("both were given the same environment; make() has to return a new one each time")
        self.agent = Session(envs[0], policy, seed=seed, epsilon=epsilon, action_names=action_names, auto_next=False)
        # without a policy: here nobody hands the person's world over
        self.human = Session(envs[1], None, seed=seed, action_names=action_names, auto_next=False)
        self.auto_next = auto_next
        self.results: deque[Pair] = deque(maxlen=1000)
        self.total_steps = 0
        self.speed = speed
        self.tick_seconds = self.human.tick_seconds
        self._playback_clock = PlaybackClock()

    @property
    def both(self) -> tuple[Session, Session]:
        """Return the agent's session and the person's."""
        return self.agent, self.human

    @property
    def scores(self) -> Pair:
        """Return what the running episode has brought so far."""
        return Pair(self.agent.score, self.human.score)

    @property
    def finished(self) -> bool:
        """Return whether both have ended the episode and the next one has not begun."""
        return self.agent.finished and self.human.finished

    @property
    def rested(self) -> bool:
        """Return whether the finished episode has been in sight for long enough."""
        return self.finished and self._playback_clock.rested

    @property
    def paused(self) -> bool:
        """Return whether both stand still."""
        return self.human.paused

    @paused.setter
    def paused(self, paused: bool) -> None:
        for session in self.both:
            session.paused = paused

    @property
    def speed(self) -> float:
        """Return how fast both are played; 1 is normal."""
        return self.human.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        for session in self.both:
            session.speed = speed

    def change_speed(self, by: int) -> None:
        """Move ``by`` places along the speeds."""
        self.human.change_speed(by)
        self.speed = self.human.speed

    def restart(self) -> None:
        """Begin the running episode again, from its own seed."""
        for session in self.both:
            session.restart()
        self._playback_clock.begin()

    def next_episode(self) -> None:
        """Begin the next episode, with the next seed, though one or both may still play this one."""
        for session in self.both:
            session.next_episode()
        self._playback_clock.begin()

    def step(self) -> None:
        """Make one tick in each world whose episode still runs; if none does, the next episode begins."""
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
        """Let ``seconds`` of real time pass for both, as `PlaybackClock.advance` does."""
        return self._playback_clock.advance(self, seconds, limit, budget, clock)

    def close(self) -> None:
        """Close both environments."""
        for session in self.both:
            session.env.close()
