"""Atari games as memory, or in another mode or difficulty: by the emulator's own Gymnasium environment, one at a time.

ale-py's emulators that step side by side (`envs.atari`) know neither. The rules are the same ones, the pictures
Gymnasium's own preprocessing; only the number of idle steps that begin a game is drawn otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation

from common.errors import UserError
from envs import emulator
from envs.protocols import FRAME_SKIP

RAM = "-ram"


def make(
    env_id: str,
    render_mode: str | None = None,
    *,
    sticky: float,
    noops: int,
    frame_cap: int,
    fire: bool = False,
    frame_size: int = 84,
    frame_stack: int = 4,
    full_action_space: bool = False,
    difficulty: int | None = None,
    mode: int | None = None,
    num_threads: int = 1,
) -> gymnasium.Env[Any, Any]:
    """Return one game; arguments as `envs.atari.AtariVector`'s.

    Observations are stacks of frames (stack, size, size) uint8, or the machine's memory, (128,) uint8.

    Args:
        env_id: ``ALE/<Game>-v5`` or ``ALE/<Game>-ram-v5``.
        render_mode: rgb_array, or None.
        sticky: probability per emulator frame of repeating the last action.
        noops: up to so many idle steps begin a game.
        fire: one with FIRE goes before them, in games that know it.
        frame_cap: a game is truncated after this many emulator frames.
        frame_size: height and width of a frame, pixels.
        frame_stack: frames an observation has.
        full_action_space: all 18 actions in place of those that the game uses.
        difficulty: of the game's switch; None: its first.
        mode: of the game's select switch; None: its first.
        num_threads: there is one.

    Raises:
        UserError: the game has no such mode or difficulty, or frames need OpenCV, which is missing.
    """
    ram, game_id = RAM in env_id, env_id.replace(RAM, "")
    check(game_id, "mode", mode)
    check(game_id, "difficulty", difficulty)
    env: gymnasium.Env[Any, Any] = gymnasium.make(
        game_id,
        disable_env_checker=True,
        render_mode=render_mode,
        obs_type="ram" if ram else "grayscale",
        frameskip=FRAME_SKIP if ram else 1,
        repeat_action_probability=sticky,
        full_action_space=full_action_space,
        max_num_frames_per_episode=frame_cap,
        difficulty=difficulty,
        mode=mode,
    )
    if not ram:
        try:
            env = AtariPreprocessing(env, noop_max=0, frame_skip=FRAME_SKIP, screen_size=frame_size)
        except gymnasium.error.DependencyNotInstalled:
            env.close()
            cure = "pip install opencv-python-headless"
            raise UserError(f"frames of {game_id} in a mode or difficulty need OpenCV: {cure}") from None
    names = emulator.action_names(game_id, full_action_space)
    env = Rules(env, noops, [names.index("fire")] if fire and "fire" in names else [])
    return env if ram else FrameStackObservation(env, frame_stack, padding_type="zero")


def check(game_id: str, what: str, value: int | None) -> None:
    """Raise `UserError` if a game has no such mode or difficulty."""
    known = emulator.modes(game_id) if what == "mode" else emulator.difficulties(game_id)
    if value is not None and value not in known:
        raise UserError(f"--{what} {value}: {game_id} has {', '.join(map(str, known))}")


class Rules(gymnasium.Wrapper[Any, Any, Any, Any]):
    """What begins a game, actions and then idle steps, and ``info["life_lost"]``."""

    def __init__(self, env: gymnasium.Env[Any, Any], noops: int, first: Sequence[int] = ()) -> None:
        super().__init__(env)
        self._noops, self._first, self._lives = noops, first, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a game, idle for a while."""
        obs, info = self.env.reset(seed=seed, options=options)
        idle = int(self.env.unwrapped.np_random.integers(self._noops + 1)) if self._noops else 0
        for action in [*self._first, *[0] * idle]:
            obs, _, terminated, truncated, info = self.env.step(action)
            if terminated or truncated:
                obs, info = self.env.reset(options=options)
        self._lives = int(info["lives"])
        return obs, {**info, "life_lost": False}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Play one action for four emulator frames."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        lost = int(info["lives"]) < self._lives and not terminated
        self._lives = int(info["lives"])
        return obs, reward, terminated, truncated, {**info, "life_lost": lost}
