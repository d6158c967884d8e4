"""Overlays on the world: pause, countdown, summary, help; and the line of keys below it."""

from __future__ import annotations

import math

from viewer import commands
from viewer.drawing.canvas import Area, Canvas, Theme
from viewer.panels.pieces import paragraph
from viewer.panels.plots import render
from viewer.panels.score import number_text
from viewer.playing.scored_play import DONE, SUMMARY
from viewer.playing.session import AGENT, Score
from viewer.playing.stall_detector import STALL_SECONDS
from viewer.view import View

HELP_COLUMN, HELP_ROW, HELP_ROWS = 345.0, 27.0, 17


def draw_world_overlays(canvas: Canvas, area: Area, view: View) -> None:
    """Draw over the world what the moment needs: a summary, a countdown, a notice."""
    scored_play = view.scored_play
    if scored_play is not None and scored_play.phase in (SUMMARY, DONE):
        _draw_summary(canvas, area, view, scored_play.finished[-1])
    elif scored_play is not None and scored_play.countdown is not None and not view.session.paused:
        _draw_countdown(canvas, area, view, scored_play.countdown)
    elif view.help:
        pass  # the help covers the place of a notice
    elif view.notice:
        _chip(canvas, area, view.notice)
    elif not view.session.timeline.live:
        _chip(canvas, area, "looking back · End: now · space resumes")
    elif view.session.finished and view.versus is None:
        _chip(canvas, area, f"episode over · return {number_text(view.session.score.episode_return)}")
    elif view.game.paused:
        key = pause_key(view)
        _chip(canvas, area, f"paused · {key} resumes" + ("" if scored_play else " · N one step on · B one back"))
    if view.filming:
        _draw_filming(canvas, area, view)


def _draw_filming(canvas: Canvas, area: Area, view: View) -> None:
    """Draw a dot that shows that a film is being made."""
    canvas.rounded(Area(area.right - 118, area.bottom - 40, 104, 28), Theme.text, 14)
    canvas.rounded(Area(area.right - 106, area.bottom - 32, 12, 12), Theme.human, 6)
    canvas.text(area.right - 86, area.bottom - 26, "filming", 12.5, Theme.card)


def _chip(canvas: Canvas, area: Area, text: str) -> None:
    width = canvas.fonts.font(max(6, round(14 * canvas.scale)), False).size(text)[0] / canvas.scale + 36
    width = min(width, area.w - 8)
    x, y = area.x + area.w / 2, area.y + 34
    canvas.rounded(Area(x - width / 2, y - 17, width, 34), Theme.text, 17)
    canvas.text(x, y, text, 14, Theme.card, align=0.5, width=width - 28)


def _draw_countdown(canvas: Canvas, area: Area, view: View, number: int) -> None:
    canvas.darken(area)
    x, y = area.x + area.w / 2, area.y + area.h / 2
    canvas.text(x, y - 10, str(number), 120, Theme.card, bold=True, align=0.5)
    canvas.text(x, y + 86, "get ready", 18, Theme.card, align=0.5)


def _draw_summary(canvas: Canvas, area: Area, view: View, score: Score) -> None:
    canvas.darken(area)
    scored_play = view.scored_play
    assert scored_play is not None
    box = Area(area.x + area.w / 2 - 190, area.y + area.h / 2 - 105, 380, 210)
    canvas.card(box)
    x = box.x + box.w / 2
    canvas.text(x, box.y + 34, f"Episode {scored_play.number} of {scored_play.episodes}", 14, Theme.soft, align=0.5)
    canvas.text(x, box.y + 82, number_text(score.episode_return), 48, bold=True, align=0.5)
    facts = f"{score.steps:,} steps" + (f" · {score.frames:,} frames" if score.frames is not None else "")
    if score.apples is not None:
        facts = f"{score.apples} apples · {score.poison} poison · " + facts
    canvas.text(x, box.y + 126, facts, 13, align=0.5)
    canvas.text(x, box.y + 150, view.note, 11.5, Theme.soft, align=0.5, width=box.w - 30)
    more = len(scored_play.finished) < scored_play.episodes
    canvas.text(x, box.y + 182, "Enter: next episode" if more else "Enter: done", 13, Theme.human, bold=True, align=0.5)


def help_rows(view: View) -> list[tuple[str, str]]:
    """Return the keys that do something here, and what they do."""
    rows = [(command.cap, command.about) for command in commands.commands(view) if command.about]
    return [*view.human_control.keys.rows(view.session.action_names), *rows, ("F11", "full screen on, off")]


def draw_help(canvas: Canvas, whole: Area, view: View) -> None:
    """Draw the card with all keys over the whole window, in as many columns as they need."""
    rows = help_rows(view)
    canvas.darken(whole)
    columns = max(1, min(math.ceil(len(rows) / HELP_ROWS), int((whole.w - 48) // HELP_COLUMN)))
    each = math.ceil(len(rows) / columns)
    step = min(HELP_ROW, (whole.h - 116.0) / each)
    wide, high = columns * HELP_COLUMN + 40.0, each * step + 108.0
    box = Area(whole.x + (whole.w - wide) / 2, whole.y + (whole.h - high) / 2, wide, high)
    canvas.card(box)
    canvas.text(box.x + 28, box.y + 34, "Keys", 20, bold=True)
    for number, (key, meaning) in enumerate(rows):
        column, row = divmod(number, each)
        x, y = box.x + 28 + column * HELP_COLUMN, box.y + 74 + row * step
        canvas.key(x, y, key, min(12.0, step - 12))
        canvas.text(x + 96, y, meaning, 12.5, width=HELP_COLUMN - 108)
    hint = "" if view.human_control.locked else "An action key takes over. "
    hint += _no_key(view) + " The mouse moves the sliders and the timeline, and picks steps and neurons."
    paragraph(canvas, box.x + 28, box.bottom - 41, hint, box.w - 56, 11.5)


def _no_key(view: View) -> str:
    """Return what happens while no key is held."""
    noop = view.human_control.keys.noop
    if noop is not None:
        return f"No key held: {view.session.action_names[noop]}."
    return "No key held: " + ("you drift." if view.session.coast is not None else "the last action is repeated.")


def pause_key(view: View) -> str:
    """Return the key that pauses: P always does, and space unless it is an action's key."""
    return "P" if "space" in view.human_control.keys.known else "space"


def draw_hint(canvas: Canvas, area: Area, view: View) -> None:
    """Write a line above the world: the game seems to be stuck, and what may help."""
    session, fire = view.session, "space" in view.human_control.keys.known
    text = f"Nothing has happened for {STALL_SECONDS} s"
    if session.control == AGENT:
        text += f": the agent seems to be stuck. Press {'space to fire' if fire else 'an action key'}, or restart with"
        text += f" a larger --epsilon (now {session.epsilon:g})."
    else:
        text += "; space fires." if fire else "."
    canvas.text(area.x, area.y - 12, text, 11.5, Theme.human, width=area.w)


def draw_footer(canvas: Canvas, area: Area, view: View) -> None:
    """Draw the line of keys below everything, as far as there is room."""
    known = {command.short: command.cap for command in commands.commands(view) if command.short}
    parts = [
        (
            view.human_control.keys.summary,
            "steer" if view.human_control.locked or view.human_control.second_player else "take over",
        )
    ]
    parts += [(known[short], short) for short in FOOTER if short in known]

    def draw(own: Canvas) -> None:
        x, y = area.x, area.y + area.h / 2
        for key, meaning in parts:
            x += own.key(x, y, key, 11) + 6
            x += own.text(x, y, meaning, 11.5, Theme.soft) + 14

    box = canvas.pixels(area)
    canvas.surface.blit(view.cached("footer", (tuple(parts), tuple(box)), lambda: render(canvas, area, draw)), box)


FOOTER = ("pause", "back", "step", "speed", "hand back", "learn", "restart", "panels", "film", "help", "quit")
