"""What the network says about the moment looked at, asked for once and only by who shows it. No pygame here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from viewer.inspecting.explain import Explanation, explain
from viewer.inspecting.inputs import Inputs, inputs_of
from viewer.playing.timeline import Moment

if TYPE_CHECKING:  # a person plays without torch
    from learning.insight import Insight, Neuron
    from viewer.playing.session import Session

Array = NDArray[np.float64]
T = TypeVar("T")
REST_SECONDS = 0.1  # of play between two explanations while time runs: nobody reads faster


class Inspector:
    """Looks through the network's eyes at the moment that the timeline's cursor stands at.

    While time runs an explanation, and what mattered for it, stay for a tenth of a second, though the moment may be
    another by then; in a pause they are always of the moment looked at. Everything else always is.

    Attributes:
        neuron: the one that the person picked; None: none yet.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.neuron: Neuron | None = None
        self._answers: dict[Hashable, tuple[Hashable, float, Any]] = {}

    @property
    def moment(self) -> Moment:
        """Return the moment looked at."""
        return self.session.timeline.current

    @property
    def step(self) -> int | None:
        """Return the number of the moment whose step is explained: the one looked at, of the present the last done.

        None: nothing was done yet.
        """
        timeline = self.session.timeline
        for number in (timeline.cursor, timeline.cursor - 1):
            if number >= timeline.first and timeline[number].action is not None:
                return number
        return None

    def insight(self) -> Insight | None:
        """Return all that the network says about the moment; None without a network that can be read."""
        return self._ask("insight", self._insight, 0.0)

    def saliency(self) -> Array | None:
        """Return how much each input of the moment matters for the best action, as `Reader.saliency` does; or None."""
        return self._ask("saliency", self._saliency)

    def explanation(self) -> Explanation | None:
        """Return the explanation of `step`; None before the first step, and for players that expect nothing."""
        return self._ask("explanation", self._explain)

    def inputs(self) -> Inputs | None:
        """Return what the entries of the observation are; None for frames."""
        if "inputs" not in self._answers:
            self._answers["inputs"] = ("", 0.0, inputs_of(self.session.env))
        found: Inputs | None = self._answers["inputs"][2]
        return found

    def q_values(self) -> Array | None:
        """Return what the network says now of the moment looked at, (A,); None without expectations."""
        if self.session.timeline.live:
            return self.session.q_values()
        said = self.insight()
        return self.moment.q_values if said is None else said.q_values

    def _clock(self) -> float:
        """Return how much play has been seen, seconds, so that a film is the same however fast it is made."""
        session = self.session
        if math.isinf(session.speed):
            return time.perf_counter()
        return session.total_steps * session.tick_seconds / session.speed

    def _ask(self, what: str, make: Callable[[], T], rest: float = REST_SECONDS) -> T:
        """Return the kept answer while it is good, else a new one."""
        session, now = self.session, self._clock()
        key = (session.timeline.cursor, session.timeline.last, session.knowledge, session.policy)
        kept = self._answers.get(what)
        if kept is not None:
            runs = session.timeline.live and not session.paused and not session.finished
            if kept[0] == key or (runs and kept[0][3] is session.policy and 0 <= now - kept[1] < rest):  # type: ignore[index]
                return kept[2]  # type: ignore[no-any-return]
        answer = make()
        self._answers[what] = (key, now, answer)
        return answer

    def _insight(self) -> Insight | None:
        reader = self.session.reader
        return None if reader is None else reader.insight(self.moment.obs)

    def _saliency(self) -> Array | None:
        reader, said = self.session.reader, self.insight()
        if reader is None or said is None or not np.isfinite(said.q_values).all():
            return None
        return reader.saliency(self.moment.obs, int(said.q_values.argmax()))

    def _explain(self) -> Explanation | None:
        session, number = self.session, self.step
        if number is None or session.training is None or session.policy is None:
            return None
        if session.q_values() is None:
            return None
        online: Any = session.policy.q_values
        return explain(session.timeline, number, session.training, online, session.target_q)
