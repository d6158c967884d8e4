"""Sound of a game, from an emulator that plays in lockstep with the environment's."""

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


class FrameRecorder:
    """An emulator that keeps the screens of its last two frames."""

    def __init__(self, emulator: Any) -> None:
        self.emulator = emulator
        self.screens: list[NDArray[np.uint8]] = []

    def act(self, action: Any) -> Any:
        reward = self.emulator.act(action)
        self.screens = [*self.screens[-1:], self.emulator.getScreenRGB()]
        return reward

    def __getattr__(self, name: str) -> Any:
        return getattr(self.emulator, name)


@pytest.mark.parametrize("protocol", protocols.ATARI)
@pytest.mark.parametrize("env_id", [PONG, BREAKOUT])
def test_the_sound_emulator_plays_the_same_game(env_id: str, protocol: str) -> None:
    env: Any = envs.make(env_id, "rgb_array", **envs.options(env_id, protocol), sound=True)
    track = env.soundtrack
    track._ale = recorder = FrameRecorder(track._ale)
    rng = np.random.default_rng(0)
    for seed in (6, 2**32 - 1, 6):
        env.reset(seed=seed)
        for _ in range(60):
            _, _, terminated, *_ = env.step(rng.integers(env.action_space.n))
            if terminated:  # the emulators stop in the middle of a step, and pool other frames
                break
            np.testing.assert_array_equal(np.maximum(*recorder.screens), env.render())
    env.close()


def test_every_step_has_four_frames_of_sound() -> None:
    env: Any = envs.make(BREAKOUT, "rgb_array", **envs.options(BREAKOUT), sound=True)
    env.reset(seed=3)
    rng, sounds = np.random.default_rng(0), []
    for _ in range(STEPS_KEPT - 1):
        env.step(rng.integers(env.action_space.n))
        sounds += env.soundtrack.take()
    assert {sound.dtype.name for sound in sounds} == {"uint8"}
    assert [len(sound) for sound in sounds] == [FRAME_SKIP * FRAME_SAMPLES] * (STEPS_KEPT - 1)
    assert env.soundtrack.take() == []
    assert np.concatenate(sounds).max() > SILENCE  # the ball hits something
    assert np.concatenate(sounds).min() == SILENCE


def test_sound_not_taken_is_dropped_oldest_first() -> None:
    env: Any = envs.make(PONG, **envs.options(PONG), sound=True)
    env.reset(seed=3)
    for _ in range(STEPS_KEPT + 5):
        env.step(0)
    assert len(env.soundtrack.take()) == STEPS_KEPT
    env.step(0)
    env.reset(seed=4)
    assert env.soundtrack.take() == []


def test_games_have_no_sound_by_default() -> None:
    env: Any = envs.make(PONG, "rgb_array", **envs.options(PONG))
    assert env.soundtrack is None
