"""A film of the window in use: exactly what it shows, at a constant frame rate."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import pygame

from envs import drawing
from viewer.video import record

FPS = 30
MAX_REPEATS = 5  # of a frame: if the window hung, the film does not show it for as long


class Recorder:
    """Records a picture of the window every thirtieth of a second of real time, from `start` to `stop`.

    The film is complete up to its last picture however the window is closed. If the window's size changes, its picture
    is fitted into the film's size.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.path: Path | None = None
        self.frames = 0

    def start(self, path: Path, size: tuple[int, int]) -> None:
        """Start a film of a ``size``, rounded to even numbers, as video encoders need it.

        Raises:
            UserError: the file can't be written, or there is no encoder for it.
        """
        kind = record.check(path, overwrite=False)
        self._size = (size[0] // 2 * 2, size[1] // 2 * 2)
        self._fps = FPS if kind == ".mp4" else record.DEFAULT_FPS[kind]
        self._add = self._stack.enter_context(record.film(path, kind, self._size, self._fps))
        self.path, self.frames, self._due = path, 0, 1.0

    def capture(self, surface: pygame.Surface, seconds: float) -> None:
        """Add as many pictures as are due after ``seconds`` more.

        Raises:
            UserError: the film can't be written any more; there is no file of it then.
        """
        if self.path is None:
            return
        self._due += seconds * self._fps
        if self._due < 1.0:
            return
        shown = surface if surface.get_size() == self._size else self._fitted(surface)
        frame = drawing.picture(shown)
        for _ in range(min(int(self._due), MAX_REPEATS)):
            self._add(frame)
            self.frames += 1
        self._due %= 1.0

    def _fitted(self, surface: pygame.Surface) -> pygame.Surface:
        """Return the window's picture in the film's size, with its aspect ratio."""
        width, height = surface.get_size()
        scale = min(self._size[0] / width, self._size[1] / height)
        small = pygame.transform.smoothscale(surface, (int(width * scale), int(height * scale)))
        whole = pygame.Surface(self._size, depth=24)
        whole.blit(small, small.get_rect(center=whole.get_rect().center))
        return whole

    def stop(self) -> Path | None:
        """Complete the film; return its file, None if there is none."""
        path, self.path = self.path, None
        self._stack.close()
        return path


def new_film(runs_dir: Path, env_id: str) -> Path:
    """Return the file of a new film: mp4, or gif if no encoder is installed."""
    kind = "gif" if find_spec("imageio_ffmpeg") is None else "mp4"
    name = f"{env_id.split('/')[-1]}-{datetime.now():%Y%m%d-%H%M%S}"
    folder = runs_dir / "films"
    path, number = folder / f"{name}.{kind}", 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.{kind}"
    return path
