"""The charts of the pages that come from results/, drawn by docs/generate.py.

Each is drawn from the numbers of its table, which the picture carries in its metadata, so that a test can compare them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from common.files import ROOT
from docs import ablations, atari_charts, atari_results
from docs.results import RESULTS_TABLE, bars, family, lines, one_decimal, seeds_text, waterworld

INK, OURS, OTHERS = "#20242a", "#2f6fb3", "#c9ced6"

WATERWORLD_TITLE = "Waterworld-v1: mean return over episodes of 1000 steps"


def plain(text: str) -> str:
    """Return a table without Markdown's marks: what its picture shows, and carries in its metadata."""
    return re.sub(r"[*`]|\]\([^)]*\)|\[", "", text)


def draw_waterworld() -> Figure:
    """Return the Waterworld table as a chart."""
    rows = bars()
    figure = Figure(figsize=(9, 0.9 + 0.42 * len(rows)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for place, bar in enumerate(rows):
        axes.barh(place, bar.mean, 0.66, color=OURS if bar.seeds else OTHERS)
        if bar.interval:
            axes.plot(bar.interval, (place, place), color=INK, linewidth=1.4)
        axes.plot(bar.seeds, [place] * len(bar.seeds), "o", markersize=5, markerfacecolor="white", markeredgecolor=INK)
        text = one_decimal(bar.mean) + (f"  ({seeds_text(bar.seeds)})" if bar.seeds else "")
        axes.text(max(bar.mean, *(bar.interval or (0.0,))) + 0.6, place, text, va="center", fontsize=9)
    axes.set_yticks(range(len(rows)), [bar.who for bar in rows])
    for label, bar in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if bar.seeds else "normal")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-0.6, 43)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlabel("bars: means; rings: seeds; lines: 95 % intervals (Student's t)")
    axes.set_title(WATERWORLD_TITLE, loc="left", fontweight="bold")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def save_picture(png: bytes, path: Path, content: str) -> None:
    """Write a picture with the text of what it shows."""
    info = PngInfo()
    info.add_itxt("Description", content)
    Image.open(io.BytesIO(png)).save(path, pnginfo=info, optimize=True)


def drawn(figure: Figure, dpi: int = 130) -> bytes:
    """Return a figure as PNG."""
    data = io.BytesIO()
    figure.savefig(data, dpi=dpi)
    return data.getvalue()


def draw_family() -> bytes:
    """Return the chart of results/family.csv as PNG."""
    data = io.BytesIO()
    RESULTS_TABLE["draw"](lines("family.csv"), data)
    return data.getvalue()


def draw_ablation(agent: str) -> bytes:
    """Return the chart of an ablation as PNG."""
    return drawn(ablations.draw(agent), 100)


class Picture(NamedTuple):
    """A chart in docs/."""

    text: Callable[[], str]
    """Its numbers; "": there are none yet, so there is no chart either."""
    png: Callable[[], bytes]


CHARTS = {
    "comparison.png": Picture(waterworld, lambda: drawn(draw_waterworld())),
    "family.png": Picture(family, draw_family),
    "atari.png": Picture(atari_results.chart_text, lambda: drawn(atari_charts.draw_atari())),
    "atari_curves.png": Picture(atari_results.atari_curves, lambda: drawn(atari_charts.draw_curves(), 90)),
    **{
        f"ablation_{agent}.png": Picture(partial(ablations.ablation, agent), partial(draw_ablation, agent))
        for agent in ablations.AGENTS
    },
}
PICTURES: dict[str, Callable[[], str]] = {name: one.text for name, one in CHARTS.items() if one.text()}


def save_charts(folder: Path = ROOT / "docs") -> None:
    """Draw all charts of results that are not current in a folder."""
    for name, text in PICTURES.items():
        if not is_current(name, folder):
            save_picture(CHARTS[name].png(), folder / name, plain(text()))


def is_current(name: str, folder: Path | None = None) -> bool:
    """Return whether a chart, in docs/ by default, was drawn from the numbers of its table."""
    path = (folder or ROOT / "docs") / name
    if not path.exists():
        return False
    with Image.open(path) as picture:
        return bool(picture.info.get("Description") == plain(PICTURES[name]()))
