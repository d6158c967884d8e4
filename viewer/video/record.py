"""Films and pictures of exactly what the window shows, written without a screen."""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pygame
from numpy.typing import NDArray
from PIL import Image

from common.errors import UserError
from common.output import check_output
from common.signals import ALL, on_signal
from envs import drawing
from viewer import screen
from viewer.drawing import water
from viewer.drawing.canvas import Fonts
from viewer.layout import natural_size
from viewer.panels import View
from viewer.playing.session import Session
from viewer.video.gif import Gif
from viewer.video.progress import Tell, nobody
from viewer.video.shrink import to_fit
from viewer.video.sound import FilmSound

Frame = NDArray[np.uint8]  # (H, W, 3)

DEFAULT_STEPS = {".mp4": 1000, ".gif": 300, ".png": 60}
# Frames per second. mp4: one for each tick of 30 ms, or as `default_fps` computes. gif: its delays are
# hundredths of a second, and browsers slow down gifs with delays below 0.02 s.
DEFAULT_FPS = {".mp4": 1000 / 30, ".gif": 100 / 6, ".png": 1000 / 30}
VIDEO_HINT = "writing mp4 needs imageio-ffmpeg: pip install -e '.[video]' (gif and png go without)"


class FilmWriter(Protocol):
    """Writes frames one by one; after ``close`` the file is readable, with all frames added."""

    def add(self, frame: Frame) -> None:
        """Write one frame (H, W, 3), of the same size as the first."""
        ...

    def close(self) -> None:
        """Complete the file."""
        ...


class Mp4:
    """H.264 by imageio-ffmpeg's own encoder, which reads frames from a pipe."""

    def __init__(self, path: Path, size: tuple[int, int], fps: float) -> None:
        """Start the encoder at once, so that it fails before anything is played."""
        try:
            self._writer: Generator[None, Any, None] = importlib.import_module("imageio_ffmpeg").write_frames(
                str(path), size, fps=fps, codec="libx264", quality=8, macro_block_size=2
            )
            self._writer.send(None)
        except ImportError:
            raise UserError(VIDEO_HINT) from None
        except (OSError, RuntimeError) as error:
            raise UserError(f"ffmpeg can't be started: {first_line(error)}") from None

    def add(self, frame: Frame) -> None:
        """Pass one frame to the encoder."""
        try:
            self._writer.send(np.ascontiguousarray(frame))
        except (OSError, StopIteration):  # a broken pipe
            raise OSError(errno.EIO, "ffmpeg has ended; why, it said itself") from None

    def close(self) -> None:
        """Let the encoder write its index and exit."""
        self._writer.close()


class Png:
    """One picture: the last frame."""

    def __init__(self, path: Path) -> None:
        """Set the file."""
        self._path = path
        self._frame: Frame | None = None

    def add(self, frame: Frame) -> None:
        """Replace the previous frame."""
        self._frame = frame

    def close(self) -> None:
        """Write the picture."""
        if self._frame is not None:
            data = io.BytesIO()
            Image.fromarray(self._frame).save(data, "PNG", optimize=True)
            self._path.write_bytes(data.getvalue())


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def check(path: Path, overwrite: bool) -> str:
    """Return the kind of file (its suffix) that ``--record`` asks for, checked before anything is played.

    Raises:
        UserError: an unknown kind, an existing file, a folder that can't be made or written to, or no encoder.
    """
    check_output("--record", path, tuple(DEFAULT_STEPS), overwrite)
    kind = path.suffix.lower()
    if kind == ".mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        raise UserError(VIDEO_HINT)
    return kind


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"--record {path}: can't be written ({error.strerror})")


def _temporary(path: Path) -> Path:
    """Return a temporary file in the same folder."""
    return path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")


def open_film(path: Path, kind: str, size: tuple[int, int], fps: float) -> FilmWriter:
    """Return the writer for that kind of file."""
    if kind == ".mp4":
        return Mp4(path, size, fps)
    return Gif(path, fps) if kind == ".gif" else Png(path)


@contextmanager
def film(
    path: Path,
    kind: str,
    size: tuple[int, int],
    fps: float,
    sound: FilmSound | None = None,
    notes: list[str] | None = None,
    keep_fps: bool = False,
    tell: Tell = nobody,
) -> Iterator[Callable[[Frame], None]]:
    """Open a film, yield the function that adds a frame, and complete the film whatever happens inside.

    The file gets its name when it is complete; without a frame, or where one can't be written, there is no file.

    Args:
        path: of the file.
        kind: its suffix.
        size: of the frames, pixels.
        fps: frames per second.
        sound: that is put into it.
        notes: takes what a person should know of the film; None: it is left as large as it gets.
        keep_fps: a gif that is too large gets fewer pixels, and not fewer frames.
        tell: receives how far that is.
    """
    temporary, frames, whole = _temporary(path), 0, True
    try:
        writer = open_film(temporary, kind, size, fps)

        def add(frame: Frame) -> None:
            nonlocal frames, whole
            try:
                writer.add(frame)
            except OSError as error:
                whole = False
                raise _unwritable(path, error) from None
            frames += 1

        try:
            yield add
        finally:
            writer.close()
            if frames and whole:
                try:
                    said, smaller = notes if notes is not None else [], kind == ".gif" and notes is not None
                    if sound is not None and (why := sound.put_into(temporary)):
                        said.append(f"without sound: {why}")
                    if smaller and (fitted := to_fit(temporary, fps, keep_fps, frames=frames, tell=tell)):
                        said.append(f"made smaller, {fitted}; mp4 keeps everything")
                finally:  # the film is complete: whoever stops this has it without sound, or large
                    os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def default_fps(kind: str, tick_seconds: float) -> float:
    """Return the frames per second of a film: for mp4 the multiple of the steps per second nearest to the default."""
    usual, steps = DEFAULT_FPS[kind], 1.0 / tick_seconds
    if kind == ".gif" or steps > 2 * usual:
        return usual
    return max(1, round(usual / steps)) * steps


def record(
    view: View,
    path: Path,
    *,
    steps: int | None = None,
    episodes: int | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    notes: list[str] | None = None,
    tell: Tell = nobody,
) -> int:
    """Play ``steps`` steps, or ``episodes`` episodes if that is less, and film them; return the number of frames.

    Between two frames 1/fps seconds of play pass at the session's speed, so a film runs as fast as
    the window does. SIGINT or SIGTERM stops it early, complete up to there. An mp4 of a game that is
    listened to has its sound. ``notes`` is as in `film`; ``tell`` receives the steps so far.

    Raises:
        UserError: the file can't be written.
        KeyboardInterrupt: it was stopped early; the film is complete up to there.
    """
    kind = path.suffix.lower()
    session = view.session
    steps = steps or (sys.maxsize if episodes else DEFAULT_STEPS[kind])
    asked, fps = fps, fps or default_fps(kind, session.tick_seconds)
    size = size or natural_size(view)
    surface, fonts, frames = pygame.Surface(size, depth=24), Fonts(), 0
    sound = sound_of(session, kind)
    with (
        stop_flag() as stop,
        water.flat(kind == ".gif"),
        film(path, kind, size, fps, sound, notes, asked is not None, tell) as add,
    ):
        while True:
            tell(session.total_steps)
            done = session.total_steps >= steps or (episodes is not None and len(session.results) >= episodes)
            if kind != ".png" or done or stop.is_set():
                screen.draw(surface, fonts, view)
                add(drawing.picture(surface))
                frames += 1
            else:
                session.q_values()  # as every drawn frame does: they move the axis of the bars
            if done or stop.is_set():
                break
            session.advance(1.0 / fps, limit=steps - session.total_steps)
            if sound is not None:
                sound.until(frames / fps)
        stopped = stop.is_set()
        stop.set()  # what follows, making it smaller, the first signal ends
    if stopped:
        raise KeyboardInterrupt
    return frames


def sound_of(session: Session, kind: str) -> FilmSound | None:
    """Return the sound of a film of a session; None: the game makes none, the file can't hold it, or it runs faster."""
    track = getattr(session.env.unwrapped, "soundtrack", None)
    return FilmSound(track.take) if track is not None and kind == ".mp4" and session.speed == 1.0 else None


@contextmanager
def stop_flag() -> Iterator[threading.Event]:
    """Turn signals that end a program into a flag, so that no frame is cut in half; a second one stops at once."""
    flag = threading.Event()

    def ask(number: int) -> None:
        if flag.is_set():
            raise KeyboardInterrupt
        flag.set()

    if threading.current_thread() is not threading.main_thread():
        yield flag  # only the main thread receives signals
        return
    with on_signal(ask, ALL):
        yield flag
