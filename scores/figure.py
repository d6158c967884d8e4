"""The whole comparison in one figure: environments, human-normalised Atari scores, profiles, learning curves."""

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
    """Return the figure, drawn off-screen."""
    parts: list[tuple[float, Callable[[FigureBase], None]]] = []
    if comparisons or atari is None:
        parts.append((chart.height(comparisons), lambda part: chart.draw_into(part, comparisons)))
    width = 11.0
    if atari is not None:
        parts.append((atari_chart.height(atari), lambda part: atari_chart.draw_into(part, atari)))
        width = atari_chart.width(atari)
        profiles, games = atari_profile.profiles(atari)
        if profiles:
            parts.append((atari_profile.HEIGHT, lambda part: atari_profile.draw_into(part, profiles, games)))
        if panels := atari_curves.panels(atari):
            parts.append((atari_curves.height(panels), lambda part: atari_curves.draw_into(part, panels)))
    heights = [inches for inches, _ in parts]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)  # Agg needs no screen, whatever backend is configured
    subfigures = figure.subfigures(len(parts), 1, squeeze=False, height_ratios=heights)[:, 0]
    for subfigure, (_, draw_part) in zip(subfigures, parts, strict=True):
        draw_part(subfigure)
    return figure


def save(comparisons: Sequence[Comparison], atari: AtariComparison | None, path: Path) -> None:
    """Write the figure in the format of ``path``'s extension; raise ``UserError`` if that fails."""
    chart.write(draw(comparisons, atari), path)
