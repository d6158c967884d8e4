"""What lies over the world: pause, countdown, summary, help; and the line of keys below it."""

from __future__ import annotations

from viewer.canvas import MINUS, Area, Canvas, Theme
from viewer.panels.base import View
from viewer.panels.score import number_text
from viewer.session import AGENT, Score
from viewer.stillness import STILL_SECONDS
from viewer.trial import DONE, SUMMARY

HELP_WIDTH = 460.0


def draw_world_overlays(canvas: Canvas, area: Area, view: View) -> None:
    """Draw what the moment asks for over the world's area."""
    trial = view.trial
    if trial is not None and trial.phase in (SUMMARY, DONE):
        _draw_summary(canvas, area, view, trial.finished[-1])
    elif trial is not None and trial.countdown is not None and not view.session.paused:
        _draw_countdown(canvas, area, view, trial.countdown)
    elif view.help:
        pass  # the help covers where a note would be
    elif view.session.finished:
        _chip(canvas, area, f"episode over · return {number_text(view.session.score.episode_return)}")
    elif view.session.paused:
        _chip(canvas, area, "paused · space goes on" + ("" if trial else " · N one step"))


def _chip(canvas: Canvas, area: Area, text: str) -> None:
    width = canvas.fonts.font(max(6, round(14 * canvas.scale)), False).size(text)[0] / canvas.scale + 36
    x, y = area.x + area.w / 2, area.y + 34
    canvas.rounded(Area(x - width / 2, y - 17, width, 34), Theme.text, 17)
    canvas.text(x, y, text, 14, Theme.card, align=0.5)


def _draw_countdown(canvas: Canvas, area: Area, view: View, number: int) -> None:
    canvas.veil(area)
    x, y = area.x + area.w / 2, area.y + area.h / 2
    canvas.text(x, y - 10, str(number), 120, Theme.card, bold=True, align=0.5)
    canvas.text(x, y + 86, "get ready", 18, Theme.card, align=0.5)


def _draw_summary(canvas: Canvas, area: Area, view: View, score: Score) -> None:
    canvas.veil(area)
    trial = view.trial
    assert trial is not None
    box = Area(area.x + area.w / 2 - 190, area.y + area.h / 2 - 105, 380, 210)
    canvas.card(box)
    x = box.x + box.w / 2
    canvas.text(x, box.y + 34, f"Episode {trial.number} of {trial.episodes}", 14, Theme.soft, align=0.5)
    canvas.text(x, box.y + 82, number_text(score.episode_return), 48, bold=True, align=0.5)
    facts = f"{score.steps:,} steps" + (f" · {score.frames:,} frames" if score.frames is not None else "")
    if score.apples is not None:
        facts = f"{score.apples} apples · {score.poison} poison · " + facts
    canvas.text(x, box.y + 126, facts, 13, align=0.5)
    canvas.text(x, box.y + 150, view.note, 11.5, Theme.soft, align=0.5, width=box.w - 30)
    more = len(trial.finished) < trial.episodes
    canvas.text(x, box.y + 182, "Enter: next episode" if more else "Enter: done", 13, Theme.human, bold=True, align=0.5)


def help_rows(view: View) -> list[tuple[str, str]]:
    """Return the keys and what they do, as far as they do anything here."""
    keys = view.hands.keys
    rows = keys.rows(view.session.action_names)
    if not view.hands.locked:
        rows.append(("Enter", "hand back to the agent (or wait 2 s)"))
    rows.append((pause_key(view), "pause and go on"))
    if view.trial is None:
        rows += [("N  or  .", "one step"), (f"+  {MINUS}", "faster, slower")]
    fresh = "break off and start a fresh episode" if view.trial else "the same episode again"
    rows += [("R", fresh), ("H", "this help"), ("Esc  or  Q", "quit")]
    return rows


def draw_help(canvas: Canvas, whole: Area, view: View) -> None:
    """Draw the card with all keys over the whole window."""
    rows = help_rows(view)
    canvas.veil(whole)
    row, extra = 30.0, 108.0
    height = len(rows) * row + extra
    box = Area(whole.x + (whole.w - HELP_WIDTH) / 2, whole.y + (whole.h - height) / 2, HELP_WIDTH, height)
    canvas.card(box)
    canvas.text(box.x + 28, box.y + 34, "Keys", 20, bold=True)
    y = box.y + 74
    for key, meaning in rows:
        canvas.key(box.x + 28, y, key, 12)
        canvas.text(box.x + 140, y, meaning, 13)
        y += row
    hint = "" if view.hands.locked else "An action key takes over. "
    canvas.text(box.x + 28, y + 6, hint + _no_key(view), 11.5, Theme.soft, width=box.w - 56)


def _no_key(view: View) -> str:
    """Return what happens while no key is held."""
    rest = view.hands.keys.rest
    if rest is not None:
        return f"No key held: {view.session.action_names[rest]}, the stick at rest."
    return "No key held: " + ("you drift." if view.session.coast is not None else "the last action again.")


def pause_key(view: View) -> str:
    """Return the key that pauses: P always does, space where it is not an action's."""
    return "P" if "space" in view.hands.keys.known else "space"


def draw_hint(canvas: Canvas, area: Area, view: View) -> None:
    """Say in one quiet line above the world that the game seems to wait, and what helps."""
    session, fire = view.session, "space" in view.hands.keys.known
    text = f"Nothing has happened for {STILL_SECONDS} s"
    if session.control == AGENT:
        text += f": the agent seems to wait. Press {'space to fire' if fire else 'an action key'}, or start it with"
        text += f" a larger --epsilon (now {session.epsilon:g})."
    else:
        text += "; space is fire." if fire else "."
    canvas.text(area.x, area.y - 12, text, 11.5, Theme.human, width=area.w)


def draw_footer(canvas: Canvas, area: Area, view: View) -> None:
    """Draw the one line of keys below the world."""
    parts = [(view.hands.keys.summary, "steer" if view.hands.locked else "take over"), (pause_key(view), "pause")]
    if view.trial is None:
        parts += [("N", "step"), (f"+ {MINUS}", "speed")]
    if not view.hands.locked:
        parts.append(("Enter", "hand back"))
    parts += [("R", "restart"), ("H", "help"), ("Q", "quit")]
    x, y = area.x, area.y + area.h / 2
    for key, meaning in parts:
        x += canvas.key(x, y, key, 11) + 6
        x += canvas.text(x, y, meaning, 11.5, Theme.soft) + 14
