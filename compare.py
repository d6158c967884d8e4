"""Compare: this project's runs beside people, published agents and scripts, as a table and as a chart."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from common import cli
from common.errors import UserError

if TYPE_CHECKING:
    from scores import AtariComparison, Comparison, Wanted
    from scores.collect import Found

PRETRAINED_DIR = Path(__file__).resolve().parent / "pretrained"
DEFAULT_RUNS_DIR = "runs"
FORMATS = ("table", "markdown", "json", "csv")


@dataclasses.dataclass(frozen=True)
class Options:
    """What to compare and how to show it."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Run folders (paths, or names under --runs-dir); none: all of them."""
    env_id: str | None = None
    """Only this environment, e.g. Waterworld-v1 or ALE/Pong-v5; by default all that have a score."""
    runs_dir: str = DEFAULT_RUNS_DIR
    """The folder that holds the runs and the human ledger."""
    format: str = "table"
    """table, markdown, json or csv."""
    plot: str | None = None
    """Also draw the comparison into this file: .png, .pdf or .svg."""
    agents: str | None = None
    """Atari: published agents, e.g. dqn_mnih2015,rainbow,iqn, in all their games; by default one or two in yours."""
    at_frames: int | None = None
    """Atari: the published learning curves after so many emulator frames, 1000000 to 200000000."""
    games: str | None = None
    """Atari: only these games, e.g. Pong,Breakout."""
    protocol: str | None = None
    """Atari: only runs evaluated under this protocol, e.g. machado2018."""
    mix_protocols: bool = False
    """Atari: let runs of different protocols stand in one column and its aggregates."""


def main(argv: Sequence[str]) -> int | None:
    """Print the comparison; warnings go to stderr, so that stdout is the table and nothing else."""
    options = cli.parse(Options, argv, prog="compare.py", description=__doc__)
    if options.format not in FORMATS:
        raise UserError(f"--format '{options.format}' is not known; allowed: {', '.join(FORMATS)}")
    if not Path(options.runs_dir).is_dir() and options.runs_dir != DEFAULT_RUNS_DIR:
        raise UserError(f"--runs-dir {options.runs_dir}: there is no such folder")
    if options.plot is not None:
        from scores import chart

        chart.check_path(Path(options.plot))
    comparisons, atari = gather(options)
    print(_text(options.format, comparisons, atari))
    if options.plot is not None:
        from scores import figure

        figure.save(comparisons, atari, Path(options.plot))
        print(f"drawn: {options.plot}", file=sys.stderr)
    return None


def gather(options: Options) -> tuple[list[Comparison], AtariComparison | None]:
    """Return the comparison of every environment, and the one of all Atari games, None where there is none."""
    # Here, not above: --help and a typing error should not wait for numba and matplotlib.
    import scores
    from scores.atari.normalization import game_of
    from scores.runs import find_run

    wanted = _wanted(options)
    asked = wanted != scores.Wanted()
    env_id = options.env_id
    if env_id is not None and game_of(env_id) is None:
        if asked:
            raise UserError(
                f"--env-id {env_id} is no Atari game, but --agents, --at-frames, --games, --protocol and"
                " --mix-protocols are about Atari"
            )
        env_id = _resolve(env_id)
    elif env_id is not None:
        wanted, asked = dataclasses.replace(wanted, games=(*wanted.games, env_id)), True
    folders = [find_run(name, Path(options.runs_dir)) for name in options.runs]
    found = scores.read(Path(options.runs_dir), PRETRAINED_DIR, folders)
    worlds = [] if asked else scores.worlds(found, env_id, bool(folders))
    atari = None
    if env_id is None or game_of(env_id):
        atari = scores.atari_comparison(_beside(found) if folders else found, wanted)
    for warning in found.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return worlds, atari


def _beside(found: Found) -> Found:
    """Return the runs that a person named, with people and agents that ship only in the same environments."""
    named = {run.env_id for run in found.runs}
    return dataclasses.replace(
        found,
        shipped=[run for run in found.shipped if run.env_id in named],
        humans=[episode for episode in found.humans if episode.env_id in named],
    )


def _wanted(options: Options) -> Wanted:
    import scores

    return scores.Wanted(
        agents=_names("--agents", options.agents),
        at_frames=options.at_frames,
        games=_names("--games", options.games),
        protocol=options.protocol,
        mix_protocols=options.mix_protocols,
    )


def _names(option: str, text: str | None) -> tuple[str, ...]:
    """Return the names between the commas."""
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    if text is not None and not names:
        raise UserError(f"{option} '{text}': names are needed, with commas between them")
    return names


def _text(form: str, comparisons: list[Comparison], atari: AtariComparison | None) -> str:
    import scores

    if form == "json":
        return scores.as_json(comparisons, atari)
    if form == "markdown":
        return scores.as_markdown(comparisons, atari)
    if form == "csv":
        return scores.as_csv(comparisons, atari)
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    return scores.as_text(comparisons, width, terminal, atari)


def _resolve(env_id: str) -> str:
    import envs

    return envs.resolve(env_id)


if __name__ == "__main__":
    cli.run(main)
