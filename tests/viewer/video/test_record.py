from __future__ import annotations

import errno
import importlib.util
import io
import itertools
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pygame
import pytest
from PIL import Image

from common.errors import UserError
from envs.drawing import picture
from tests.viewer.helpers import CARTPOLE, Q4, Known, drawn, drawn_at, session_in, view_of
from viewer import screen
from viewer.drawing import water
from viewer.drawing.theme import Theme
from viewer.video import record
from viewer.video.gif import Gif
from viewer.video.recorder import Recorder

SMALL = (656, 362)


def view(**options: Any) -> Any:
    return view_of(session_in(policy=Known(Q4), **options))


def test_png_is_the_window_after_so_many_steps(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.png"
    record.check(path, overwrite=False)
    shown = view()
    assert record.record(shown, path, steps=20) == 1
    assert shown.session.total_steps == 20
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), picture(drawn(shown)))


def test_gif_frames_have_the_right_rate(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    shown = view()
    frames = record.record(shown, path, steps=40, size=SMALL)  # a frame each 60 ms, a tick each 30 ms
    assert frames == 21  # the start, and one each 2 steps
    with Image.open(path) as film:
        assert film.n_frames == frames  # type: ignore[attr-defined]
        assert film.size == SMALL
        assert film.info["duration"] == 60
        assert film.info["loop"] == 0
        film.seek(frames - 1)
        last = np.asarray(film.convert("RGB")).astype(int)
    with water.flat(True):  # as in every GIF
        shown_last = picture(drawn_at(shown, SMALL)).astype(int)
    assert np.abs(last - shown_last).mean() < 0.3  # 256 colours, else the same picture
    large = (shown_last == water.WATER[False][0]).all(-1)
    assert large.mean() > 0.2
    assert (last[large] == water.WATER[False][0]).all()  # large areas have their own colour
    assert tuple(last[2, 2]) == Theme.background


def test_gif_frames_hold_only_what_changed(tmp_path: Path) -> None:
    film = Gif(tmp_path / "b.gif", 20.0)
    still = np.full((50, 80, 3), 255, np.uint8)
    moved = still.copy()
    moved[10:20, 30:40] = (255, 150, 150)
    for frame in (still, still, moved):
        film.add(frame)
    film.close()
    with Image.open(tmp_path / "b.gif") as read:
        assert read.n_frames == 3  # type: ignore[attr-defined]
        read.seek(2)
        assert np.array_equal(np.asarray(read.convert("RGB")), moved)


def test_a_gif_also_has_the_colours_of_later_screens(tmp_path: Path) -> None:
    film = Gif(tmp_path / "b.gif", 20.0)
    frames = [np.zeros((50, 80, 3), np.uint8) for _ in range(3)]
    frames[1][10:40, 10:70] = (184, 70, 162)
    frames[2][:, :, 0] = np.arange(80) * 3  # a ramp that no palette of the first frame holds
    for frame in frames:
        film.add(frame)
    film.close()
    with Image.open(tmp_path / "b.gif") as read:
        for number, frame in enumerate(frames):
            read.seek(number)
            off = np.abs(np.asarray(read.convert("RGB")).astype(int) - frame)
            assert off.max() <= 8, number


@pytest.mark.parametrize(("rate", "fps"), [(100 / 3, 100 / 3), (15, 30), (30, 30), (50, 50), (4, 32), (500, 100 / 3)])
def test_mp4_has_the_same_number_of_frames_for_every_step(rate: float, fps: float) -> None:
    assert record.default_fps(".mp4", 1 / rate) == pytest.approx(fps)
    assert record.default_fps(".gif", 1 / rate) == record.DEFAULT_FPS[".gif"]


def test_mp4_can_be_read_back(tmp_path: Path) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    path = tmp_path / "a.mp4"
    shown = view()
    frames = record.record(shown, path, steps=24, size=SMALL)
    assert frames == 25  # the start, and one a step
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert (count, seconds) == (25, pytest.approx(25 * 0.03, abs=0.02))
    reader = imageio_ffmpeg.read_frames(str(path))
    assert next(reader)["size"] == SMALL
    last = np.frombuffer(list(reader)[-1], np.uint8).reshape(SMALL[1], SMALL[0], 3).astype(int)
    assert np.abs(last - picture(drawn_at(shown, SMALL)).astype(int)).mean() < 4.0


def test_a_film_runs_as_fast_as_the_window(tmp_path: Path) -> None:
    shown = view(speed=10.0)
    assert record.record(shown, tmp_path / "a.gif", steps=60, size=SMALL) == 4  # 20 steps between frames


def test_episodes_can_end_a_film(tmp_path: Path) -> None:
    session = session_in(CARTPOLE, Known((0.0, 1.0)))
    record.record(view_of(session, CARTPOLE), tmp_path / "a.gif", episodes=1, size=SMALL)
    assert len(session.results) == 1
    assert session.total_steps == session.score.steps


def test_sigterm_completes_the_film(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    shown = view()
    step = shown.session.step

    def step_and_kill() -> None:
        step()
        if shown.session.total_steps == 10:
            signal.raise_signal(signal.SIGTERM)

    shown.session.step = step_and_kill
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        record.record(shown, path, steps=1000, size=SMALL)
    assert signal.getsignal(signal.SIGTERM) is before
    with Image.open(path) as film:
        assert film.n_frames == 6  # type: ignore[attr-defined]
    assert [file.name for file in tmp_path.iterdir()] == ["a.gif"]


def test_an_error_in_the_middle_keeps_what_was_filmed(tmp_path: Path) -> None:
    shown = view()
    step = shown.session.step

    def fail() -> None:
        if shown.session.total_steps == 6:
            raise RuntimeError("the environment broke")
        step()

    shown.session.step = fail
    with pytest.raises(RuntimeError, match="broke"):
        record.record(shown, tmp_path / "a.gif", steps=1000, size=SMALL)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 4  # type: ignore[attr-defined]


def test_without_a_frame_there_is_no_file_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), record.film(path, ".gif", SMALL, 20.0):
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.gif"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.avi", r"unknown kind '\.avi'; allowed: \.mp4, \.gif, \.png"),
        ("a", "unknown kind ''"),
        ("old.gif", "exists; --overwrite"),
        ("folder.png", "is a folder"),
        ("file/a.png", "can't be written"),
    ],
)
def test_bad_targets_are_rejected_before_playing(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "old.gif").write_bytes(b"old")
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=message):
        record.check(tmp_path / name, overwrite=False)


def test_overwrite_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    assert record.check(path, overwrite=True) == ".png"
    assert path.read_bytes() == b"old"  # until the new one is complete
    record.record(view(), path, steps=1)
    assert Image.open(io.BytesIO(path.read_bytes())).size == screen.layout(view()).size


@pytest.mark.parametrize("kind", [".gif", ".mp4"])
def test_a_disk_that_becomes_full_is_said_and_no_half_film_stays(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while a window is filmed, where the error must not end the window: it is the user's."""
    if kind == ".mp4":
        pytest.importorskip("imageio_ffmpeg", reason="pip install -e '.[video]'")
    writer = Gif if kind == ".gif" else record.Mp4
    added, add, path = itertools.count(), writer.add, tmp_path / f"a{kind}"

    def full(self: Any, frame: Any) -> None:
        if next(added) == 2:
            if kind == ".mp4":
                self._writer.close()  # as ffmpeg does
            else:
                raise OSError(errno.ENOSPC, "No space left on device")
        add(self, frame)

    monkeypatch.setattr(writer, "add", full)
    recorder, surface = Recorder(), pygame.Surface(SMALL)
    recorder.start(path, SMALL)
    with pytest.raises(UserError, match=r"can't be written \((No space left|ffmpeg has ended)"):
        recorder.capture(surface, 0.5)  # five frames
    recorder.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_encoder_is_reported_before_playing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "imageio_ffmpeg" else find(name))
    with pytest.raises(UserError, match=r"pip install -e '\.\[video\]'"):
        record.check(tmp_path / "a.mp4", overwrite=False)


def test_recording_opens_no_display(tmp_path: Path) -> None:
    pygame.display.quit()
    record.record(view(), tmp_path / "a.png", steps=1)
    assert not pygame.display.get_init()
