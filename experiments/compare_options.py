"""The options of compare.py."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from common import imports


@dataclasses.dataclass(frozen=True)
class Options:
    """What to compare and how to show it."""

    folders: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Runs, or folders of runs: paths, or names under --runs-dir; by default all of them."""
    runs: tuple[str, ...] = ()
    """The same as patterns, such as '*dqn*'; also the names that runs were given by train.py --name."""
    versus: tuple[str, ...] = ()
    """Compare the runs above with these ones: difference, and probability that one of the first is better."""
    env_id: str | None = None
    """Only this environment, e.g. Waterworld-v1 or ALE/Pong-v5; by default all that have a score."""
    imports: imports.Option = ()
    runs_dir: Path = Path("runs")
    """Folder of the runs and of the human scores."""
    format: Literal["table", "markdown", "json", "csv"] = "table"
    """How it is printed."""
    plot: Path | None = None
    """Also draw the comparison as a chart into this file: .png, .pdf or .svg."""
    curves: Path | None = None
    """Also draw learning curves into this file, with bands over seeds, of any environment."""
    report: Path | None = None
    """Also write one page, FILE.html: tables, charts, curves, notes, and players of our worlds; to send or print."""
    agents: str | None = None
    """Atari: published agents, e.g. dqn_mnih2015,rainbow,iqn, in all games; by default one or two, in your games."""
    at_frames: int | None = None
    """Atari: published agents after this many emulator frames of training, 1000000 to 200000000."""
    games: str | None = None
    """Atari: only these games, e.g. Pong,Breakout."""
    protocol: str | None = None
    """Atari: only runs evaluated under this protocol, e.g. machado2018."""
    mix_protocols: bool = False
    """Atari: allow runs with different protocols in one column and its aggregates."""
