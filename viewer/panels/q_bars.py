"""The heart of the window: the return that the network expects after each action."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from viewer.drawing.canvas import MINUS, NOT_ALLOWED, Area, Canvas, text_width
from viewer.drawing.theme import Theme
from viewer.inspecting.explain import decimals
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import WIDTH, Panel
from viewer.panels.pieces import heading, signed
from viewer.panels.plots import signed as short_number
from viewer.playing.keys import short, words
from viewer.playing.session import HUMAN
from viewer.view import View

HEAD, FOOT = 62.0, 28.0
ROW, SMALLEST_ROW, ROWS_HEIGHT, ROWS_HEIGHT_WITH_FRAMES = 34.0, 16.0, 200.0, 150.0
LEAST_ROW = 22.0  # of a few actions, in a low window
NAME_WIDTH, NAME_WIDTH_OF_TWO, MARGIN = 132.0, 62.0, 16.0  # at most
CAP_HEIGHT = 21.0  # lower rows show the keys without their caps
ONE_COLUMN = 9  # actions; more stand in two columns, with short names
GUTTER = 18.0
TWO_FROM, NARROW = 330.0, 205.0  # width of the panel from which on there may be two columns; of a row of two
BIGGEST_TWO = 12.0  # size of type in two columns


class QBarsPanel(Panel):
    """A bar for each action, from zero to its expected discounted return; the best is dark, the others pale."""

    name: ClassVar[str] = "actions"
    title: ClassVar[str] = PANEL_TITLES["actions"]

    def height(self, view: View, width: float = WIDTH) -> float:
        """Return the height of all rows, which are lower if there are many actions; 0 if there is nothing to say."""
        return 0.0 if self._folded(view) else self._total(view, width, LEAST_ROW)

    def most(self, view: View, width: float = WIDTH) -> float:
        """Return the height at which the rows have all the air they need."""
        return 0.0 if self._folded(view) else self._total(view, width, math.inf)

    def _total(self, view: View, width: float, row: float) -> float:
        foot = FOOT if self._has_q(view) else 10.0
        full = self.row(view, Area(0, 0, width, math.inf))
        return HEAD + min(full, row) * self.rows(view, width) + foot

    def _has_q(self, view: View) -> bool:
        return view.session.q_values() is not None

    def _folded(self, view: View) -> bool:
        """Return whether neither expectations nor keys can be shown."""
        return not self._has_q(view) and not view.human_control.keys.labels

    def columns(self, view: View, width: float = WIDTH) -> int:
        """Return the number of columns in a panel of that width."""
        return 1 if view.session.num_actions <= ONE_COLUMN or width < TWO_FROM else 2

    def rows(self, view: View, width: float = WIDTH) -> int:
        """Return the number of rows of a column."""
        return math.ceil(view.session.num_actions / self.columns(view, width))

    def row(self, view: View, area: Area | None = None) -> float:
        """Return the height of one row, in an area as it was given to the panel; by default in a window with room."""
        width = WIDTH if area is None else area.w
        room = ROWS_HEIGHT if view.session.stack() is None else ROWS_HEIGHT_WITH_FRAMES
        full = max(min(ROW, room / self.rows(view, width)), SMALLEST_ROW)
        if area is None:
            return full
        foot = FOOT if self._has_q(view) else 10.0
        return min(full, max((area.h - HEAD - foot) / self.rows(view, width), SMALLEST_ROW))

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw the heading and the bars."""
        canvas.card(area)
        q = view.inspector.q_values()
        title = "Expected discounted return" if q is not None else "Actions"
        room = area.w - 2 * MARGIN
        heading(
            canvas, area, canvas.choose([title, "Expected return"], room, 15, bold=True) if q is not None else title
        )
        if q is not None:
            about = ["what the network expects after each action", "expected after each action"]
        else:
            about = ["the keys that choose them", "their keys"]
        canvas.text(area.x + MARGIN, area.y + 44, canvas.choose(about, room, 12), 12, Theme.soft)
        self.draw_bars(canvas, area, view)

    def draw_bars(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw a row for each action, and the axis, below where the heading of ``area`` is or would be."""
        q = view.inspector.q_values()
        for action in range(view.session.num_actions):
            self._draw_row(canvas, self.row_area(area, action, view), action, view, q)
        if q is not None:
            self._draw_axis(canvas, area, view, self.axis(view, q))

    def row_area(self, area: Area, action: int, view: View) -> Area:
        """Return the place of one action's row in the panel."""
        high, columns = self.row(view, area), self.columns(view, area.w)
        wide = (area.w - 2 * MARGIN - (columns - 1) * GUTTER) / columns
        column, row = divmod(action, self.rows(view, area.w))
        return Area(area.x + MARGIN + column * (wide + GUTTER), area.y + HEAD + row * high, wide, high)

    def bar_zone(self, row: Area, view: View) -> Area:
        """Return the part of a row that the axis spans: between the longest name and the longest number."""
        height = min(16.0, row.h - 3)
        two = is_narrow(row, view)
        name, number = self._name_width(view, two), self._number_width(view, two)
        return Area(row.x + name, row.y + (row.h - height) / 2, max(row.w - name - number, 8.0), height)

    def _name_width(self, view: View, two: bool) -> float:
        def widest() -> float:
            labels = [self.label(action, view, two) for action in range(view.session.num_actions)]
            found = max(text_width(label, size_of(two), True) for label in labels) * 1.05 + 10.0
            return min(found, NAME_WIDTH_OF_TWO if two else NAME_WIDTH)

        return view.cached(f"q bars names {two}", view.session.action_names, widest)

    def _number_width(self, view: View, two: bool) -> float:
        """Return the width of the longest number on the axis, so that none covers a bar or the zero line."""
        low, high = view.session.q_axis()
        texts = {self.number(value, view, two) for value in (low, high, -max(abs(low), abs(high)))}

        def widest() -> float:
            return max(text_width(text, size_of(two), True) for text in texts) * 1.05 + 10.0

        return view.cached(f"q bars numbers {two}", tuple(sorted(texts)), widest)

    def label(self, action: int, view: View, two: bool = False) -> str:
        """Return an action's name, short if the row has little room."""
        name = view.session.action_names[action]
        return short(name) if two else words(name)

    def bar(self, zone: Area, value: float, axis: tuple[float, float]) -> Area:
        """Return the bar of a value: from the zero of the axis, its length proportional to the value."""
        low, high = axis
        if not math.isfinite(value) or high <= low:
            return Area(zone.x, zone.y, 0.0, zone.h)
        unit = zone.w / (high - low)
        return Area(zone.x + (min(value, 0.0) - low) * unit, zone.y, abs(value) * unit, zone.h)

    def axis(self, view: View, q: NDArray[np.float64]) -> tuple[float, float]:
        """Return the ends of the axis: the session's, and wide enough for a moment of the past."""
        low, high = view.session.q_axis()
        finite = q[np.isfinite(q)]
        return min(low, finite.min(initial=low)), max(high, finite.max(initial=high))

    def number(self, value: float, view: View, two: bool = False) -> str:
        """Return a Q value as text, with as many digits as the row has room for."""
        if not math.isfinite(value):
            return NOT_ALLOWED if value == -math.inf else str(value)
        # by the session's axis: they do not change from step to step
        digits = decimals([max(abs(end) for end in view.session.q_axis())])
        if two:
            digits = min(digits, 3) if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
        return signed(value, digits)

    def _draw_row(self, canvas: Canvas, row: Area, action: int, view: View, q: NDArray[np.float64] | None) -> None:
        session = view.session
        best = None if q is None or np.isnan(q).all() else int(np.nanargmax(q))
        by_human = session.control == HUMAN and session.human_action == action
        two = is_narrow(row, view)
        middle, size = row.y + row.h / 2, size_of(two)
        if by_human:
            canvas.rounded(Area(row.x - 8, row.y + 1, row.w + 16, row.h - 2), Theme.human_pale, 5)
            canvas.rect(Area(row.x - 8, row.y + 5, 3, row.h - 10), Theme.human)
        strong = action == best or (q is None and by_human)
        canvas.text(
            row.x, middle, self.label(action, view, two), size, bold=strong, width=self._name_width(view, two) - 4
        )
        zone = self.bar_zone(row, view)
        if q is None:
            label = view.human_control.keys.labels.get(action)
            if label is not None:
                color = Theme.human if by_human else Theme.text
                if row.h >= CAP_HEIGHT:
                    canvas.key(zone.x, middle, label, min(12.0, size), color)
                else:
                    canvas.text(zone.x, middle, label, size, color)
            return
        canvas.rect(zone, Theme.track)
        color = Theme.agent if action == best else Theme.agent_pale
        canvas.rect(self.bar(zone, float(q[action]), self.axis(view, q)), color)
        number = self.number(float(q[action]), view, two)
        number_color = Theme.text if action == best else Theme.soft
        canvas.text(row.right, middle, number, size, number_color, bold=action == best, align=1)
        if by_human:
            canvas.text(zone.right - 4, middle, "you", 12, Theme.human, bold=True, align=1)

    def _draw_axis(self, canvas: Canvas, area: Area, view: View, axis: tuple[float, float]) -> None:
        """Write the ends and the zero of the axis below the bars, and draw the zero line through them."""
        low, high = axis
        if high <= low:
            return
        rows = self.rows(view, area.w)
        for column in range(self.columns(view, area.w)):
            zone = self.bar_zone(self.row_area(area, column * rows, view), view)
            bottom = self.row_area(area, rows - 1, view).bottom
            zero = zone.x - low / (high - low) * zone.w
            canvas.line((zero, zone.y - 4), (zero, bottom - 2), Theme.soft)
            y = bottom + 10
            canvas.text(zero, y, "0", 12, Theme.soft, align=0.5)
            for value, x in ((low, zone.x), (high, zone.right)):
                text = end_text(value)
                if abs(x - zero) > canvas.wide(text, 12) / 2 + 10:
                    canvas.text(x, y, text, 12, Theme.soft, align=0.5)


def is_narrow(row: Area, view: View) -> bool:
    """Return whether a row is one of two columns."""
    return view.session.num_actions > ONE_COLUMN and row.w < NARROW


def size_of(two: bool) -> float:
    """Return the size of type in a row, one of two columns or not."""
    return BIGGEST_TWO if two else 13.0


def end_text(value: float) -> str:
    """Return an end of the axis as text: two digits, and no powers of ten."""
    size = abs(value)
    if size >= 1e5 or (value and size < 0.001):
        return short_number(value)
    digits = 0 if size >= 10 else 1 if size >= 1 else 2 if size >= 0.1 else 3 if size >= 0.01 else 4
    text = f"{value:+,.{digits}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", MINUS)
