"""What the network sees: the frames of its observation."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from viewer.drawing.canvas import MINUS, Area, Canvas
from viewer.drawing.pixels import enlarge, fit_whole, to_surface
from viewer.drawing.theme import Theme
from viewer.panel_titles import PANEL_TITLES
from viewer.panels.base import WIDTH, Panel
from viewer.panels.pieces import MARGIN, heading
from viewer.view import View

GAP = 8.0
SIDE, MAX_FRAMES = 92.0, 4  # largest logical side of a frame; how many are shown at most
HEAD, FOOT = 56.0, 24.0


class SeenPanel(Panel):
    """The newest frames in a row, grey and small as the network gets them."""

    name: ClassVar[str] = "seen"
    title: ClassVar[str] = PANEL_TITLES["seen"]

    def height(self, view: View, width: float = WIDTH) -> float:
        """Return the height of one row of frames; 0 if observations are not frames."""
        stack = view.session.stack()
        return 0.0 if stack is None else HEAD + side(width, len(stack)) + FOOT

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw the frames from the oldest to the newest, each with its age in steps."""
        stack = self.stack(view)
        if stack is None:
            return
        canvas.card(area)
        title = "What the network sees" if view.session.q_values() is not None else "What a network would see"
        heading(canvas, area, title)
        count, height, width = stack.shape
        colours = len(view.session.obs) // count
        kind = "grey" if colours == 1 else f"in {colours} colours"
        about = f"{count} x {width} x {height} {kind}".replace("x", "\N{MULTIPLICATION SIGN}")
        canvas.text(
            area.x + MARGIN, area.y + 42, f"{about}, the newest on the right", 12, Theme.soft, width=area.w - 2 * MARGIN
        )
        for index, place in enumerate(self.places(area, min(count, MAX_FRAMES))):
            self._draw_frame(canvas, place, view, stack, index + max(0, count - MAX_FRAMES))

    def stack(self, view: View) -> NDArray[np.uint8] | None:
        """Return the frames of the moment looked at, oldest first, (F, H, W); None if observations are not frames."""
        stack = view.session.stack()
        return (
            stack if stack is None or view.session.timeline.live else view.session.frames_of(view.inspector.moment.obs)
        )

    def places(self, area: Area, count: int) -> list[Area]:
        """Return the places of ``count`` frames; the newest is the last, at the right edge."""
        each = side(area.w, count)
        left = area.x + MARGIN
        return [Area(left + index * (each + GAP), area.y + HEAD, each, each) for index in range(count)]

    def _draw_frame(self, canvas: Canvas, place: Area, view: View, stack: NDArray[np.uint8], index: int) -> None:
        box = canvas.pixels(place)
        frame = stack[index]
        size = fit_whole((frame.shape[1], frame.shape[0]), box.size)
        canvas.rect(place, Theme.track)
        key = (view.session.timeline.cursor, view.session.version, size)
        image = view.cached(f"seen {index}", key, lambda: enlarge(to_surface(frame), size))
        canvas.surface.blit(image, image.get_rect(center=box.center))
        age = len(stack) - 1 - index
        label = f"{MINUS}{age}" + (" step" if age == 1 else " steps") if age else "now"
        color = Theme.soft if age else Theme.text
        canvas.text(place.x + place.w / 2, place.bottom + 12, label, 12, color, align=0.5, bold=not age)


def side(width: float, count: int) -> float:
    """Return the side of a frame in a panel of that width."""
    count = min(count, MAX_FRAMES)
    return min(SIDE, (width - 2 * MARGIN - (count - 1) * GAP) / count)
