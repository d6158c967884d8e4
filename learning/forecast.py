"""How long a run will take: its training at the pace of late, and the evaluations that are still to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from learning.evaluate import Progress

LEAST_EPISODES = 5  # of an evaluation on the way
SHARE_ON_THE_WAY = 0.1  # of the run's time, for all evaluations but the final one
MEMORY = 0.05  # of the run: after so many steps an old pace counts half as much
UNKNOWN_LENGTH = 2_000  # agent steps of an episode that ends of itself, until one was seen: a good game of Pong's
LONGEST_TYPICAL = 5_000  # agent steps; a limit above is for emergencies, as 27,000 in Atari games


@dataclass(frozen=True)
class Evaluations:
    """When a run is evaluated, and over how many episodes."""

    total: int
    """Agent steps of the run."""
    count: int = 10
    """Evaluations, the final one included; those on the way come at equal distances."""
    episodes: int = 100
    """Episodes of the final one."""
    interim_episodes: int = 20
    """Episodes of one on the way."""

    def ahead(self, agent_steps: int) -> list[int]:
        """Return the episodes of each evaluation to come."""
        on_the_way = sum(k * self.total / self.count > agent_steps for k in range(1, self.count))
        return [self.interim_episodes] * on_the_way + [self.episodes]

    def fitted(self, training: float, episode: float) -> Evaluations:
        """Return as many of those on the way as fit into a tenth of the run: fewer episodes, then fewer evaluations.

        Args:
            training: seconds without evaluations.
            episode: seconds of an episode of evaluation.
        """
        room = SHARE_ON_THE_WAY / (1 - SHARE_ON_THE_WAY) * (training + self.episodes * episode) / max(episode, 1e-9)
        least = min(LEAST_EPISODES, self.interim_episodes)
        count = min(self.count, 1 + int(room / least))
        episodes = min(self.interim_episodes, int(room / max(count - 1, 1)))
        return replace(self, count=count, interim_episodes=max(episodes, least))


def typical_length(limit: int | None, seen: Sequence[int] = ()) -> float:
    """Return how long an episode will be, agent steps: as those seen, else its limit where that is usually reached."""
    if seen:
        return sum(seen) / len(seen)
    return limit if limit is not None and limit <= LONGEST_TYPICAL else UNKNOWN_LENGTH


class Forecast:
    """The time left, from what was measured before the start and is measured on the way."""

    def __init__(
        self,
        evaluations: Evaluations,
        steps_per_second: float | None = None,
        episode_seconds: float | None = None,
        period: int = 1,
    ) -> None:
        """Begin with what was measured before the start; None: nothing was.

        Args:
            evaluations: when, and how many.
            steps_per_second: agent steps, of training.
            episode_seconds: of an evaluation.
            period: agent steps from one phase of learning to the next: a pace is measured over several.
        """
        self.evaluations, self.episode_seconds = evaluations, episode_seconds
        self._memory = max(MEMORY * evaluations.total, 4.0 * period)
        self._steps, self._seconds = 0.0, 0.0
        if steps_per_second:
            self.trained(self._memory / 2, self._memory / 2 / steps_per_second)

    def trained(self, steps: float, seconds: float) -> None:
        """Take note of how long so many agent steps of training took."""
        fade = 0.5 ** (steps / self._memory)
        self._steps, self._seconds = fade * self._steps + steps, fade * self._seconds + seconds

    def evaluated(self, episodes: int, seconds: float) -> None:
        """Take note of how long an evaluation took."""
        self.episode_seconds = seconds / episodes

    def left(self, agent_steps: int) -> float | None:
        """Return the seconds left at this agent step, evaluations included; None while that is unknown."""
        if not self._seconds:
            return None
        training = max(self.evaluations.total - agent_steps, 0) * self._seconds / self._steps
        return training + sum(self.evaluations.ahead(agent_steps)) * (self.episode_seconds or 0.0)

    def evaluation_left(self, progress: Progress, seconds: float) -> float:
        """Return the seconds left of the evaluation in progress, which has taken so many."""
        to_come = progress.episodes - progress.finished
        if progress.finished >= LEAST_EPISODES:  # those that run are taken to be half as long as the finished ones yet
            length = progress.finished_steps / progress.finished
            rest = max(to_come * length - (progress.steps - progress.finished_steps), to_come * length / 10)
            return seconds * rest / max(progress.steps, 1)
        known = (self.episode_seconds or 0.0) * progress.episodes
        left = max(known - seconds, known / 10, seconds - known)  # late: as late again
        most = max(progress.most_steps - progress.steps, 0) / max(progress.steps, 1)  # until all are cut
        return min(left, seconds * most) if progress.most_steps and progress.steps else left
