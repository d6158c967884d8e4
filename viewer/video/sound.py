"""The sound of a film: the game's samples, in step with the pictures, put beside them by ffmpeg."""

from __future__ import annotations

import importlib
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.emulator import FRAME_SAMPLES, SAMPLE_RATE, SILENCE
from envs.protocols import FRAME_SKIP

U8 = NDArray[np.uint8]
LATE = 2 * FRAME_SAMPLES * FRAME_SKIP  # samples by which sound may be behind the picture: two steps
MUX_SECONDS = 600.0


class FilmSound:
    """Collects the sound of a film that is being made.

    Args:
        take: returns the samples of the steps since the last call: mono, 8 bits, 128 is silence.
    """

    def __init__(self, take: Callable[[], list[U8]]) -> None:
        self._take = take
        self._pieces: list[U8] = []
        self.samples = 0

    def until(self, seconds: float) -> None:
        """Take the sound up to this time of the film; where the game paused it is silent."""
        for piece in self._take():
            self._add(piece)
        if (behind := int(seconds * SAMPLE_RATE) - self.samples) > LATE:
            self._add(np.full(behind, SILENCE, np.uint8))

    def _add(self, piece: U8) -> None:
        self._pieces.append(piece)
        self.samples += len(piece)

    def put_into(self, film: Path) -> str:
        """Put the sound into an mp4; return why that failed, the film being silent then; empty: it did not."""
        if not self.samples:
            return ""
        samples, joined = film.with_suffix(".wav"), film.with_name(f"{film.stem}-sound.mp4")
        try:
            with wave.open(str(samples), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(1)
                file.setframerate(SAMPLE_RATE)
                file.writeframes(np.concatenate(self._pieces).tobytes())
            ffmpeg: str = importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe()
            inputs = ["-i", str(film), "-i", str(samples)]
            codecs = ["-c:v", "copy", "-c:a", "aac", "-b:a", "96k", "-ar", "44100", "-movflags", "+faststart"]
            words = [ffmpeg, "-y", "-v", "error", *inputs, *codecs, str(joined)]
            done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=MUX_SECONDS)
            if done.returncode:
                return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]
            joined.replace(film)
            return ""
        except (ImportError, OSError, RuntimeError, subprocess.TimeoutExpired) as error:
            return (str(error).splitlines() or [type(error).__name__])[0]
        finally:
            samples.unlink(missing_ok=True)
            joined.unlink(missing_ok=True)
