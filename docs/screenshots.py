"""Make the pictures of the window in docs/: python docs/screenshots.py (needs no screen)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pygame

from common.files import PRETRAINED
from viewer import commands, screen
from viewer.drawing.canvas import Fonts
from viewer.opening import open_session, open_view
from viewer.options import Options
from viewer.panels import View
from viewer.playing import players

DOCS = Path(__file__).resolve().parent


def view_of(agent: str, steps: int, panels: str, **options: object) -> View:
    """Return a view of a pretrained agent after so many steps, drawn now and then, as the window would."""
    chosen = Options(seed=3, panels=panels, **options)  # type: ignore[arg-type]
    source = PRETRAINED / agent
    policy = players.load(source)
    rules = players.rules_for(chosen.env_id or policy.env_id or "", policy)
    view = open_view(chosen, open_session(chosen, policy, rules), rules, source)
    fonts, surface = Fonts(), pygame.Surface(screen.layout(view).size, depth=24)
    for step in range(steps):
        view.session.step()
        if step % 5 == 0 or step > steps - 100:
            screen.draw(surface, fonts, view)
    return view


def looking_back(view: View) -> View:
    """Look at the step a second ago."""
    commands.look(view, view.session.timeline.last - 33)
    return view


SHOTS: dict[str, Callable[[], View]] = {
    "waterworld": lambda: view_of("waterworld", 620, "control,actions,learning,score,step,senses,truth,rewards"),
    "neurons": lambda: looking_back(view_of("waterworld", 620, "control,actions,step,senses,neurons,truth,rewards")),
    "distribution": lambda: view_of("waterworld_rainbow", 620, "control,actions,returns,score,truth,rewards"),
    "explained": lambda: looking_back(view_of("waterworld", 400, "control,actions,step,senses,truth,rewards")),
    "rldemo": lambda: view_of("convnetjs_rldemo_net.json", 900, "control,actions,score,step,senses,truth,rewards"),
    "pong": lambda: view_of("pong", 500, "all"),
    "breakout": lambda: view_of("breakout", 300, "control,actions,seen,score,truth,rewards"),
}


def main() -> None:
    """Draw all pictures, or those that are named."""
    os.environ["SDL_VIDEODRIVER"] = "dummy"
    for name in sys.argv[1:] or SHOTS:
        view = SHOTS[name]()
        surface = pygame.Surface(screen.layout(view).size, depth=24)
        screen.draw(surface, Fonts(), view)
        pygame.image.save(surface, DOCS / f"window-{name}.png")
        print(DOCS / f"window-{name}.png", surface.get_size())


if __name__ == "__main__":
    main()
