"""The Atari comparison: games by columns, what they come to together, and what must be said with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from common.errors import UserError, unknown
from scores.atari import aggregates, atari5, normalization, protocol_notes
from scores.atari import columns as atari_columns
from scores.atari.aggregates import Aggregates
from scores.atari.columns import Column
from scores.atari.rows import AGENTS
from scores.collect import FEW_SEEDS, Found
from scores.runs import Run

CURVE_AGENTS = ("dopamine_dqn_cnn", "dopamine_rainbow_cnn")  # stand in for AGENTS where learning curves are asked for


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What a person asked to see."""

    agents: tuple[str, ...] = ()  # published ones; (): a few
    at_frames: int | None = None  # of the published learning curves; None: final scores
    games: tuple[str, ...] = ()  # names or ids; (): those of the runs, or all of the agents
    protocol: str | None = None  # only runs of it
    mix_protocols: bool = False


@dataclasses.dataclass(frozen=True)
class AtariComparison:
    """Games as rows, best against human first; players as columns, ours first."""

    games: list[str]
    columns: list[Column]
    aggregates: dict[str, Aggregates | None]  # by column; None: not one game with a human score
    remarks: list[str]
    sorted_by: str  # the column whose score against human orders the games


def compare(found: Found, wanted: Wanted = Wanted()) -> AtariComparison | None:
    """Return the comparison, None where nothing of Atari was asked for and there is nothing of ours.

    Raises:
        UserError: an unknown game, agent or protocol; frames out of range; protocols mixed without leave.
    """
    if wanted.at_frames is not None:
        atari_columns.check_at_frames(wanted.at_frames)
    found, left_out = _shipped(found, wanted)
    own = _own(found, wanted)
    if not own and wanted == Wanted():
        return None
    agents, said = _agents(wanted, own)
    games = _games(wanted, own, agents)
    if not games:
        raise UserError(" ".join(["there is nothing to show: no runs, and no agent with a score.", *said]))
    baselines = {column.conditions.baseline for column in [*own, *agents]}
    columns = [_only(column, games) for column in [*own, *atari_columns.of_references(baselines), *agents]]
    columns = [column for column in columns if column.cells or column.kind == "reference"]
    lead = next((column for column in columns if column.kind != "reference"), columns[0])
    order = [column for column in columns if column.kind != "reference"]
    games.sort(key=lambda game: rank(game, order))
    # the intervals of what has many runs take their time: once a column
    summed = {column.name: _aggregate(column) for column in columns}
    return AtariComparison(games, columns, summed, said + remarks(columns, games) + left_out, lead.name)


def _shipped(found: Found, wanted: Wanted) -> tuple[Found, list[str]]:
    """Leave out the agents that ship where all games of published ones were asked for; say how to see them."""
    games = sorted({_game(run) for run in found.shipped if normalization.game_of(run.env_id)})
    ours = any(normalization.game_of(run.env_id) for run in found.runs)
    if not games or ours or not wanted.agents or wanted.games:
        return found, []
    return dataclasses.replace(found, shipped=[]), [
        f"Agents that ship with this project play {', '.join(games)}; --games {','.join(games)} shows them."
    ]


def _own(found: Found, wanted: Wanted) -> list[Column]:
    runs = [run for run in [*found.runs, *found.shipped] if normalization.game_of(run.env_id)]
    played = [one for one in found.humans if normalization.game_of(one.env_id)]
    if wanted.protocol is not None:
        known = {one.protocol for run in runs for one in run.episodes} | {one.protocol for one in played}
        if wanted.protocol not in known:
            raise unknown("protocol of a run", wanted.protocol, known or normalization.PROTOCOLS)
        runs = [run for run in runs if run.episodes[0].protocol == wanted.protocol]
        played = [one for one in played if one.protocol == wanted.protocol]
    if wanted.games:
        names = _named(wanted, tuple(sorted({_game(run) for run in runs})))
        runs = [run for run in runs if _game(run) in names]
        played = [one for one in played if normalization.game_of(one.env_id) in names]
    return [*atari_columns.of_runs(runs, wanted.mix_protocols), *atari_columns.of_people(played)]


def _game(run: Run) -> str:
    return normalization.game_of(run.env_id) or run.env_id


def _named(wanted: Wanted, more: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(normalization.find_game(name, more) for name in wanted.games))


def _agents(wanted: Wanted, own: Sequence[Column]) -> tuple[list[Column], list[str]]:
    """Return the published agents' columns, and what must be said of them."""
    names = list(dict.fromkeys(wanted.agents))
    if not names and wanted.at_frames is not None:
        names = list(CURVE_AGENTS)
    elif not names:
        used = {column.conditions.baseline for column in own} or {normalization.LONG}
        names = [name for baseline in AGENTS if baseline in used for name in AGENTS[baseline]]
    references = {base_name for base in normalization.BASELINES.values() for base_name in (base.human, base.random)}
    names = [name for name in names if name not in references | {normalization.RECORD}]  # they stand there anyway
    pairs = [atari_columns.of_agent(name, wanted.at_frames) for name in names]
    return [column for column, _ in pairs if column], [sentence for _, sentence in pairs if sentence]


def _games(wanted: Wanted, own: Sequence[Column], agents: Sequence[Column]) -> list[str]:
    """Return the rows: the games named, or ours, and with them all of the agents that a person asked for."""
    ours = {game for column in own for game in column.cells}
    if wanted.games:
        return _named(wanted, tuple(sorted(ours)))
    theirs = {game for column in agents for game in column.cells}
    return sorted(ours | theirs if wanted.agents or not ours else ours)


def _only(column: Column, games: Sequence[str]) -> Column:
    return dataclasses.replace(column, cells={game: column.cells[game] for game in games if game in column.cells})


def rank(game: str, columns: Sequence[Column]) -> tuple[int, float, str]:
    """Return what orders the games: by the first column that has the game, its score against human."""
    for number, column in enumerate(columns):
        cell = column.cells.get(game)
        if cell and cell.human_normalised is not None:
            return number, -cell.human_normalised, game
    return len(columns), 0.0, game


def _aggregate(column: Column) -> Aggregates | None:
    runs = column.against_humans()
    return aggregates.aggregate(runs) if runs else None


def remarks(columns: Sequence[Column], games: Sequence[str]) -> list[str]:
    """Return the sentences that belong to the numbers."""
    players = [column for column in columns if column.kind != "reference"]
    said = protocol_notes.remarks([column.conditions for column in players])
    said += _no_human(players, games) + _different_games(players) + _seeds(players) + _improvements(players)
    said += [sentence for column in players for sentence in _atari5(column)]
    return [*said, f"{normalization.RECORD}: set under no controlled protocol."]


def _no_human(players: Sequence[Column], games: Sequence[str]) -> list[str]:
    said = []
    for base in normalization.BASELINES.values():
        used = [column for column in players if column.conditions.baseline == base.name]
        without = [
            game
            for game in games
            if not normalization.has_human(game, base.name) and any(game in column.cells for column in used)
        ]
        if without:
            count = "1 game" if len(without) == 1 else f"{len(without)} games"
            said.append(f"No human score ({base.human}): {', '.join(sorted(without))}; {count}, in no aggregate.")
    return said


def _different_games(players: Sequence[Column]) -> list[str]:
    groups: dict[frozenset[str], list[str]] = {}
    for column in players:
        groups.setdefault(frozenset(column.against_humans()), []).append(column.name)
    if len(groups) < 2:
        return []
    parts = [f"{', '.join(names)} over {len(games)}" for games, names in groups.items()]
    return [f"Aggregates are over different games: {'; '.join(parts)}. Compare them game by game."]


def _seeds(players: Sequence[Column]) -> list[str]:
    """Say what cannot be concluded from so few runs."""
    said = []
    counts = {
        column.name: [len(cell.runs) or 1 for cell in column.cells.values()]
        for column in players
        if column.kind in ("run", "pretrained")
    }
    single = [name for name, sizes in counts.items() if sizes and min(sizes) == 1]
    few = [name for name, sizes in counts.items() if sizes and 1 < min(sizes) < FEW_SEEDS]
    if single:
        said.append(
            f"A single run (seed) in a game: {', '.join(single)}. Another seed may end elsewhere: no interval over runs"
            " can be given, and no agent or setting called better than another. Train with --seed 2, 3, ... too."
        )
    if few:
        said.append(f"Fewer than {FEW_SEEDS} seeds of {', '.join(few)}: the true intervals are wider than those shown.")
    if any(column.kind == "agent" for column in players):
        said.append("Published agents have one number a game: no interval over their runs can be given.")
    return said


def _improvements(players: Sequence[Column]) -> list[str]:
    """Return how probably one of our columns is better than another, where both have several runs of a game."""
    said = []
    ours = [column for column in players if column.kind == "run"]
    for place, one in enumerate(ours):
        for other in ours[place + 1 :]:
            if one.conditions.baseline != other.conditions.baseline:
                continue
            first = {game: runs for game, runs in one.against_humans().items() if len(runs) > 1}
            second = {game: runs for game, runs in other.against_humans().items() if len(runs) > 1}
            if set(first) & set(second):
                found = aggregates.probability_of_improvement(first, second)
                low, high = found.ci95 or (0.0, 1.0)
                said.append(
                    f"Probability that a run of {one.name} beats one of {other.name}, over {found.games} game"
                    f"{'s' * (found.games > 1)}: {found.probability:.2f} (95 % interval {low:.2f} to {high:.2f})."
                )
    return said


def _atari5(column: Column) -> list[str]:
    known = {game: cell.human_normalised for game, cell in column.cells.items() if cell.human_normalised is not None}
    found = atari5.estimate(known) if column.conditions.baseline == normalization.LONG else None
    if found is None or len(known) >= atari5.NEEDED_GAMES:  # the median itself is known
        return []
    return [
        f"Atari-5 estimate of {column.name}'s median over 57 games: {found.median:.0%} ({found.low:.0%} to"
        f" {found.high:.0%}). Its error, measured on {found.fit.agents} published agents with their lineage left out of"
        f" the fit: typically a factor of {found.fit.error:.2f}; {found.fit.fresh_error:.1f} after 10 million frames."
    ]
