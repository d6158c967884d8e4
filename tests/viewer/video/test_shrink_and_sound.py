"""Gifs that are made smaller until they fit, and the sound of an mp4."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from envs.emulator import SAMPLE_RATE, SILENCE
from viewer.video import record, shrink
from viewer.video.gif import Gif
from viewer.video.progress import Tell, nobody
from viewer.video.sound import LATE, FilmSound

STEP = 2048  # samples of an agent step


def noise(path: Path, frames: int = 24, size: tuple[int, int] = (80, 120)) -> Path:
    """Write a gif of noise, which no palette and no difference makes small."""
    film, rng = Gif(path, 16.0), np.random.default_rng(1)
    for _ in range(frames):
        film.add(rng.integers(0, 256, (*size, 3), np.uint8))
    film.close()
    return path


def about(path: Path) -> tuple[tuple[int, int], int, int]:
    with Image.open(path) as film:
        return film.size, getattr(film, "n_frames", 1), int(film.info["duration"])


def test_a_gif_that_fits_is_left_alone(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.gif", 3)
    before = path.read_bytes()
    assert shrink.to_fit(path, 16.0) is None
    assert path.read_bytes() == before


@pytest.mark.parametrize("share", [0.6, 0.2])
def test_a_gif_is_made_smaller_until_it_fits(tmp_path: Path, share: float) -> None:
    path = noise(tmp_path / "a.gif")
    most = int(path.stat().st_size * share)
    fitted = shrink.to_fit(path, 16.0, most=most)
    assert fitted is not None
    assert fitted.bytes == path.stat().st_size <= most
    size, frames, milliseconds = about(path)
    assert size == fitted.size
    assert frames * milliseconds == pytest.approx(24 * 60, rel=0.1)  # as long as before
    assert fitted.fps >= shrink.LEAST_FPS
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.gif"]


def test_a_rate_that_was_asked_for_is_kept(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.gif")
    fitted = shrink.to_fit(path, 16.0, keep_fps=True, most=path.stat().st_size // 3)
    assert fitted is not None
    size, frames, _ = about(path)
    assert (fitted.fps, frames) == (16.0, 24)
    assert size[0] < 120


def test_what_can_t_be_that_small_is_said(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.gif", 4)
    fitted = shrink.to_fit(path, 16.0, most=100)
    assert fitted is not None
    assert fitted.bytes > 100
    assert "as small as it gets" in str(fitted._replace(bytes=shrink.MOST_BYTES + 1))


class Told(Tell):
    """Keeps what it is told; stops the film as Ctrl-C does, if it is to."""

    def __init__(self, stops: bool = False) -> None:
        self.stages: list[tuple[str, int]] = []
        self.done: list[int] = []
        self.stops = stops

    def __call__(self, done: int) -> None:
        self.done.append(done)
        if self.stops and done == 3:
            signal.raise_signal(signal.SIGINT)

    def stage(self, title: str, total: int) -> None:
        self.stages.append((title, total))


def film_of_noise(path: Path, tell: Tell, notes: list[str]) -> None:
    with record.stop_flag() as stop, record.film(path, ".gif", (120, 80), 16.0, notes=notes, tell=tell) as add:
        rng = np.random.default_rng(1)
        for _ in range(12):
            add(rng.integers(0, 256, (80, 120, 3), np.uint8))
        stop.set()  # as where it is recorded: from here on a signal raises


def test_ctrl_c_while_it_is_made_smaller_keeps_the_whole_film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrink.to_fit, "__defaults__", (False, 20_000, 0, nobody))
    told, notes = Told(stops=True), list[str]()
    with pytest.raises(KeyboardInterrupt):
        film_of_noise(tmp_path / "a.gif", told, notes)
    assert about(tmp_path / "a.gif") == ((120, 80), 12, 60)
    assert (told.stages, notes) == ([("making it smaller", 12)], [])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.gif"]


def test_a_film_says_that_it_was_made_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shrink.to_fit, "__defaults__", (False, 20_000, 0, nobody))
    told, notes = Told(), list[str]()
    film_of_noise(tmp_path / "a.gif", told, notes)
    assert told.stages[0] == ("making it smaller", 12)
    assert told.done[:12] == list(range(12))
    with Image.open(tmp_path / "a.gif") as image:
        kept = image.n_frames  # type: ignore[attr-defined]
    assert kept < 12
    assert notes[0].startswith(f"made smaller, {kept} frames, ")
    assert (tmp_path / "a.gif").stat().st_size <= 20_000


class Track:
    """A step's sound, 15 times a second, until it pauses."""

    def __init__(self, steps: int) -> None:
        self.left, self.taken = steps, 0

    def take(self) -> list[Any]:
        tone = (128 + 100 * np.sin(np.arange(STEP) * 2 * np.pi * 440 / SAMPLE_RATE)).astype(np.uint8)
        found = [tone] * min(self.left, 1)
        self.left -= len(found)
        return found


def test_sound_keeps_step_with_the_pictures() -> None:
    sound = FilmSound(Track(15).take)
    for frame in range(1, 31):  # two seconds at 15 frames a second, of which the game plays the first
        sound.until(frame / 15)
    assert abs(sound.samples - 2 * SAMPLE_RATE) <= LATE
    joined = np.concatenate(sound._pieces)
    assert joined[: 15 * STEP].std() > 50
    assert set(joined[15 * STEP :]) == {SILENCE}


def test_an_mp4_gets_the_sound(tmp_path: Path) -> None:
    ffmpeg: Any = pytest.importorskip("imageio_ffmpeg", reason="pip install -e '.[video]'")
    path, sound, notes = tmp_path / "a.mp4", FilmSound(Track(15).take), list[str]()
    with record.film(path, ".mp4", (64, 64), 15.0, sound, notes) as add:
        for frame in range(15):
            add(np.full((64, 64, 3), 10 * frame, np.uint8))
            sound.until((frame + 1) / 15)
    words = [ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-af", "volumedetect", "-f", "null", "-"]
    text = subprocess.run(words, capture_output=True, text=True).stderr
    assert "Audio: aac" in text
    assert "Duration: 00:00:01.0" in text
    assert float(text.split("max_volume:")[1].split("dB")[0]) > -10
    assert notes == []
    assert [one.name for one in tmp_path.iterdir()] == ["a.mp4"]


def test_a_film_without_its_sound_is_kept_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("imageio_ffmpeg", reason="pip install -e '.[video]'")
    path, sound, notes = tmp_path / "a.mp4", FilmSound(Track(1).take), list[str]()
    failing = subprocess.CompletedProcess([], 1, "", "no encoder here\nmore")
    monkeypatch.setattr("viewer.video.sound.subprocess.run", lambda *words, **more: failing)
    with record.film(path, ".mp4", (64, 64), 15.0, sound, notes) as add:
        add(np.zeros((64, 64, 3), np.uint8))
        sound.until(0.1)
    assert notes == ["without sound: no encoder here"]
    assert [one.name for one in tmp_path.iterdir()] == ["a.mp4"]
