"""A game's sound, step after step, through pygame's mixer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pygame
from numpy.typing import NDArray

from common.errors import UserError
from common.quiet import hushed

U8 = NDArray[np.uint8]
BLOCK = 512  # samples that the mixer asks for at a time; what follows on a sound begins at the next block
LEAD_SECONDS = 0.12  # of sound in hand before any is heard: steps come a little early or late
MOST_SECONDS = 0.4  # in hand; then the sound has fallen behind the picture, and what is old is left out


class Speaker:
    """Lets samples be heard as they come, in one unbroken stream while they come in time.

    Args:
        take: returns what was heard in the steps since the last time: mono, 8 bits, 128 is silence.
        rate: samples a second.

    Raises:
        UserError: the machine has nothing to make sound with.
    """

    def __init__(self, take: Callable[[], list[U8]], rate: int) -> None:
        self._take, self._rate = take, rate
        self._waiting = np.empty(0, np.uint8)
        try:
            with hushed():
                pygame.mixer.init(frequency=rate, size=8, channels=1, buffer=BLOCK, allowedchanges=0)
        except pygame.error as error:
            what = "there is nothing here to make sound with; leave --sound out"
            raise UserError(f"{what} (SDL says: {error})") from None
        self._channel = pygame.mixer.Channel(0)

    def tick(self, audible: bool) -> None:
        """Hand on what was heard since the last time; what is not ``audible`` is lost."""
        new = self._take()
        if not audible:
            self._waiting = self._waiting[:0]
            self._channel.stop()
            return
        self._waiting = np.concatenate([self._waiting, *new])[-int(MOST_SECONDS * self._rate) :]
        if not self._channel.get_busy():
            if len(self._waiting) >= LEAD_SECONDS * self._rate:
                self._channel.play(self._next())
        elif self._channel.get_queue() is None and len(self._waiting) >= BLOCK:
            self._channel.queue(self._next())

    def _next(self) -> pygame.mixer.Sound:
        """Return what waits, in whole blocks: what comes after it then follows without a gap."""
        whole = len(self._waiting) // BLOCK * BLOCK
        sound, self._waiting = self._waiting[:whole], self._waiting[whole:]
        return pygame.mixer.Sound(buffer=sound.tobytes())

    def close(self) -> None:
        """Let the machine's sound go."""
        pygame.mixer.quit()
