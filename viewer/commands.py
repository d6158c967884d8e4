"""All commands of the window in one table: keys, help text, action.

Keys are named as pygame names them, or by the character that they type. The action keys of the environment are not
here but in `viewer.playing.keys`. No pygame.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

from viewer.drawing.canvas import MINUS
from viewer.drawing.theme import DARK, LIGHT, Theme
from viewer.learning import controls
from viewer.panel_titles import PANEL_TITLES, WITHOUT_CONTENT
from viewer.panels import PANELS
from viewer.playing.clock import SPEEDS
from viewer.view import View

PANEL_KEYS = (*(f"f{number}" for number in (*range(1, 11), 12)), "c")  # F11 is full screen, as everywhere
PAGE_SECONDS = 1.0  # of play that PageUp and PageDown go


@dataclass(frozen=True)
class Command:
    """One command."""

    name: str
    keys: tuple[str, ...]
    cap: str
    """The label of its key cap."""
    about: str
    """What it does, in the help; empty: it is not listed."""
    run: Callable[[View], None]
    when: Callable[[View], bool] = lambda view: True
    short: str = ""
    """What it does, in the line below the world; empty: it is not shown there."""


# ------------------------------------------------------------------ conditions


def unscored(view: View) -> bool:
    """Return whether no scored episode runs, so that speed and time may be changed."""
    return view.scored_play is None


def single_world(view: View) -> bool:
    """Return whether there is one world, unscored."""
    return view.scored_play is None and view.versus is None


def can_join(view: View) -> bool:
    """Return whether a second player can join the agent's world."""
    return single_world(view) and view.session.policy is not None and hasattr(view.session.env.unwrapped, "join")


def space_is_free(view: View) -> bool:
    """Return whether the space bar is not the key of an action."""
    return "space" not in view.human_control.keys.known


# ------------------------------------------------------------------ actions


def toggle_help(view: View) -> None:
    """Show the keys."""
    view.help = True
    view.human_control.release_all()


def leave(view: View) -> None:
    """Close the window."""
    view.open = False


def enter(view: View) -> None:
    """Hand control back to the agent; after a scored episode, continue."""
    if view.scored_play is not None:
        view.scored_play.confirm()
    else:
        view.human_control.hand_back()


def pause(view: View) -> None:
    """Pause, or resume from the present, wherever the cursor was."""
    if view.scored_play is not None:
        view.scored_play.toggle_pause()
        return
    view.game.paused = not view.game.paused
    if not view.game.paused:
        to_live(view)


def restart(view: View) -> None:
    """Restart the episode."""
    (view.scored_play or view.game).restart()


def forward(view: View) -> None:
    """Pause and look one step further on; at the present, make a step."""
    view.game.paused = True
    if view.session.timeline.live:
        view.game.step()
    else:
        view.look(view.session.timeline.cursor + 1)


def back(view: View) -> None:
    """Pause and look one step back."""
    view.look(view.session.timeline.cursor - 1)


def page(view: View, sign: int) -> None:
    """Pause and look a second of play further back or on."""
    steps = max(1, round(PAGE_SECONDS / view.session.tick_seconds))
    view.look(view.session.timeline.cursor + sign * steps)


def to_live(view: View) -> None:
    """Look at the present."""
    for session in view.sessions:
        session.timeline.to_live()


def faster(view: View) -> None:
    """Speed up; the last speed is as fast as the machine can."""
    view.game.change_speed(+1)


def slower(view: View) -> None:
    """Slow down."""
    view.game.change_speed(-1)


def unlimited(view: View) -> None:
    """Play as fast as the machine can, or at normal speed again."""
    view.game.speed = 1.0 if math.isinf(view.game.speed) else SPEEDS[-1]


def agent_view(view: View) -> None:
    """Hide what the agent does not see, or show it again."""
    view.agent_view = not view.agent_view


def second_player(view: View) -> None:
    """Join the agent's world, or leave it."""
    view.show_notice(view.human_control.toggle_second_player())


def mute(view: View) -> None:
    """Turn the game's sound off, or on again."""
    view.muted = not view.muted
    view.show_notice("sound off" if view.muted else "sound on" if view.game.speed == 1.0 else "sound on, at speed 1")


def film(view: View) -> None:
    """Start or stop a film; the window, which has the picture, does it."""
    view.film_requested = True


def less_random(view: View) -> None:
    """Lower epsilon."""
    controls.nudge_epsilon(view, -1)


def more_random(view: View) -> None:
    """Raise epsilon."""
    controls.nudge_epsilon(view, +1)


def all_panels(view: View) -> None:
    """Show all panels; if all are shown, hide them."""
    view.hidden = set() if view.hidden else set(PANEL_TITLES)
    view.asked = []


def has_content(view: View, name: str) -> bool:
    """Return whether a panel has something to show in this session."""
    return any(panel.name == name and panel.height(view) > 0 for panel in PANELS)


def toggle_panel(view: View, name: str) -> None:
    """Hide a panel, or show it again, even if others have to be left out for it; say so if it has no content here."""
    if not has_content(view, name):
        view.show_notice(f"'{PANEL_TITLES[name]}' has nothing to show: {WITHOUT_CONTENT.get(name, 'not here')}")
        return
    view.hidden ^= {name}
    view.asked = [one for one in view.asked if one != name]
    if name not in view.hidden:
        view.asked.append(name)


def without_hints(view: View) -> set[str]:
    """Return the hints of the tour that make no sense here: of hidden panels, and of a key that does something else."""
    hidden = {hint for hint, panel in (("bars", "actions"), ("truth", "truth")) if panel in view.hidden}
    learns = "learn" in {command.short for command in commands(view)} and view.live is None
    return hidden if learns else {*hidden, "learn"}


def toggle_theme(view: View) -> None:
    """Draw in dark colours, or in light ones again."""
    Theme.use(LIGHT if Theme.name == DARK else DARK)
    view.forget()


@functools.cache
def _panel_commands() -> tuple[Command, ...]:
    def command(key: str, name: str, title: str) -> Command:
        return Command(f"panel {name}", (key,), key.upper(), title, lambda view: toggle_panel(view, name))

    return tuple(command(key, *panel) for key, panel in zip(PANEL_KEYS, PANEL_TITLES.items(), strict=False))


TIME = (
    Command("pause", ("space",), "space", "pause, resume (P too)", pause, space_is_free, "pause"),
    Command("pause P", ("p", "pause"), "P", "pause, resume", pause, lambda view: not space_is_free(view), "pause"),
    Command("pause too", ("p", "pause"), "P", "", pause, space_is_free),
    Command("forward", ("n", ".", "[.]"), "N  .", "one step on", forward, unscored, "step"),
    Command("back", ("b", ","), "B  ,", "one step back (up to four minutes)", back, unscored, "back"),
    Command("page back", ("page up",), "PgUp", "a second back", lambda view: page(view, -1), unscored),
    Command("page on", ("page down",), "PgDn", "a second on", lambda view: page(view, +1), unscored),
    Command("oldest", ("home",), "Home", "the oldest moment", lambda view: view.look(0), unscored),
    Command("present", ("end",), "End", "the present", to_live, unscored),
    Command("faster", ("+", "=", "[+]"), f"+  {MINUS}", "faster, slower", faster, unscored, "speed"),
    Command("slower", ("-", "[-]"), MINUS, "", slower, unscored),
    Command("unlimited", ("u",), "U", "as fast as the machine can", unlimited, unscored),
    Command("restart", ("r",), "R", "restart the episode", restart, unscored, "restart"),
    Command(
        "new episode",
        ("r",),
        "R",
        "abandon the episode, start another",
        restart,
        lambda view: not unscored(view),
        "restart",
    ),
)
PLAY = (
    Command(
        "enter",
        ("return", "enter"),
        "Enter",
        "after steering: hand back (or wait 2 s)",
        enter,
        lambda view: not view.human_control.locked,
        "hand back",
    ),
    Command("confirm", ("return", "enter"), "Enter", "", enter, lambda view: view.human_control.locked),
    Command("second player", ("g",), "G", "join the agent's world, or leave it", second_player, can_join),
    Command(
        "agent view",
        ("v",),
        "V",
        "show only what the agent sees",
        agent_view,
        lambda view: hasattr(view.session.env.unwrapped, "eyes"),
    ),
    Command("sound", ("m",), "M", "sound on, off", mute, lambda view: view.muted is not None),
)
LEARN = (
    Command("learn", ("l",), "L", "start or stop learning", controls.toggle_learning, controls.can_learn, "learn"),
    Command("no learning", ("l",), "L", "", controls.toggle_learning, lambda view: not controls.can_learn(view)),
    Command("less random", ("[", "("), "[  ]", "fewer, more random actions", less_random, single_world),
    Command("more random", ("]", ")"), "]", "", more_random, single_world),
    Command("agent", ("o",), "O", "load another trained agent", controls.next_agent, controls.can_change),
    Command("reinitialise", ("x",), "X", "reinitialise the agent", controls.reinitialise, controls.can_change),
    Command("save", ("s",), "S", "save the agent that learnt here", controls.save, controls.has_online_learner),
)
WINDOW = (
    Command("panels", ("a",), "A", "show all panels, or none", all_panels),
    Command("theme", ("t",), "T", "dark or light colours", toggle_theme),
    Command("film", ("f",), "F", "start or stop filming this window", film, unscored, "film"),
    Command("help", ("h", "?"), "H", "this help", toggle_help, short="help"),
    Command("quit", ("escape", "q"), "Esc  Q", "quit", leave, short="quit"),
)


def commands(view: View) -> list[Command]:
    """Return the commands that are possible now."""
    return [command for group in groups(view).values() for command in group]


def groups(view: View) -> dict[str, list[Command]]:
    """Return the commands that are possible now, in the groups of the help."""
    tables = {"Play": PLAY, "Time": TIME, "Learn": LEARN, "Panels": _panel_commands(), "Window": WINDOW}
    return {title: [command for command in table if command.when(view)] for title, table in tables.items()}


def find(view: View, key: str, text: str) -> Command | None:
    """Return a key's command now, by its name or by the character that it typed; None: it has none."""
    possible = commands(view)
    return next((one for one in possible if key in one.keys), None) or next(
        (one for one in possible if text and text in one.keys), None
    )
