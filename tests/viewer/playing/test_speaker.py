"""Sound without a loudspeaker: SDL writes its output to a file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import play
from common.errors import UserError
from envs.emulator import Soundtrack
from tests.viewer.helpers import Q4, Known, session_in, view_of
from viewer import commands
from viewer.playing.speaker import Speaker
from viewer.window import Window

ROOT = Path(__file__).resolve().parents[3]
RATE, STEP = 30_720, 2_048  # of an Atari game: samples a second, and in a step
PLAYER = """
import sys, time
import numpy as np
from viewer.playing.speaker import Speaker
steps, audible = int(sys.argv[1]), sys.argv[2] == "audible"
samples = np.load("samples.npy")
begun, made = time.monotonic(), 0
def take():
    global made
    due = min(int((time.monotonic() - begun) * 15), steps)
    new, made = [samples[k * 2048 : (k + 1) * 2048] for k in range(made, due)], due
    return new
speaker = Speaker(take, 30720)
while time.monotonic() - begun < steps / 15 + 0.5:
    speaker.tick(audible)
    time.sleep(1 / 60)
speaker.close()
"""


def played(folder: Path, samples: NDArray[np.uint8], audible: str = "audible") -> NDArray[np.uint8]:
    """Return what the sound card would get when these samples arrive, one step's at a time."""
    np.save(folder / "samples.npy", samples)
    env = {**os.environ, "SDL_AUDIODRIVER": "disk", "SDL_DISKAUDIOFILE": "out.raw", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", PLAYER, str(len(samples) // STEP), audible]
    subprocess.run(words, cwd=folder, env=env, check=True, capture_output=True)
    return np.fromfile(folder / "out.raw", np.uint8)


def test_samples_in_time_are_played_without_a_gap(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(0, 256, 20 * STEP, np.uint8)
    out = played(tmp_path, samples)
    start = out.tobytes().find(samples[:64].tobytes())
    assert start >= 0
    np.testing.assert_array_equal(out[start : start + len(samples)], samples)
    assert set(out[start + len(samples) :]) <= {128}


def test_inaudible_samples_are_silence(tmp_path: Path) -> None:
    out = played(tmp_path, np.full(4 * STEP, 200, np.uint8), "mute")
    assert len(out) > 4 * STEP
    assert set(out) == {128}


def test_a_machine_without_an_audio_device_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_AUDIODRIVER", "nosuch")
    with pytest.raises(UserError, match=r"this machine has no audio device \(.+\); leave --sound out"):
        Speaker(list, RATE)


def test_sound_is_for_the_present_at_normal_speed() -> None:
    view = view_of(session_in(policy=Known(Q4)))
    window: Any = SimpleNamespace(view=view)

    def audible() -> bool:
        return Window.audible.fget(window)  # type: ignore[attr-defined, no-any-return]

    assert commands.find(view, "m", "m") is None  # a game without sound has no such key
    view.muted = False
    assert audible()
    command = commands.find(view, "m", "m")
    assert command is not None
    command.run(view)
    assert not audible()
    assert view.notice == "sound off"
    command.run(view)
    assert audible()
    assert view.notice == "sound on"
    view.session.speed = 2.0
    assert not audible()
    command.run(view)
    command.run(view)
    assert view.notice == "sound on, at speed 1"
    view.session.speed, view.session.paused = 1.0, True
    assert not audible()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ALE/Pong-v5", "--sound", "--record", "a.gif"], "only .mp4 has sound"),
        (["Waterworld-v1", "--sound"], "tidepool/Waterworld-v1 makes no sound, only Atari games do; leave --sound out"),
    ],
)
def test_sound_that_is_not_possible_is_rejected(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        play.main(words)


@pytest.mark.parametrize("words", [["--human", "--episodes", "1"], ["--versus"], []])
def test_a_game_has_sound_in_every_mode(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str]) -> None:
    """The window is open for a few steps on SDL's dummy drivers; the samples it takes are a game's sound."""
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")
    monkeypatch.chdir(tmp_path)
    taken: list[int] = []
    take = Soundtrack.take

    def recorded(self: Soundtrack) -> list[NDArray[np.uint8]]:
        found = take(self)
        taken.extend(len(sound) for sound in found)
        return found

    monkeypatch.setattr(Soundtrack, "take", recorded)
    assert play.main(["ALE/Pong-v5", "--sound", "--steps", "6", "--seed", "1", *words]) == 0
    assert set(taken) == {STEP}
