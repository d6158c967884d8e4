"""What a panel is."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from viewer.drawing.canvas import Area, Canvas
from viewer.view import View

Drag = Callable[[float, float], None]
"""Follows the mouse, in logical pixels, while its button is held."""


class Panel:
    """Draws one thing about the session into its area.

    The panels of the registry are stacked from the top, in as many columns as they need; what is left over in a
    column goes to those that stretch. Panels below the world share its width.
    """

    name: ClassVar[str]
    """In the settings, and as an option's value."""
    title: ClassVar[str]
    """In the help."""
    place: ClassVar[Literal["side", "below"]] = "side"
    stretches: ClassVar[bool] = False

    def height(self, view: View) -> float:
        """Return the logical height that the panel wants; 0: there is nothing to show here. Below: 0 or not."""
        raise NotImplementedError

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw into ``area`` and nowhere else."""
        raise NotImplementedError

    def press(self, view: View, area: Area, x: float, y: float) -> Drag | None:
        """Do what a click at a point of ``area`` asks for; return what follows the mouse from there, if anything."""
        return None
