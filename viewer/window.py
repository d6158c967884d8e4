"""The window: a plain loop that handles events, advances time, draws and flips."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

import pygame

from common.errors import UserError
from common.quiet import silenced_stderr
from common.text import number_of
from viewer import commands, screen
from viewer.drawing.canvas import Canvas, Fonts
from viewer.layout import WORLDS, natural_size
from viewer.panel_titles import PANEL_TITLES
from viewer.panels import View
from viewer.panels.base import Drag
from viewer.playing.scored_play import DONE
from viewer.playing.speaker import Speaker
from viewer.video.recorder import Recorder, new_film

FRAMES_PER_SECOND = 60
LONGEST_FRAME = 0.25  # seconds of play that a frame catches up with at most, e.g. after the window was dragged
STEP_BUDGET = 0.012  # seconds of stepping a frame: the window stays responsive at speeds that the machine can't reach
BLIND_DRIVERS = ("dummy", "offscreen")
NO_SCREEN = "there is no screen here; write a film instead: python play.py --record film.mp4 (or .gif, .png)"

NAMES = {
    pygame.K_LEFT: "left",
    pygame.K_RIGHT: "right",
    pygame.K_UP: "up",
    pygame.K_DOWN: "down",
    pygame.K_SPACE: "space",
    pygame.K_LSHIFT: "shift",
    pygame.K_RSHIFT: "shift",
    **{getattr(pygame, f"K_{digit}"): str(digit) for digit in range(10)},
    **{getattr(pygame, f"K_KP{digit}"): str(digit) for digit in range(10)},
}
FULL_SCREEN = pygame.K_F11
COMFORTABLE = 1080  # lines of a desktop on which a logical pixel of the window is a real one


def open_display(size: tuple[int, int] = WORLDS, pixels: tuple[int, int] | None = None) -> pygame.Surface:
    """Open the window, ``pixels`` large or fitted to the natural ``size``; return its surface.

    Raises:
        UserError: there is no screen. SDL silently falls back to a driver that shows nothing;
            that counts as no screen, unless ``SDL_VIDEODRIVER`` names it.
    """
    asked = os.environ.get("SDL_VIDEODRIVER") or os.environ.get("SDL_VIDEO_DRIVER")
    if not asked and sys.platform.startswith("linux"):
        # SDL might find a text console to draw on; SDL_VIDEODRIVER has to name it
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise UserError(NO_SCREEN)
    os.environ.setdefault("SDL_WINDOWS_DPI_AWARENESS", "permonitorv2")  # real pixels, else Windows blurs them
    if sys.platform.startswith("linux"):
        # else each frame becomes a texture first: 9 ms without a graphics card, instead of 1 ms
        os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
    try:
        with silenced_stderr():
            pygame.display.init()
        if pygame.display.get_driver().lower() in BLIND_DRIVERS and not asked:
            pygame.display.quit()
            raise UserError(NO_SCREEN)
        pygame.display.set_caption("Tidepool")
        surface = pygame.display.set_mode(within(pixels) if pixels else fitting(size), pygame.RESIZABLE)
    except pygame.error as error:
        raise UserError(f"{NO_SCREEN} (SDL says: {error})") from None
    if pygame.display.get_driver() == "x11":
        _leave_when_x_dies()
    return surface


_handlers: list[Any] = []  # C keeps only their addresses


def _leave_when_x_dies() -> None:
    """Exit with one line, not Xlib's, when the X server goes away: Xlib ends the process whatever we do."""

    def leave(display: int) -> int:
        os.write(2, b"error: the connection to the screen was lost\n")
        os._exit(2)

    try:
        set_handler = ctypes.CDLL("libX11.so.6").XSetIOErrorHandler
    except (OSError, AttributeError):
        return
    _handlers.append(ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(leave))
    set_handler(_handlers[-1])


def fitting(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size to open with: ``size``, larger on a desktop of many lines, at most nine tenths of the desktop."""
    desktops = pygame.display.get_desktop_sizes()
    if not desktops:
        return size
    wide, high = desktops[0]
    scale = min(max(1.0, high / COMFORTABLE), 0.9 * wide / size[0], 0.9 * high / size[1])
    return (max(1, int(size[0] * scale)), max(1, int(size[1] * scale)))


def within(size: tuple[int, int]) -> tuple[int, int]:
    """Return a size, made smaller where the desktop is smaller."""
    desktops = pygame.display.get_desktop_sizes()
    return (min(size[0], desktops[0][0]), min(size[1], desktops[0][1])) if desktops else size


class Window:
    """Shows a view until it is closed, the steps are done, or the scored play is over."""

    def __init__(
        self,
        view: View,
        *,
        max_steps: int | None = None,
        max_episodes: int | None = None,
        size: tuple[int, int] | None = None,
        speaker: Speaker | None = None,
    ) -> None:
        """Open the display, ``size`` pixels large or as large as what it shows.

        After ``max_steps`` or ``max_episodes`` the window closes itself. ``speaker`` plays the game's sound.
        """
        self.view = view
        self.max_steps, self.max_episodes, self.speaker = max_steps, max_episodes, speaker
        self.recorder = Recorder()
        self.chosen = size  # by the user; None: the window is as large as what it shows needs
        open_display(natural_size(view), size)
        self._own_size = pygame.display.get_window_size()
        self.fonts = Fonts()
        self.clock = pygame.time.Clock()
        self._drag: Drag | None = None

    @property
    def open(self) -> bool:
        """Return whether it has not been closed."""
        return self.view.open

    def run(self) -> None:
        """Run the loop until the window is closed; a film in progress is completed."""
        try:
            while self.view.open:
                self.frame(min(self.clock.tick(FRAMES_PER_SECOND) / 1000.0, LONGEST_FRAME))
        except pygame.error as error:
            # the screen was disconnected: nothing is left to show, and nothing else is lost
            if pygame.display.get_init() and pygame.display.get_surface() is not None:
                raise UserError(f"the window failed: {error}") from None
        finally:
            self.recorder.stop()
            pygame.display.quit()

    def frame(self, seconds: float) -> None:
        """Do everything of one frame: events, ``seconds`` of play, picture."""
        for event in pygame.event.get():
            self.handle(event)
        if self.view.film_requested:
            self.view.film_requested = False
            self._toggle_film()
        self.play(seconds)
        self.view.tick(seconds)
        if self.speaker is not None:
            self.speaker.tick(self.audible)
        surface = pygame.display.get_surface()
        if surface is None:
            self.view.open = False
        elif self.view.open and min(surface.get_size()) > 0:
            places = screen.layout(self.view, surface.get_size())
            self._note_left_out(places)
            screen.draw(surface, self.fonts, self.view, places)
            self._capture(surface, seconds)
            pygame.display.flip()

    @property
    def places(self) -> screen.Layout:
        """Return where everything lies now."""
        return screen.layout(self.view, pygame.display.get_window_size())

    @property
    def audible(self) -> bool:
        """Return whether the game's sound is played: at another speed it would be noise."""
        game = self.view.game
        return not (self.view.muted or self.view.help or game.paused) and game.speed == 1.0

    def play(self, seconds: float) -> None:
        """Let time pass for the human control and the session, and close the window when all is done."""
        view, session, game = self.view, self.view.session, self.view.game
        left = None if self.max_steps is None else self.max_steps - game.total_steps
        last = self.max_episodes is not None and len(game.results) >= self.max_episodes
        game.auto_next = game.auto_next and not last
        if not view.help:
            view.human_control.update(seconds)
            if view.scored_play is not None:
                view.scored_play.advance(seconds, limit=left)
            elif session.timeline.live:
                game.advance(seconds, limit=left, budget=STEP_BUDGET)
        watched = last and view.scored_play is None and game.rested
        stepped = self.max_steps is not None and game.total_steps >= self.max_steps
        if watched or stepped or (view.scored_play is not None and view.scored_play.phase == DONE):
            view.open = False

    # ------------------------------------------------------------------ events

    def handle(self, event: pygame.event.Event) -> None:
        """Handle one event."""
        if event.type == pygame.QUIT:
            self.view.open = False
        elif event.type == pygame.WINDOWFOCUSLOST:
            self.view.human_control.release_all()
            self._drag = None
        elif event.type == pygame.VIDEORESIZE:
            self.chosen = None if (event.w, event.h) == self._own_size else (event.w, event.h)
        elif event.type == pygame.KEYUP and event.key in NAMES:
            self.view.human_control.release(NAMES[event.key])
        elif event.type == pygame.KEYDOWN:
            self._key(event.key, getattr(event, "unicode", ""))
        elif event.type in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEMOTION, pygame.MOUSEBUTTONUP):
            self._mouse(event)
        elif event.type == pygame.MOUSEWHEEL and self.view.scored_play is None and event.y:
            (commands.back if event.y > 0 else commands.forward)(self.view)

    def _key(self, key: int, text: str) -> None:
        view = self.view
        if view.help:  # any key closes the help
            view.help = False
        elif key == FULL_SCREEN:
            pygame.display.toggle_fullscreen()
        elif key in NAMES and NAMES[key] in view.human_control.keys.known:
            view.human_control.press(NAMES[key])
        elif (command := commands.find(view, pygame.key.name(key), text)) is not None:
            view.show_notice("")  # of an earlier key or click
            command.run(view)
        elif key in NAMES:
            view.human_control.press(NAMES[key])

    def _mouse(self, event: pygame.event.Event) -> None:
        """Handle clicks and drags of the left button, in logical pixels."""
        surface = pygame.display.get_surface()
        if surface is None:
            return
        places = screen.layout(self.view, surface.get_size())
        x, y = Canvas(surface, self.fonts, places.size).logical(*event.pos)
        if event.type == pygame.MOUSEMOTION:
            if self._drag is not None:
                self._drag(x, y)
        elif event.button == 1 and event.type == pygame.MOUSEBUTTONUP:
            self._drag = None
        elif event.button == 1:
            if self.view.help:
                self.view.help = False
            elif self.view.scored_play is None:
                self.view.show_notice("")
                self._drag = screen.press(self.view, places, x, y)

    # ------------------------------------------------------------------ panels and film

    def _note_left_out(self, places: screen.Layout) -> None:
        """Say once why a panel does not appear that was asked for."""
        asked = self.view.asked
        if asked and asked[-1] in places.left_out:
            title = PANEL_TITLES[asked.pop()]
            self.view.show_notice(f"no room here for '{title}': enlarge the window, or hide other panels")

    def _toggle_film(self) -> None:
        view = self.view
        if self.recorder.path is not None:
            self._stop_film()
            return
        surface = pygame.display.get_surface()
        try:
            path = new_film(view.runs_dir, view.env_id)
            self.recorder.start(path, surface.get_size() if surface else WORLDS)
        except UserError as error:
            view.show_notice(str(error))
            return
        view.filming = str(path)

    def _stop_film(self) -> None:
        """Complete the film and show where it is."""
        view, self.view.filming = self.view, ""
        try:
            path = self.recorder.stop()
        except UserError as error:
            view.show_notice(str(error))
            return
        view.show_notice(f"{path}: {number_of(self.recorder.frames, 'frame')}", seconds=5.0)

    def _capture(self, surface: pygame.Surface, seconds: float) -> None:
        try:
            self.recorder.capture(surface, seconds)
        except UserError as error:
            self._stop_film()
            self.view.show_notice(str(error))
