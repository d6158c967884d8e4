"""What one neuron responds to, searched for a little in each frame of the window. No pygame and no torch here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from gymnasium import spaces

from viewer.inspecting.inspector import Inspector
from viewer.inspecting.neurons import APART, Array, Ascent, Clock, FirstLayer, Search, bounds, first_layer, mean_input
from viewer.playing.timeline import Timeline

if TYPE_CHECKING:  # a human plays without torch
    from learning.insight import Neuron, Reader

SHOWN = 4  # states that excite the neuron most
KEPT = 8  # of the best ones, since the older of them are dropped from the history
ENOUGH = APART  # moments before a search starts: bounds and means need some
SECONDS = 0.002  # of searching per frame, on average
MAX_BATCH = 64  # observations
REPORT_SECONDS = 0.25  # between two updates of the panel
REFRESH = 10.0  # seconds at least between two searches started because the network or the history has changed
FRAMES_STRIDE = 4  # of frames every fourth moment is searched: neighbours look alike, and the networks are slow
NEW_MOMENTS = 32  # searched together: one by one they would cost more
SAMPLE, FRAMES_SAMPLE = 200, 16  # observations that bounds and means are computed from


class Found(NamedTuple):
    """A moment of the history, and how strongly it excites the neuron."""

    number: int
    excitation: float


class TimedSearch(Search):
    """A search whose batches fit the time available, estimated from how long the last observations took."""

    cost = 0.001  # seconds per observation

    def advance(self, seconds: float, clock: Clock = time.perf_counter) -> bool:
        """Search one batch, of at least one observation; return whether the search is done."""
        if self.done:
            return True
        count = min(max(int(seconds / self.cost), 1), MAX_BATCH, len(self.excitations) - self.searched)
        start, chunk = clock(), range(self.searched, self.searched + count)
        obs = np.stack([self.observe(index) for index in chunk])
        self.excitations[chunk.start : chunk.stop] = self.reader.excitation(obs, self.neuron)
        self.searched = chunk.stop
        self.cost = max((clock() - start) / count, 1e-6)
        return self.done


class Searches:
    """The two searches for one neuron: through the history, and by gradient ascent.

    They restart when another neuron is selected, the policy changes, or the user asks. When the weights change, the
    searches restart after REFRESH seconds; the results of the older weights are shown until then. New moments are
    searched as they arrive. Where one step takes longer than a frame's share (Atari's gradient), the following frames
    are skipped.

    Attributes:
        neuron: the neuron; None: there is no network, or it has no hidden layer.
        layer: the first layer's weights as pictures.
        best: moments that excite the neuron most, the strongest first.
        ascent: None until there are ENOUGH moments.
        version: grows when there is something new to show.
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self.neuron: Neuron | None = None
        self.layer: FirstLayer | None = None
        self.best: list[Found] = []
        self.ascent: Ascent | None = None
        self.low = self.high = np.zeros(0)  # bounds of the ascent's input
        self.version = 0
        self._policy: object = None
        self._weights_version = 0
        self._reader: Reader | None = None
        self._units: dict[str, int] = {}
        self._restart_due = True  # the searches are to start, or to start again
        self._network_read = self._started = self._reported = -math.inf
        self._credit = 0.0
        self._running_ascent: Ascent | None = None  # shown before it is done only if there was none
        self._search: Search | None = None
        self._search_start, self._stride = 0, 1  # of the running search
        self._searched_to = -1  # number of the last moment searched
        self._through_history = False  # the running search is the one through all of the history
        self._best_found: list[Found] = []
        self._required = 0  # the searches restart when fewer of these are left
        self._default_unit = 0  # a unit of the first layer, used while none is selected
        self._complete = False  # what is shown comes from a search through all of the history
        self._progress = (0, 0.0)  # as last reported
        self._unreported = False  # there are results or progress that were not reported yet

    @property
    def share(self) -> float:
        """Return the progress of the searches, 0 to 1; that for new moments does not count."""
        ascent = self._running_ascent
        if self._restart_due or ascent is None:
            return 0.0
        return min(self._history_share(), len(ascent.excitations) / (ascent.steps + 1))

    def _history_share(self) -> float:
        search = self._search
        return search.searched / len(search.excitations) if search is not None and self._through_history else 1.0

    def restart(self) -> None:
        """Start again, with the present history."""
        self._restart_due = True

    # ------------------------------------------------------------------------------ following

    def follow(self, inspector: Inspector) -> bool:
        """Follow the inspector's network and neuron; return whether there is one."""
        session = inspector.session
        new_policy = session.policy is not self._policy
        new_weights = session.weights_version != self._weights_version
        if new_policy or (new_weights and self._clock() - self._network_read >= REFRESH):
            self._read_network(inspector)
        if not self._units:
            return False
        neuron = self._selected(inspector)
        if new_policy or neuron != self.neuron:
            self.neuron, self.best, self.ascent = neuron, [], None
            self._restart_due, self._complete = True, False
            self.version += 1
        if self._restart_due and len(session.timeline) >= ENOUGH:
            self._start(inspector)
        return True

    def _read_network(self, inspector: Inspector) -> None:
        """Read the network's layers and first weights."""
        session, insight = inspector.session, inspector.insight()
        self._reader = session.reader
        activations = [] if insight is None else insight.activations
        self._units = {name: len(values) for name, values in activations if len(values)}
        if insight is not None and self._units and self._policy is not session.policy:
            layer = insight.activations[0][1]  # (D,) or (C, H, W)
            self._default_unit = int(layer.reshape(len(layer), -1).max(1).argmax())
        self._policy, self._weights_version, self._network_read = session.policy, session.weights_version, self._clock()
        self._restart_due = True
        if self._reader is not None and self._units:
            self.layer = first_layer(self._reader, inspector.inputs())
        self.version += 1

    @property
    def first(self) -> str:
        """Return the name of the first layer; empty without a network."""
        return next(iter(self._units), "")

    def _selected(self, inspector: Inspector) -> Neuron:
        """Return the selected neuron, if this network has it; else an active one of the first layer."""
        selected = inspector.neuron
        if selected is not None and selected.unit < self._units.get(selected.layer, 0):
            return selected
        from learning.insight import Neuron  # here: a human plays without torch

        return Neuron(self.first, self._default_unit)

    def _start(self, inspector: Inspector) -> None:
        timeline, space = inspector.session.timeline, inspector.session.env.observation_space
        assert self._reader is not None
        assert self.neuron is not None
        assert isinstance(space, spaces.Box)
        self._restart_due, self._started, self._through_history = False, self._clock(), True
        self._stride = FRAMES_STRIDE if len(space.shape) > 1 else 1
        self._searched_to, self._best_found = timeline.first - 1, []
        self._search = self._next_search(timeline)
        count = min(FRAMES_SAMPLE if len(space.shape) > 1 else SAMPLE, len(timeline))
        seen = [timeline[int(number)].obs for number in np.linspace(timeline.first, timeline.last, count)]
        self.low, self.high = bounds(space, seen)
        self._running_ascent = Ascent(self._reader, self.neuron, mean_input(seen), self.low, self.high)
        self.ascent = self.ascent or self._running_ascent
        self.version += 1

    def _next_search(self, timeline: Timeline) -> Search | None:
        """Return a search through the moments that have not been searched; None while there are too few."""
        assert self._reader is not None
        assert self.neuron is not None
        self._search_start = start = max(self._searched_to + 1, timeline.first)
        stride, count = self._stride, (timeline.last - start) // self._stride + 1
        if count < (1 if self._through_history else NEW_MOMENTS):
            return None
        self._searched_to = start + (count - 1) * stride

        def observe(index: int) -> Array:
            # a moment dropped by now is replaced by the oldest kept, and not shown under its number
            return timeline[max(start + index * stride, timeline.first)].obs

        return TimedSearch(self._reader, self.neuron, count, observe, apart=APART // stride)

    # ------------------------------------------------------------------------------ searching

    def advance(self, timeline: Timeline, seconds: float = SECONDS) -> None:
        """Search on for about so long; the following frames make up for what took longer."""
        self._credit = min(self._credit + seconds, seconds)
        if self._restart_due or self._running_ascent is None or self._credit <= 0:
            return
        now = start = self._clock()
        busy = True
        while busy and now - start < self._credit:
            busy = self._work_once(timeline, self._running_ascent, self._credit - (now - start))
            now = self._clock()
        self._credit -= now - start
        if self._unreported and (self.share == 1.0 or now - self._reported >= REPORT_SECONDS):
            self._report(timeline, now)

    def _work_once(self, timeline: Timeline, ascent: Ascent, seconds: float) -> bool:
        """Advance the search by a batch or the ascent by a step; return whether there was anything to do."""
        if self._search is None:
            self._search = self._next_search(timeline)
        search = self._search
        if search is not None and (ascent.done or self._history_share() <= len(ascent.excitations) / ascent.steps):
            if search.advance(seconds, self._clock):
                self._best_found = self._merged(timeline, KEPT)
                self._required = min(SHOWN, len(self._best_found)) if self._through_history else self._required
                self._search, self._through_history = None, False
        elif not ascent.done:
            ascent.step()
            self.ascent = ascent if ascent.done else self.ascent
        else:
            self._restart_if_dropped(timeline)
            return False
        self._unreported = True
        return True

    def _restart_if_dropped(self, timeline: Timeline) -> None:
        """Restart the searches when too many of the best moments have been dropped from the history."""
        left = sum(one.number >= timeline.first for one in self._best_found)
        if left < self._required and self._clock() - self._started >= REFRESH:
            self._restart_due = True

    def _report(self, timeline: Timeline, now: float) -> None:
        """Update what the panel shows; a partial search of the same neuron does not replace a complete one."""
        best = self.best if self._through_history and self._complete else self._merged(timeline, SHOWN)
        self._complete = self._complete or not self._through_history
        steps = len(self._running_ascent.excitations) if self._running_ascent else 0
        before, self._progress = self._progress, (steps, self.share)
        if best != self.best or self._progress != before:
            self.best = best
            self.version += 1
        self._reported, self._unreported = now, False

    def _merged(self, timeline: Timeline, count: int) -> list[Found]:
        """Return the best moments found, in the running search and those before."""
        new = [] if self._search is None else self._search.best(count)
        found = (Found(self._search_start + one.index * self._stride, one.excitation) for one in new)
        return strongest([*self._best_found, *found], timeline.first, count)


def strongest(found: Iterable[Found], first: int, count: int) -> list[Found]:
    """Return the strongest of the moments that are still kept (from ``first`` on), no two of them neighbours."""
    chosen: list[Found] = []
    for one in sorted(found, key=lambda one: -one.excitation if math.isfinite(one.excitation) else math.inf):
        apart = all(abs(one.number - other.number) > APART for other in chosen)
        if one.number >= first and apart and math.isfinite(one.excitation):
            chosen.append(one)
        if len(chosen) == count:
            break
    return chosen


_searches: WeakKeyDictionary[Inspector, Searches] = WeakKeyDictionary()


def searches_of(inspector: Inspector, make: Callable[[], Searches] = Searches) -> Searches:
    """Return the searches of a window; they are deleted with its inspector."""
    if inspector not in _searches:
        _searches[inspector] = make()
    return _searches[inspector]
