"""What a game lets be heard: from an emulator in lockstep with the one that is played."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import envs
from envs import protocols
from envs.emulator import FRAME_SAMPLES, SILENCE, STEPS_KEPT
from envs.protocols import FRAME_SKIP

PONG, BREAKOUT = "ALE/Pong-v5", "ALE/Breakout-v5"


class Watched:
    """An emulator that keeps the pictures of the frames it made."""

    def __init__(self, console: Any) -> None:
        self.console = console
        self.screens: list[NDArray[np.uint8]] = []

    def act(self, action: Any) -> Any:
        reward = self.console.act(action)
        self.screens = [*self.screens[-1:], self.console.getScreenRGB()]
        return reward

    def __getattr__(self, name: str) -> Any:
        return getattr(self.console, name)


@pytest.mark.parametrize("protocol", protocols.ATARI)
@pytest.mark.parametrize("env_id", [PONG, BREAKOUT])
def test_the_game_that_is_heard_is_the_one_that_is_seen(env_id: str, protocol: str) -> None:
    env: Any = envs.make(env_id, "rgb_array", **envs.options(env_id, protocol), sound=True)
    track = env.soundtrack
    track._console = watched = Watched(track._console)
    rng = np.random.default_rng(0)
    for seed in (6, 2**32 - 1, 6):
        env.reset(seed=seed)
        for _ in range(60):
            _, _, terminated, *_ = env.step(rng.integers(env.action_space.n))
            if terminated:  # then the emulators stop in the middle of a step, and pool other frames
                break
            np.testing.assert_array_equal(np.maximum(*watched.screens), env.render())
    env.close()


def test_every_step_is_four_frames_of_sound() -> None:
    env: Any = envs.make(BREAKOUT, "rgb_array", **envs.options(BREAKOUT), sound=True)
    env.reset(seed=3)
    rng, heard = np.random.default_rng(0), []
    for _ in range(STEPS_KEPT - 1):
        env.step(rng.integers(env.action_space.n))
        heard += env.soundtrack.take()
    assert {sound.dtype.name for sound in heard} == {"uint8"}
    assert [len(sound) for sound in heard] == [FRAME_SKIP * FRAME_SAMPLES] * (STEPS_KEPT - 1)
    assert env.soundtrack.take() == []
    assert np.concatenate(heard).max() > SILENCE  # the ball hits something
    assert np.concatenate(heard).min() == SILENCE


def test_who_does_not_listen_misses_the_oldest() -> None:
    env: Any = envs.make(PONG, **envs.options(PONG), sound=True)
    env.reset(seed=3)
    for _ in range(STEPS_KEPT + 5):
        env.step(0)
    assert len(env.soundtrack.take()) == STEPS_KEPT
    env.step(0)
    env.reset(seed=4)
    assert env.soundtrack.take() == []


def test_a_game_is_mute_unless_asked() -> None:
    env: Any = envs.make(PONG, "rgb_array", **envs.options(PONG))
    assert env.soundtrack is None
