"""Make the pictures of the window in docs/: python docs/screenshots.py (needs no screen)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pygame

from common.files import PRETRAINED
from viewer import screen
from viewer.drawing.canvas import Fonts
from viewer.drawing.theme import LIGHT, Theme
from viewer.layout import natural_size
from viewer.opening import open_player, open_session, open_view
from viewer.options import Options
from viewer.panels import View
from viewer.playing import players

DOCS = Path(__file__).resolve().parent


SIZES = {"tall": (700, 1000), "small": (600, 500)}  # of pictures that have not their natural size


def view_of(agent: str, steps: int, panels: str, **options: object) -> View:
    """Return a view of a pretrained agent after so many steps, drawn now and then, as the window would."""
    chosen = Options(seed=3, panels=panels, **options)  # type: ignore[arg-type]
    source = PRETRAINED / agent
    policy = players.load(source)
    rules = players.rules_for(chosen.env_id or policy.env_id or "", policy)
    view = open_view(chosen, open_session(chosen, policy, rules), rules, source)
    view.asked = []  # small windows leave out what they would by themselves
    return played(view, steps)


def played(view: View, steps: int) -> View:
    """Return the view after so many steps."""
    fonts, surface = Fonts(), pygame.Surface(natural_size(view), depth=24)
    for step in range(steps):
        view.session.step()
        if step % 5 == 0 or step > steps - 100:
            screen.draw(surface, fonts, view)
    return view


def watched() -> View:
    """Return a view of a short run, as when it is attached to."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        train = [sys.executable, str(DOCS.parent / "train.py"), "--total-timesteps", "100000", "--runs-dir", folder]
        subprocess.run(train, check=True, stdout=subprocess.DEVNULL)
        chosen = Options(seed=3, panels="all", attach="newest", runs_dir=Path(folder))
        player = open_player(chosen, stack)
        assert player.policy is not None
        rules = players.rules_for(player.policy.env_id or "", player.policy)
        view = open_view(chosen, open_session(chosen, player.policy, rules), rules)
        view.hidden = {"neurons"}
        played(view, 300)
    return view


def searched(view: View) -> View:
    """Look back, for so long that the searches through the timeline are done."""
    looking_back(view)
    surface = pygame.Surface(natural_size(view), depth=24)
    for _ in range(400):
        screen.draw(surface, Fonts(), view)
    return view


def looking_back(view: View) -> View:
    """Look at the step a second ago."""
    view.look(view.session.timeline.last - 33)
    return view


USUAL = "control,actions,learning,score,step,senses,truth,rewards"
SHOTS: dict[str, Callable[[], View]] = {
    "waterworld": lambda: view_of("waterworld", 620, USUAL),
    "neurons": lambda: searched(view_of("waterworld", 620, "control,actions,step,senses,neurons,truth,rewards")),
    "distribution": lambda: view_of("waterworld_rainbow", 620, "control,actions,returns,score,truth,rewards"),
    "explained": lambda: looking_back(view_of("waterworld", 400, "control,actions,step,senses,truth,rewards")),
    "rldemo": lambda: view_of("convnetjs_rldemo_net.json", 900, "control,actions,score,step,senses,truth,rewards"),
    "pong": lambda: view_of("pong", 500, "control,actions,seen,score,step,senses,truth,rewards"),
    "dark": lambda: looking_back(view_of("waterworld", 400, USUAL, theme="dark")),
    "tall": lambda: view_of("waterworld", 620, USUAL),
    "small": lambda: view_of("waterworld", 620, USUAL),
    "curve": watched,
    "breakout": lambda: view_of("breakout", 300, "control,actions,seen,score,truth,rewards"),
}


def main() -> None:
    """Draw all pictures, or those that are named."""
    os.environ["SDL_VIDEODRIVER"] = "dummy"
    os.environ.setdefault("TIDEPOOL_CONFIG_DIR", tempfile.mkdtemp())  # not as your own window was left
    for name in sys.argv[1:] or SHOTS:
        view = SHOTS[name]()
        surface = pygame.Surface(SIZES.get(name) or natural_size(view), depth=24)
        screen.draw(surface, Fonts(), view)
        Theme.use(LIGHT)
        pygame.image.save(surface, DOCS / f"window-{name}.png")
        print(DOCS / f"window-{name}.png", surface.get_size())


if __name__ == "__main__":
    main()
