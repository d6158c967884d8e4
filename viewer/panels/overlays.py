"""Overlays on the world: pause, countdown, summary, help; and the line of keys below it."""

from __future__ import annotations

import itertools
import math

from viewer import commands
from viewer.drawing.canvas import Area, Canvas, font, type_size
from viewer.drawing.theme import Theme
from viewer.panels.pieces import paragraph, paragraph_height, wrapped
from viewer.panels.plots import render
from viewer.panels.score import number_text
from viewer.playing.scored_play import DONE, SUMMARY
from viewer.playing.session import AGENT, Score
from viewer.playing.stall_detector import STALL_SECONDS
from viewer.view import View

HELP_ROW, CAP_ROW, LEAST_ROW = 27.0, 22.0, 17.0  # height of a row of the help; with key caps; without
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
    """Write a notice over the world, in as many lines as it needs."""
    room = area.w - 16 - 2 * CHIP_PAD
    lines = wrapped(font(type_size(CHIP, canvas.scale)), text, room * canvas.scale)
    wide = min(max(canvas.wide(line, CHIP) for line in lines), room) + 2 * CHIP_PAD
    pitch = CHIP + 5
    high = pitch * len(lines) + 14
    x, top = area.x + area.w / 2, area.y + 14
    canvas.rounded(Area(x - wide / 2, top, wide, high), Theme.chip, min(high / 2, 17))
    for number, line in enumerate(lines):
        canvas.text(x, top + 7 + pitch * (number + 0.5), line, CHIP, Theme.on_color, align=0.5, width=room + 4)


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
    facts = f"{score.steps:,} steps" + (f" · {score.frames:,} frames" if score.frames is not None else "")
    if score.apples is not None:
        facts = f"{score.apples} apples · {score.poison} poison · " + facts
    canvas.text(x, box.y + 126, facts, 13, align=0.5, width=box.w - 20)
    canvas.text(x, box.y + 150, view.note, 12, Theme.soft, align=0.5, width=box.w - 20)
    more = len(scored_play.finished) < scored_play.episodes
    canvas.text(x, box.y + 182, "Enter: next episode" if more else "Enter: done", 13, Theme.human, bold=True, align=0.5)


Row = tuple[str, str]


def help_groups(view: View) -> dict[str, list[Row]]:
    """Return the keys that do something here, and what they do, by group."""
    rows = {
        title: [(command.cap, command.about) for command in group if command.about]
        for title, group in commands.groups(view).items()
    }
    rows["Play"] = [*view.human_control.keys.rows(view.session.action_names), *rows["Play"]]
    rows["Window"].append(("F11", "full screen on, off"))
    return {title: group for title, group in rows.items() if group}


def help_rows(view: View) -> list[Row]:
    """Return all rows of the help."""
    return [row for group in help_groups(view).values() for row in group]


def draw_help(canvas: Canvas, whole: Area, view: View) -> None:
    """Draw the card with all keys over the whole window, in as many columns as there is room for."""
    groups = help_groups(view)
    canvas.darken(whole)
    keys = max(canvas.wide(key, 12) + 12 for group in groups.values() for key, _ in group) + 10
    each = keys + max(canvas.wide(meaning, 13) for group in groups.values() for _, meaning in group) + 24
    rows = sum(len(group) for group in groups.values()) + 1.5 * len(groups)
    columns = max(1, min(4, int((whole.w - 56) // each), math.ceil(rows / 9)))
    each = min(each, (whole.w - 56) / columns)
    hint = _hint(view)
    text = paragraph_height(hint, columns * each - 24) if whole.h > 460 else 0.0
    room = whole.h - 40 - 24 - text
    parts = _in_columns(groups, columns)
    most = max(sum(len(groups[title]) + 1.5 for title in part) for part in parts)
    if most * LEAST_ROW > room:  # a small window: the panels' keys in one line
        groups["Panels"] = [("F1 \u2026 F12", "hide or show a panel")]
        parts = _in_columns(groups, columns)
        most = max(sum(len(groups[title]) + 1.5 for title in part) for part in parts)
    if most * LEAST_ROW > room:
        hint, text = "", 0.0
        room = whole.h - 64
    step = min(HELP_ROW, max(room / most, LEAST_ROW))
    wide, high = columns * each + 32.0, min(most * step + text + 40.0, whole.h - 8)
    box = Area(whole.x + (whole.w - wide) / 2, whole.y + (whole.h - high) / 2, wide, high)
    canvas.card(box)
    whole_text = most * step <= room + 1
    end = box.bottom - text - (12 if whole_text else 28)
    for number, part in enumerate(parts):
        x, y = box.x + 24 + number * each, box.y + 16
        for title in part:
            y = _draw_group(canvas, Area(x, y, each - 24, end - y), title, groups[title], keys, step)
    if text:
        paragraph(canvas, box.x + 24, box.bottom - text - 12, hint, columns * each - 24)
    elif not whole_text:
        canvas.text(box.x + 24, box.bottom - 16, "a larger window shows the rest", 12, Theme.soft)


def _in_columns(groups: dict[str, list[Row]], columns: int) -> list[list[str]]:
    """Return the groups' titles in columns of nearly equal height, in their order."""
    titles, sizes = list(groups), [len(group) + 1.5 for group in groups.values()]
    cuts = itertools.combinations_with_replacement(range(1, len(titles) + 1), columns - 1)

    def highest(cut: tuple[int, ...]) -> float:
        return max(sum(sizes[a:b]) for a, b in itertools.pairwise((0, *cut, len(titles))))

    best = min(cuts, key=highest)
    return [titles[a:b] for a, b in itertools.pairwise((0, *best, len(titles))) if b > a]


def _draw_group(canvas: Canvas, area: Area, title: str, rows: list[Row], keys: float, step: float) -> float:
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
        canvas.text(area.x + keys, y, meaning, 13, width=area.w - keys + 6)
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
