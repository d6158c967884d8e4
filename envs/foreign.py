"""Foreign environments: what Gymnasium can register becomes numbers, frames and actions that an agent can use.

What an environment does wrong is said in one line, with its name, which of a batch it is, and the step: nothing that
it returns is cast, cut or learnt from without a word.
"""

from __future__ import annotations

import math
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import FrameStackObservation, GrayscaleObservation, ReshapeObservation, ResizeObservation
from numpy.typing import NDArray

from common.errors import UserError
from envs.hanging import WATCHDOG, Hung
from envs.lanes import Lanes

LEAST_IMAGE = 16  # pixels of a side; smaller arrays of bytes are grids, as MiniGrid's 7 x 7 x 3
CHANNELS = (1, 3, 4)
WIDEST = 30  # numbers that a network can take as they are
WATCHDOG_FILE = Path(sys.modules[Hung.__module__].__file__ or "")
NUMBERS = (float, int, bool, np.floating, np.integer, np.bool_)


class EnvironmentFault(UserError):
    """What an environment did that no environment may do; the line names it, the step and what is wrong."""


class Unfit(Exception):
    """What is wrong with one observation."""


# ------------------------------------------------------------------ observations


class Part(NamedTuple):
    """How one space's value becomes D numbers."""

    write: Callable[[Any, NDArray[np.float32]], None]
    """Write a value's numbers into an array (D,), or raise `Unfit`."""
    low: NDArray[np.float32]
    """(D,) the numbers' bounds."""
    high: NDArray[np.float32]

    @property
    def size(self) -> int:
        """D."""
        return len(self.low)


def is_image(space: spaces.Space[Any]) -> bool:
    """Whether a space is one of pictures: bytes, (H, W), (H, W, C) or (C, H, W)."""
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) not in (2, 3):
        return False
    return all(side >= LEAST_IMAGE for side in _sides(space.shape)) if _sides(space.shape) else False


def _sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return height and width of pictures; nothing if the shape is not one of pictures."""
    if len(shape) == 2:
        return shape
    if shape[2] in CHANNELS:
        return shape[:2]
    return shape[1:] if shape[0] in CHANNELS else ()


def flattened(space: spaces.Space[Any], path: str, left_out: list[str]) -> Part | None:
    """Return how a space's values become numbers; None where they can't, and ``left_out`` says which and why.

    Numbers stay as they are, with their bounds, by which the network scales them. Small grids of bytes have none: they
    hold codes, such as MiniGrid's 0 to 10, for which 255 says nothing. What is discrete becomes one-hot. Tuples and
    dicts are concatenated, without the parts that are texts, sequences or graphs.

    Args:
        space: of the values.
        path: what they are called in messages.
        left_out: gets the parts that are left out.
    """
    if isinstance(space, spaces.Box):
        return _box(space, path)
    if isinstance(space, spaces.Discrete):
        return _one_hot([int(space.n)], [int(space.start)], (), path)
    if isinstance(space, spaces.MultiDiscrete):
        return _one_hot(space.nvec.ravel().tolist(), space.start.ravel().tolist(), space.shape, path)
    if isinstance(space, spaces.MultiBinary):
        return _box(spaces.Box(0, 1, space.shape, np.int8), path)
    if isinstance(space, spaces.Tuple):
        return _together(dict(enumerate(space.spaces)), path, left_out)
    if isinstance(space, spaces.Dict):
        return _together(space.spaces, path, left_out)
    left_out.append(f"{path}, a {type(space).__name__}")
    return None


def _box(space: spaces.Box, path: str) -> Part:
    def write(value: Any, out: NDArray[np.float32]) -> None:
        out[:] = _array(value, space, path).ravel()

    if space.dtype == np.uint8 and len(space.shape) > 1 and not is_image(space):  # codes
        low, high = np.full(space.shape, -np.inf, np.float32), np.full(space.shape, np.inf, np.float32)
    else:
        low, high = space.low.astype(np.float32), space.high.astype(np.float32)
    return Part(write, low.ravel(), high.ravel())


class ForeignBox(spaces.Box):
    """The observations of an environment from elsewhere, whose bounds may be wider than its numbers ever are."""


def telling(space: spaces.Box) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the bounds that say how large a space's numbers are; infinity for the others.

    Many environments have wide bounds that their numbers seldom come near. A network that scales LunarLander's speeds,
    0.5 in most steps, by their bound of 10 hardly sees them: it was at -56 where without it was at 65.
    """
    bound = np.maximum(np.abs(space.low), np.abs(space.high))
    wide = (bound > 1) & (bound <= WIDEST) & isinstance(space, ForeignBox)
    return np.where(wide, -np.inf, space.low), np.where(wide, np.inf, space.high)


def _array(value: Any, space: spaces.Box, path: str = "the observation") -> NDArray[Any]:
    """Return a value as the array that its space says it is."""
    array = np.asarray(value)
    if array.shape != space.shape:
        raise Unfit(f"{path} has shape {array.shape}, its space says {space.shape}")
    kind, wanted = array.dtype.kind, np.dtype(space.dtype)
    if kind not in "fiub" or (kind == "f" and wanted.kind != "f"):
        raise Unfit(f"{path} has dtype {array.dtype}, its space says {wanted}")
    if wanted == np.uint8 and array.dtype != np.uint8 and array.size and not 0 <= array.min() <= array.max() <= 255:
        raise Unfit(f"{path} has values from {array.min()} to {array.max()}, its space says uint8")
    return array


def _one_hot(sizes: Sequence[int], starts: Sequence[int], shape: tuple[int, ...], path: str) -> Part:
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    first, count = np.array(starts, np.int64), np.array(sizes, np.int64)

    def write(value: Any, out: NDArray[np.float32]) -> None:
        array = np.asarray(value)
        if array.shape != shape or array.dtype.kind not in "iub":
            raise Unfit(
                f"{path} is {_shown(value)}, its space says {'an integer' if not shape else f'{shape} integers'}"
            )
        number = array.ravel().astype(np.int64) - first
        if (outside := (number < 0) | (number >= count)).any():
            k = int(outside.argmax())
            low, high = first[k], first[k] + count[k] - 1
            raise Unfit(f"{path} is {_shown(value)}, its space says {low} to {high}")
        out[:] = 0
        out[offsets + number] = 1

    return Part(write, np.zeros(sum(sizes), np.float32), np.ones(sum(sizes), np.float32))


def _together(members: Mapping[Any, spaces.Space[Any]], path: str, left_out: list[str]) -> Part | None:
    parts = {key: flattened(space, f"{path}[{key!r}]", left_out) for key, space in members.items()}
    taken = {key: part for key, part in parts.items() if part is not None}
    if not taken:
        return None

    def write(value: Any, out: NDArray[np.float32]) -> None:
        begin = 0
        for key, part in taken.items():
            try:
                member = value[key]
            except (KeyError, IndexError, TypeError):
                raise Unfit(f"{path} is {_shown(value)}, its space says that it has {key!r}") from None
            part.write(member, out[begin : begin + part.size])
            begin += part.size

    low, high = (
        np.concatenate(bounds) for bounds in zip(*((part.low, part.high) for part in taken.values()), strict=True)
    )
    return Part(write, low, high)


def _shown(value: Any) -> str:
    """Return a value as it is shown in a message, 60 characters at most."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


# ------------------------------------------------------------------ one environment


class Foreign(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose actions are 0 to n - 1, and whose observations are float32 numbers (D,) or frames uint8.

    A frame is (H, W), or (C, H, W) if it has colours. What the environment returns is checked.

    Attributes:
        notes: what a person should know of the conversion.
        first_action: what the environment itself calls action 0.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], name: str, lane: int = 0, lanes: int = 1) -> None:
        """Wrap an environment.

        Args:
            env: with discrete actions.
            name: its id.
            lane: which one of a batch it is, from 0.
            lanes: how many the batch has.

        Raises:
            UserError: its actions or observations can't be used.
        """
        super().__init__(env)
        self.name, self._which = name, f"environment {lane + 1} of {lanes}, " if lanes > 1 else ""
        self._steps = 0
        self._seed: int | None = None
        self.notes: list[str] = []
        if not isinstance(env.action_space, spaces.Discrete):
            raise UserError(f"{name} has actions {env.action_space}; only discrete actions can have one Q value each")
        self.first_action = int(env.action_space.start)
        self.action_space = spaces.Discrete(int(env.action_space.n))
        self._convert = self._conversion(env.observation_space)

    def _conversion(self, space: spaces.Space[Any]) -> Callable[[Any], NDArray[Any]]:
        """Set the observation space, and return how an observation becomes one of it."""
        if is_image(space):
            assert isinstance(space, spaces.Box)
            return self._frames(space)
        if isinstance(space, spaces.Box) and len(space.shape) == 1 and space.dtype == np.float32:
            self.observation_space = ForeignBox(space.low, space.high, dtype=np.float32)
            return self._same
        left_out: list[str] = []
        part = flattened(space, "the observation", left_out)
        if part is None or part.size == 0:
            raise UserError(
                f"{self.name} has observations {_shown(space)}, of which no part has a fixed number of numbers:"
                " texts, sequences and graphs can't be learnt from"
            )
        if left_out:
            self.notes.append(f"left out of the observation: {', '.join(left_out)}")
        if part.size > 10_000:
            self.notes.append(
                f"an observation is flattened to {part.size:,} numbers; only pictures of uint8 get convolutions"
            )
        self.observation_space = ForeignBox(part.low, part.high, dtype=np.float32)

        def convert(obs: Any) -> NDArray[np.float32]:
            out = np.empty(part.size, np.float32)
            part.write(obs, out)
            return out

        return convert

    def _same(self, obs: Any) -> NDArray[np.float32]:
        if type(obs) is np.ndarray and obs.dtype == np.float32 and obs.shape == self.observation_space.shape:
            return obs
        assert isinstance(self.observation_space, spaces.Box)
        return _array(obs, self.observation_space).astype(np.float32)

    def _frames(self, space: spaces.Box) -> Callable[[Any], NDArray[np.uint8]]:
        shape = space.shape
        last = len(shape) == 3 and shape[2] in CHANNELS
        new = (shape[2], *shape[:2]) if last else shape
        new = new[1:] if len(new) == 3 and new[0] == 1 else new
        self.observation_space = spaces.Box(0, 255, new, np.uint8)

        def convert(obs: Any) -> NDArray[np.uint8]:
            array = _array(obs, space)
            if last:
                array = array.transpose(2, 0, 1)
            return np.ascontiguousarray(array.reshape(new), np.uint8)

        return convert

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Raises:
            EnvironmentFault: the environment raised, or what it returned is not what it must be.
        """
        self._steps = 0
        self._seed = seed if seed is not None else self._seed
        try:
            answer = WATCHDOG.guarded(self.env.reset)(seed=seed, options=options)
        except Exception as error:
            raise self._raised("reset", error) from error
        if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[1], dict):
            raise self.fault(f"its reset() returned {_returned(answer)}; a pair (observation, info) is needed")
        return self._observed(answer[0]), answer[1]

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Play one action, 0 to n - 1.

        Raises:
            EnvironmentFault: as `reset`.
        """
        self._steps += 1
        try:
            answer = WATCHDOG.guarded(self.env.step)(self.first_action + int(action))
        except Exception as error:
            raise self._raised("step", error) from error
        if not isinstance(answer, tuple) or len(answer) != 5 or not isinstance(answer[4], dict):
            raise self.fault(
                f"its step() returned {_returned(answer)};"
                " five are needed: observation, reward, terminated, truncated, info"
            )
        obs, reward, terminated, truncated, info = answer
        if not isinstance(reward, NUMBERS) and not (isinstance(reward, np.ndarray) and reward.shape == ()):
            raise self.fault(f"its reward is {_shown(reward)}, a {type(reward).__name__}; one number is needed")
        if not math.isfinite(number := float(reward)):
            raise self.fault(f"its reward is {number}")
        for word, value in (("terminated", terminated), ("truncated", truncated)):
            if not isinstance(value, NUMBERS):
                raise self.fault(f"its {word} is {_shown(value)}, a {type(value).__name__}; True or False is needed")
        return self._observed(obs), number, bool(terminated), bool(truncated), info

    def _observed(self, obs: Any) -> NDArray[Any]:
        try:
            array = self._convert(obs)
        except Unfit as error:
            raise self.fault(str(error)) from None
        if array.dtype == np.float32 and not np.isfinite(array).all():
            raise self.not_finite(array)
        return array

    def not_finite(self, obs: NDArray[np.float32]) -> EnvironmentFault:
        """Return the error for an observation with a number that is none."""
        bad = np.flatnonzero(~np.isfinite(obs))
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        return self.fault(f"value {bad[0]} of its observation is {obs[bad[0]]}{more}")

    def fault(self, what: str) -> EnvironmentFault:
        """Return the error for what went wrong in this step."""
        when = f"step {self._steps:,} of its episode" if self._steps else "reset"
        seed = f" (seed {self._seed})" if self._seed is not None else ""
        return EnvironmentFault(f"{self.name}: {self._which}{when}{seed}: {what}")

    def _raised(self, method: str, error: Exception) -> EnvironmentFault:
        frames = [one for one in traceback.extract_tb(error.__traceback__) if Path(one.filename) != WATCHDOG_FILE]
        where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if len(frames) > 1 else ""
        if isinstance(error, Hung):
            return self.fault(f"its {method}() hangs: {error or WATCHDOG.what}{where}")
        return self.fault(f"its {method}() raised {type(error).__name__}: {' '.join(str(error).split())}{where}")


def _returned(answer: Any) -> str:
    return f"{len(answer)} values" if isinstance(answer, tuple) else f"{_shown(answer)}, a {type(answer).__name__}"


def foreign(env: gymnasium.Env[Any, Any]) -> Foreign | None:
    """Return the wrapper inside others; None if there is none."""
    return next((layer for layer in _layers(env) if isinstance(layer, Foreign)), None)


def _layers(env: gymnasium.Env[Any, Any]) -> Iterator[gymnasium.Env[Any, Any]]:
    while True:
        yield env
        if not isinstance(env, gymnasium.Wrapper):
            return
        env = env.env


# ------------------------------------------------------------------ pictures


@dataclass(frozen=True)
class Pictures:
    """What is done to an environment's pictures before an agent sees them, by Gymnasium's own wrappers."""

    size: int | None = None
    """Height and width that they are resized to, pixels; None: they stay as they are."""
    grayscale: bool = False
    """Colours become grey."""
    stack: int = 1
    """Newest frames in an observation."""


def converted(
    env: gymnasium.Env[Any, Any], name: str, pictures: Pictures, lane: int = 0, lanes: int = 1
) -> gymnasium.Env[Any, Any]:
    """Return an environment as `Foreign` converts it; of pictures, stacks: (stack, H, W), or (stack * C, H, W).

    Frames from before the start of an episode are black.
    """
    if not is_image(env.observation_space):
        return Foreign(env, name, lane, lanes)
    shape = env.observation_space.shape
    assert shape is not None
    try:
        if pictures.grayscale and len(shape) == 3 and shape[2] == 3:
            env = GrayscaleObservation(env)
        if pictures.size is not None:
            env = ResizeObservation(env, (pictures.size, pictures.size))
    except (ImportError, gymnasium.error.DependencyNotInstalled):
        raise UserError(f"resizing {name}'s pictures needs OpenCV: pip install opencv-python-headless") from None
    stacked = FrameStackObservation(Foreign(env, name, lane, lanes), pictures.stack, padding_type="zero")
    shape = stacked.observation_space.shape
    assert shape is not None
    if len(shape) == 3:
        return stacked
    return ReshapeObservation(stacked, (shape[0] * shape[1], *shape[2:]))  # a frame's colours follow each other


def colours(env: gymnasium.Env[Any, Any]) -> int:
    """Return how many planes of an observation belong to one frame."""
    wrapper = foreign(env)
    shape = () if wrapper is None else wrapper.observation_space.shape or ()
    return shape[0] if len(shape) == 3 else 1


# ------------------------------------------------------------------ a batch


class ForeignVector(Lanes):
    """N environments in one thread, which never reset themselves.

    Attributes:
        frame_stack: frames that an observation has; 1: it is one, or it is a vector.
        notes: what a person should know of the conversion.
    """

    def __init__(self, makers: Sequence[Callable[[], gymnasium.Env[Any, Any]]], frame_stack: int = 1) -> None:
        super().__init__(makers)
        wrapper = foreign(self.envs[0])
        self.frame_stack = frame_stack if self.single_observation_space.dtype == np.uint8 else 1
        self.notes = [] if wrapper is None else wrapper.notes
