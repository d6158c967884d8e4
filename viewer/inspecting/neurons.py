"""What single neurons respond to: first-layer weights as pictures, the observations and the input that excite one most.

After the two pictures of Le et al. 2012, arXiv:1112.6209 ("the cat neuron"): the stimuli that excite a neuron most,
and the one found by gradient ascent (Erhan et al. 2009). Both searches run for a given time per call, so that
the window stays responsive. No pygame and no torch here.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from viewer.inspecting.inputs import Inputs

if TYPE_CHECKING:  # a human plays without torch
    from learning.insight import Neuron, Reader

Array = NDArray[np.float64]
Clock = Callable[[], float]

CHUNK = 8  # observations between two readings of the clock: 15 ms for the Nature network on a slow, busy core
APART = 30  # moments between two that are shown: neighbours look alike
STEPS, RATE, DECAY = 64, 0.1, 0.01  # of the ascent


class FirstLayer(NamedTuple):
    """The weights of the first layer as pictures, each unit's scaled so that the largest is 1 or -1."""

    pictures: Array
    """Filters (F, stack, k, k), oldest frame first; of eyes (F, eyes, kinds); of other vectors (F, 1, inputs)."""
    rest: Array
    """(F, R) weights of the inputs that belong to no eye; R is 0 where there are no eyes."""


def first_layer(reader: Reader, inputs: Inputs | None = None) -> FirstLayer:
    """Return the first layer's weights as pictures.

    Args:
        reader: of the network.
        inputs: the entries of a vector observation, to arrange the weights by eye and kind.
    """
    weights = reader.first_weights()
    scale = np.abs(weights.reshape(len(weights), -1)).max(1)
    weights = weights / np.where(scale > 0, scale, 1.0).reshape(-1, *[1] * (weights.ndim - 1))
    none = np.zeros((len(weights), 0))
    if weights.ndim == 4:
        return FirstLayer(weights, none)
    if inputs is None or not inputs.eyes or len(inputs.names) != weights.shape[1]:
        return FirstLayer(weights[:, None], none)
    return FirstLayer(inputs.by_eye(weights), inputs.others(weights))


@dataclasses.dataclass(frozen=True)
class Stimulus:
    """One of the observations given, and how strongly it excites the neuron."""

    index: int
    excitation: float


class Search:
    """Finds the observations that excite a neuron most.

    Args:
        reader: of the network.
        neuron: the neuron.
        count: number of observations.
        observe: returns the observation of an index, (...).
        apart: the least distance of the indices returned; 0 for a sample whose neighbours are unrelated.
    """

    def __init__(
        self, reader: Reader, neuron: Neuron, count: int, observe: Callable[[int], NDArray[Any]], apart: int = APART
    ) -> None:
        self.reader, self.neuron, self.observe, self.apart = reader, neuron, observe, apart
        self.excitations = np.full(count, -math.inf)  # of those searched so far
        self.searched = 0

    @property
    def done(self) -> bool:
        """Return whether all observations have been searched."""
        return self.searched >= len(self.excitations)

    def advance(self, seconds: float, clock: Clock = time.perf_counter) -> bool:
        """Search on until the time is over, by at least one chunk; return whether the search is done."""
        start = clock()
        while not self.done:
            chunk = range(self.searched, min(self.searched + CHUNK, len(self.excitations)))
            obs = np.stack([self.observe(index) for index in chunk])
            self.excitations[chunk.start : chunk.stop] = self.reader.excitation(obs, self.neuron)
            self.searched = chunk.stop
            if clock() - start >= seconds:
                break
        return self.done

    def best(self, count: int = 9) -> list[Stimulus]:
        """Return the strongest so far, the strongest first."""
        found: list[Stimulus] = []
        for index in np.argsort(-self.excitations[: self.searched], kind="stable"):
            if all(abs(int(index) - other.index) > self.apart for other in found):
                found.append(Stimulus(int(index), float(self.excitations[index])))
            if len(found) == count:
                break
        return found


class Ascent:
    """Finds the input that excites a neuron most, by gradient ascent from a start, within bounds.

    A step moves each input along the gradient, by RATE of its range for a gradient of average size; the rate falls to
    0 over STEPS steps. Each step also decays the input by DECAY towards the start (the L2 penalty of the lecture's
    picture), so that inputs without influence stay as they were.

    Args:
        reader: of the network.
        neuron: the neuron to excite.
        start: (...) an ordinary observation, such as the mean of many; the one that inputs decay to.
        low, high: (...) the bounds.
        steps: of the ascent.
    """

    def __init__(
        self, reader: Reader, neuron: Neuron, start: NDArray[Any], low: Array, high: Array, steps: int = STEPS
    ) -> None:
        self.reader, self.neuron, self.low, self.high, self.steps = reader, neuron, low, high, steps
        self.start = np.clip(np.asarray(start, np.float64), low, high)
        self.input = self.start
        self.excitations: list[float] = []  # before each step
        self.best, self.best_excitation = self.start, -math.inf

    @property
    def done(self) -> bool:
        """Return whether all steps have been made and the last input has been evaluated."""
        return len(self.excitations) > self.steps

    def advance(self, seconds: float, clock: Clock = time.perf_counter) -> bool:
        """Make steps until the time is over, at least one; return whether the ascent is done."""
        start = clock()
        while not self.done:
            self.step()
            if clock() - start >= seconds:
                break
        return self.done

    def step(self) -> None:
        """Evaluate the present input, keep it if it is the best so far, and move."""
        excitation, gradient = self.reader.excitation_gradient(self.input, self.neuron)
        if excitation > self.best_excitation:
            self.best, self.best_excitation = self.input, excitation
        rate = RATE * (1 - len(self.excitations) / self.steps)
        self.excitations.append(excitation)
        span = self.high - self.low
        scaled = gradient * span  # in shares of each input's range, so that units do not matter
        size = math.sqrt(float(np.mean(scaled**2)))
        if size > 0:
            moved = self.input + rate * span * scaled / size
            self.input = np.clip(moved + DECAY * (self.start - moved), self.low, self.high)


def bounds(space: spaces.Box, seen: Sequence[NDArray[Any]]) -> tuple[Array, Array]:
    """Return the lowest and highest value of each input, (...) each: the space's; where it is unbounded, those seen.

    Args:
        space: of one observation.
        seen: some observations; at least one.
    """
    stacked = np.stack(seen).astype(np.float64)
    # 3e38 means "no bound" in Gymnasium
    low = np.where(np.abs(space.low) < 1e6, space.low, stacked.min(0)).astype(np.float64)
    high = np.where(np.abs(space.high) < 1e6, space.high, stacked.max(0)).astype(np.float64)
    return low, high


def mean_input(seen: Sequence[NDArray[Any]]) -> Array:
    """Return the mean of one or more observations, (...), a start for `Ascent`."""
    return np.asarray(np.stack(seen).astype(np.float64).mean(0))
