"""Overlays on the world: pause, countdown, summary, help; and the line of keys below it."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

from common.text import number_of
from viewer import commands
from viewer.drawing.canvas import Area, Canvas, font, type_size
from viewer.drawing.theme import Theme
from viewer.learning import controls
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.pieces import balanced, paragraph, paragraph_height
from viewer.panels.plots import render
from viewer.panels.score import number_text
from viewer.playing.scored_play import DONE, SUMMARY
from viewer.playing.session import AGENT, Score
from viewer.playing.stall_detector import STALL_SECONDS
from viewer.view import View

HELP_ROW, CAP_ROW, LEAST_ROW = 27.0, 22.0, 17.0  # height of a row of the help; with key caps; without
HELP_GAP, HEAD_ROWS = 24.0, 1.5  # between columns of the help; rows that a title takes
PANELS_FOLDED = {"Panels": [("F1 \u2026 F12", "hide or show a panel")]}
CHIP, CHIP_PAD = 14.0, 18.0  # size of a notice's type, and the room on each side of it


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
    elif view.tour is not None and view.tour.text and not view.filming:
        _chip(canvas, area, view.tour.text)
    elif view.game.paused:
        key = pause_key(view)
        _chip(canvas, area, f"paused · {key} resumes" + ("" if scored_play else " · N one step on · B one back"))
    if view.filming:
        _draw_filming(canvas, area, view)


def _draw_filming(canvas: Canvas, area: Area, view: View) -> None:
    """Draw a dot that shows that a film is being made."""
    canvas.rounded(Area(area.right - 118, area.bottom - 40, 104, 28), Theme.chip, 14)
    canvas.rounded(Area(area.right - 106, area.bottom - 32, 12, 12), Theme.human, 6)
    canvas.text(area.right - 86, area.bottom - 26, "filming", 13, Theme.on_color)


def _chip(canvas: Canvas, area: Area, text: str) -> None:
    """Write a notice over the world, in as many lines as it needs; over a small world in smaller ones."""
    for size, pad, above in ((CHIP, CHIP_PAD, 14.0), (12.0, 10.0, 4.0)):
        room, pitch = area.w - 16 - 2 * pad, size + 5
        lines = balanced(font(type_size(size, canvas.scale)), text, room * canvas.scale)
        high = pitch * len(lines) + 14
        if above + high <= area.h:
            break
    wide = min(max(canvas.wide(line, size) for line in lines), room) + 2 * pad
    x, top = area.x + area.w / 2, area.y + above
    canvas.rounded(Area(x - wide / 2, top, wide, high), Theme.chip, min(high / 2, 17))
    for number, line in enumerate(lines):
        canvas.text(x, top + 7 + pitch * (number + 0.5), line, size, Theme.on_color, align=0.5, width=room + 4)


def _draw_countdown(canvas: Canvas, area: Area, view: View, number: int) -> None:
    canvas.darken(area)
    x, y = area.x + area.w / 2, area.y + area.h / 2
    size = min(120.0, 0.5 * area.h)
    canvas.text(x, y - 10, str(number), size, Theme.on_color, bold=True, align=0.5, display=True)
    canvas.text(x, y + 0.7 * size, "get ready", 18, Theme.on_color, align=0.5)


def _draw_summary(canvas: Canvas, area: Area, view: View, score: Score) -> None:
    canvas.darken(area)
    scored_play = view.scored_play
    assert scored_play is not None
    wide = min(380.0, area.w - 8)
    box = Area(area.x + (area.w - wide) / 2, area.y + area.h / 2 - 105, wide, 210)
    canvas.card(box)
    x = box.x + box.w / 2
    canvas.text(x, box.y + 34, f"Episode {scored_play.number} of {scored_play.episodes}", 14, Theme.soft, align=0.5)
    canvas.text(x, box.y + 82, number_text(score.episode_return), 48, bold=True, align=0.5, display=True)
    facts = number_of(score.steps, "step") + (
        f" · {number_of(score.frames, 'frame')}" if score.frames is not None else ""
    )
    if score.apples is not None:
        facts = f"{number_of(score.apples, 'apple')} · {score.poison} poison · " + facts
    canvas.text(x, box.y + 126, facts, 13, align=0.5, width=box.w - 20)
    canvas.text(x, box.y + 150, view.note, 12, Theme.soft, align=0.5, width=box.w - 20)
    more = len(scored_play.finished) < scored_play.episodes
    canvas.text(x, box.y + 182, "Enter: next episode" if more else "Enter: done", 13, Theme.human, bold=True, align=0.5)


Row = tuple[str, str]


def help_groups(view: View) -> dict[str, list[Row]]:
    """Return the keys that do something here, and what they do, by group."""
    groups = commands.groups(view)
    shown = {f"panel {name}" for name in PANEL_TITLES if commands.has_content(view, name)}
    groups["Panels"] = [command for command in groups["Panels"] if command.name in shown]
    groups["Learn"] = [one for one in groups["Learn"] if one.name != "agent" or controls.has_another(view)]
    rows = {title: [(one.cap, one.about) for one in group if one.about] for title, group in groups.items()}
    rows["Play"] = [*view.human_control.keys.rows(view.session.action_names), *rows["Play"]]
    rows["Window"].append(("F11", "full screen on, off"))
    return {title: group for title, group in rows.items() if group}


def help_rows(view: View) -> list[Row]:
    """Return all rows of the help."""
    return [row for group in help_groups(view).values() for row in group]


def draw_help(canvas: Canvas, whole: Area, view: View) -> None:
    """Draw the card with all keys over the whole window, in as many columns as there is room for."""
    canvas.darken(whole)
    hint = _hint(view)
    for size, folded in ((13.0, False), (13.0, True), (12.0, True)):  # in a small window in fewer, smaller lines
        page = _help_page(canvas, help_groups(view) | (PANELS_FOLDED if folded else {}), whole.w - 56, size)
        text = paragraph_height(hint, page.width) if whole.h > 460 else 0.0
        room = whole.h - 40 - 24 - text
        if page.rows * LEAST_ROW <= room:
            break
    else:
        text, room = 0.0, whole.h - 64
    step = min(HELP_ROW, max(room / page.rows, LEAST_ROW))
    wide, high = page.width + 2 * 24, min(page.rows * step + text + 40.0, whole.h - 8)
    box = Area(whole.x + (whole.w - wide) / 2, whole.y + (whole.h - high) / 2, wide, high)
    canvas.card(box)
    whole_text = page.rows * step <= room + 1
    end = box.bottom - text - (12 if whole_text else 28)
    x = box.x + 24
    for column in page.columns:
        y = box.y + 16
        for title, rows in column.groups.items():
            y = _draw_group(canvas, Area(x, y, column.width, end - y), title, rows, column.keys, step, size)
        x += column.width + HELP_GAP
    if text:
        paragraph(canvas, box.x + 24, box.bottom - text - 12, hint, page.width)
    elif not whole_text:
        canvas.text(box.x + 24, box.bottom - 16, "a larger window shows the rest", 12, Theme.soft)


class _HelpColumn(NamedTuple):
    """Groups of keys below each other."""

    groups: dict[str, list[Row]]
    keys: float  # width of the keys
    width: float


class _HelpPage(NamedTuple):
    """Columns of groups."""

    columns: list[_HelpColumn]
    rows: float  # of the highest column, titles included
    width: float


def _help_page(canvas: Canvas, groups: dict[str, list[Row]], room: float, size: float) -> _HelpPage:
    """Return the groups in as many columns as fit into a width, and are needed; one column always is."""
    rows = sum(len(group) for group in groups.values()) + HEAD_ROWS * len(groups)
    for count in range(min(4, math.ceil(rows / 9)), 0, -1):
        columns = []
        for part in _in_columns(groups, count):
            shown = [row for title in part for row in groups[title]]
            keys = max(canvas.wide(key, 12, bold=True) for key, _ in shown) + (22 if size > 12 else 10)
            wide = keys + max(canvas.wide(meaning, size) for _, meaning in shown)
            columns.append(_HelpColumn({title: groups[title] for title in part}, keys, wide))
        width = sum(column.width for column in columns) + HELP_GAP * (len(columns) - 1)
        if width <= room:
            break
    highest = max(sum(len(group) + HEAD_ROWS for group in column.groups.values()) for column in columns)
    return _HelpPage(columns, highest, min(width, room))


def _in_columns(groups: dict[str, list[Row]], columns: int) -> list[list[str]]:
    """Return the groups' titles in columns of nearly equal height, in their order."""
    titles, sizes = list(groups), [len(group) + HEAD_ROWS for group in groups.values()]
    cuts = itertools.combinations_with_replacement(range(1, len(titles) + 1), columns - 1)

    def highest(cut: tuple[int, ...]) -> float:
        return max(sum(sizes[a:b]) for a, b in itertools.pairwise((0, *cut, len(titles))))

    best = min(cuts, key=highest)
    return [titles[a:b] for a, b in itertools.pairwise((0, *best, len(titles))) if b > a]


def _draw_group(
    canvas: Canvas, area: Area, title: str, rows: list[Row], keys: float, step: float, size: float
) -> float:
    """Draw a group of keys; return the y below it."""
    y = area.y + step * 0.6
    if y + 1.5 * step > area.bottom:
        return area.bottom
    canvas.text(area.x, y, title, 15, bold=True)
    for key, meaning in rows:
        y += step
        if y + step / 2 > area.bottom + 4:
            break
        canvas.key(area.x, y, key, 12) if step >= CAP_ROW else canvas.text(area.x, y, key, 12, bold=True)
        canvas.text(area.x + keys, y, meaning, size, width=area.w - keys + 6)
    return y + step * 0.9


def _hint(view: View) -> str:
    """Return what else there is to know."""
    hint = "" if view.human_control.locked else "An action key takes over. "
    return (
        f"{hint}{_no_key(view)} The mouse moves sliders and timeline, and picks steps and neurons. Any key closes this."
    )


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
    """Write a line at the bottom of the header: the game seems to be stuck, and what may help."""
    session, fire = view.session, "space" in view.human_control.keys.known
    text = f"Nothing has happened for {STALL_SECONDS} s"
    if session.control == AGENT:
        text += f": the agent seems to be stuck. Press {'space to fire' if fire else 'an action key'}, or restart with"
        text += f" a larger --epsilon (now {session.epsilon:g})."
    else:
        text += "; space fires." if fire else "."
    canvas.text(area.x, area.bottom - 8, text, 12, Theme.human, width=area.w)


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

    while parts and sum(part_width(canvas, *part) for part in parts) - 14 > area.w:
        parts.remove(min(parts, key=lambda part: SPARE.index(part[1]) if part[1] in SPARE else math.inf))

    def draw(own: Canvas) -> None:
        x, y = area.x, area.y + area.h / 2
        for key, meaning in parts:
            x += own.key(x, y, key, 12) + 6
            x += own.text(x, y, meaning, 12, Theme.soft) + 14

    box = canvas.pixels(area)
    canvas.surface.blit(view.cached("footer", (tuple(parts), tuple(box)), lambda: render(canvas, area, draw)), box)


def part_width(canvas: Canvas, key: str, meaning: str) -> float:
    """Return the width of a key and what it does, with the gap behind it."""
    return max(canvas.wide(key, 12) + 12, 22.0) + 6 + canvas.wide(meaning, 12) + 14


FOOTER = ("pause", "back", "step", "speed", "hand back", "learn", "restart", "panels", "film", "help", "quit")
SPARE = (
    "film",
    "panels",
    "restart",
    "hand back",
    "learn",
    "back",
    "step",
    "speed",
    "quit",
    "steer",
    "take over",
    "pause",
)
"""What the line of keys leaves out first where there is little room."""
