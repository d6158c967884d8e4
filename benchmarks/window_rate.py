"""Frames per second of the window with all panels: python benchmarks/window_rate.py, best under xvfb-run.

Each agent plays for some seconds in a window that is drawn as in play.py, at most 60 times a second. The table has the
frames per second, and the time that a frame's work took: at 60 frames per second there are 16.7 ms for it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pygame
from rich.console import Console
from rich.table import Table

from common.cli import parse, run
from common.files import PRETRAINED
from viewer.opening import open_session, open_view
from viewer.options import Options
from viewer.playing import players
from viewer.window import FRAMES_PER_SECOND, Window


@dataclass(frozen=True)
class Settings:
    """What is measured."""

    agents: tuple[str, ...] = ("waterworld", "waterworld_rainbow", "convnetjs_rldemo_net.json", "pong", "breakout")
    """In pretrained/."""
    seconds: float = 15.0
    """Of play, for each agent."""
    panels: str = "all"
    speed: float = 1.0
    learn: bool = False
    """The agents learn while they play."""


def measure(name: str, settings: Settings) -> tuple[tuple[int, int], float, np.ndarray]:
    """Return the window's size, frames a second, and the work of each frame, ms."""
    options = Options(seed=3, panels=settings.panels, speed=settings.speed)
    source = PRETRAINED / name
    policy = players.load(source)
    rules = players.rules_for(policy.env_id or "", policy)
    view = open_view(options, open_session(options, policy, rules), rules, source)
    if settings.learn:
        from viewer.learning import controls

        controls.toggle_learning(view)
    window = Window(view)
    size, work = pygame.display.get_window_size(), []
    started = time.perf_counter()
    while time.perf_counter() - started < settings.seconds and window.open:
        seconds = window.clock.tick(FRAMES_PER_SECOND) / 1000
        before = time.perf_counter()
        window.frame(seconds)
        work.append(1000 * (time.perf_counter() - before))
    took = time.perf_counter() - started
    pygame.display.quit()
    view.session.env.close()
    return size, len(work) / took, np.array(work)


def main(argv: Sequence[str]) -> int:
    """Measure each agent and print a table."""
    settings = parse(Settings, argv, prog="window_rate.py", description=__doc__)
    if not os.environ.get("DISPLAY") and sys.platform.startswith("linux"):
        os.environ["SDL_VIDEODRIVER"] = "dummy"
    table = Table("agent", "window", "frames/s", "work of a frame, ms: median", "95 %", "worst")
    for name in settings.agents:
        size, rate, work = measure(name, settings)
        numbers = (f"{value:.1f}" for value in (np.median(work), np.quantile(work, 0.95), work.max()))
        table.add_row(Path(name).stem, f"{size[0]} x {size[1]}", f"{rate:.1f}", *numbers)
    Console().print(table)
    return 0


if __name__ == "__main__":
    run(main)
