"""The network's outputs for the moment at the cursor, computed once, and only if a panel shows them. No pygame here."""

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

if TYPE_CHECKING:  # a human plays without torch
    from learning.insight import Insight, Neuron
    from viewer.playing.session import Session

Array = NDArray[np.float64]
T = TypeVar("T")
REFRESH_SECONDS = 0.1  # of play between two explanations while time runs: nobody reads faster


class Inspector:
    """Returns what the network computes for the moment at the timeline's cursor.

    While time runs, an explanation and its saliency stay for a tenth of a second, although the cursor may have moved on
    by then; in a pause they are always those of the moment at the cursor. Everything else always is.

    Attributes:
        neuron: the one that the user selected; None: none yet.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.neuron: Neuron | None = None
        self._cache: dict[Hashable, tuple[Hashable, float, Any]] = {}

    @property
    def moment(self) -> Moment:
        """Return the moment at the cursor."""
        return self.session.timeline.current

    @property
    def step(self) -> int | None:
        """Return the number of the moment whose step is explained: that at the cursor; at the present the one before.

        None: no action has been taken yet.
        """
        timeline = self.session.timeline
        for number in (timeline.cursor, timeline.cursor - 1):
            if number >= timeline.first and timeline[number].action is not None:
                return number
        return None

    def insight(self) -> Insight | None:
        """Return all outputs and activations of the network for the moment; None without a readable network."""
        return self._cached("insight", self._insight, 0.0)

    def saliency(self) -> Array | None:
        """Return how much each input of the moment matters for the best action, as `Reader.saliency` does; or None."""
        return self._cached("saliency", self._saliency)

    def explanation(self) -> Explanation | None:
        """Return the explanation of `step`; None before the first step, and for players without Q values."""
        return self._cached("explanation", self._explain)

    def inputs(self) -> Inputs | None:
        """Return the entries of the observation; None for frames."""
        if "inputs" not in self._cache:
            self._cache["inputs"] = ("", 0.0, inputs_of(self.session.env))
        inputs: Inputs | None = self._cache["inputs"][2]
        return inputs

    def q_values(self) -> Array | None:
        """Return the network's present Q values of the moment at the cursor, (A,); None without Q values."""
        if self.session.timeline.live:
            return self.session.q_values()
        insight = self.insight()
        return self.moment.q_values if insight is None else insight.q_values

    def _clock(self) -> float:
        """Return the play time so far, seconds, so that a film is the same however fast it is made."""
        session = self.session
        if math.isinf(session.speed):
            return time.perf_counter()
        return session.total_steps * session.tick_seconds / session.speed

    def _cached(self, name: str, make: Callable[[], T], max_age: float = REFRESH_SECONDS) -> T:
        """Return the cached result while it is valid, else a new one."""
        session, now = self.session, self._clock()
        key = (session.timeline.cursor, session.timeline.last, session.weights_version, session.policy)
        cached = self._cache.get(name)
        if cached is not None:
            runs = session.timeline.live and not session.paused and not session.finished
            if cached[0] == key or (runs and cached[0][3] is session.policy and 0 <= now - cached[1] < max_age):  # type: ignore[index]
                return cached[2]  # type: ignore[no-any-return]
        result = make()
        self._cache[name] = (key, now, result)
        return result

    def _insight(self) -> Insight | None:
        reader = self.session.reader
        return None if reader is None else reader.insight(self.moment.obs)

    def _saliency(self) -> Array | None:
        reader, insight = self.session.reader, self.insight()
        if reader is None or insight is None or not np.isfinite(insight.q_values.max()):
            return None
        return reader.saliency(self.moment.obs, int(insight.q_values.argmax()))

    def _explain(self) -> Explanation | None:
        session, number = self.session, self.step
        if number is None or session.training is None or session.policy is None:
            return None
        if session.q_values() is None:
            return None
        online: Any = session.policy.q_values
        return explain(session.timeline, number, session.training, online, session.target_q)
