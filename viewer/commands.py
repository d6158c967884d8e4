"""Everything that a person can tell the window, in one table: its keys, what the help says, what it does.

Keys are named as pygame names them, or by the character that they type. The action keys of the environment are not
here (`viewer.playing.keys`). No pygame.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

from viewer.drawing.canvas import MINUS
from viewer.learning import controls
from viewer.panel_titles import PANEL_TITLES
from viewer.playing.clock import SPEEDS
from viewer.playing.session import Session
from viewer.view import View

PANEL_KEYS = tuple(f"f{number}" for number in (*range(1, 11), 12))  # F11 is the whole screen, as everywhere
PAGE_SECONDS = 1.0  # of play that PageUp and PageDown go


@dataclass(frozen=True)
class Command:
    """One thing that can be done."""

    name: str
    keys: tuple[str, ...]
    cap: str
    """On the key's cap."""
    about: str
    """In the help."""
    run: Callable[[View], None]
    when: Callable[[View], bool] = lambda view: True
    short: str = ""
    """In the line below the world; empty: only in the help."""


# ------------------------------------------------------------------ when


def alone(view: View) -> bool:
    """Return whether time is the person's to rule: no scored episode runs."""
    return view.scored_play is None


def single(view: View) -> bool:
    """Return whether one agent plays in one world, unscored."""
    return view.scored_play is None and view.versus is None


def welcoming(view: View) -> bool:
    """Return whether a second player can join the agent's world."""
    return single(view) and view.session.policy is not None and hasattr(view.session.env.unwrapped, "join")


def space_is_free(view: View) -> bool:
    """Return whether the space bar is no action's key."""
    return "space" not in view.human_control.keys.known


# ------------------------------------------------------------------ what


def toggle_help(view: View) -> None:
    """Show the keys."""
    view.help = True
    view.human_control.release_all()


def leave(view: View) -> None:
    """Close the window."""
    view.open = False


def enter(view: View) -> None:
    """Hand back to the agent; after a scored episode, go on."""
    if view.scored_play is not None:
        view.scored_play.confirm()
    else:
        view.human_control.hand_back()


def pause(view: View) -> None:
    """Stop time, or let it go on, from the present wherever one looked."""
    if view.scored_play is not None:
        view.scored_play.toggle_pause()
        return
    view.game.paused = not view.game.paused
    if not view.game.paused:
        to_live(view)


def restart(view: View) -> None:
    """Begin the episode again."""
    (view.scored_play or view.game).restart()


def forward(view: View) -> None:
    """Stop time and look one step further; at the present, make one."""
    view.game.paused = True
    if view.session.timeline.live:
        view.game.step()
    else:
        look(view, view.session.timeline.cursor + 1)


def back(view: View) -> None:
    """Stop time and look one step back."""
    look(view, view.session.timeline.cursor - 1)


def page(view: View, sign: int) -> None:
    """Look a second of play further back or on."""
    steps = max(1, round(PAGE_SECONDS / view.session.tick_seconds))
    look(view, view.session.timeline.cursor + sign * steps)


def look(view: View, number: int) -> None:
    """Stop time and look at a moment of the timeline, in both worlds if there are two."""
    view.game.paused = True
    ago = view.session.timeline.last - number
    for session in sessions(view):
        session.timeline.to(session.timeline.last - ago)


def to_live(view: View) -> None:
    """Look at the present."""
    for session in sessions(view):
        session.timeline.to_live()


def sessions(view: View) -> tuple[Session, ...]:
    """Return the sessions that are shown."""
    return (view.session,) if view.versus is None else view.versus.both


def faster(view: View) -> None:
    """Speed up; the last speed is as fast as the machine can."""
    view.game.change_speed(+1)


def slower(view: View) -> None:
    """Slow down."""
    view.game.change_speed(-1)


def unlimited(view: View) -> None:
    """Play as fast as the machine can, and back at normal speed."""
    view.game.speed = 1.0 if math.isinf(view.game.speed) else SPEEDS[-1]


def agent_view(view: View) -> None:
    """Hide what the agent does not see, or show it again."""
    view.agent_view = not view.agent_view


def second_player(view: View) -> None:
    """Join the agent's world, or leave it."""
    view.say(view.human_control.toggle_second_player())


def mute(view: View) -> None:
    """Turn the game's sound off, or on again."""
    view.muted = not view.muted
    view.say("sound off" if view.muted else "sound on" if view.game.speed == 1.0 else "sound on, at speed 1")


def film(view: View) -> None:
    """Start a film or end it; the window, which has the picture, does it."""
    view.film_asked = True


def quieter(view: View) -> None:
    """Fewer random actions."""
    controls.nudge_epsilon(view, -1)


def louder(view: View) -> None:
    """More random actions."""
    controls.nudge_epsilon(view, +1)


def all_panels(view: View) -> None:
    """Show every panel; if they are all there, put all away."""
    view.hidden = set() if view.hidden else set(PANEL_TITLES)


def toggle_panel(view: View, name: str) -> None:
    """Put a panel away, or show it again."""
    view.hidden ^= {name}


@functools.cache
def _panel_commands() -> tuple[Command, ...]:
    def command(key: str, name: str, title: str) -> Command:
        return Command(f"panel {name}", (key,), key.upper(), title, lambda view: toggle_panel(view, name))

    return tuple(command(key, *panel) for key, panel in zip(PANEL_KEYS, PANEL_TITLES.items(), strict=False))


TIME = (
    Command("pause", ("space",), "space", "pause and go on (P too)", pause, space_is_free, "pause"),
    Command("pause P", ("p", "pause"), "P", "pause and go on", pause, lambda view: not space_is_free(view), "pause"),
    Command("pause too", ("p", "pause"), "P", "", pause, space_is_free),
    Command("forward", ("n", ".", "[.]"), "N  .", "one step on", forward, alone, "step"),
    Command("back", ("b", ","), "B  ,", "one step back (for four minutes)", back, alone, "back"),
    Command("page back", ("page up",), "PgUp", "a second back", lambda view: page(view, -1), alone),
    Command("page on", ("page down",), "PgDn", "a second on", lambda view: page(view, +1), alone),
    Command("oldest", ("home",), "Home", "the oldest moment", lambda view: look(view, 0), alone),
    Command("present", ("end",), "End", "the present", to_live, alone),
    Command("faster", ("+", "=", "[+]"), f"+  {MINUS}", "faster, slower", faster, alone, "speed"),
    Command("slower", ("-", "[-]"), MINUS, "", slower, alone),
    Command("unlimited", ("u",), "U", "as fast as the machine can", unlimited, alone),
    Command("restart", ("r",), "R", "the same episode again", restart, alone, "restart"),
    Command(
        "afresh", ("r",), "R", "break off and start a fresh episode", restart, lambda view: not alone(view), "restart"
    ),
)
AGENT = (
    Command(
        "enter",
        ("return", "enter"),
        "Enter",
        "hand back to the agent (or wait 2 s)",
        enter,
        lambda view: not view.human_control.locked,
        "hand back",
    ),
    Command("confirm", ("return", "enter"), "Enter", "", enter, lambda view: view.human_control.locked),
    Command("learn", ("l",), "L", "let the agent learn here, or stop it", controls.toggle_learning, single, "learn"),
    Command("less random", ("[", "("), "[  ]", "fewer, more random actions", quieter, single),
    Command("more random", ("]", ")"), "]", "", louder, single),
    Command("agent", ("o",), "O", "another trained agent", controls.next_agent, controls.can_change),
    Command("forget", ("x",), "X", "let the agent forget what it learnt", controls.reinitialise, controls.can_change),
    Command("save", ("s",), "S", "save what it learnt here", controls.save, controls.learns),
)
WINDOW = (
    Command("second player", ("g",), "G", "join the agent's world, or leave it", second_player, welcoming),
    Command(
        "agent view",
        ("v",),
        "V",
        "only what the agent sees",
        agent_view,
        lambda view: hasattr(view.session.env.unwrapped, "eyes"),
    ),
    Command("sound", ("m",), "M", "sound off, or on", mute, lambda view: view.muted is not None),
    Command("panels", ("a",), "A", "all panels, or none", all_panels),
    Command("film", ("f",), "F", "start a film of this window, or end it", film, alone, "film"),
    Command("help", ("h", "?"), "H", "this help", toggle_help, short="help"),
    Command("quit", ("escape", "q"), "Esc  Q", "quit", leave, short="quit"),
)


def commands(view: View) -> list[Command]:
    """Return what can be done now."""
    return [command for command in (*AGENT, *TIME, *WINDOW, *_panel_commands()) if command.when(view)]


def find(view: View, key: str, text: str) -> Command | None:
    """Return what a key means now, by its name or by the character that it typed; None: nothing."""
    found = commands(view)
    return next((one for one in found if key in one.keys), None) or next(
        (one for one in found if text and text in one.keys), None
    )
