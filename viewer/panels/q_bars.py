"""The heart of the window: what the network expects to collect after each action."""

from __future__ import annotations

import math
from typing import ClassVar

from viewer.canvas import MINUS, Area, Canvas, Theme
from viewer.panels.base import View
from viewer.session import HUMAN

HEAD, FOOT = 64.0, 30.0
ROW, SMALLEST_ROW, MOST_ROWS_HEIGHT = 36.0, 6.0, 202.0
NAME_WIDTH, NUMBER_WIDTH, MARGIN = 88.0, 58.0, 18.0


class QBarsPanel:
    """One bar an action, from zero to its expected discounted return; the best is strong, the others pale."""

    stretches: ClassVar[bool] = False

    def height(self, view: View) -> float:
        """Return the height of all rows; many actions make them lower."""
        return HEAD + self.row(view) * view.session.num_actions + FOOT

    def row(self, view: View) -> float:
        """Return the height of one row."""
        return max(min(ROW, MOST_ROWS_HEIGHT / view.session.num_actions), SMALLEST_ROW)

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw the heading, a row an action and the axis."""
        canvas.card(area)
        q = view.session.q_values()
        title = "Expected discounted return" if q is not None else "Actions"
        canvas.text(area.x + MARGIN, area.y + 24, title, 16, bold=True)
        if q is not None:
            about = "what the network expects to collect, by action"
        elif view.session.policy is None:
            about = "no network looks on: these are your keys"
        else:
            about = "this player expects nothing: it has no Q values"
        canvas.text(area.x + MARGIN, area.y + 46, about, 11.5, Theme.soft, width=area.w - 2 * MARGIN)
        for action in range(view.session.num_actions):
            self._draw_row(canvas, self.row_area(area, action, view), action, view)
        if q is not None:
            self._draw_axis(canvas, area, view)

    def row_area(self, area: Area, action: int, view: View) -> Area:
        """Return the place of one action's row in the panel."""
        row = self.row(view)
        return Area(area.x + MARGIN, area.y + HEAD + action * row, area.w - 2 * MARGIN, row)

    def bar_zone(self, row: Area) -> Area:
        """Return the part of a row that the axis spans."""
        height = min(16.0, row.h - 3)
        return Area(row.x + NAME_WIDTH, row.y + (row.h - height) / 2, row.w - NAME_WIDTH - NUMBER_WIDTH, height)

    def bar(self, row: Area, value: float, axis: tuple[float, float]) -> Area:
        """Return the bar of a value: from the axis's zero, its length proportional to the value."""
        zone, (low, high) = self.bar_zone(row), axis
        if not math.isfinite(value) or high <= low:
            return Area(zone.x, zone.y, 0.0, zone.h)
        unit = zone.w / (high - low)
        return Area(zone.x + (min(value, 0.0) - low) * unit, zone.y, abs(value) * unit, zone.h)

    def _draw_row(self, canvas: Canvas, row: Area, action: int, view: View) -> None:
        session = view.session
        q, best = session.q_values(), session.best_action()
        by_hand = session.control == HUMAN and session.human_action == action
        middle, size = row.y + row.h / 2, min(13.0, row.h * 0.72)
        if by_hand:
            canvas.rounded(Area(row.x - 8, row.y + 1, row.w + 16, row.h - 2), Theme.human_pale, 5)
            canvas.rect(Area(row.x - 8, row.y + 5, 3, row.h - 10), Theme.human)
        strong = action == best or (q is None and by_hand)
        canvas.text(row.x, middle, session.action_names[action], size, bold=strong, width=NAME_WIDTH - 6)
        zone = self.bar_zone(row)
        if q is None:
            label = view.hands.keys.labels.get(action)
            if label is not None and session.control == HUMAN:
                canvas.key(zone.x, middle, label, min(12.0, size), Theme.human if by_hand else Theme.text)
            return
        canvas.rect(zone, Theme.track)
        color = Theme.agent if action == best else Theme.agent_pale
        canvas.rect(self.bar(row, float(q[action]), session.q_axis()), color)
        number = f"{q[action]:+.2f}".replace("-", MINUS) if math.isfinite(q[action]) else str(q[action])
        number_color = Theme.text if action == best else Theme.soft
        canvas.text(row.right, middle, number, size, number_color, bold=action == best, align=1)
        if by_hand:
            canvas.text(zone.right - 4, middle, "you", min(10.5, size), Theme.human, bold=True, align=1)

    def _draw_axis(self, canvas: Canvas, area: Area, view: View) -> None:
        """Write the axis's ends and its zero below the bars, and draw the zero line through them."""
        low, high = view.session.q_axis()
        if high <= low:
            return
        zone = self.bar_zone(self.row_area(area, 0, view))
        bottom = self.row_area(area, view.session.num_actions - 1, view).bottom
        zero = zone.x - low / (high - low) * zone.w
        canvas.line((zero, zone.y - 4), (zero, bottom - 2), Theme.soft)
        y = bottom + 9
        canvas.text(zero, y, "0", 10, Theme.soft, align=0.5)
        for value, x in ((low, zone.x), (high, zone.right)):
            if abs(x - zero) > 30:
                canvas.text(x, y, f"{value:+.2g}".replace("-", MINUS), 10, Theme.soft, align=0.5)
