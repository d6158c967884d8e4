"""The whole comparison as one picture: environments, Atari against humans, profiles, learning curves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase

from scores import chart
from scores.atari import chart as atari_chart
from scores.atari import curves as atari_curves
from scores.atari import profile as atari_profile
from scores.atari.compare import AtariComparison
from scores.rows import Comparison


def draw(comparisons: Sequence[Comparison], atari: AtariComparison | None) -> Figure:
    """Return the figure, drawn without a screen."""
    parts: list[tuple[float, Callable[[FigureBase], None]]] = []
    if comparisons or atari is None:
        parts.append((chart.height(comparisons), lambda part: chart.draw_into(part, comparisons)))
    wide = 11.0
    if atari is not None:
        parts.append((atari_chart.height(atari), lambda part: atari_chart.draw_into(part, atari)))
        wide = atari_chart.width(atari)
        profiles, games = atari_profile.profiles(atari)
        if profiles:
            parts.append((atari_profile.HEIGHT, lambda part: atari_profile.draw_into(part, profiles, games)))
        if panels := atari_curves.panels(atari):
            parts.append((atari_curves.height(panels), lambda part: atari_curves.draw_into(part, panels)))
    heights = [high for high, _ in parts]
    figure = Figure(figsize=(wide, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)  # Agg, whatever backend the machine prefers
    pieces = figure.subfigures(len(parts), 1, squeeze=False, height_ratios=heights)[:, 0]
    for piece, (_, paint) in zip(pieces, parts, strict=True):
        paint(piece)
    return figure


def save(comparisons: Sequence[Comparison], atari: AtariComparison | None, path: Path) -> None:
    """Write the picture in the format of ``path``'s extension; a ``UserError`` if that can't be done."""
    chart.write(draw(comparisons, atari), path)
