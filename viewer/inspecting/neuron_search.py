"""What one neuron looks for, searched for a little in each frame of the window. No pygame and no torch here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
from gymnasium import spaces

from viewer.inspecting.inspector import Inspector
from viewer.inspecting.neurons import APART, Array, Ascent, Clock, FirstLayer, Search, bounds, first_layer, typical
from viewer.playing.timeline import Timeline

if TYPE_CHECKING:  # a person plays without torch
    from learning.insight import Neuron, Reader

SHOWN = 4  # states that excite the neuron most
KEPT = 8  # of the best ones, while the older of them are forgotten
ENOUGH = APART  # moments before it begins: bounds and means need some
SECONDS = 0.002  # of searching a frame, on average
MOST_AT_ONCE = 64  # observations
TOLD = 0.25  # seconds between two times that the panel hears of progress
REFRESH = 10.0  # seconds at least, between two searches begun because the network or the history is another
FRAMES_STRIDE = 4  # of games every fourth moment is looked at: neighbours look alike, and their networks are slow
NEWCOMERS = 32  # so many together: one by one they would cost more
SAMPLE, SAMPLE_OF_FRAMES = 200, 16  # observations that bounds and means are taken from


class Found(NamedTuple):
    """A moment of the history, and how strongly it excites the neuron."""

    number: int
    excitation: float


class Paced(Search):
    """A search that looks at as many observations at a time as there is time for, by how long the last ones took."""

    pace = 0.001  # seconds an observation

    def advance(self, seconds: float, clock: Clock = time.perf_counter) -> bool:
        """Look at some more, at least at one; return whether all have been looked at."""
        if self.done:
            return True
        count = min(max(int(seconds / self.pace), 1), MOST_AT_ONCE, len(self.excitations) - self.looked)
        start, chunk = clock(), range(self.looked, self.looked + count)
        obs = np.stack([self.observe(index) for index in chunk])
        self.excitations[chunk.start : chunk.stop] = self.reader.excitation(obs, self.neuron)
        self.looked = chunk.stop
        self.pace = max((clock() - start) / count, 1e-6)
        return self.done


class Searches:
    """The two searches about one neuron: in the history, and by gradient ascent.

    They begin again when another neuron is picked, another player comes, or a person asks. A network that learns on
    is searched anew after REFRESH seconds, what was found with its older weights in sight until then. Moments that
    come later are looked at as they come. Atari's gradient takes longer than a frame has for this: then some frames
    go without.

    Attributes:
        neuron: that is asked about; None: there is no network, or it has no hidden layer.
        layer: the first layer's weights as pictures.
        best: moments that excite the neuron most, the strongest first.
        ascent: None until enough has been seen.
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
        self._knowledge = 0
        self._reader: Reader | None = None
        self._units: dict[str, int] = {}
        self._wanted = True  # the searches are to begin, or to begin again
        self._met = self._began = self._told = -math.inf
        self._credit = 0.0
        self._climb: Ascent | None = None  # the one at work; it is shown at once only if there was none
        self._search: Search | None = None
        self._from, self._stride, self._until = 0, 1, -1  # what the search looks at, and what was looked at before
        self._first = False  # the search at work is the one through all of the history
        self._kept: list[Found] = []
        self._enough = 0  # so many of them are to be left
        self._active = 0  # a unit of the first layer, for who picked none
        self._whole = False  # what is shown comes from a search through all of the history
        self._progress = (0, 0.0)  # that the panel knows of
        self._news = False  # something was found or done that the panel has not heard of

    @property
    def share(self) -> float:
        """Return how far the searches are, 0 to 1; those for newcomers do not count."""
        if self._wanted or self._climb is None:
            return 0.0
        return min(self._looked(), len(self._climb.excitations) / (self._climb.steps + 1))

    def _looked(self) -> float:
        search = self._search
        return search.looked / len(search.excitations) if search is not None and self._first else 1.0

    def again(self) -> None:
        """Begin again, with the history as it is now."""
        self._wanted = True

    # ------------------------------------------------------------------------------ following

    def follow(self, looking: Inspector) -> bool:
        """See which network and neuron are asked about now; return whether there is one."""
        session = looking.session
        another = session.policy is not self._policy
        if another or (session.knowledge != self._knowledge and self._clock() - self._met >= REFRESH):
            self._meet(looking)
        if not self._units:
            return False
        neuron = self._picked(looking)
        if another or neuron != self.neuron:
            self.neuron, self.best, self.ascent = neuron, [], None
            self._wanted, self._whole = True, False
            self.version += 1
        if self._wanted and len(session.timeline) >= ENOUGH:
            self._begin(looking)
        return True

    def _meet(self, looking: Inspector) -> None:
        """Look at the network anew."""
        session, said = looking.session, looking.insight()
        self._reader = session.reader
        self._units = {} if said is None else {name: len(values) for name, values in said.activations if len(values)}
        if said is not None and self._units and self._policy is not session.policy:
            layer = said.activations[0][1]  # (D,) or (C, H, W)
            self._active = int(layer.reshape(len(layer), -1).max(1).argmax())
        self._policy, self._knowledge, self._met = session.policy, session.knowledge, self._clock()
        self._wanted = True
        if self._reader is not None and self._units:
            self.layer = first_layer(self._reader, looking.inputs())
        self.version += 1

    @property
    def first(self) -> str:
        """Return the name of the first layer; empty without a network."""
        return next(iter(self._units), "")

    def _picked(self, looking: Inspector) -> Neuron:
        """Return the neuron that was picked, if this network has it; else one of the first layer that was active."""
        picked = looking.neuron
        if picked is not None and picked.unit < self._units.get(picked.layer, 0):
            return picked
        from learning.insight import Neuron  # here: a person plays without torch

        return Neuron(self.first, self._active)

    def _begin(self, looking: Inspector) -> None:
        timeline, space = looking.session.timeline, looking.session.env.observation_space
        assert self._reader is not None
        assert self.neuron is not None
        assert isinstance(space, spaces.Box)
        self._wanted, self._began, self._first = False, self._clock(), True
        self._stride = FRAMES_STRIDE if len(space.shape) > 1 else 1
        self._until, self._kept = timeline.first - 1, []
        self._search = self._next_search(timeline)
        count = min(SAMPLE_OF_FRAMES if len(space.shape) > 1 else SAMPLE, len(timeline))
        seen = [timeline[int(number)].obs for number in np.linspace(timeline.first, timeline.last, count)]
        self.low, self.high = bounds(space, seen)
        self._climb = Ascent(self._reader, self.neuron, typical(seen), self.low, self.high)
        self.ascent = self.ascent or self._climb
        self.version += 1

    def _next_search(self, timeline: Timeline) -> Search | None:
        """Return the search through the moments that have not been looked at; None while there are none."""
        assert self._reader is not None
        assert self.neuron is not None
        self._from = begin = max(self._until + 1, timeline.first)
        stride, count = self._stride, (timeline.last - begin) // self._stride + 1
        if count < (1 if self._first else NEWCOMERS):
            return None
        self._until = begin + (count - 1) * stride

        def observe(index: int) -> Array:
            # a moment forgotten by now counts as the oldest kept, and is not shown under its number
            return timeline[max(begin + index * stride, timeline.first)].obs

        return Paced(self._reader, self.neuron, count, observe, apart=APART // stride)

    # ------------------------------------------------------------------------------ searching

    def advance(self, timeline: Timeline, seconds: float = SECONDS) -> None:
        """Search on for about so long; what took longer is made up for by the next frames."""
        self._credit = min(self._credit + seconds, seconds)
        if self._wanted or self._climb is None or self._credit <= 0:
            return
        now = start = self._clock()
        busy = True
        while busy and now - start < self._credit:
            busy = self._work(timeline, self._climb, self._credit - (now - start))
            now = self._clock()
        self._credit -= now - start
        if self._news and (self.share == 1.0 or now - self._told >= TOLD):
            self._tell(timeline, now)

    def _work(self, timeline: Timeline, climb: Ascent, seconds: float) -> bool:
        """Do one small piece of what is to be done; return whether there was any."""
        if self._search is None:
            self._search = self._next_search(timeline)
        search = self._search
        if search is not None and (climb.done or self._looked() <= len(climb.excitations) / climb.steps):
            if search.advance(seconds, self._clock):
                self._kept = self._merged(timeline, KEPT)
                self._enough = min(SHOWN, len(self._kept)) if self._first else self._enough
                self._search, self._first = None, False
        elif not climb.done:
            climb.step()
            self.ascent = climb if climb.done else self.ascent
        else:
            self._miss(timeline)
            return False
        self._news = True
        return True

    def _miss(self, timeline: Timeline) -> None:
        """Begin again when too many of the best have been forgotten with their moments."""
        left = sum(one.number >= timeline.first for one in self._kept)
        if left < self._enough and self._clock() - self._began >= REFRESH:
            self._wanted = True

    def _tell(self, timeline: Timeline, now: float) -> None:
        """Let the panel show what is new; half a search of the same neuron does not replace a whole one."""
        best = self.best if self._first and self._whole else self._merged(timeline, SHOWN)
        self._whole = self._whole or not self._first
        known, self._progress = self._progress, (len(self._climb.excitations) if self._climb else 0, self.share)
        if best != self.best or self._progress != known:
            self.best = best
            self.version += 1
        self._told, self._news = now, False

    def _merged(self, timeline: Timeline, count: int) -> list[Found]:
        """Return the best that were found, in this search and in those before."""
        fresh: Iterable[Found] = ()
        if self._search is not None:
            fresh = (Found(self._from + one.index * self._stride, one.excitation) for one in self._search.best(count))
        return strongest([*self._kept, *fresh], timeline.first, count)


def strongest(found: Iterable[Found], first: int, count: int) -> list[Found]:
    """Return the most exciting of those that are kept still (from ``first`` on), no two of them neighbours."""
    chosen: list[Found] = []
    for one in sorted(found, key=lambda one: -one.excitation if math.isfinite(one.excitation) else math.inf):
        apart = all(abs(one.number - other.number) > APART for other in chosen)
        if one.number >= first and apart and math.isfinite(one.excitation):
            chosen.append(one)
        if len(chosen) == count:
            break
    return chosen


_searches: WeakKeyDictionary[Inspector, Searches] = WeakKeyDictionary()


def searches_of(looking: Inspector, make: Callable[[], Searches] = Searches) -> Searches:
    """Return the searches of a window; they are forgotten with it."""
    if looking not in _searches:
        _searches[looking] = make()
    return _searches[looking]
