"""What `compare.py` was asked for: each environment's comparison, and the one of all Atari games."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from common.errors import UserError
from common.files import PRETRAINED
from scores.atari.compare import AtariComparison, AtariSelection, compare
from scores.atari.normalization import game_of
from scores.collect import ScoreData, environment_comparisons, read
from scores.rows import Comparison
from scores.runs import Run, find_runs, read_run


@dataclasses.dataclass(frozen=True)
class Selected:
    """What is shown."""

    environments: list[Comparison]
    atari: AtariComparison | None  # None: nothing to show
    warnings: list[str]  # one line for everything that could not be read
    runs: list[Run] = dataclasses.field(default_factory=list)  # all that have a row, one's own first


def select(runs_dir: Path, names: Sequence[str], env_id: str | None, atari: AtariSelection) -> Selected:
    """Return the comparisons of the selected runs and environments.

    Args:
        runs_dir: the folder of the runs and of the human scores; need not exist.
        names: runs as `find_runs` takes them; (): all under ``runs_dir``.
        env_id: only this environment (its full id); None: all that have a score.
        atari: what to show of Atari; anything but the default leaves the other environments out.

    Raises:
        UserError: an unknown run, game, agent or protocol, or Atari options for another environment.
    """
    atari_only = atari != AtariSelection()
    if env_id is not None and game_of(env_id):
        atari, atari_only = dataclasses.replace(atari, games=(*atari.games, env_id)), True
    elif env_id is not None and atari_only:
        raise UserError(
            f"--env-id {env_id} is not an Atari game, but --agents, --at-frames, --games, --protocol and"
            " --mix-protocols are for Atari only"
        )
    folders = [folder for name in names for folder in find_runs(name, runs_dir)]
    data = read(runs_dir, PRETRAINED, folders)
    environments = [] if atari_only else environment_comparisons(data, env_id, bool(folders))
    games = None
    known = {run.env_id for run in data.runs} | {one.env_id for one in data.humans}
    # with runs of other environments, pretrained agents of games are not what was asked for
    elsewhere = not atari_only and bool(data.runs) and not any(map(game_of, known))
    if (env_id is None and not elsewhere) or (env_id is not None and game_of(env_id)):
        games = compare(_same_environments(data) if folders else data, atari)
    shown = {one.env_id for one in environments} | ({f"ALE/{game}-v5" for game in games.games} if games else set())
    return Selected(
        environments, games, data.warnings, [run for run in data.runs + data.pretrained if run.env_id in shown]
    )


def runs_named(names: Sequence[str], runs_dir: Path) -> list[Run]:
    """Return the evaluated runs that some words name; (): all under ``runs_dir``."""
    if not names:
        return read(runs_dir).runs
    folders = dict.fromkeys(folder for name in names for folder in find_runs(name, runs_dir))
    return [run for folder in folders if (run := read_run(folder)[0]) is not None]


def atari_selection(
    agents: str | None, at_frames: int | None, games: str | None, protocol: str | None, mix_protocols: bool
) -> AtariSelection:
    """Return the selection that the options of `compare.py` describe."""
    return AtariSelection(_names("--agents", agents), at_frames, _names("--games", games), protocol, mix_protocols)


def _names(option: str, text: str | None) -> tuple[str, ...]:
    """Return the comma-separated names."""
    names = tuple(name.strip() for name in (text or "").split(",") if name.strip())
    if text is not None and not names:
        raise UserError(f"{option} '{text}': expected comma-separated names")
    return names


def _same_environments(data: ScoreData) -> ScoreData:
    """Return the named runs, with human players and pretrained agents only in the same environments."""
    named = {run.env_id for run in data.runs}
    return dataclasses.replace(
        data,
        pretrained=[run for run in data.pretrained if run.env_id in named],
        humans=[episode for episode in data.humans if episode.env_id in named],
    )
