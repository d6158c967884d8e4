"""One step in numbers: what the network expected, its target, and which inputs mattered."""

from __future__ import annotations

import math
import re
from typing import ClassVar

import numpy as np

from viewer.drawing.canvas import MINUS, TIMES, Area, Canvas, Color, Theme
from viewer.inspecting.explain import Explanation, Target, negligible, networks_used
from viewer.inspecting.inputs import strongest
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import Panel
from viewer.panels.pieces import Array, Identity, Picture, draw_cached, draw_image, paragraph, signed
from viewer.playing.keys import words
from viewer.view import View

MARGIN, HEAD, ROW, PILL = 18.0, 40.0, 18.0, 26.0
SMALL, PITCH = 10.5, 14.0  # of the soft lines
INPUTS_HEAD, INPUT_ROW, INPUTS, NAME = 26.0, 16.0, 4, 0.52
THUMB = 84.0
UNKNOWN = 30.0  # height of the line that says why there is no explanation
GAMMA = "\N{GREEK SMALL LETTER GAMMA}"


class ExplainedPanel(Panel):
    """The temporal difference target as a sum, its error, and the inputs that mattered most."""

    name: ClassVar[str] = "step"
    title: ClassVar[str] = PANEL_TITLES["step"]
    stretches: ClassVar[bool] = True

    def height(self, view: View) -> float:
        """Return the height of what this player can have, the same in every step; 0 without a player."""
        if view.session.policy is None:
            return 0.0
        return HEAD + self.sum_height(view) + self.inputs_height(view) + 8.0

    def sum_height(self, view: View) -> float:
        """Return the height of the sum: enough for the longest lines that this player's way of learning needs."""
        training = view.session.training
        if training is None or view.session.q_values() is None:
            return UNKNOWN
        wide = view.session.stack() is not None  # then the column is wider
        soft = 3 if wide else 5  # the networks used, and the return since then
        if training.n_step > 1 or training.q_lambda is not None or training.trace_decay is not None:
            soft += 1 if wide else 2
        if training.of_rewards:  # a line on them, which wraps in a narrow column
            soft += 1 if wide else 2
        rows = 4 + (training.munchausen is not None)
        return ROW * rows + 6.0 + PILL + PITCH * soft

    def inputs_height(self, view: View) -> float:
        """Return the height of the inputs that mattered."""
        if view.inspector.saliency() is None:
            return 0.0
        if view.inspector.inputs() is None:
            return INPUTS_HEAD + THUMB
        return INPUTS_HEAD + INPUT_ROW * INPUTS

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
        canvas.text(area.x + MARGIN, area.y + 22, title, 16, bold=True, width=room.w)
        if explanation is None:
            paragraph(canvas, room.x, room.y, why_not(view), room.w, 11.5, bottom=room.bottom)
        else:
            draw_sum(canvas, room, explanation, names)
        if saliency is not None:
            draw_mattered(canvas, inputs, view, saliency)

    def inputs_area(self, area: Area, view: View) -> Area:
        """Return the area of the inputs that mattered: below the sum, down to the end."""
        high = self.inputs_height(view)
        top = min(area.y + HEAD + self.sum_height(view), area.bottom - 8.0 - high)
        return Area(area.x + MARGIN, top, area.w - 2 * MARGIN, (area.bottom - 8.0 - top) if high else 0.0)


def why_not(view: View) -> str:
    """Return why there is no explanation."""
    session = view.session
    if session.q_values() is None:
        return "This player has no Q values: it expects nothing."
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
        lines.soft(f"the game gave {given}; the agent learns from {training.of_rewards.replace('-', MINUS)}")
    if training.munchausen is not None:
        lines.number("+ Munchausen bonus, 0 if certain", target.bonus)
    _next_value(lines, explanation, target, action_names)
    lines.rule()
    lines.number("= target", target.total, bold=True)
    error = explanation.error(target)
    if explanation.expectation is None or error is None:
        lines.soft("the network has no expectation for 'no key'")
    else:
        lines.number(f"{MINUS} expected by the network", explanation.expectation)
        lines.pill("= TD error", verdict(error, lines.digits), error)
    for line in learner_lines(explanation, action_names):
        lines.soft(line)


def _next_value(lines: Lines, explanation: Explanation, target: Target, action_names: tuple[str, ...]) -> None:
    training, moment = explanation.training, explanation.moment
    if target.next_action is None:
        lines.number("+ no next value", 0.0)
        lines.soft("the episode ended here" if moment.terminated else "a life was lost, which ends the return")
        return
    lines.number(
        f"+ {GAMMA} {TIMES} next value:  {training.gamma:g} {TIMES} {signed(target.next_value, lines.digits)}",
        target.discount * target.next_value,
    )
    best = action_names[target.next_action]
    of = "of the best action there" if training.munchausen is None else "under the soft policy there, mostly"
    networks = networks_used(training, explanation.has_target)
    lines.soft(f"{of}, \N{LEFT SINGLE QUOTATION MARK}{best}\N{RIGHT SINGLE QUOTATION MARK}, {networks}")


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
    return "better than expected" if error > 0 else "worse than expected"


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
            used = self.canvas.text(self.area.right - 10, y, text, 12.5, bold=bold, align=1)
            self.canvas.text(self.area.x + 10, y, label, 12.5, bold=bold, width=self.area.w - used - 28)

    def rule(self) -> None:
        """Draw the line above a sum's result."""
        y = self._next_row(6.0)
        if y is not None:
            self.canvas.line((self.area.x + 10, y), (self.area.right - 10, y), Theme.soft)

    def pill(self, label: str, meaning: str, value: float) -> None:
        """Write the TD error on a colour: blue if the target is above the expectation, dark if below."""
        y = self._next_row(PILL)
        if y is None:
            return
        fill, color = pill_colors(value, self.digits)
        self.canvas.rounded(Area(self.area.x, y - PILL / 2 + 1, self.area.w, PILL - 4), fill, 5)
        y -= 1
        x = self.area.x + 10
        x += self.canvas.text(x, y, label, 12.5, color, bold=True) + 12
        used = self.canvas.text(self.area.right - 10, y, signed(value, self.digits), 12.5, color, bold=True, align=1)
        self.canvas.text(x, y, meaning, 11.5, color, width=self.area.right - 20 - used - x)

    def soft(self, text: str) -> None:
        """Write a note, in as many lines as it needs."""
        self.y = paragraph(
            self.canvas, self.area.x + 10, self.y, text, self.area.w - 20, SMALL, bottom=self.area.bottom + 0.5
        )


def pill_colors(error: float, digits: int = 2) -> tuple[Color, Color]:
    """Return the fill and text colour of a TD error."""
    if not abs(error) >= negligible(digits) or math.isinf(error):
        return Theme.track, Theme.text
    return (Theme.agent, Theme.card) if error > 0 else (Theme.text, Theme.card)


# ------------------------------------------------------------------------------- what mattered


def draw_mattered(canvas: Canvas, area: Area, view: View, saliency: Array) -> None:
    """Draw the inputs on which the best action's expectation depends most."""
    canvas.line((area.x, area.y + 2), (area.right, area.y + 2), Theme.border)
    used = canvas.text(area.x + 10, area.y + 14, "Which inputs mattered", 11.5, bold=True)
    about = "for the best action" if eye_saliency(view) is None else "width of the rays"
    canvas.text(area.right - 10, area.y + 14, about, SMALL, Theme.soft, align=1, width=area.w - used - 30)
    room = Area(area.x + 10, area.y + INPUTS_HEAD, area.w - 20, area.h - INPUTS_HEAD)
    inputs = view.inspector.inputs()
    if inputs is None:
        _draw_heat(canvas, room, view, saliency)
        return
    count = max(1, min(2 * INPUTS, int(room.h / INPUT_ROW)))
    found = [(name, share) for name, share in strongest(saliency, inputs.names, count) if share > 0]
    if not found:
        canvas.text(room.x, room.y + INPUT_ROW / 2, "none, here", SMALL, Theme.soft)
    for place, (name, share) in enumerate(found):
        zone = share_zone(room, place)
        y = zone.y + zone.h / 2
        canvas.text(room.x, y, name, 11.5, width=zone.x - room.x - 6)
        canvas.rect(zone, Theme.track)
        # the longest bar is the strongest input's: the shares of many inputs are small
        canvas.rect(Area(zone.x, zone.y, zone.w * share / found[0][1], zone.h), Theme.agent)
        canvas.text(room.right, y, f"{share:.0%}", 11, Theme.soft, align=1)


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


def share_zone(room: Area, place: int) -> Area:
    """Return where the bar of one of the strongest inputs may lie."""
    left = room.x + NAME * room.w
    return Area(left, room.y + place * INPUT_ROW + 3, room.right - 36 - left, INPUT_ROW - 6)


def _draw_heat(canvas: Canvas, room: Area, view: View, saliency: Array) -> None:
    side = min(room.h, 0.45 * room.w)
    frame = view.session.frames_of(view.inspector.moment.obs)[-1]
    if frame.shape == saliency.shape:
        draw_image(canvas, Area(room.x, room.y, side, side), heated(frame, saliency))
    best = view.session.best_action()
    what = "" if best is None else f" ({words(view.session.action_names[best])})"
    about = f"The newest frame. The expectation of the best action{what} depends most on the pixels that glow."
    paragraph(canvas, room.x + side + 14, room.y, about, room.w - side - 14, SMALL, bottom=room.bottom)


_share = np.linspace(0, 1, 64)[:, None]
_blue, _orange = np.array(Theme.agent, float), np.array((250, 105, 0), float)
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
