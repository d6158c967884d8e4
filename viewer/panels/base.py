"""The base class of the panels."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

from viewer.drawing.canvas import Area, Canvas
from viewer.view import View

WIDTH = 340.0  # of a column in the usual window

Drag = Callable[[float, float], None]
"""Follows the mouse, in logical pixels, while its button is held."""


class Panel:
    """Draws one aspect of the session into its area.

    The panels of the registry are stacked in columns; spare height in a column goes to those that have use for it.
    Panels whose place is below the world may stand in a column too.
    """

    name: ClassVar[str]
    """In the settings, and as an option's value."""
    title: ClassVar[str]
    """In the help."""
    place: ClassVar[Literal["side", "below"]] = "side"

    def height(self, view: View, width: float = WIDTH) -> float:
        """Return the least logical height of the panel at a width; 0: there is nothing to show."""
        raise NotImplementedError

    def whole(self, view: View, width: float = WIDTH) -> float:
        """Return the height from which on nothing is missing; by default the least. Below it, a curve may be."""
        return self.height(view, width)

    def most(self, view: View, width: float = WIDTH) -> float:
        """Return the largest height that the panel has use for; by default it has none for more than the least."""
        return self.height(view, width)

    def useful(self, view: View, width: float, height: float) -> float:
        """Return how much of a height the panel has use for; it grows by steps where it would be half empty."""
        return height

    def draw(self, canvas: Canvas, area: Area, view: View) -> None:
        """Draw into ``area``, and nowhere else."""
        raise NotImplementedError

    def press(self, view: View, area: Area, x: float, y: float) -> Drag | None:
        """Handle a click at a point of ``area``; return what follows the mouse from there, if anything."""
        return None
