"""One HTML page of a comparison: tables, charts, learning curves, protocols and notes, players; printable."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from string import Template
from typing import NamedTuple

from matplotlib.figure import Figure

from common.errors import UserError
from common.text import number_of
from scores import chart, curves, figure, table
from scores.atari import curves as atari_curves
from scores.atari import table as atari_table
from scores.atari.compare import AtariComparison
from scores.rows import Comparison
from scores.runs import Run
from scores.selection import Selected

TEMPLATE = Path(__file__).with_name("report.html")
FILM_BYTES = 4_000_000  # of a film that is put into the page; a larger one is linked
FILMS = {".mp4": "video/mp4", ".gif": "image/gif", ".webm": "video/webm"}


class Player(NamedTuple):
    """A page in which an agent plays, for an environment's section."""

    title: str
    page: str


def make(selected: Selected, players: Mapping[str, Player], beside: Path) -> str:
    """Return the page.

    Args:
        selected: what is compared.
        players: a page to be put in, by environment.
        beside: the file that will be written: links to larger films are relative to it.
    """
    sections = [(one.env_id, _environment(one, selected.runs, players, beside)) for one in selected.environments]
    if selected.atari is not None:
        sections.append((atari_table.title(selected.atari), _atari(selected.atari, selected.runs, players, beside)))
    count = len(selected.runs)
    parts = [
        f'<section id="part{number}"><h2>{html.escape(title)}</h2>\n{body}</section>'
        for number, (title, body) in enumerate(sections)
    ]
    links = [f'<a href="#part{number}">{html.escape(title)}</a>' for number, (title, _) in enumerate(sections)]
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=f"Comparison of {number_of(count, 'run')}",
        about=f"{date.today():%Y-%m-%d}. Each row names its protocol: under another one a score means something else.",
        contents=" ".join(links) if len(links) > 1 else "",
        sections="\n".join(parts) or "<section><p>There are no scores yet.</p></section>",
        foot="Made by Tidepool (python compare.py --report FILE). Nothing on this page leaves it.",
    )


def _environment(one: Comparison, runs: Sequence[Run], players: Mapping[str, Player], beside: Path) -> str:
    own = [run for run in runs if run.env_id == one.env_id]
    lines = [table.cells(row, one) for row in one.rows]
    parts = [f'<p class="soft">Score: {html.escape(one.metric)}.</p>']
    if lines:
        rows = [(row.kind, list(line.values())) for row, line in zip(one.rows, lines, strict=True)]
        parts.append(_table(list(lines[0]), rows, table.LEFT))
        parts += ["<h3>Beside humans and references</h3>", _image(chart.draw([one]), f"scores in {one.env_id}")]
    parts += _curves(own)
    parts += _players(one.env_id, own, players, beside)
    notes = [f"<b>{html.escape(row.name)}</b>: {html.escape(_named(row.note, own))}" for row in one.rows if row.note]
    return "\n".join([*parts, *_list("Protocols and notes", [*notes, *map(html.escape, one.remarks)])])


def _named(text: str, runs: Sequence[Run]) -> str:
    """Return a text with the names of run folders in place of their paths, which are nobody else's business."""
    for run in runs:
        text = text.replace(str(run.path), run.path.name)
    return text


def _atari(one: AtariComparison, runs: Sequence[Run], players: Mapping[str, Player], beside: Path) -> str:
    head, games, aggregates = atari_table.as_cells(one)
    rows = [*(("run", row) for row in games), *(("total", row) for row in aggregates)]
    parts = [_table(head, rows, {"game"}), "<h3>Beside humans</h3>"]
    parts.append(_image(figure.draw([], one), "human-normalised scores and learning curves"))
    own = [run for run in runs if run.env_id.startswith("ALE/")]
    if not atari_curves.panels(one):  # else they are in the picture, beside published ones
        parts += _curves(own)
    for env_id in dict.fromkeys(run.env_id for run in own):
        parts += _players(env_id, [run for run in own if run.env_id == env_id], players, beside)
    notes = [f"<b>{html.escape(column.name)}</b>: {html.escape(column.note)}" for column in one.columns if column.note]
    return "\n".join(
        [*parts, *_list("Protocols and notes", [*_protocols(own), *notes, *map(html.escape, one.remarks)])]
    )


def _table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]], left: set[str]) -> str:
    """Return a table; each row's first word is its class."""
    sides = ["left" if column in left else "" for column in head]

    def row(kind: str, cells: Sequence[str], tag: str) -> str:
        looks = [f"{side} who" if place == 0 and tag == "td" else side for place, side in enumerate(sides)]
        inner = "".join(
            f'<{tag} class="{look}">{html.escape(cell)}</{tag}>' for look, cell in zip(looks, cells, strict=True)
        )
        return f'<tr class="{kind}">{inner}</tr>'

    body = "\n".join(row(kind, cells, "td") for kind, cells in rows)
    return f'<div class="wide"><table><thead>{row("", head, "th")}</thead>\n<tbody>{body}</tbody></table></div>'


def _image(drawn: Figure, about: str) -> str:
    """Return a figure as a picture that is sharp at any size, and in print."""
    data = io.BytesIO()
    drawn.savefig(data, format="svg", metadata={"Date": None})
    source = f"data:image/svg+xml;base64,{base64.b64encode(data.getvalue()).decode()}"
    return f'<figure><img alt="{html.escape(about)}" src="{source}"></figure>'


def _curves(runs: Sequence[Run]) -> list[str]:
    try:
        drawn = curves.draw(runs)
    except UserError:  # none of them has a curve
        return []
    return ["<h3>Learning curves</h3>", _image(drawn, "mean return over training, with bands over seeds")]


def _protocols(runs: Sequence[Run]) -> list[str]:
    """Return how each run was evaluated, and where it lies."""
    lines = []
    for run in runs:
        first = run.episodes[0]
        chance = "" if first.epsilon is None else f", epsilon {first.epsilon:g}"
        how = f"{number_of(len(run.episodes), 'episode')} after {number_of(run.agent_steps, 'agent step')}"
        how += f", protocol {first.protocol}{chance}"
        lines.append(html.escape(f"{run.path.name}: {run.title}, seed {run.seed}; {how}"))
    return lines


def _list(title: str, lines: Sequence[str]) -> list[str]:
    return [f"<h3>{title}</h3>", "<ul>", *(f"<li>{line}</li>" for line in lines), "</ul>"] if lines else []


def _players(env_id: str, runs: Sequence[Run], players: Mapping[str, Player], beside: Path) -> list[str]:
    """Return the page in which an agent plays, and the films of the runs."""
    parts = []
    if env_id in players:
        title, page = players[env_id]
        frame = f'<iframe loading="lazy" title="{html.escape(title)}" srcdoc="{html.escape(page)}"></iframe>'
        parts.append(f'<details class="player"><summary>{html.escape(title)}: watch it play</summary>{frame}</details>')
    for run in runs:
        for path in _films(run.path):
            title = html.escape(f"{run.path.name}: {path.name}")
            parts.append(f'<details class="player"><summary>{title}</summary>{_film(path, beside)}</details>')
    return ['<h3 class="player">Watch</h3>', *parts] if parts else []


def _films(run: Path) -> list[Path]:
    """Return the films and pages of a run, by name."""
    try:
        found = [*(run / "videos").iterdir()] if (run / "videos").is_dir() else []
        return sorted(path for path in [*found, *run.glob("*.html")] if path.suffix.lower() in (*FILMS, ".html"))
    except OSError:
        return []


def _film(path: Path, beside: Path) -> str:
    kind = FILMS.get(path.suffix.lower())
    try:
        if kind is None or path.stat().st_size > FILM_BYTES:
            raise OSError
        source = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    except OSError:  # too large, or no film: a link, which holds as long as the report stays where it is
        link = html.escape(Path(os.path.relpath(path, beside.parent)).as_posix())
        return f'<p>&ensp;<a href="{link}">{link}</a></p>'
    if kind == "image/gif":
        return f'<figure><img alt="a film" src="{source}"></figure>'
    return f'<video controls loop src="{source}"></video>'
