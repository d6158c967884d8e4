"""One step in numbers: what the network expected, its target, and which inputs mattered."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from viewer.drawing.canvas import MINUS, TIMES, Area, Canvas
from viewer.drawing.theme import Color, Theme
from viewer.inspecting.explain import Explanation, Target, negligible, networks_used
from viewer.inspecting.inputs import strongest
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import WIDTH, Panel
from viewer.panels.pieces import (
    LEADING,
    MARGIN,
    SMALL,
    Array,
    Identity,
    Picture,
    draw_cached,
    draw_image,
    heading,
    paragraph,
    paragraph_height,
    signed,
)
from viewer.playing.keys import words
from viewer.view import View

if TYPE_CHECKING:  # a human plays without torch
    from learning.policy import Training

HEAD, ROW, PILL = 40.0, 19.0, 28.0
PITCH = SMALL + LEADING  # of the soft lines
INPUTS_HEAD, INPUT_ROW, INPUTS, MOST_INPUTS = 28.0, 18.0, 3, 8
THUMB, LARGEST_THUMB = 84.0, 150.0
BOTTOM = 8.0
GAMMA = "\N{GREEK SMALL LETTER GAMMA}"
QUOTES = "\N{LEFT SINGLE QUOTATION MARK}{}\N{RIGHT SINGLE QUOTATION MARK}"


class ExplainedPanel(Panel):
    """The temporal difference target as a sum, its error, and the inputs that mattered most."""

    name: ClassVar[str] = "step"
    title: ClassVar[str] = PANEL_TITLES["step"]

    def height(self, view: View, width: float = WIDTH) -> float:
        """Return the height of what this player can have, the same in every step; 0 for one that expects nothing."""
        if view.session.policy is None or view.session.q_values() is None:
            return 0.0
        return HEAD + self.sum_height(view, width) + self.inputs_height(view) + BOTTOM

    def most(self, view: View, width: float = WIDTH) -> float:
        """Return the height with more inputs that mattered, or a larger picture of them."""
        least = self.height(view, width)
        if not least or view.inspector.saliency() is None:
            return least
        if view.inspector.inputs() is None:
            return least + LARGEST_THUMB - THUMB
        count = min(len(view.inspector.inputs().names), MOST_INPUTS)  # type: ignore[union-attr]
        return least + INPUT_ROW * max(count - INPUTS, 0)

    def sum_height(self, view: View, width: float) -> float:
        """Return the height of the sum: enough for the longest lines that this player's way of learning needs."""
        training, room = view.session.training, width - 2 * MARGIN
        if training is None:
            return paragraph_height(why_not(view), room)
        key = (training, view.session.action_names, round(width))

        def height() -> float:
            rows = 4 + (training.munchausen is not None)
            texts = longest_notes(training, view.session.action_names)
            return ROW * rows + 6.0 + PILL + sum(paragraph_height(text, room - 20) for text in texts) + 4.0

        return view.cached("explained height", key, height)

    def inputs_height(self, view: View) -> float:
        """Return the least height of the inputs that mattered."""
        if view.inspector.saliency() is None:
            return 0.0
        inputs = view.inspector.inputs()
        if inputs is None:
            return INPUTS_HEAD + THUMB
        return INPUTS_HEAD + INPUT_ROW * min(len(inputs.names), INPUTS)

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw the sum from the top, and the inputs below it."""
        explanation, saliency = view.inspector.explanation(), view.inspector.saliency()
        in_world = eye_saliency(view) is not None
        key = (Identity(explanation, saliency), "" if explanation else why_not(view), in_world)

        def draw(own: Canvas) -> None:
            self._draw(own, area, view, explanation, saliency)

        draw_cached(canvas, area, view, "explained", key, draw)

    def _draw(
        self, canvas: Canvas, area: Area, view: View, explanation: Explanation | None, saliency: Array | None
    ) -> None:
        draw_cached(canvas, area, view, "explained card", "", lambda own: own.card(area))
        inputs, names = self.inputs_area(area, view), tuple(words(name) for name in view.session.action_names)
        room = Area(area.x + MARGIN, area.y + HEAD, area.w - 2 * MARGIN, inputs.y - area.y - HEAD)
        title = "This step explained"
        if explanation is not None:
            first = explanation.lines(names)[0]
            title = first[0].upper() + first[1:]
        short = title.replace(" (the agent", " (agent").partition(" (")[0]
        heading(canvas, area, canvas.choose([title, title.replace("the agent", "agent"), short], room.w, 15, bold=True))
        if explanation is None:
            paragraph(canvas, room.x, room.y, why_not(view), room.w, bottom=room.bottom)
        else:
            draw_sum(canvas, room, explanation, names)
        if saliency is not None:
            draw_mattered(canvas, inputs, view, saliency)

    def inputs_area(self, area: Area, view: View) -> Area:
        """Return the area of the inputs that mattered: below the sum, down to the end."""
        if not self.inputs_height(view):
            return Area(area.x + MARGIN, area.bottom - BOTTOM, area.w - 2 * MARGIN, 0.0)
        top = min(area.y + HEAD + self.sum_height(view, area.w), area.bottom - BOTTOM - self.inputs_height(view))
        return Area(area.x + MARGIN, top, area.w - 2 * MARGIN, area.bottom - BOTTOM - top)


def why_not(view: View) -> str:
    """Return why there is no explanation."""
    session = view.session
    if session.q_values() is None:
        return "This player expects nothing."
    if session.training is None:
        return "It is not known how this network was trained, so there is no target to compare with."
    if view.inspector.step is None:
        return "No step has been made yet."
    return "The outcome of this step is not known yet."


# ------------------------------------------------------------------------------------ the sum


def draw_sum(canvas: Canvas, area: Area, explanation: Explanation, action_names: tuple[str, ...]) -> None:
    """Write the target as a sum, the expectation, their difference, and further notes."""
    lines = Lines(canvas, area, explanation.digits)
    target, training = explanation.one_step, explanation.training
    lines.number("reward", target.rewards[0])
    if training.of_rewards and target.rewards[0] != explanation.moment.reward:
        given = f"{explanation.moment.reward:+g}".replace("-", MINUS)
        lines.soft(reward_note(given, training))
    if training.munchausen is not None:
        lines.number("+ Munchausen bonus, 0 if certain", target.bonus)
    _next_value(lines, explanation, target, action_names)
    lines.rule()
    lines.number("= target", target.total, bold=True)
    error = explanation.error(target)
    if explanation.expectation is None or error is None:
        lines.soft("the network expects nothing of 'no key'")
    else:
        lines.number(f"{MINUS} expected by the network", explanation.expectation)
        lines.pill("= TD error", verdict(error, lines.digits), error)
    for line in learner_lines(explanation, action_names):
        lines.soft(line)


def _next_value(lines: Lines, explanation: Explanation, target: Target, action_names: tuple[str, ...]) -> None:
    training, moment = explanation.training, explanation.moment
    if target.next_action is None:
        lines.number("+ no next value", 0.0)
        lines.soft("the episode ended here" if moment.terminated else LIFE_LOST)
        return
    lines.number(
        f"+ {GAMMA} {TIMES} next value:  {training.gamma:g} {TIMES} {signed(target.next_value, lines.digits)}",
        target.discount * target.next_value,
    )
    lines.soft(next_note(action_names[target.next_action], training, explanation.has_target))


LIFE_LOST = "a life was lost, which ends the return"


def reward_note(given: str, training: Training) -> str:
    """Return what the agent makes of the game's reward."""
    return f"the game gave {given}; the agent learns from {training.of_rewards.replace('-', MINUS)}"


def next_note(best: str, training: Training, has_target: bool) -> str:
    """Return which action is the next one, and which network says what it is worth."""
    what = "best action there" if training.munchausen is None else "likeliest action there"
    return f"{what}: {QUOTES.format(best)}, {networks_used(training, has_target)}"


def longest_notes(training: Training, action_names: Sequence[str]) -> list[str]:
    """Return the longest notes below the sum that a step of this way of learning can have."""
    longest = max((words(name) for name in action_names), key=len, default="")
    notes = [max((next_note(longest, training, has) for has in (False, True)), key=len)]
    if training.of_rewards:
        notes.append(reward_note(f"{MINUS}100", training))
    if training.trace_decay is not None:
        notes.append("training corrects earlier steps too, by 0.99 of the error per step back (eligibility traces)")
    elif training.q_lambda is not None:
        notes.append("training blends this target with longer ones (Q(l), 0.65)")
    elif training.n_step > 1:
        notes.append(f"training sums {training.n_step} rewards; the next ones are not known yet")
    return [*notes, f"actual return so far: {MINUS}10.00; 98 % of the discounted future is still ahead"]


def learner_lines(explanation: Explanation, action_names: tuple[str, ...]) -> list[str]:
    """Return the lines of `Explanation.lines` after the TD error: multi-step targets, and the return since then."""
    lines = explanation.lines(action_names)
    start = next(place for place, line in enumerate(lines) if line.startswith("= target"))
    after = lines[start + (2 if explanation.expectation is None else 3) :]
    return [typeset(line) for line in after]


def typeset(line: str) -> str:
    """Return a line with typographic signs: minus before a digit, times between numbers."""
    return re.sub(r"-(?=\d)", MINUS, line).replace(" x ", f" {TIMES} ")


def verdict(error: float, digits: int = 2) -> str:
    """Return what a temporal difference error means that is written with so many decimals."""
    if not math.isfinite(error):
        return "NaN" if math.isnan(error) else "infinite"
    if abs(error) < negligible(digits):
        return "as expected"
    return "▲ better than expected" if error > 0 else "▼ worse than expected"


def shorter(label: str) -> list[str]:
    """Return shorter ways to write a label of the sum."""
    if "next value" in label:
        return [
            label.replace("next value:  ", "next: "),
            label.replace("next value:  ", "").replace(f"{GAMMA} {TIMES} ", ""),
        ]
    return [label.replace(" by the network", "").replace(", 0 if certain", "")]


class Lines:
    """Rows of text from the top of an area on; rows that would leave it are not drawn."""

    def __init__(self, canvas: Canvas, area: Area, digits: int = 2) -> None:
        self.canvas, self.area, self.y, self.digits = canvas, area, area.y, digits

    def _next_row(self, height: float) -> float | None:
        """Return the middle of the next row; None if it does not fit."""
        if self.y + height > self.area.bottom + 0.5:
            self.y = self.area.bottom + 1.0  # later rows would be out of order
            return None
        self.y += height
        return self.y - height / 2

    def number(self, label: str, value: float, *, bold: bool = False) -> None:
        """Write a label and its number."""
        y = self._next_row(ROW)
        if y is not None:
            text = signed(value, self.digits)
            used = self.canvas.text(self.area.right - 10, y, text, 13, bold=bold, align=1)
            self.canvas.text(
                self.area.x + 10,
                y,
                self.canvas.choose([label, *shorter(label)], self.area.w - used - 28, bold=bold),
                13,
                bold=bold,
            )

    def rule(self) -> None:
        """Draw the line above a sum's result."""
        y = self._next_row(6.0)
        if y is not None:
            self.canvas.line((self.area.x + 10, y), (self.area.right - 10, y), Theme.soft)

    def pill(self, label: str, meaning: str, value: float) -> None:
        """Write the TD error on a colour, with an arrow: up if the target is above the expectation, down if below."""
        y = self._next_row(PILL)
        if y is None:
            return
        self.canvas.rounded(
            Area(self.area.x, y - PILL / 2 + 1, self.area.w, PILL - 4), pill_color(value, self.digits), 5
        )
        y -= 1
        x = self.area.x + 10
        x += self.canvas.text(x, y, label, 13, bold=True) + 12
        used = self.canvas.text(self.area.right - 10, y, signed(value, self.digits), 13, bold=True, align=1)
        room = self.area.right - 20 - used - x
        self.canvas.text(x, y, self.canvas.choose([meaning, meaning.replace(" than expected", "")], room, 12), 12)

    def soft(self, text: str) -> None:
        """Write a note, in as many lines as it needs."""
        self.y = paragraph(
            self.canvas, self.area.x + 10, self.y, text, self.area.w - 20, SMALL, bottom=self.area.bottom + 0.5
        )


def pill_color(error: float, digits: int = 2) -> Color:
    """Return the colour below a TD error."""
    if not abs(error) >= negligible(digits) or math.isinf(error):
        return Theme.track
    return Theme.better if error > 0 else Theme.worse


# ------------------------------------------------------------------------------- what mattered


def draw_mattered(canvas: Canvas, area: Area, view: View, saliency: Array) -> None:
    """Draw the inputs on which the best action's expectation depends most."""
    canvas.line((area.x, area.y + 2), (area.right, area.y + 2), Theme.border)
    used = canvas.text(area.x + 10, area.y + 15, "Which inputs mattered", 12, bold=True)
    about = ["for the best action", ""] if eye_saliency(view) is None else ["width of the rays", ""]
    about_text = canvas.choose(about, area.w - used - 30, SMALL)
    canvas.text(area.right - 10, area.y + 15, about_text, SMALL, Theme.soft, align=1)
    room = Area(area.x + 10, area.y + INPUTS_HEAD, area.w - 20, area.h - INPUTS_HEAD)
    inputs = view.inspector.inputs()
    if inputs is None:
        _draw_heat(canvas, room, view, saliency)
        return
    count = max(1, min(MOST_INPUTS, int((room.h + 0.5) / INPUT_ROW)))
    found = [(name, share) for name, share in strongest(saliency, inputs.names, count) if share > 0]
    if not found:
        canvas.text(room.x, room.y + INPUT_ROW / 2, "none, here", SMALL, Theme.soft)
    left = max((canvas.wide(name, 12) for name, _ in found), default=0.0) + 10
    for place, (name, share) in enumerate(found):
        zone = share_zone(room, place, min(left, 0.6 * room.w))
        y = zone.y + zone.h / 2
        canvas.text(room.x, y, name, 12, width=zone.x - room.x - 6)
        canvas.rect(zone, Theme.track)
        # the longest bar is the strongest input's: the shares of many inputs are small
        canvas.rect(Area(zone.x, zone.y, zone.w * share / found[0][1], zone.h), Theme.agent)
        canvas.text(room.right, y, f"{share:.0%}", 12, Theme.soft, align=1)


def eye_saliency(view: View) -> Array | None:
    """Return how much each eye mattered for the best action, (eyes,), 1 the most; None while it is not shown.

    It is shown with the explanation of a step, and only while there is time to look at it: paused or looking back.
    """
    still = view.session.paused or not view.session.timeline.live
    if not still or ExplainedPanel.name in view.hidden:
        return None
    saliency, inputs = view.inspector.saliency(), view.inspector.inputs()
    if saliency is None or inputs is None or not inputs.eyes:
        return None
    eyes = inputs.by_eye(saliency).sum(-1)
    return eyes / eyes.max() if 0 < eyes.max() < math.inf else None


def share_zone(room: Area, place: int, left: float) -> Area:
    """Return where the bar of one of the strongest inputs may lie, on the right of names of a width."""
    x = room.x + left
    return Area(x, room.y + place * INPUT_ROW + 4, room.right - 40 - x, INPUT_ROW - 8)


def _draw_heat(canvas: Canvas, room: Area, view: View, saliency: Array) -> None:
    side = min(room.h, 0.45 * room.w)
    frame = view.session.frames_of(view.inspector.moment.obs)[-1]
    if frame.shape == saliency.shape:
        draw_image(canvas, Area(room.x, room.y, side, side), heated(frame, saliency))
    best = view.session.best_action()
    what = "" if best is None else f" ({words(view.session.action_names[best])})"
    about = f"What is expected of the best action{what} depends most on the pixels that glow."
    paragraph(canvas, room.x + side + 14, room.y, about, room.w - side - 14, SMALL, bottom=room.bottom)


_share = np.linspace(0, 1, 64)[:, None]
_blue, _orange = np.array((0, 104, 158), float), np.array((250, 105, 0), float)
GLOW = (_blue + np.clip(2 * _share - 1, 0, 1) * (_orange - _blue)).astype(np.float32)  # (64, 3) from little to much


def heated(frame: Picture, saliency: Array) -> Picture:
    """Return a grey frame (H, W) overlaid with its saliency (H, W), as (H, W, 3): blue for some, orange for much."""
    # single pixels are hard to see: each is summed with the eight around it
    padded = np.pad(np.nan_to_num(saliency).astype(np.float32), 1)
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    smooth = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    largest = float(smooth.max())
    share = smooth / largest if largest > 0 else smooth
    cover = np.clip(1.5 * share - 0.15, 0.0, 0.9)[..., None]
    mixed: Array = frame[..., None] * (1 - cover) + GLOW[(share * (len(GLOW) - 1)).astype(np.intp)] * cover
    return np.asarray(mixed, np.uint8)
