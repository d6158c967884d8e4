"""A film of the window while a person plays in it: exactly what the window shows, at a steady pace."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

import pygame

from envs import drawing
from viewer.video import record

FPS = 30
# a window that hung for a while does not make the film stand still for as long
MOST_AT_ONCE = 5


class Recorder:
    """Takes one picture of the window every thirtieth of a second of real time, from `start` to `stop`.

    The film is complete up to its last picture however the window is closed. If the window changes its size, what it
    shows is fitted into the film's.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.path: Path | None = None
        self.frames = 0

    def start(self, path: Path, size: tuple[int, int]) -> None:
        """Begin a film of pictures of a size, made even, as video wants it.

        Raises:
            UserError: the file can't be written, or there is no encoder for it.
        """
        kind = record.check(path, overwrite=False)
        self._size = (size[0] // 2 * 2, size[1] // 2 * 2)
        self._fps = FPS if kind == ".mp4" else record.DEFAULT_FPS[kind]
        self._add = self._stack.enter_context(record.film(path, kind, self._size, self._fps))
        self.path, self.frames, self._due = path, 0, 1.0

    def shoot(self, surface: pygame.Surface, seconds: float) -> None:
        """Take as many pictures as the time since the last call asks for.

        Raises:
            UserError: the film can't be written any more; what there is stays.
        """
        if self.path is None:
            return
        self._due += seconds * self._fps
        if self._due < 1.0:
            return
        shown = surface if surface.get_size() == self._size else self._fitted(surface)
        frame = drawing.picture(shown)
        for _ in range(min(int(self._due), MOST_AT_ONCE)):
            self._add(frame)
            self.frames += 1
        self._due %= 1.0

    def _fitted(self, surface: pygame.Surface) -> pygame.Surface:
        """Return the window's picture in the film's size, its shape kept."""
        width, height = surface.get_size()
        scale = min(self._size[0] / width, self._size[1] / height)
        small = pygame.transform.smoothscale(surface, (int(width * scale), int(height * scale)))
        whole = pygame.Surface(self._size, depth=24)
        whole.blit(small, small.get_rect(center=whole.get_rect().center))
        return whole

    def stop(self) -> Path | None:
        """Complete the film; return its file, None where none was made."""
        path, self.path = self.path, None
        self._stack.close()
        return path


def new_film(runs_dir: Path, env_id: str) -> Path:
    """Return the file of a new film: mp4, or gif where no encoder is installed."""
    kind = "gif" if find_spec("imageio_ffmpeg") is None else "mp4"
    name = f"{env_id.split('/')[-1]}-{datetime.now():%Y%m%d-%H%M%S}"
    folder = runs_dir / "films"
    path, number = folder / f"{name}.{kind}", 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.{kind}"
    return path
