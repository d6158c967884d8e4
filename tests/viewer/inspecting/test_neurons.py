"""What single neurons respond to, on layers small enough to be worked out by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray

import envs
from agents import karpathy
from agents.karpathy import Dense
from learning.insight import DenseNetwork, NetworkReader, Neuron, Reader, reader_of
from tests.learning.test_insight import FRAMES, PRETRAINED, policy_of, sample
from tests.viewer.helpers import V1
from viewer.inspecting.inputs import inputs_of
from viewer.inspecting.neurons import CHUNK, DECAY, RATE, Ascent, Search, bounds, first_layer, mean_input

UNIT = Neuron("hidden 1", 0)


def plane(*weights: float) -> Reader:
    """Return a reader of a network whose first unit is a weighted sum of the inputs."""
    first = Dense(np.array([weights, [1.0] * len(weights)]), np.zeros(2), "tanh")
    return NetworkReader(DenseNetwork([first, Dense(np.ones((2, 2)), np.zeros(2))]))


def ticking(seconds: float) -> Any:
    """Return a clock that advances by so many seconds at each reading."""
    times = itertools.count()
    return lambda: next(times) * seconds


# pictures


def test_filters_are_scaled_one_by_one() -> None:
    reader = policy_of("dqn", FRAMES).reader()
    layer = first_layer(reader)
    assert layer.pictures.shape == (16, 4, 6, 6)
    assert layer.rest.shape == (16, 0)
    np.testing.assert_allclose(np.abs(layer.pictures).max((1, 2, 3)), 1.0)
    scale = np.abs(reader.first_weights()[5]).max()
    np.testing.assert_allclose(layer.pictures[5], reader.first_weights()[5] / scale)


def test_weights_are_arranged_by_eye_and_kind() -> None:
    reader = reader_of(karpathy.load(PRETRAINED / "reinforcejs_wateragent.json"))
    inputs = inputs_of(envs.make("tidepool/Waterworld-v0"))
    assert reader is not None
    layer = first_layer(reader, inputs)
    assert layer.pictures.shape == (100, 30, 5)
    assert layer.rest.shape == (100, 2)
    weights = reader.first_weights()
    scale = np.abs(weights[7]).max()
    assert layer.pictures[7, 3, 1] == pytest.approx(weights[7, 3 * 5 + 1] / scale)  # eye 4, apple
    np.testing.assert_allclose(layer.rest[7], weights[7, 150:] / scale)


def test_other_vectors_are_a_row_and_zero_weights_stay_zero() -> None:
    dead = Dense(np.array([[0.0, 0.0, 0.0], [1.0, -4.0, 2.0]]), np.zeros(2), "relu")
    layer = first_layer(NetworkReader(DenseNetwork([dead, Dense(np.ones((2, 2)), np.zeros(2))])))
    np.testing.assert_array_equal(layer.pictures, [[[0, 0, 0]], [[0.25, -1, 0.5]]])
    assert inputs_of(envs.make(V1)) is not None
    np.testing.assert_array_equal(first_layer(plane(1, 2, 2), inputs_of(envs.make(V1))).pictures.shape, (2, 1, 3))


# what excites most


def test_the_strongest_are_found_and_kept_apart() -> None:
    """Excitations are the observations' first numbers; the neighbours of the strongest are left out."""
    values = np.array([0, 5, 0, 0, 0, 0, 0, 7, 9, 8, 0, 0, 6, 0], np.float64)
    search = Search(plane(1.0, 0.0), UNIT, len(values), lambda index: np.array([values[index], 3.0]), apart=2)
    assert search.advance(1.0)
    assert [(one.index, one.excitation) for one in search.best(3)] == [(8, 9.0), (12, 6.0), (1, 5.0)]
    everything = Search(plane(1.0, 0.0), UNIT, len(values), lambda index: np.array([values[index], 3.0]), apart=0)
    everything.advance(1.0)
    assert [one.index for one in everything.best(4)] == [8, 9, 7, 12]
    assert len(everything.best(100)) == len(values)


def test_a_search_continues_where_it_stopped() -> None:
    count = 3 * CHUNK + 1
    observed: list[int] = []

    def observe(index: int) -> NDArray[np.float64]:
        observed.append(index)
        return np.array([float(index)])

    search = Search(plane(1.0), UNIT, count, observe, apart=0)
    assert not search.advance(0.0)  # at least one chunk, or it would never end
    assert observed == list(range(CHUNK))
    assert search.best(1)[0].index == CHUNK - 1
    assert not search.advance(1.5, ticking(1.0))  # two chunks
    assert len(observed) == 3 * CHUNK
    assert search.advance(10.0)
    assert observed == list(range(count))
    assert search.best(1)[0].index == count - 1


def test_the_strongest_of_frames_is_found_by_a_filter() -> None:
    """A frame with one bright spot excites some filter more than black frames do, wherever the spot is."""
    policy = policy_of("dqn", FRAMES)
    frames = np.zeros((5, 4, 84, 84), np.uint8)
    frames[3, :, 30:36, 45:51] = sample(FRAMES)[:, :6, :6]
    weights = policy.reader().first_weights()
    unit = int(np.argmax((weights * frames[3, :, 30:36, 45:51]).sum((1, 2, 3))))  # 30 and 45 are multiples of stride 3
    search = Search(policy.reader(), Neuron("convolution 1", unit), 5, lambda index: frames[index], apart=0)
    search.advance(60.0)
    best = search.best(2)
    assert best[0].index == 3
    assert best[0].excitation > best[1].excitation


def test_an_empty_search_is_done_at_once() -> None:
    search = Search(plane(1.0), UNIT, 0, lambda index: np.zeros(1))
    assert search.advance(1.0)
    assert search.best() == []


# gradient ascent


def test_the_first_step_by_hand() -> None:
    """Weights 3 and 4, ranges 2 and 1 from -1 and 0: the scaled gradient is (6, 4).

    Its size is sqrt((36 + 16) / 2) = 5.099; each input moves by 0.1 * range * scaled gradient / size: 0.2353 and
    0.0784; a hundredth of that decays.
    """
    ascent = Ascent(plane(3.0, 4.0), UNIT, np.array([0.0, 0.5]), np.array([-1.0, 0.0]), np.array([1.0, 1.0]))
    ascent.step()
    assert (RATE, DECAY) == (0.1, 0.01)
    np.testing.assert_allclose(ascent.input, [0.2353 * 0.99, 0.5 + 0.0784 * 0.99], atol=1e-4)
    assert ascent.excitations == [2.0]  # of the start


def test_ascent_finds_the_corner_and_leaves_other_inputs_alone() -> None:
    """The sum 2x - y of inputs in [-1, 1] is largest at (1, -1): 3. The third input has no weight."""
    low, high = np.full(3, -1.0), np.full(3, 1.0)
    ascent = Ascent(plane(2.0, -1.0, 0.0), UNIT, np.array([0.0, 0.0, 0.3]), low, high)
    assert ascent.advance(60.0)
    assert ascent.best_excitation == pytest.approx(3.0, abs=0.1)
    np.testing.assert_allclose(ascent.best, [1, -1, 0.3], atol=0.05)
    assert max(ascent.excitations) == ascent.best_excitation


def test_an_ascent_continues_where_it_stopped() -> None:
    ascent = Ascent(plane(1.0), UNIT, np.zeros(1), np.array([-1.0]), np.array([1.0]), steps=10)
    assert not ascent.advance(0.0)
    assert len(ascent.excitations) == 1
    assert not ascent.advance(2.5, ticking(1.0))
    assert len(ascent.excitations) == 4
    assert ascent.advance(60.0)
    assert len(ascent.excitations) == 11  # the start, and after each step
    assert ascent.advance(60.0)
    assert len(ascent.excitations) == 11


def test_a_flat_neuron_stays_at_its_start() -> None:
    ascent = Ascent(plane(0.0, 0.0), UNIT, np.array([0.2, 5.0]), np.full(2, -1.0), np.full(2, 1.0), steps=3)
    ascent.advance(60.0)
    np.testing.assert_array_equal(ascent.best, [0.2, 1.0])  # within the bounds


@pytest.mark.parametrize("neuron", [Neuron("convolution 2", 3), Neuron("hidden 1", 2)])
def test_ascent_on_frames_beats_all_frames_seen(neuron: Neuron) -> None:
    reader = policy_of("dqn", FRAMES).reader()
    seen = [sample(FRAMES, seed) for seed in range(8)]
    low, high = bounds(FRAMES, seen)
    ascent = Ascent(reader, neuron, mean_input(seen), low, high, steps=16)
    ascent.advance(60.0)
    assert ascent.best.shape == (4, 84, 84)
    assert ascent.best.min() >= 0
    assert ascent.best.max() <= 255
    assert ascent.best_excitation > 1.5 * max(reader.excitation(np.stack(seen), neuron))
    again = reader.excitation(ascent.best[None], neuron)[0]
    assert again == pytest.approx(ascent.best_excitation, rel=1e-4)


def test_bounds_are_the_spaces_or_what_was_seen() -> None:
    space = spaces.Box(np.array([-1.0, -np.inf, -3.4e38], np.float32), np.array([2.0, np.inf, 3.4e38], np.float32))
    low, high = bounds(space, [np.array([0.0, -7.0, 1.0]), np.array([1.0, 5.0, 4.0])])
    np.testing.assert_array_equal(low, [-1, -7, 1])
    np.testing.assert_array_equal(high, [2, 5, 4])
    np.testing.assert_array_equal(mean_input([np.array([0.0, 2.0]), np.array([1.0, 4.0])]), [0.5, 3.0])
