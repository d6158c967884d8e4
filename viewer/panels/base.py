"""The base class of the panels."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from viewer.drawing.canvas import Area, Canvas
from viewer.view import View

Drag = Callable[[float, float], None]
"""Follows the mouse, in logical pixels, while its button is held."""


class Panel:
    """Draws one aspect of the session into its area.

    The panels of the registry are stacked from the top, in as many columns as they need; spare height in a
    column goes to those that stretch. Panels below the world share its width.
    """

    name: ClassVar[str]
    """In the settings, and as an option's value."""
    title: ClassVar[str]
    """In the help."""
    place: ClassVar[Literal["side", "below"]] = "side"
    stretches: ClassVar[bool] = False

    def height(self, view: View) -> float:
        """Return the logical height of the panel; 0: there is nothing to show. Below the world only 0 matters."""
        raise NotImplementedError

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw into ``area``, and nowhere else."""
        raise NotImplementedError

    def press(self, view: View, area: Area, x: float, y: float) -> Drag | None:
        """Handle a click at a point of ``area``; return what follows the mouse from there, if anything."""
        return None
