"""The plain emulator with one game: what it knows of the game, and its sound."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from envs.protocols import FRAME_SKIP

if TYPE_CHECKING:
    from ale_py import ALEInterface

U8 = NDArray[np.uint8]
FRAME_SAMPLES = 512
SAMPLE_RATE = 60 * FRAME_SAMPLES  # a second, so that sound and picture keep step at 60 frames a second
SILENCE = 128
STEPS_KEPT = 30  # two seconds of play; older sound is dropped


def emulator(sticky: float = 0.0, sound: bool = False) -> ALEInterface:
    """Return an emulator without a game."""
    import ale_py

    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", sticky)
    ale.setBool("sound_obs", sound)
    return ale


def load(ale: ALEInterface, env_id: str) -> None:
    """Put the game into the emulator; a seed that was set counts from here on."""
    import ale_py

    rom = ale_py.roms.get_rom_path(gymnasium.spec(env_id).kwargs["game"])
    assert rom is not None  # all registered games come with the wheel
    ale.loadROM(rom)


def _with(env_id: str) -> ALEInterface:
    ale = emulator()
    load(ale, env_id)
    return ale


def action_names(env_id: str, full: bool = False) -> tuple[str, ...]:
    """Return what each action does with the joystick: ``noop``, ``fire``, ``up`` ...; ``full``: all 18 of them."""
    return tuple(action.name.lower() for action in _actions(_with(env_id), full))


def _actions(ale: ALEInterface, full: bool) -> list[Any]:
    return list(ale.getLegalActionSet() if full else ale.getMinimalActionSet())


def modes(env_id: str) -> list[int]:
    """Return the modes of a game, as its select switch chooses them."""
    return list(map(int, _with(env_id).getAvailableModes()))


def difficulties(env_id: str) -> list[int]:
    """Return the difficulties of a game."""
    return list(map(int, _with(env_id).getAvailableDifficulties()))


def screen_size(env_id: str) -> tuple[int, int]:
    """Return height and width of a game's screen, pixels: 210 x 160 but for a few."""
    height, width = _with(env_id).getScreenDims()
    return int(height), int(width)


class Soundtrack:
    """Plays a game along, in lockstep with the emulators that `envs.atari` has, which are mute, and listens.

    Args:
        env_id: ``ALE/<Game>-v5``.
        sticky: as in the game that is played along.
        full: its actions are all 18.
        fire: FIRE is pressed in its first frame, if the game knows it.
    """

    def __init__(self, env_id: str, sticky: float, full: bool = False, fire: bool = False) -> None:
        self.env_id, self._full, self._fire = env_id, full, fire
        self._ale = emulator(sticky, sound=True)
        self._kept: deque[U8] = deque(maxlen=STEPS_KEPT)

    def reset(self, seed: int, idle_frames: int) -> None:
        """Begin the game of a seed (31 bits), idle for the frames in which the other one was."""
        self._ale.setInt("random_seed", seed)
        load(self._ale, self.env_id)
        self._ale.reset_game()
        self._actions = _actions(self._ale, self._full)
        fire = [action for action in self._actions if action.name == "FIRE" and self._fire]
        for frame in range(idle_frames):
            self._ale.act(fire[0] if fire and frame == 0 else self._actions[0])
        self._kept.clear()

    def step(self, action: int) -> None:
        """Play one action and keep the sound of its four frames, or fewer if the game ends before."""
        frames = []
        for _ in range(FRAME_SKIP):
            self._ale.act(self._actions[action])
            frames.append(self._ale.getAudio().copy())
            if self._ale.game_over():
                break
        self._kept.append(np.concatenate(frames))

    def take(self) -> list[U8]:
        """Return the sound of each step since the last call: samples (n,) uint8, `SILENCE` is 0 volts."""
        taken = list(self._kept)
        self._kept.clear()
        return taken
