"""The window: a plain loop that drains the events, lets time pass, draws and flips."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pygame

from common.errors import UserError
from viewer import screen
from viewer.canvas import Fonts
from viewer.panels import View
from viewer.trial import DONE

FRAMES_PER_SECOND = 60
LONGEST_FRAME = 0.25  # seconds of play a frame makes up for; a window that was dragged does not race after
STEP_BUDGET = 0.012  # seconds of stepping a frame: the window stays alive at speeds that the machine can't reach
BLIND_DRIVERS = ("dummy", "offscreen")
NO_SCREEN = "there is no screen here; write a film instead: python play.py --record film.mp4 (or .gif, .png)"

NAMES = {
    pygame.K_LEFT: "left", pygame.K_RIGHT: "right", pygame.K_UP: "up", pygame.K_DOWN: "down",
    pygame.K_SPACE: "space", pygame.K_LSHIFT: "shift", pygame.K_RSHIFT: "shift",
    **{getattr(pygame, f"K_{digit}"): str(digit) for digit in range(10)},
    **{getattr(pygame, f"K_KP{digit}"): str(digit) for digit in range(10)},
}  # fmt: skip
FASTER = (pygame.K_PLUS, pygame.K_EQUALS, pygame.K_KP_PLUS)
SLOWER = (pygame.K_MINUS, pygame.K_KP_MINUS)
ENTER = (pygame.K_RETURN, pygame.K_KP_ENTER)
QUIT = (pygame.K_ESCAPE, pygame.K_q)
PAUSE = (pygame.K_p, pygame.K_PAUSE)  # and space, where it is not an action's key
ONE_STEP = (pygame.K_PERIOD, pygame.K_n, pygame.K_KP_PERIOD)


def open_display(size: tuple[int, int] = screen.SIZE) -> pygame.Surface:
    """Open the window and return its surface.

    Raises:
        UserError: there is no screen. SDL falls back to a driver that shows nothing without a word;
            that counts as none, unless ``SDL_VIDEODRIVER`` asks for it.
    """
    asked = os.environ.get("SDL_VIDEODRIVER") or os.environ.get("SDL_VIDEO_DRIVER")
    if not asked and sys.platform.startswith("linux"):
        # SDL might find a console to draw on; who wants that says so
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise UserError(NO_SCREEN)
    try:
        with _hushed():
            pygame.display.init()
        if pygame.display.get_driver().lower() in BLIND_DRIVERS and not asked:
            pygame.display.quit()
            raise UserError(NO_SCREEN)
        pygame.display.set_caption("Tidepool")
        surface = pygame.display.set_mode(_fitting(size), pygame.RESIZABLE)
    except pygame.error as error:
        raise UserError(f"{NO_SCREEN} (SDL says: {error})") from None
    if pygame.display.get_driver() == "x11":
        _leave_when_x_dies()
    return surface


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep quiet what the system's own libraries write while SDL tries one driver after the other."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # no standard error at all
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


_handlers: list[Any] = []  # C keeps only their addresses


def _leave_when_x_dies() -> None:
    """End with one line, not Xlib's, when the X server goes away: Xlib ends the process whatever we do."""

    def leave(display: int) -> int:
        os.write(2, b"error: the screen went away\n")
        os._exit(2)

    try:
        set_handler = ctypes.CDLL("libX11.so.6").XSetIOErrorHandler
    except (OSError, AttributeError):
        return
    _handlers.append(ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(leave))
    set_handler(_handlers[-1])


def _fitting(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size to open with: as large as drawn, or what nine tenths of a smaller desktop allow."""
    desktops = pygame.display.get_desktop_sizes()
    if not desktops:
        return size
    scale = min(1.0, 0.9 * desktops[0][0] / size[0], 0.9 * desktops[0][1] / size[1])
    return (max(1, int(size[0] * scale)), max(1, int(size[1] * scale)))


class Window:
    """Shows a view until somebody closes it, the steps are done, or the trial is over."""

    def __init__(self, view: View, *, max_steps: int | None = None, max_episodes: int | None = None) -> None:
        """Open the display; ``max_steps`` and ``max_episodes`` close the window by themselves."""
        self.view = view
        self.max_steps, self.max_episodes = max_steps, max_episodes
        self.open = True
        open_display(screen.layout(view).size)
        self.fonts = Fonts()
        self.clock = pygame.time.Clock()

    def run(self) -> None:
        """Run the loop until the window is closed, by whomever."""
        try:
            while self.open:
                self.frame(min(self.clock.tick(FRAMES_PER_SECOND) / 1000.0, LONGEST_FRAME))
        except pygame.error as error:
            # the screen went away under us: nothing is left to show, and nothing else is lost
            if pygame.display.get_init() and pygame.display.get_surface() is not None:
                raise UserError(f"the window failed: {error}") from None
        finally:
            pygame.display.quit()

    def frame(self, seconds: float) -> None:
        """Do everything of one frame: events, ``seconds`` of play, picture."""
        for event in pygame.event.get():
            self.handle(event)
        self.play(seconds)
        surface = pygame.display.get_surface()
        if surface is None:
            self.open = False
        elif self.open and min(surface.get_size()) > 0:
            screen.draw(surface, self.fonts, self.view)
            pygame.display.flip()

    def play(self, seconds: float) -> None:
        """Let time pass for the hands and the session; see whether it is time to close."""
        view, session = self.view, self.view.session
        left = None if self.max_steps is None else self.max_steps - session.total_steps
        last = self.max_episodes is not None and len(session.results) >= self.max_episodes
        session.auto_next = session.auto_next and not last
        if not view.help:
            view.hands.update(seconds)
            if view.trial is not None:
                view.trial.advance(seconds, limit=left)
            else:
                session.advance(seconds, limit=left, budget=STEP_BUDGET)
        watched = last and view.trial is None and session.rested
        stepped = self.max_steps is not None and session.total_steps >= self.max_steps
        if watched or stepped or (view.trial is not None and view.trial.phase == DONE):
            self.open = False

    def handle(self, event: pygame.event.Event) -> None:
        """Do what one event asks for."""
        if event.type == pygame.QUIT:
            self.open = False
        elif event.type == pygame.WINDOWFOCUSLOST:
            self.view.hands.release_all()
        elif event.type == pygame.KEYUP and event.key in NAMES:
            self.view.hands.release(NAMES[event.key])
        elif event.type == pygame.KEYDOWN:
            self._key(event.key, getattr(event, "unicode", ""))

    def _key(self, key: int, text: str) -> None:
        view = self.view
        if view.help:  # any key closes the help
            view.help = False
        elif key in QUIT:
            self.open = False
        elif key == pygame.K_h or text == "?":
            view.help = True
            view.hands.release_all()
        elif key in ENTER:
            self._enter()
        elif key in PAUSE or (key == pygame.K_SPACE and "space" not in view.hands.keys.known):
            self._pause()
        elif key == pygame.K_r:
            view.trial.restart() if view.trial else view.session.restart()
        elif view.trial is None and self._time_key(key, text):
            pass
        elif key in NAMES:
            view.hands.press(NAMES[key])

    def _time_key(self, key: int, text: str) -> bool:
        """Handle the keys that a scored episode does without: one step, faster, slower."""
        session = self.view.session
        if key in ONE_STEP or text == ".":
            session.paused = True
            session.step()
        elif key in FASTER or text == "+":
            session.change_speed(+1)
        elif key in SLOWER or text == "-":
            session.change_speed(-1)
        else:
            return False
        return True

    def _enter(self) -> None:
        if self.view.trial is not None:
            self.view.trial.confirm()
        else:
            self.view.hands.hand_back()

    def _pause(self) -> None:
        if self.view.trial is not None:
            self.view.trial.toggle_pause()
        else:
            self.view.session.paused = not self.view.session.paused
