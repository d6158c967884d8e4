"""A game's sound, played step by step through pygame's mixer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pygame
from numpy.typing import NDArray

from common.errors import UserError
from common.quiet import silenced_stderr

U8 = NDArray[np.uint8]
BLOCK = 512  # samples that the mixer takes at a time; a queued sound starts at the next block
LEAD_SECONDS = 0.12  # buffered before playback starts: steps may be a little early or late
MAX_SECONDS = 0.4  # buffered; beyond it the sound lags behind the picture, and the oldest samples are dropped


class Speaker:
    """Plays samples as they arrive, in one gapless stream while they arrive in time.

    Args:
        take: returns the samples of the steps since the last call: mono, 8 bits, 128 is silence.
        rate: samples per second.

    Raises:
        UserError: the machine has no audio device.
    """

    def __init__(self, take: Callable[[], list[U8]], rate: int) -> None:
        self._take, self._rate = take, rate
        self._buffered = np.empty(0, np.uint8)
        try:
            with silenced_stderr():
                pygame.mixer.init(frequency=rate, size=8, channels=1, buffer=BLOCK, allowedchanges=0)
        except pygame.error as error:
            raise UserError(f"this machine has no audio device ({error}); leave --sound out") from None
        self._channel = pygame.mixer.Channel(0)

    def tick(self, audible: bool) -> None:
        """Play the samples since the last call; while not ``audible`` they are dropped."""
        new = self._take()
        if not audible:
            self._buffered = self._buffered[:0]
            self._channel.stop()
            return
        self._buffered = np.concatenate([self._buffered, *new])[-int(MAX_SECONDS * self._rate) :]
        if not self._channel.get_busy():
            if len(self._buffered) >= LEAD_SECONDS * self._rate:
                self._channel.play(self._next())
        elif self._channel.get_queue() is None and len(self._buffered) >= BLOCK:
            self._channel.queue(self._next())

    def _next(self) -> pygame.mixer.Sound:
        """Return the buffered samples, in whole blocks, so that the next sound follows without a gap."""
        whole = len(self._buffered) // BLOCK * BLOCK
        sound, self._buffered = self._buffered[:whole], self._buffered[whole:]
        return pygame.mixer.Sound(buffer=sound.tobytes())

    def close(self) -> None:
        """Release the audio device."""
        pygame.mixer.quit()
