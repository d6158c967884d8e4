"""Foreign environments: what Gymnasium can register becomes numbers, frames and actions that an agent can use.

What an environment does wrong is said in one line, with its name, which of a batch it is, and the step: nothing that
it returns is cast, cut or learnt from without a word.
"""

from __future__ import annotations

import inspect
import math
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import (
    FrameStackObservation,
    GrayscaleObservation,
    RepeatAction,
    ReshapeObservation,
    ResizeObservation,
)
from numpy.typing import NDArray

from common.errors import Note, UserError
from envs.flattening import ForeignBox, array_of, flattened
from envs.hanging import WATCHDOG, Hung
from envs.lanes import Lanes
from envs.pictures import CHANNELS, Pictures, Unfit, as_picture, is_image, shown
from envs.randomness import FAULTS, GlobalRandomness, Trial, try_out

MOST_ACTIONS = 100_000
OURS = frozenset({"life_lost", "lives", "frames"})  # in an info: what Atari games report
WATCHDOG_FILE = Path(sys.modules[Hung.__module__].__file__ or "")
NUMBERS = (float, int, bool, np.floating, np.integer, np.bool_)


class EnvironmentFault(UserError):
    """What an environment did that no environment may do; the line names it, the step and what is wrong."""


# ------------------------------------------------------------------ one environment


class Foreign(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose actions are 0 to n - 1, and whose observations are float32 numbers (D,) or frames uint8.

    A frame is (H, W), or (C, H, W) if it has colours. What the environment returns is checked.

    Attributes:
        notes: what a person should know of the conversion.
        first_action: what the environment itself calls action 0.
        trial: what was found out when it was tried out.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], name: str, lane: int = 0, lanes: int = 1, trial: Trial | None = None
    ) -> None:
        """Wrap an environment.

        Args:
            env: with discrete actions.
            name: its id.
            lane: which one of a batch it is, from 0.
            lanes: how many the batch has.
            trial: what was found out when it was tried out.

        Raises:
            UserError: its actions or observations can't be used.
        """
        super().__init__(env)
        self.name, self._which = name, f"environment {lane + 1} of {lanes}, " if lanes > 1 else ""
        self._steps = 0
        self._seed: int | None = None
        self.trial = trial = trial or Trial()
        self.notes: list[str] = list(trial.notes)
        self._randomness = GlobalRandomness() if trial.draws_globally else None
        self._can_render = True
        self._words = frozenset() if name.startswith("ALE/") else OURS
        if not isinstance(env.action_space, spaces.Discrete):
            cure = discrete_by(env)
            raise UserError(
                f"{name} has actions {env.action_space}; only discrete actions can have one Q value each{cure}"
            )
        if env.action_space.n > MOST_ACTIONS:
            raise UserError(f"{name} has {env.action_space.n:,} actions; {MOST_ACTIONS:,} are the most")
        self.first_action = int(env.action_space.start)
        self.action_space = spaces.Discrete(int(env.action_space.n))
        try:
            self._convert = self._conversion(env.observation_space, trial.seen)
        except Unfit as error:
            raise UserError(f"{name} can't be learnt from: {error}") from None

    def _conversion(self, space: spaces.Space[Any], seen: Any) -> Callable[[Any], NDArray[Any]]:
        """Set the observation space, and return how an observation becomes one of it."""
        if is_image(space, seen):
            assert isinstance(space, spaces.Box)
            return self._frames(space)
        if isinstance(space, spaces.Box) and len(space.shape) == 1 and space.dtype == np.float32:
            self.observation_space = ForeignBox(space.low, space.high, dtype=np.float32)
            return self._same
        left_out: list[str] = []
        part = flattened(space, "the observation", left_out, seen)
        if part is None or part.size == 0:
            raise UserError(
                f"{self.name} has observations {shown(space)}, of which no part has a fixed number of numbers:"
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
            return obs.copy()  # many environments return the same array in each step, and write into it
        assert isinstance(self.observation_space, spaces.Box)
        return array_of(obs, self.observation_space).astype(np.float32)

    def _frames(self, space: spaces.Box) -> Callable[[Any], NDArray[np.uint8]]:
        shape = space.shape
        last = len(shape) == 3 and shape[2] in CHANNELS
        new = (shape[2], *shape[:2]) if last else shape
        new = new[1:] if len(new) == 3 and new[0] == 1 else new
        self.observation_space = spaces.Box(0, 255, new, np.uint8)

        def convert(obs: Any) -> NDArray[np.uint8]:
            array = array_of(obs, space)
            if last:
                array = array.transpose(2, 0, 1)
            return np.array(array.reshape(new), np.uint8)  # its own: a stack of frames keeps them

        return convert

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode.

        Raises:
            EnvironmentFault: the environment raised, or what it returned is not what it must be.
        """
        self._steps = 0
        self._seed = seed if seed is not None else self._seed
        if self._randomness is not None and seed is not None:
            self._randomness.seed(seed)
        try:
            with self._randomness or nullcontext():
                answer = WATCHDOG.guarded(self.env.reset)(seed=seed, options=options)
        except FAULTS as error:
            raise self._raised("reset", error) from error
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise self.fault(f"its reset() returned {_returned(answer)}; a pair (observation, info) is needed")
        return self._observed(answer[0]), self._checked(answer[1])

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Play one action, 0 to n - 1.

        Raises:
            EnvironmentFault: as `reset`.
        """
        self._steps += 1
        try:
            step = WATCHDOG.guarded(self.env.step)
            if self._randomness is None:
                answer = step(self.first_action + int(action))
            else:
                with self._randomness:
                    answer = step(self.first_action + int(action))
        except FAULTS as error:  # sys.exit() in a game that is over would end a run unsaved
            raise self._raised("step", error) from error
        if not isinstance(answer, tuple) or len(answer) != 5:
            raise self.fault(
                f"its step() returned {_returned(answer)};"
                " five are needed: observation, reward, terminated, truncated, info"
            )
        obs, reward, terminated, truncated, info = answer
        info = self._checked(info)
        if not _is_number(reward):
            raise self.fault(f"its reward is {shown(reward)}, a {type(reward).__name__}; one number is needed")
        if not math.isfinite(number := float(reward.item() if isinstance(reward, np.ndarray) else reward)):
            raise self.fault(f"its reward is {number}")
        for word, value in (("terminated", terminated), ("truncated", truncated)):
            if not _is_number(value):
                raise self.fault(f"its {word} is {shown(value)}, a {type(value).__name__}; True or False is needed")
        return self._observed(obs), number, bool(terminated), bool(truncated), info

    def _checked(self, info: Any) -> dict[str, Any]:
        """Return an info without the words that mean something else here."""
        if not isinstance(info, dict):
            raise self.fault(f"its info is {shown(info)}, a {type(info).__name__}; a dict is needed")
        if self._words.isdisjoint(info):
            return info
        return {key: value for key, value in info.items() if key not in self._words}

    def render(self) -> Any:
        """Return its picture, (H, W, 3) uint8; None where it gives none: then it is not asked again, with a warning."""
        if not self._can_render:
            return None
        try:
            return as_picture(self.env.render())
        except FAULTS as error:
            self._can_render = False
            what = str(error) if isinstance(error, Unfit) else f"raised {_error(error)}"
            warnings.warn(f"{self.name} is shown without its picture: its render() {what}", Note, stacklevel=2)
            return None

    def close(self) -> None:
        """Close it; what that raises is a warning, since nothing is lost any more."""
        try:
            self.env.close()
        except FAULTS as error:
            warnings.warn(f"{self.name}: its close() raised {_error(error)}", Note, stacklevel=2)

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

    def _raised(self, method: str, error: BaseException) -> EnvironmentFault:
        if isinstance(error, Hung):
            return self.fault(f"its {method}() hangs: {error or WATCHDOG.what}{_where(error)}")
        return self.fault(f"its {method}() raised {_error(error)}")


def _error(error: BaseException) -> str:
    """Return an error's kind, text and place in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{_where(error)}"


def _where(error: BaseException) -> str:
    frames = [one for one in traceback.extract_tb(error.__traceback__) if Path(one.filename) != WATCHDOG_FILE]
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if len(frames) > 1 else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, NUMBERS) or (
        isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "fiub"
    )


def discrete_by(env: gymnasium.Env[Any, Any]) -> str:
    """Return the hint at the argument by which an environment of continuous actions has discrete ones, if it has."""
    with suppress(TypeError, ValueError):
        if "continuous" in inspect.signature(type(env.unwrapped)).parameters:
            return "; with --env-kwargs continuous=False it has such"
    return ""


def _returned(answer: Any) -> str:
    return f"{len(answer)} values" if isinstance(answer, tuple) else f"{shown(answer)}, a {type(answer).__name__}"


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


_tried: dict[str, Trial] = {}  # environments are tried out once


def converted(
    env: gymnasium.Env[Any, Any], name: str, pictures: Pictures, repeat: int = 1, lane: int = 0, lanes: int = 1
) -> gymnasium.Env[Any, Any]:
    """Return an environment as `Foreign` converts it; of pictures, stacks: (stack, H, W), or (stack * C, H, W).

    An action lasts ``repeat`` steps, each of which is checked; a stack has the last picture of each action.

    Frames from before the start of an episode are black.
    """
    for word in ("action_space", "observation_space"):
        if not isinstance(getattr(env, word, None), spaces.Space):
            raise UserError(f"{name} has no {word}; its __init__ must set self.{word} to one of gymnasium.spaces")
    key = f"{name} {env.spec.kwargs if env.spec else ''}"
    if key not in _tried:
        _tried[key] = try_out(env) if isinstance(env.action_space, spaces.Discrete) else Trial()
    trial = _tried[key]
    if not is_image(env.observation_space, trial.seen):
        return _repeated(Foreign(env, name, lane, lanes, trial), repeat)
    shape = env.observation_space.shape
    assert shape is not None
    try:
        if pictures.grayscale and len(shape) == 3 and shape[2] == 3:
            env = GrayscaleObservation(env)
        if pictures.size is not None:
            env = ResizeObservation(env, (pictures.size, pictures.size))
    except (ImportError, gymnasium.error.DependencyNotInstalled):
        raise UserError(f"resizing {name}'s pictures needs OpenCV: pip install opencv-python-headless") from None
    frames = _repeated(Foreign(env, name, lane, lanes, trial), repeat)
    stacked = FrameStackObservation(frames, pictures.stack, padding_type="zero")
    shape = stacked.observation_space.shape
    assert shape is not None
    if len(shape) == 3:
        return stacked
    return ReshapeObservation(stacked, (shape[0] * shape[1], *shape[2:]))  # a frame's colours follow each other


def _repeated(env: gymnasium.Env[Any, Any], times: int) -> gymnasium.Env[Any, Any]:
    return RepeatAction(env, times) if times > 1 else env


def colours(env: gymnasium.Env[Any, Any]) -> int:
    """Return how many planes of an observation belong to one frame."""
    wrapper = foreign(env)
    shape = () if wrapper is None else wrapper.observation_space.shape or ()
    return shape[0] if len(shape) == 3 else 1


# ------------------------------------------------------------------ a batch


def kept_of_info(info: dict[str, Any]) -> dict[str, Any]:
    """Return what is used of an info: the rest may have another type or shape in each environment of the batch."""
    return {key: value for key, value in info.items() if key == "life_lost"}


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

    def _add_info(self, vector_infos: dict[str, Any], env_info: dict[str, Any], env_num: int) -> dict[str, Any]:
        known = kept_of_info(env_info)
        return super()._add_info(vector_infos, known, env_num) if known else vector_infos
